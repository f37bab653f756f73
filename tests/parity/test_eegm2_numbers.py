"""Numbers of the EEGM2 paper, its configuration files and its training logs that need no licensed data to be checked.

Counts and names of tensors are in test_eegm2.py, terms of the loss in tests/nn/test_losses.py, rates and the published
ACMSE in tests/tasks/test_reconstruct.py, statistics and heads in tests/tasks/test_probe.py. This holds the rest.
"""

import inspect
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from eegfm.benchmarks.tuab import CLASSES, tuab
from eegfm.config.make import make
from eegfm.models.eegm2 import Eegm2, from_reference
from eegfm.nn.losses import WeightedSum, l1, mse, spectral
from eegfm.nn.mamba2 import Mamba2
from eegfm.tasks.classify import Classify
from eegfm.tasks.errors import Errors
from eegfm.tasks.features import Features
from eegfm.tasks.heads import HEADS
from tests.composed import composed
from tests.models.eegm2 import COORDS, raw_spec
from tests.nn.tokens import float64, randn, seeded

LIGHT = {"light": True, "layer": "pool3"}
T = 64


def outputs(model, x):
    """The shape of the output of every layer in `model.time_axis`, by its path."""
    found = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            lambda m, i, o, path=path: found.__setitem__(path, tuple(o.shape))
        )
        for path in model.time_axis
    ]
    with torch.no_grad():
        (model.embed if model.light else model)(x, COORDS[: x.shape[1]])
    for handle in handles:
        handle.remove()
    return found


# ---- the network -----------------------------------------------------------------------------------------------------

