"""CBraMod against its published layout and counts, the formulas written out, and braindecode's port if it is there."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import AdamW

from eegfm.contracts import EegfmError
from eegfm.models.cbramod import CBraMod
from eegfm.tasks.classify import Classify
from eegfm.tasks.weights import load_backbone, published_weights
from tests.models.cbramod import LAYOUT, spec_of, state_of_the_layout, written_features
from tests.nn.tokens import float64, randn, seeded

COORDS = torch.zeros(5, 3)


def n_elements(module):
    return sum(p.numel() for p in module.parameters())


def test_the_state_dict_is_the_published_one():
    with torch.device("meta"):
        model = CBraMod(spec_of(19, 30))
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == LAYOUT
    assert len(LAYOUT) == 211
    assert sum(value.numel() for value in model.state_dict().values()) == 4_924_000
    assert n_elements(model) == 4_923_800 and all(p.requires_grad for p in model.parameters())
    assert n_elements(model.patch_embedding) == 52_600 - 200  # that of what is hidden is not trained
    assert n_elements(model.encoder) == 4_831_200
    assert n_elements(model.proj_out) == 40_200


# channels, seconds, classes; trainable numbers of backbone and head, by head
COUNTS = {
    "SHU-MI": ((32, 4, 2), (25_524_801, 10_004_001, 4_909_201, 4_883_801)),
    "PhysioNet-MI": ((64, 4, 4), (46_005_404, 15_124_604, 5_088_404, 4_884_404)),
    "MentalArithmetic": ((20, 5, 2), (25_085_001, 8_884_001, 4_903_601, 4_883_801)),
    "BCIC-IV-2a": ((22, 4, 4), (19_125_404, 8_404_604, 4_954_004, 4_884_404)),
    "TUEV": ((16, 5, 6), (21_086_006, 8_085_006, 4_979_606, 4_884_806)),
    "Mumtaz2016": ((19, 5, 2), (24_085_001, 8_684_001, 4_902_601, 4_883_801)),
    "SEED-V": ((62, 1, 5), (14_965_605, 7_364_805, 4_945_605, 4_884_605)),
    "FACED": ((32, 10, 9), (133_287_609, 17_685_609, 5_459_609, 4_885_409)),
    "CHB-MIT and TUAB": ((16, 10, 2), (69_286_001, 11_284_001, 4_915_601, 4_883_801)),
}
HEADS = ("all_patch_reps", "all_patch_reps_twolayer", "all_patch_reps_onelayer", "avgpooling_patch_reps")


BACKBONE = 4_883_600  # without proj_out


@pytest.mark.parametrize("dataset", COUNTS)
def test_every_head_has_upstreams_size(dataset):
    shape, counts = COUNTS[dataset]
    spec = spec_of(*shape)
    for head, count in zip(HEADS, counts, strict=True):
        with torch.device("meta"):
            model = CBraMod(spec, head=head, depth=1)
            assert n_elements(model.published_head(spec.n_logits)) == count - BACKBONE


def test_what_a_task_trains_is_what_upstream_trains():
    shape, (count, *_) = COUNTS["PhysioNet-MI"]
    spec = spec_of(*shape)
    with torch.device("meta"):
        task = Classify(CBraMod(spec), spec, optimizer=partial(AdamW, lr=1e-4), hidden="published", seed=0)
    assert sum(p.numel() for p in task.parameters() if p.requires_grad) == count


def test_features_are_those_of_the_formulas():
    state = state_of_the_layout(dtype=torch.float64)
    with float64():
        model = CBraMod(spec_of(5, 3)).eval()
    model.load_state_dict(state)
    x = 2 * randn(2, 5, 600, seed=1, dtype=torch.float64)
    with torch.no_grad():
        found, given_back = model.features(x), model(x, COORDS)
    wanted = torch.stack([written_features(state, one.unflatten(1, (3, 200))) for one in x])
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    back = wanted @ state["proj_out.0.weight"].T + state["proj_out.0.bias"]
    torch.testing.assert_close(given_back, back.flatten(2), rtol=1e-9, atol=1e-9)


def test_a_file_of_the_published_layout_loads_strictly_and_whole(tmp_path, caplog):
    state = state_of_the_layout()
    (tmp_path / "cbramod").mkdir()
    file = tmp_path / "cbramod" / "pretrained_weights.pth"
    torch.save(state, file)
    with seeded(0):
        model = CBraMod(spec_of(5, 3))
    assert published_weights(model, tmp_path) == file
    assert "is not the published file" in caplog.text  # it is one of its layout
    assert load_backbone(model, file) == []
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())

    del state["encoder.layers.7.linear1.bias"]
    torch.save({**state, "classifier.1.weight": torch.zeros(1)}, file)
    with pytest.raises(
        EegfmError, match=r"1 tensors absent \(encoder\.layers\.7\.linear1\.bias\), 1 unknown"
    ):
        load_backbone(model, file)


def test_a_file_that_is_more_than_tensors_is_refused_and_not_run(tmp_path):
    with seeded(0):
        model = CBraMod(spec_of(5, 3), depth=1)
    for held, sentence in (
        ({"state_dict": {}, "args": Path("a")}, "No checkpoint does"),
        ({"epoch": 3}, "names and tensors are wanted"),
        ([torch.zeros(1)], "names and tensors are wanted"),
    ):
        torch.save(held, tmp_path / "file.pth")
        with pytest.raises(EegfmError, match=sentence):
            load_backbone(model, tmp_path / "file.pth")


def test_without_the_file_it_is_said_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr("eegfm.encoders.base.in_cache", lambda *place: None)
    with torch.device("meta"):
        model = CBraMod(spec_of(5, 3))
    with pytest.raises(EegfmError) as refusal:
        published_weights(model, tmp_path)
    for part in (
        "weighting666/CBraMod/resolve/500543c7",
        "19.8 MB",
        str(tmp_path / "cbramod"),
        "weights=null",
    ):
        assert part in str(refusal.value)


@pytest.fixture(scope="module")
def port():
    pytest.importorskip("braindecode", reason="braindecode is not installed (make setup-braindecode)")
    from braindecode.models import CBraMod as Port

    with seeded(3):
        return Port(n_outputs=4, n_chans=5, n_times=600, sfreq=200).eval()


def test_braindecodes_port_gives_the_same_numbers(port):
    state = {key: value for key, value in port.state_dict().items() if not key.startswith("final_layer.")}
    with seeded(0):
        model = CBraMod(spec_of(5, 3)).eval()
    model.load_state_dict(state)
    x = randn(3, 5, 600, seed=2)
    with torch.no_grad():
        wanted = port(x, return_features=True)["features"].flatten(2)
        found = model(x, COORDS)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_it_starts_as_braindecodes_port_does(port):
    """Spread of every tensor at the start; one in_proj for all layers."""
    with seeded(0):
        model = CBraMod(spec_of(5, 3))
    for key, value in model.state_dict().items():
        if value.ndim > 1:
            torch.testing.assert_close(value.std(), port.state_dict()[key].std(), rtol=0.15, atol=0.0)
    for start in (model, port):
        first, *others = (layer.self_attn_s.in_proj_weight for layer in start.encoder.layers)
        assert all(torch.equal(first, other) for other in others)
