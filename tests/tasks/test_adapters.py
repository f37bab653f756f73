"""Adapters in any backbone: what is trained, that nothing changes before training or by merging, and going on."""

import importlib.util
from copy import deepcopy
from functools import cache

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from eegfm.contracts import EegfmError
from eegfm.models.braindecode import Braindecode
from eegfm.models.cbramod import CBraMod
from eegfm.models.eegm2 import Eegm2
from eegfm.models.samba import Samba
from eegfm.nn.adapters import Adapters, linear_layers, take_out
from eegfm.signal.montage import layout
from eegfm.tasks.classify import Classify
from eegfm.tasks.weights import load_backbone
from tests.contract.test_backbones import spec_of
from tests.nn.tokens import randn, seeded
from tests.tasks.test_base import PowerCutError, Trace
from tests.tasks.test_classify import task_of
from tests.tasks.toy import Data, trainer

SPEC = spec_of("raw")
COORDS = torch.tensor(SPEC.montage.coords).float()
OPTIMIZER = torch.optim.AdamW
BACKBONES = {
    "eegm2": lambda: Eegm2(SPEC, width_scale=8, d_state=4),
    "samba": lambda: Samba(SPEC, targets=layout("ten_ten", "head"), width_scale=8, d_state=4),
    "cbramod": lambda: CBraMod(SPEC, depth=1),
    "braindecode": lambda: Braindecode(SPEC, name="EEGConformer", options={"num_layers": 1}),
}
absent = [name for name in ("peft", "braindecode") if importlib.util.find_spec(name) is None]
# importing peft takes seconds
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(absent), reason=f"not installed: {absent}")]
each_backbone = pytest.mark.parametrize("name", BACKBONES)
each_kind = pytest.mark.parametrize("kind", ["lora", "dora", "ia3", "bitfit"])


def task(name, kind=None, **options):
    """The same weights with and without adapters; the head's as well."""
    with seeded(0):
        adapters = None if kind is None else Adapters(kind=kind, rank=2, **options)
        return Classify(BACKBONES[name](), SPEC, optimizer=OPTIMIZER, adapters=adapters, seed=0)


@cache
def windows():
    return 5 * randn(4, *SPEC.shape, seed=1)


def logits(one):
    """In float64: products of equal float32 weights that lie elsewhere in memory may differ in their last bit."""
    one.eval()
    with torch.no_grad():
        return deepcopy(one).double()(windows().double(), COORDS.double())


def assert_same(got, wanted, within=1e-12):
    torch.testing.assert_close(got, wanted, rtol=0, atol=within)


def moved(one):
    """The task after a few steps with a large rate."""
    learned = [p for p in one.parameters() if p.requires_grad]
    optimizer = OPTIMIZER(learned, lr=0.02)
    one.train()
    for step in range(3):
        optimizer.zero_grad()
        with seeded(step):
            one.loss(one(windows(), COORDS), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    return one


@each_kind
@each_backbone
def test_before_training_the_logits_are_those_of_the_frozen_backbone(name, kind):
    rounding = 2**-20 if kind == "dora" else 1e-12  # the lengths of a layer's rows were rounded to float32
    assert_same(logits(task(name, kind)), logits(task(name)), rounding)


@each_kind
@each_backbone
def test_only_adapters_and_head_are_trained(name, kind):
    """Each of them gets a gradient and moves, nothing else does, and they are as many as the layers' shapes say."""
    one, layers = task(name, kind), dict(BACKBONES[name]().named_modules())
    before = {key: p.detach().clone() for key, p in one.named_parameters()}
    learned = {key for key, p in one.named_parameters() if p.requires_grad}
    in_backbone = [key for key in learned if key.startswith("backbone.")]
    if kind == "bitfit":
        assert in_backbone and all(key.endswith("bias") for key in in_backbone)
    else:
        assert all("lora_" in key or "ia3_" in key for key in in_backbone)
        sizes = [layers[path].weight.shape for path in linear_layers(BACKBONES[name]())]
        each = {
            "lora": lambda o, i: 2 * (o + i),
            "dora": lambda o, i: 2 * (o + i) + o,
            "ia3": lambda o, i: o,
        }
        assert sum(before[key].numel() for key in in_backbone) == sum(each[kind](*size) for size in sizes)
    moved(one)
    for key, p in one.named_parameters():
        assert (p.grad is not None) == (key in learned), key
        assert torch.equal(p, before[key]) == (key not in learned), key
    assert {"head.weight", "head.bias"} <= learned


@each_kind
@each_backbone
def test_merged_they_are_the_plain_backbone_with_the_same_logits(name, kind):
    one = moved(task(name, kind))
    wanted = logits(one)
    assert not torch.allclose(wanted, logits(task(name)), atol=1e-2)
    take_out(one.backbone)
    size = wanted.abs().max().clamp(min=1)
    torch.testing.assert_close(logits(one) / size, wanted / size, rtol=0, atol=1e-6)
    plain = task(name)
    plain.load_state_dict(one.state_dict())  # the names and shapes of a run without adapters
    assert_same(logits(plain), logits(one))


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
def test_a_resumed_fit_is_an_uninterrupted_one(tmp_path, kind):
    """Bit by bit, with dropout in the adapters and in the backbone."""

    def made():
        return task_of(adapters=Adapters(kind=kind, rank=2, dropout=0.2))

    whole, before, after = Trace(), Trace(die_before=2), Trace()
    one = made()
    trainer(tmp_path, max_epochs=4, callbacks=[whole]).fit(one, datamodule=Data())

    def fit(one, trace, **options):
        saver = ModelCheckpoint(tmp_path, save_last=True)
        saving = trainer(tmp_path, max_epochs=4, callbacks=[trace, saver], enable_checkpointing=True)
        saving.fit(one, datamodule=Data(), **options)

    with pytest.raises(PowerCutError):
        fit(made(), before)
    resumed = made()
    nn.init.zeros_(resumed.head.weight)
    torch.manual_seed(12345)
    fit(resumed, after, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert before.rows + after.rows == whole.rows
    for name, value in one.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_layers_that_torch_fuses_get_no_adapter():
    """torch computes with their weights and calls no layer: an adapter there would be ignored without a word."""

    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.last = nn.Linear(8, 8)

    assert linear_layers(Fused()) == ["last"]


def test_what_cannot_be_adapted_is_said(tmp_path):
    with seeded(0):
        eegnet = Braindecode(SPEC, name="EEGNet")
    with pytest.raises(EegfmError, match=r"adapt=lora: Braindecode has no linear layer.*adapt=bitfit"):
        Adapters(kind="lora").put_into(eegnet)
    with pytest.raises(EegfmError, match=r"adapt=lora freezes.*task\.freeze"):
        task_of(adapters=Adapters(kind="lora"), freeze=True)
    with pytest.raises(EegfmError, match="rank=0"):
        Adapters(kind="lora", rank=0)
    torch.save(task("eegm2", "lora").state_dict(), tmp_path / "run.ckpt")
    with pytest.raises(EegfmError, match="holds a backbone with adapters in it"):
        load_backbone(BACKBONES["eegm2"](), tmp_path / "run.ckpt")
