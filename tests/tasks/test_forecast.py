"""Forecasts: of the future alone, from the past alone, beside answers that know nothing."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import AdamW

from eegfm.config.make import make
from eegfm.contracts import EEGBatch, EegfmError, Montage, SampleSpec
from eegfm.nn.losses import l1
from eegfm.tasks.forecast import Convolution, Forecast, Mamba
from tests.composed import composed
from tests.nn.tokens import as_a_person

from .autoencoder import N_CHANNELS, N_TIMES, PLACES, SIZES, SPEC, Autoencoder, Data
from .toy import trainer

FUTURE = int(0.3 * N_TIMES)
PAST = N_TIMES - FUTURE
HEADS = (None, "convolution", "mamba")


def task_of(backbone=None, spec=SPEC, **kwargs):
    """The weights always start alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        recipe = {"optimizer": partial(AdamW, lr=5e-3), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
        return Forecast(backbone or Autoencoder(spec), spec, **(recipe | kwargs))


class Scaled(nn.Module):
    """Gives back what it is given, times a number, plus a number."""

    def __init__(self, by=0.0, plus=0.0):
        super().__init__()
        self.by, self.plus = nn.Parameter(torch.tensor(by)), plus

    def forward(self, x, coords):
        return self.by * x + self.plus


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("scale", [30.0, "quantile"])
def test_the_future_is_not_looked_at(head, scale):
    """It does not even enter the size that a window is divided by."""
    task = task_of(head=head, scale=scale).eval()
    batch = Data().splits["val"].__getitems__(range(4))
    other = batch.x.clone()
    other[..., PAST:] = 1000 * torch.randn(
        4, N_CHANNELS, FUTURE, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        found, again = task(batch.x, batch.coords), task(other, batch.coords)
        assert found.shape == (4, N_CHANNELS, FUTURE) and torch.equal(found, again)
        passed = task.forward_pass(batch, training=False)
    torch.testing.assert_close((passed.pred * passed.size)[..., PAST:], found)
    assert head is None or torch.equal(passed.pred[..., :PAST], passed.true[..., :PAST])
    assert (
        torch.equal(passed.given[..., :PAST], passed.true[..., :PAST])
        and not passed.given[..., PAST:].any()
    )
    assert torch.equal(passed.hidden[0, 0].nonzero()[:, 0], torch.arange(PAST, N_TIMES))
    other[..., PAST - 1] += 1000  # the past is
    with torch.no_grad():
        assert not torch.equal(found, task(other, batch.coords))


def test_the_loss_is_that_of_the_future():
    task = task_of(loss={"l1": 1.0}).eval()
    batch = Data().splits["val"].__getitems__(range(4))
    loss, terms, passed = task._loss(batch, training=False)
    torch.testing.assert_close(loss, l1(passed.pred[..., PAST:], passed.true[..., PAST:]))
    assert set(terms) == {"l1"}


def test_errors_are_of_the_future_in_microvolts_against_numpy(tmp_path):
    """The backbone always predicts 6 µV; it is compared with three predictions that need no model."""
    task = task_of(Scaled(plus=0.2))
    (logged,) = trainer(tmp_path).validate(task, datamodule=Data(), verbose=False)
    x = Data().splits["val"].x.double().numpy()
    past, future = x[..., :PAST], x[..., PAST:]

    def rmse(answer):
        return float(np.sqrt(((answer - future) ** 2).mean()))

    expected = {
        "rmse_uv": rmse(6.0),
        "mae_uv": float(np.abs(future - 6).mean()),
        "persistence_rmse_uv": rmse(past[..., -1:]),
        "mean_rmse_uv": rmse(past.mean(-1, keepdims=True)),
        "zero_rmse_uv": rmse(0.0),
        "r2": 1 - rmse(6.0) ** 2 / future.var(-1).mean(),
    }
    assert {name: logged[f"val/{name}"] for name in expected} == pytest.approx(expected, rel=1e-5)
    found = task.outputs
    assert len(found.keys) == SIZES["val"] and found.metrics().keys() == {*expected, "loss", "acmse"}
    np.testing.assert_allclose(
        found.by_channel("persistence"), np.sqrt(((past[..., -1:] - future) ** 2).mean((0, 2))), rtol=1e-5
    )
    one = found.subject == 2
    assert found.by_subject()[2]["persistence_rmse_uv"] == pytest.approx(
        np.sqrt(((past[one, :, -1:] - future[one]) ** 2).mean()), rel=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_rhythms_are_foretold_better_than_by_knowing_nothing(tmp_path, head):
    """Sinusoids of two frequencies; every part of the model is trained, the head among it."""
    task, data = task_of(head=head), Data()
    fit = trainer(tmp_path, max_epochs=12, gradient_clip_val=1.0)
    started = {name: value.clone() for name, value in task.state_dict().items()}
    fit.fit(task, datamodule=data)
    (found,) = fit.test(task, datamodule=data, verbose=False)
    least = min(found[f"test/{name}_rmse_uv"] for name in ("persistence", "mean", "zero"))
    # a head stretches 90 samples over 38: rhythms do not come through it, and it learns to say little
    assert found["test/rmse_uv"] < (0.8 if head is None else 1.01) * least
    moved = [name for name, value in task.named_parameters() if not torch.equal(value, started[name])]
    assert len(moved) == len(list(task.parameters()))
    assert (head is None) == (not any(name.startswith("head.") for name in moved))


@pytest.mark.parametrize(("n_times", "future"), [(2, 1), (3, 1), (4, 1), (10, 3), (256, 76), (12800, 3840)])
def test_the_future_is_the_published_part(n_times, future):
    assert task_of().past(n_times) == n_times - future


@pytest.mark.parametrize(
    ("n_channels", "width"),
    # published: 161, 290, 548; where it fails, one head of all features, or two
    [(32, 161), (64, 290), (128, 548), (14, 89), (16, 97), (22, 121), (19, 109), (48, 226)],
)
def test_the_mamba_head_admits_any_number_of_channels(n_channels, width):
    head = Mamba(n_channels)
    assert head.mamba.in_proj.weight.shape == (width, n_channels)
    assert head(torch.zeros(2, n_channels, 20), 6).shape == (2, n_channels, 6)


def test_the_convolution_is_two_with_a_rectifier_between():
    head, h = Convolution(3), torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0))
    first, last = head.layers[0], head.layers[2]
    mixed = F.conv1d(F.conv1d(h, first.weight, first.bias, padding=1).clamp(min=0), last.weight, last.bias)
    wanted = F.interpolate(mixed, size=6, mode="linear", align_corners=False)
    torch.testing.assert_close(head(h, 6), wanted)


def test_the_mamba_head_adds_to_the_mixed_channels():
    """With a silent Mamba-2 it is the mixing of channels alone, linearly stretched."""
    head, h = Mamba(3), torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(head.mamba.out_proj.weight)
    wanted = F.interpolate(head.mix(h), size=6, mode="linear", align_corners=False)
    torch.testing.assert_close(head(h, 6), wanted)


def test_a_window_of_another_length_has_its_own_future():
    task = task_of()
    x = torch.randn(2, N_CHANNELS, 200, generator=torch.Generator().manual_seed(0))
    assert task(x, torch.tensor(PLACES, dtype=torch.float32)).shape == (2, N_CHANNELS, 60)


def test_corpora_of_a_mix_may_differ_in_channels_and_length(tmp_path):
    """Without a head, nothing of the task knows a number of channels; errors are there for each corpus."""
    names = ("C3", "Cz", "C4")
    two = Montage(names[:2], PLACES[:2])
    spec = SampleSpec(SPEC.montage, SPEC.shape, SPEC.sfreq, (), ("three", "two"), (SPEC.montage, two))
    task = task_of(Scaled(), spec)
    for corpus, n_channels, n_times in (("three", 3, N_TIMES), ("two", 2, 200)):
        x = torch.full((4, n_channels, n_times), float(n_channels))
        coords = torch.tensor(PLACES[:n_channels], dtype=torch.float32)
        label = torch.zeros(4, dtype=torch.long)
        batch = EEGBatch(x, coords, label, label, [f"{corpus}{i}" for i in range(4)], corpus)
        loss, _, passed = task._loss(batch, training=False)
        task._gather(loss.detach(), passed, batch)
    found = task.errors.reconstructions([]).metrics()
    assert found["zero_rmse_uv/three"] == pytest.approx(3) and found["rmse_uv/two"] == pytest.approx(2)
    assert found["persistence_rmse_uv"] == 0
    with pytest.raises(EegfmError, match=r"task\.head=null"):
        task_of(Scaled(), spec, head="mamba")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"ratio": 0.0}, r"task\.ratio"),
        ({"ratio": 1.0}, r"task\.ratio=1\.0: .* above 0 and below 1"),
        ({"head": "attention"}, "convolution, mamba"),
    ],
)
def test_what_cannot_work_is_a_sentence(wrong, sentence):
    with pytest.raises(EegfmError, match=sentence), as_a_person():
        task_of(**wrong)


def test_a_window_without_a_past_is_a_sentence():
    with pytest.raises(EegfmError, match="has no past"):
        task_of().past(1)


def test_presets_are_made_as_they_are_composed():
    ours, published = (
        make(composed("model=bandpower", f"task={name}").task, "task")(Autoencoder(SPEC), SPEC)
        for name in ("forecast", "forecast_published")
    )
    assert ours.head is None and ours.criterion.weights == {"l1": 1.0} and ours.ratio == 0.3
    assert isinstance(published.head, Mamba) and published.criterion.weights == {"l1": 1.0, "spectral": 1.0}
    assert published.scale == "quantile"
