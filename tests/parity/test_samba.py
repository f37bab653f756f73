"""Samba against facts of its reference (arXiv:2511.18571) and the same network written out layer by layer."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from eegfm.contracts import EegfmError
from eegfm.models.samba_reference import DEAD, from_reference, to_reference
from eegfm.signal.montage import layout
from eegfm.tasks.weights import load_backbone
from tests.models.samba import CAP, EMOTIV, TUAB, Convolutional, Written, coords_of, ours, published
from tests.nn.tokens import float64, randn, randomise, seeded

TARGETS = coords_of(layout("standard_1020"), torch.float64)


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("montage", "parameters"), [(EMOTIV, 1_059_503), (TUAB, 1_059_633), (CAP, 1_062_753)]
)
def test_counts(montage, parameters):
    dead = 64 + 64 + 128
    with torch.device("meta"):
        assert n_parameters(published(montage)) == parameters - dead
        assert n_parameters(Written(len(montage.names))) == parameters


def test_counts_of_every_part():
    parts = {
        "spatial": 161,
        "input_embedding": 78_720,
        "encoder1": 107_256 - 64,
        "encoder2": 12_352,
        "encoder3": 24_704,
        "bottleneck": 168_576,
        "decoder3": 98_432,
        "mixer3": 403_728 - 128,
        "decoder2": 36_928,
        "mixer2": 103_096 - 64,
        "decoder1": 24_640,
        "output_embedding": 910,
    }
    with torch.device("meta"):
        model = published()
    assert {name: n_parameters(model.get_submodule(name)) for name in parts} == parts
    assert sum(parts.values()) == n_parameters(model)


def test_the_ablation_without_mamba_has_the_published_size():
    with torch.device("meta"):
        model, written = published(mixer="convolution"), Convolutional()
    assert n_parameters(model) == n_parameters(written) == 338_479
    assert len(model.state_dict()) == len(written.state_dict()) == 28


def test_the_layout_has_204_tensors_three_of_them_dead():
    written = Written().double()
    state = written.state_dict()
    assert len(state) == 204
    assert set(DEAD) < set(state) and sum(state[key].numel() for key in DEAD) == 256
    with float64():
        written(randn(1, 14, 16).double(), coords_of(EMOTIV, torch.float64), TARGETS)[0].sum().backward()
    assert {key for key, p in written.named_parameters() if p.grad is None} == set(DEAD)


@pytest.mark.parametrize("n_times", [8, 13, 257])
def test_weights_of_the_layout_give_the_same_numbers(n_times):
    with float64(), seeded(4):
        written, model = Written(), published(n_times=n_times)
        randomise(written)
        model.load_state_dict(from_reference(written.state_dict()))
        x, coords = 3 * randn(2, 14, n_times).double(), coords_of(EMOTIV, torch.float64)
        looked_at = {}
        model.rise2.register_forward_hook(lambda module, args, output: looked_at.update(d3=output))
        found = model.eval()(x, coords)
        wanted, d3 = written.eval()(x, coords, TARGETS)
    # places are kept in single precision
    found, wanted, d3 = found.detach(), wanted.detach(), d3.detach()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max()))
    torch.testing.assert_close(looked_at["d3"], d3, rtol=1e-6, atol=1e-6 * float(d3.abs().max()))


def test_weights_without_mamba_give_the_same_numbers():
    with float64(), seeded(4):
        written, model = Convolutional(), published(mixer="convolution")
        model.load_state_dict(from_reference(written.state_dict()))
        x, coords = 3 * randn(2, 14, 256).double(), coords_of(EMOTIV, torch.float64)
        wanted = written(x, coords, TARGETS).detach()
        torch.testing.assert_close(
            model(x, coords), wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max())
        )


def test_another_layout_is_refused_with_the_key():
    with pytest.raises(EegfmError, match=r"'head\.weight'"):
        from_reference({"head.weight": torch.zeros(1)})
    state = Written().state_dict()
    del state["bottleneck.1.block.team2.7.A_log"]
    with pytest.raises(EegfmError, match="A_log is there for 15"):
        from_reference(state)


# --- a file of the hub: config.json and model.safetensors, of the layout's names and shapes


def hub_file(folder, model, **changes):
    """What its authors' package would write of this network, by the names and shapes of the layout."""
    state = to_reference(model.state_dict())
    if "encoder2.weight" in state:
        state |= {key: torch.ones(128 if "3" in key else 64) for key in DEAD}
    state = {key: tensor for key, tensor in (state | changes).items() if tensor is not None}
    save_file(
        {key: tensor.contiguous().clone() for key, tensor in state.items()}, folder / "model.safetensors"
    )
    return folder / "model.safetensors"


@pytest.mark.parametrize(("mixer", "written"), [("mamba2", Written), ("convolution", Convolutional)])
def test_a_file_of_the_layout_is_the_network_that_was_written_to_it(tmp_path, mixer, written):
    """Its names and shapes are those of the network written out; another Samba then gives the same numbers."""
    with seeded(1):
        there = published(mixer=mixer)
        randomise(there)
    with seeded(2):
        here = published(mixer=mixer)
    file = hub_file(tmp_path, there)
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in written().state_dict().items()}
    assert {key: tensor.shape for key, tensor in load_file(file).items()} == shapes
    x, coords = randn(2, 14, 64), coords_of(EMOTIV)
    with torch.no_grad():
        assert not torch.allclose(here(x, coords), there(x, coords), atol=1e-2)
        assert load_backbone(here, file) == list(DEAD) * (mixer == "mamba2")
        assert torch.equal(here(x, coords), there(x, coords))
        assert torch.equal(here.embed(x, coords), there.embed(x, coords))


@pytest.mark.parametrize("prefix", ["model.", "module."])
def test_a_prefix_of_all_names_is_left_out(tmp_path, prefix):
    model = published()
    state = {prefix + key: tensor for key, tensor in load_file(hub_file(tmp_path, model)).items()}
    found, left_out = model.from_published(state)
    assert left_out == list(DEAD) and found.keys() == model.state_dict().keys()


def test_what_does_not_fit_is_refused_by_name_in_one_sentence(tmp_path):
    model = published()
    changes = {
        "encoder1.1.mamba.D": None,
        "bottleneck.1.block.team2.7.dt_bias": None,
        "cdse.scale": torch.ones(1),
        "onput_embedding.weight": torch.ones(19, 64, 1),
    }
    file = hub_file(tmp_path, model, **changes)
    with pytest.raises(EegfmError) as refused:
        load_backbone(model, file)
    said = str(refused.value)
    assert said.startswith(f"{file} does not fit this Samba: of the 200 tensors")
    assert "2 missing: encoder1.1.mamba.D; bottleneck.1.block.team2.7.dt_bias" in said
    assert "1 not known: cdse.scale" in said
    assert "1 of another shape: onput_embedding.weight (19, 64, 1), wanted (14, 64, 1)" in said


def test_another_samba_than_the_published_refuses_the_file_and_says_which_does_not(tmp_path):
    with pytest.raises(EegfmError, match=r"missing: .*lambda_q.*adapt=samba_published_probe"):
        load_backbone(ours(), hub_file(tmp_path, published()))


def test_a_samba_of_our_own_names_still_loads(tmp_path):
    with seeded(1):
        there = ours(width_scale=8)
    save_file(
        {key: tensor.contiguous() for key, tensor in there.state_dict().items()}, tmp_path / "a.safetensors"
    )
    here = ours(width_scale=8)
    assert load_backbone(here, tmp_path / "a.safetensors") == []
    assert all(torch.equal(tensor, there.state_dict()[key]) for key, tensor in here.state_dict().items())
