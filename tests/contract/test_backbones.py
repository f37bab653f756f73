"""What every backbone in `conf/model/` owes to a task, shown with only a SampleSpec.

A backbone is a model whose class has `embed`. It is built from its own YAML, so that a stale key fails here too, for
raw windows or for tokens of a frozen encoder, whichever it takes: small, as it is and in each of its variants.
"""

import io
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import hydra.utils
import pytest
import torch
from omegaconf import OmegaConf

from eegfm.contracts import EegfmError, Embeds, Montage, SampleSpec
from tests.models.variants import SMALL, VARIANTS, named
from tests.nn.tokens import float64, randn, randomise, seeded

CONF = Path(__file__).parents[2] / "conf"
N_CHANNELS, SFREQ = 6, 200.0
SMALLER = {**SMALL, "cbramod": {"depth": 1}}  # its twelve layers are alike
SHAPES = {"raw": (N_CHANNELS, 400), "tokens": (N_CHANNELS, 4, 32)}


def montage():
    angle = torch.arange(N_CHANNELS) * (2 * math.pi / N_CHANNELS)
    coords = 0.09 * torch.stack([angle.cos(), angle.sin(), torch.full((N_CHANNELS,), 0.5)], dim=1)
    return Montage(tuple(f"E{i}" for i in range(N_CHANNELS)), coords.numpy())


def spec_of(kind):
    return SampleSpec(montage(), SHAPES[kind], SFREQ, ("rest", "task", "other"))


@cache
def model_config(name):
    """The `model` of conf/model/<name>.yaml. `encoder.input_norm` is what an encoder would have said."""
    file = OmegaConf.merge(
        {"encoder": {"input_norm": "instance"}}, OmegaConf.load(CONF / "model" / f"{name}.yaml")
    )
    return file.model


def is_backbone(name):
    """One whose package is installed: braindecode's models are an extra.

    Not stamp_lora, which needs an encoder, and is mostly frozen, nor mine, which needs a class: test_stamp_lora.py and
    test_mine.py in tests/models hold them to as much.
    """
    model = hydra.utils.get_class(model_config(name)._target_)
    installed = find_spec(getattr(model, "package", "torch")) is not None
    return hasattr(model, "embed") and installed and name not in ("stamp_lora", "mine")


def takes(name):
    for kind in SHAPES:
        spec = spec_of(kind)
        try:
            with torch.device("meta"):
                hydra.utils.instantiate(model_config(name))(spec)
        except EegfmError:
            continue
        yield kind


NAMES = [
    name for name in sorted(path.stem for path in (CONF / "model").glob("*.yaml")) if is_backbone(name)
]
CASES = [(name, kind) for name in NAMES for kind in takes(name)]
BUILT = [
    pytest.param(name, kind, SMALLER.get(name, {}) | options, id=f"{name}-{kind}-{named(options)}")
    for name, kind in CASES
    for options in [{}, *VARIANTS.get(name, [])]
]
for_each_backbone = pytest.mark.parametrize(("name", "kind", "options"), BUILT)


def build(name, kind, options, seed=0):
    with seeded(seed):
        backbone = hydra.utils.instantiate(model_config(name), **options)(spec_of(kind))
    if hasattr(backbone, "fit_input"):
        backbone.fit_input([batch(kind, 9, seed=9)[0]])
    return backbone


def batch(kind, n, seed=0):
    x = 20 * randn(n, *SHAPES[kind], seed=seed)
    return x, torch.from_numpy(montage().coords).to(x.dtype)


def reconstructs(backbone):
    """Whether it gives windows back, by a forward pass of its own; a light one is the encoder alone."""
    return type(backbone).forward is not torch.nn.Module.forward and not getattr(backbone, "light", False)


def answers(backbone, x, coords):
    """All that a task can ask of it, a row a sample: an embedding, and the window given back by one that does so."""
    found = [backbone.embed(x, coords)]
    return torch.cat([*found, *([backbone(x, coords).flatten(1)] if reconstructs(backbone) else [])], 1)