ENCODER = {
    "input_embedding": (2, 64, T),
    "encoder1": (2, T, 64),
    "pool1": (2, 64, T // 2),
    "encoder2": (2, 128, T // 2),
    "pool2": (2, 128, T // 4),
    "encoder3": (2, 256, T // 4),
    "pool3": (2, 256, T // 8),
}
DECODER = {
    "bottleneck": (2, T // 8, 256),
    "rise3": (2, 256, T // 4),
    "decoder3": (2, 256, T // 4),
    "mixer3": (2, T // 4, 256),
    "rise2": (2, 256, T // 2),
    "decoder2": (2, 128, T // 2),
    "mixer2": (2, T // 2, 128),
    "rise1": (2, 128, T),
    "decoder1": (2, 64, T),
    "output_embedding": (2, 16, T),
}


def test_every_stage_has_the_published_width_and_rate():
    x = randn(2, 16, T)
    assert outputs(Eegm2(raw_spec(16, T)), x) == ENCODER | DECODER
    assert outputs(Eegm2(raw_spec(16, T), **LIGHT), x) == ENCODER
    half = outputs(Eegm2(raw_spec(16, T), width_scale=2), x)
    axis = {path: 1 + (path in ("encoder1", "bottleneck", "mixer3", "mixer2")) for path in half}
    for path, shape in (ENCODER | DECODER).items():
        if path != "output_embedding":
            assert half[path][axis[path]] * 2 == shape[axis[path]], path


def test_its_skips_let_it_copy_what_it_is_given():
    """Without a mask the task is solved by weights that nothing has learned, to the last digit and any input.

    The branch that sees one sample hands the channels on, the first Mamba's branch is off, decoder1 takes the skip.
    """
    with float64(), seeded(0):
        model = Eegm2(raw_spec(16, T)).eval()
        eye = torch.eye(64)
        with torch.no_grad():
            model.input_embedding.branch1.weight.copy_(eye[:, :16, None])
            model.input_embedding.fuse.weight.copy_(torch.cat([eye, 0 * eye, 0 * eye], 1)[..., None])
            model.encoder1[0].weight.copy_(eye)
            model.encoder1[1].norm.weight.zero_()
            model.decoder1.weight.zero_()[:, :64, 1] = eye
            model.output_embedding.weight.copy_(eye[:16, :, None])
            for module in (
                *model.input_embedding.children(),
                model.encoder1[0],
                model.decoder1,
                model.output_embedding,
            ):
                module.bias.zero_()
            x = 50 * randn(2, 16, T)
            torch.testing.assert_close(model(x, COORDS[:16]), x, rtol=1e-12, atol=1e-12)


def test_the_attention_of_s5_has_four_heads_and_a_tenth_of_dropout_and_no_mamba_arguments():
    with torch.device("meta"):
        model = Eegm2(raw_spec(16, T), mixer="attention")
        other = Eegm2(raw_spec(16, T), mixer="attention", d_state=4, d_conv=4, expand=2)
    found = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    assert {(m.num_heads, m.dropout, m.batch_first) for m in found} == {(4, 0.1, True)} and len(found) == 4
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"embedding": "single"}, {"input_embedding.weight": (64, 16, 3), "encoder1.1.mamba.D": (8,)}),
        (
            {"mixer": "mamba1"},
            {"input_embedding.branch7.weight": (64, 16, 7), "decodeMamba2.mamba.D": (1024,)},
        ),
        (
            {"mixer": "mamba1", "embedding": "single"},
            {"input_embedding.bias": (64,), "bottleneck.1.mamba.A_log": (2048, 16)},
        ),
    ],
    ids=["S1", "S3", "S4"],
)
def test_state_dicts_of_the_ablations_load_strictly(options, own):
    model = Eegm2(raw_spec(16, T), width_scale=1, **options)
    theirs = {
        key.replace(".mix.", ".mamba.").replace("mixer", "decodeMamba").replace("output_", "onput_"): value
        for key, value in model.state_dict().items()
    }
    assert {key: tuple(theirs[key].shape) for key in own} == own
    with seeded(1):
        fresh = Eegm2(raw_spec(16, T), **options)
    fresh.load_state_dict(from_reference(theirs), strict=True)
    for key, value in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value)


def test_what_the_layer_is_without_arguments_is_what_mamba_ssms_is():
    """Its documented defaults; but the chunk, which is chosen by the sizes here."""
    known = {name: p.default for name, p in inspect.signature(Mamba2.__init__).parameters.items()}
    theirs = {
        "d_state": 128,
        "d_conv": 4,
        "expand": 2,
        "headdim": 64,
        "ngroups": 1,
        "A_init_range": (1, 16),
    }
    theirs |= {"dt_min": 1e-3, "dt_max": 0.1, "dt_init_floor": 1e-4, "dt_limit": (0, math.inf)}
    theirs |= {"bias": False, "conv_bias": True}
    assert {name: known[name] for name in theirs} == theirs
    layer = Mamba2(64)
    assert layer.norm.eps == 1e-5 and layer.conv1d.padding == (3,)
    assert {name: value.dtype for name, value in layer.named_parameters()} == dict.fromkeys(
        dict(layer.named_parameters()), torch.float32
    )


# ---- what is learned from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_times", [1280, 12800])
def test_the_published_loss_is_l1_plus_t_times_mse_with_the_gradient_of_that(n_times):
    """At 10 and 100 s of 128 Hz. It holds no information of the spectrum that a squared error does not."""
    true, pred = randn(2, 16, n_times), randn(2, 16, n_times, seed=1).requires_grad_()
    total, _ = WeightedSum({"l1": 1.0, "spectral": 1.0})(pred, true)
    said = l1(pred, true) + n_times * mse(pred, true)
    assert float((total / said).detach()) == pytest.approx(1, rel=2e-3)
    (ours,) = torch.autograd.grad(spectral(pred, true), pred)
    (theirs,) = torch.autograd.grad(n_times * mse(pred, true), pred)
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999
    assert float(ours.norm() / theirs.norm()) == pytest.approx(1, rel=5e-3)


def test_the_published_spectral_term_sees_phase_and_not_amplitude_spectra_alone():
    """The text says amplitude spectra: a signal turned over has the same ones, and the term is as large as can be."""
    x = randn(2, 4, 1280)
    amplitude = torch.fft.rfft(-x).abs() - torch.fft.rfft(x).abs()
    assert float(amplitude.abs().max()) == 0
    torch.testing.assert_close(spectral(-x, x), 4 * spectral(torch.zeros_like(x), x))


# logged "Average MSE" of the reference, and the mean over 16 channels that it was meant to be, for 10, 30, 60 and 100 s
LOGGED = {
    1280: (1.6265e-13, 1.3012e-11),
    3840: (3.4269e-12, 8.2246e-10),
    7680: (8.1059e-13, 3.8908e-10),
    12800: (6.8659e-13, 5.4927e-10),
}


@pytest.mark.parametrize("n_times", LOGGED)
def test_acmse_is_too_small_by_samples_over_channels_as_in_the_published_tables(n_times):
    """At 100 s the factor is 800: the paper's 6.87e-13 is 5.49e-10."""
    logged, meant = LOGGED[n_times]
    assert meant / logged == pytest.approx(n_times / 16, rel=1e-4)
    errors = Errors((16, n_times), masked=False, rows={"": range(16)})
    true, pred = randn(5, 16, n_times), randn(5, 16, n_times, seed=1)
    errors.update(mse(pred, true), pred, true, torch.ones(1, 1, 1), torch.zeros(5, dtype=torch.int64))
    found = errors.reconstructions(["w"] * 5)
    of_averages = float((pred.mean(0) - true.mean(0)).square().mean(-1).mean())
    assert found.acmse * n_times / 16 == pytest.approx(of_averages, rel=1e-5)
    # and the average of windows is not their error: five windows of noise, a fifth of it
    assert found.metrics()["rmse_uv"] ** 2 / of_averages == pytest.approx(5, rel=0.05)


def test_the_published_presets_are_the_published_configuration():
    """config.json, config_downstream.json, and what the training code adds to them."""
    config = composed("adapt=eegm2_published_finetune")
    before = config.pretrain
    assert dict(before.task.optimizer) == {
        "_target_": "torch.optim.AdamW",
        "_partial_": True,
        "lr": 5e-5,
        "weight_decay": 0.01,
    }
    assert before.task.decay == "all" and before.task.mask is None and before.task.scale == "quantile"
    terms = {name: weight for name, weight in before.task.loss.items() if weight}
    assert terms == {"l1": 1.0, "spectral": 1.0}
    schedule = before.task.schedule
    assert (schedule.max_lr, schedule.pct_start, schedule.div_factor, schedule.final_div_factor) == (
        5e-4,
        0.1,
        2.0,
        100.0,
    )
    assert dict(before.trainer) == {"max_epochs": 50, "gradient_clip_val": 1.0}
    model = config.model
    assert (model.d_state, model.d_conv, model.expand, model.width_scale) == (16, 2, 8, 1)
    assert config.data.batch_size == 64
    task = config.task
    assert (task.optimizer._target_, task.optimizer.lr, task.optimizer.weight_decay) == (
        "torch.optim.Adam",
        1e-4,
        0,
    )
    assert (config.trainer.max_epochs, config.trainer.gradient_clip_val) == (30, 1.0)
    assert list(task.hidden) == [128] and task.activation == "relu" and not task.dropout
    assert (model.layer, model.pooling, task.freeze_head) == ("output", "flatten", True)
    probe = composed("adapt=eegm2_published_probe")
    assert (probe.task.layer, probe.task.at_most, probe.task.balanced) == ("pool3", 100_000, False)
    assert dict(probe.pretrain.task) == dict(before.task), "both start from one pre-training"


# ---- classifiers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_channels", "n_times", "published"), [(14, 256, 459_138), (16, 12_800, 26_214_786)], ids=str
)
def test_the_head_on_the_flattened_output_has_the_published_size(n_channels, n_times, published):
    """128 hidden units; two outputs there, one logit here: 129 numbers fewer. At 100 s it is 5.7 times the backbone."""
    spec = raw_spec(n_channels, n_times)
    with torch.device("meta"):
        backbone = Eegm2(spec, layer="output", pooling="flatten")
        task = Classify(
            backbone,
            spec,
            optimizer=partial(torch.optim.Adam, lr=1e-4),
            hidden=[128],
            activation="relu",
            seed=0,
        )
    assert backbone.width == n_channels * n_times
    head = sum(p.numel() for p in task.head.parameters())
    assert head + 129 == published and len(list(task.head.parameters())) == 4
    if n_times == 12_800:
        assert published / sum(p.numel() for p in backbone.parameters()) == pytest.approx(5.7, abs=0.05)


def test_the_probed_part_has_the_size_of_light_and_2304_features_whatever_the_window():
    """Layers with swapped axes also give nine statistics for each feature, not for each moment."""
    model = Eegm2(raw_spec(16, T)).eval()
    upto = 0
    for path, module in model.named_children():
        upto += sum(p.numel() for p in module.parameters())
        if path == "pool3":
            break
    assert upto == 254_392
    for n_times in (T, 2 * T):
        x = randn(2, 16, n_times)
        widths = {
            layer: Features(model, layer=layer)(x, COORDS[:16]).shape[1]
            for layer in ("pool3", "bottleneck")
        }
        widths |= {
            layer: Features(model, layer=layer)(x, COORDS[:16]).shape[1] for layer in ("encoder1", "mixer2")
        }
        assert widths == {"pool3": 2304, "bottleneck": 2304, "encoder1": 9 * 64, "mixer2": 9 * 128}


def test_the_small_network_of_light_is_relu_and_half_dropout_twice():
    head = HEADS["mlp"](2, seed=0)
    assert (head.RATE, head.EPOCHS, head.BATCH) == (1e-4, 30, 64)
    head.EPOCHS = 1
    x, label = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32), np.arange(8) % 2
    head.fit(x, label, x, label)
    assert [type(module).__name__ for module in head.net] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert [m.p for m in head.net if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert [m.out_features for m in head.net if isinstance(m, nn.Linear)] == [128, 32, 2]


# ---- data ------------------------------------------------------------------------------------------------------------


def test_rows_and_labels_of_tuab_are_those_of_the_reference():
    rows = "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2"
    assert tuab().channels == tuple(rows.split())
    assert CLASSES.index("normal") == 0 and CLASSES.index("abnormal") == 1


def test_the_published_experiments_make_what_they_say():
    """The task of every preset is made, on windows of the Emotiv sets: 14 channels, 2 s at 128 Hz."""
    spec = raw_spec(14, 256)
    for way in ("finetune", "probe"):
        config = composed(f"adapt=eegm2_published_{way}")
        with torch.device("meta"):
            backbone = make(config.model, "model")(spec)
            assert sum(p.numel() for p in backbone.parameters()) == 4_563_606
            task = make(config.task, "task")(backbone, spec)
        if way == "finetune":
            # the fault that the published tables rest on: an optimiser that never got the head
            assert sum(p.requires_grad for p in task.backbone.parameters()) == 66
            assert not any(p.requires_grad for p in task.head.parameters())
