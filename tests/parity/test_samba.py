"""Samba against facts of its reference (arXiv:2511.18571) and the same network written out layer by layer."""

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.models.samba import DEAD, from_reference
from eegfm.signal.montage import layout
from tests.models.samba import CAP, EMOTIV, TUAB, Convolutional, Written, coords_of, published
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