def loss_of(backbone, x, coords):
    """Of both alike, however many numbers they are."""
    found = backbone.embed(x, coords).square().mean()
    return found + backbone(x, coords).square().mean() if reconstructs(backbone) else found


def test_there_are_backbones_and_each_takes_raw_windows_or_tokens():
    assert {"stamp", "eegm2", "samba"} <= set(NAMES)
    assert {name for name, _ in CASES} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_that_it_cannot_read_is_refused_with_what_to_type(name):
    for kind in set(SHAPES) - {kind for model, kind in CASES if model == name}:
        with pytest.raises(EegfmError, match="encoder="):
            build(name, kind, {})


@for_each_backbone
def test_it_embeds_and_one_that_gives_windows_back_keeps_their_shape(name, kind, options):
    backbone = build(name, kind, options).eval()
    assert isinstance(backbone, Embeds)
    for n in (1, 3):
        x, coords = batch(kind, n)
        out = backbone.embed(x, coords)
        assert out.shape == (n, backbone.width) and out.dtype == torch.float32
        assert torch.isfinite(out).all()
    if reconstructs(backbone):
        given_back = backbone(x, coords)
        assert given_back.shape == x.shape and given_back.dtype == torch.float32
        assert torch.isfinite(given_back).all()


@for_each_backbone
def test_a_sample_does_not_depend_on_its_batch_mates(name, kind, options):
    """In double precision, and where no gate is as good as shut, as some are at the start."""
    with float64():
        backbone = randomise(build(name, kind, options)).eval()
        x, coords = batch(kind, 3)
        together = answers(backbone, x, coords)
        alone = torch.cat([answers(backbone, x[i : i + 1], coords) for i in range(3)])
    torch.testing.assert_close(together, alone)
    assert (together[1] - together[2]).abs().max() > 1e-4 or options.get("mixer") == "transformer"


@for_each_backbone
def test_evaluation_is_deterministic_leaves_no_trace_and_is_close_in_bfloat16(name, kind, options):
    backbone = build(name, kind, options).eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    first, second = backbone.embed(*batch(kind, 3)), backbone.embed(*batch(kind, 3))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone.embed(*batch(kind, 3))
    assert torch.isfinite(rough).all()
    assert (rough.float() - first).norm() < 0.05 * first.norm()


def train(name, kind, options):
    backbone = build(name, kind, options).train()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-3)
    losses = []
    for step in range(2):
        optimizer.zero_grad()
        with seeded(step):
            loss = loss_of(backbone, *batch(kind, 4, seed=step))
        loss.backward()
        for key, parameter in backbone.named_parameters():
            grad = parameter.grad
            assert grad is not None and torch.isfinite(grad).all() and grad.any(), key
        optimizer.step()
        losses.append(loss.item())
    return backbone, losses


@for_each_backbone
def test_training_twice_from_one_seed_is_bit_equal_and_what_was_moved_is_saved(name, kind, options):
    """Every parameter has a finite gradient and moves; a saved state in a fresh backbone embeds the same."""
    trained, losses = train(name, kind, options)
    second, again = train(name, kind, options)
    assert losses == again
    fresh = build(name, kind, options)
    for (key, mine), other, first in zip(
        trained.named_parameters(), second.parameters(), fresh.parameters(), strict=True
    ):
        assert torch.equal(mine, other) and not torch.equal(mine, first), key
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh.eval().embed(*batch(kind, 3)), trained.eval().embed(*batch(kind, 3)))


@for_each_backbone
def test_coordinates_may_be_unknown_where_they_are_not_used(name, kind, options):
    """An ear reference has no place on the scalp: NaN there must not spread, or be refused with a sentence."""
    backbone = build(name, kind, options).eval()
    x, coords = batch(kind, 2)
    coords = coords.clone()
    coords[0] = torch.nan
    try:
        out = backbone.embed(x, coords)
    except EegfmError as error:
        assert "coord" in str(error)
    else:
        assert torch.isfinite(out).all()
