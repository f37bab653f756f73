"""braindecode's models as backbones: the same numbers, their own last layer as the head, their files as weights.

Without braindecode (make setup-braindecode) all but the first is skipped.
"""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.optim import AdamW

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.models.braindecode import Braindecode
from eegfm.signal.montage import montage_of
from eegfm.tasks.classify import Classify
from eegfm.tasks.weights import load_backbone
from tests.nn.tokens import randn, seeded, token_spec

MONTAGE = montage_of("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split())
COORDS = torch.zeros(19, 3)
SMALL = {"Labram": {"num_layers": 1}, "BIOT": {"num_layers": 1}}


def spec_of(n_classes):
    return SampleSpec(MONTAGE, (19, 600), 200.0, tuple(f"class {i}" for i in range(n_classes)))


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("braindecode.models", reason="braindecode is not installed")


def made(name, n_classes=3, seed=0, **options):
    with seeded(seed):
        return Braindecode(spec_of(n_classes), name=name, options=SMALL.get(name, {}) | options)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "braindecode", None)
    with pytest.raises(EegfmError, match="make setup-braindecode"):
        Braindecode(spec_of(3), name="EEGNet")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", ["EEGNet", "EEGConformer", "ShallowFBCSPNet", "ATCNet", "Labram", "BIOT"])
def test_backbone_and_published_head_are_the_model(theirs, name, n_classes):
    backbone = made(name, n_classes).eval()
    n_logits = 1 if n_classes == 2 else n_classes
    with seeded(0):
        model = getattr(theirs, name)(
            n_chans=19,
            n_times=600,
            sfreq=200.0,
            n_outputs=n_logits,
            chs_info=channels(),
            **SMALL.get(name, {}),
        ).eval()
    head, x = backbone.published_head(n_logits).eval(), randn(3, 19, 600)
    named = {"ch_names": list(MONTAGE.names)} if name == "Labram" else {}
    with torch.no_grad():
        vectors = backbone.embed(x, COORDS)
        assert vectors.shape == (3, backbone.width)
        assert torch.equal(head(vectors), model(x, **named).reshape(3, n_logits))
    kept = [*backbone.parameters(), *head.parameters()]
    assert sum(p.numel() for p in kept) == sum(p.numel() for p in model.parameters())


def channels():
    return [
        {"ch_name": name, "kind": 2, "loc": np.concatenate([place, np.zeros(9)])}
        for name, place in zip(MONTAGE.names, MONTAGE.coords, strict=True)
    ]


def test_it_comes_in_training_mode_and_without_a_trace_of_the_pass_that_measured_it(theirs):
    """Lightning trains in the modes that it finds, and running statistics belong to the data."""
    backbone = made("EEGNet")
    assert all(module.training for module in [backbone, *backbone.network.modules()])
    assert all(module.training for module in backbone.published_head(3).modules())
    with seeded(0):
        model = theirs.EEGNet(n_chans=19, n_times=600, sfreq=200.0, n_outputs=3)
    fresh = model.state_dict()
    for key, value in backbone.network.state_dict().items():
        assert torch.equal(value, fresh[key]), key


def test_a_task_trains_all_of_it(theirs):
    backbone = made("EEGNet", F1=4)
    task = Classify(backbone, spec_of(3), optimizer=partial(AdamW, lr=1e-3), hidden="published", seed=0)
    optimizer = torch.optim.AdamW(task.parameter_groups(), lr=1e-2)
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    with seeded(1):
        task.loss(task(randn(6, 19, 600), COORDS), torch.arange(6) % 3).backward()
    optimizer.step()
    assert [name for name, p in task.named_parameters() if torch.equal(p, before[name])] == []
    assert any(name.startswith("head.") for name in before)


def test_a_file_of_theirs_loads_strictly_but_for_the_last_layer(theirs, tmp_path):
    """The same network with another number of outputs, as their hub keeps it."""
    with seeded(5):
        model = theirs.Labram(n_chans=19, n_times=600, sfreq=200.0, n_outputs=7, num_layers=1)
    file = tmp_path / "model.safetensors"
    save_file(model.state_dict(), file)
    backbone = made("Labram")
    left_out = load_backbone(backbone, file)
    assert set(left_out) == {"final_layer.weight", "final_layer.bias"}
    for key, value in model.state_dict().items():
        if key not in left_out:
            assert torch.equal(backbone.state_dict()[f"network.{key}"], value), key
    with pytest.raises(EegfmError, match=r"does not fit this Braindecode: \d+ tensors absent \(network\."):
        load_backbone(made("Labram", num_layers=2), file)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("EEGnet", {}, r"model\.name='EEGnet' is not a choice\. Choose one of:.* EEGNet,"),
        ("SignalJEPA", {}, "it is no classifier of windows"),
        ("EEGNet", {"filters": 8}, r"cannot make its EEGNet for 19 channels.*filters"),
        ("BENDR", {}, r"cannot make its BENDR.*BENDR_CHANNEL_ORDER"),
    ],
)
def test_what_cannot_be_made_is_said(theirs, name, options, sentence):
    with pytest.raises(EegfmError, match=f"(?s){sentence}"):
        made(name, **options)


def test_tokens_are_refused():
    with pytest.raises(EegfmError, match="Type encoder=raw"):
        Braindecode(token_spec(4, 2, 12), name="EEGNet")
