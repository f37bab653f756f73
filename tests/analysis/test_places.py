"""How much a channel matters, by definitions that can be computed by hand; and the frames of a fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

from eegfm.analysis.places import (
    FRAMES,
    START,
    KeepPlaces,
    column_mean,
    gradient_and_pattern,
    look,
    maps_places,
    margin,
    read_frames,
)
from eegfm.contracts import Montage, SampleSpec
from eegfm.nn.spatial import Spatial
from eegfm.signal.montage import montage_of
from eegfm.tasks.classify import Classify
from tests.tasks import toy
from tests.tasks.looker import eight

MONTAGE = montage_of(("C3", "Cz", "C4"))


class Linear(nn.Module):
    """Looks at the mean over time of what eight places see: its gradient is known."""

    def __init__(self):
        super().__init__()
        self.targets, self.width = eight(), 5
        self.spatial = Spatial(torch.tensor(self.targets.coords), signed=True)
        self.mix = nn.Linear(8, 5)

    def spatial_weights(self, coords):
        return self.spatial.weights(coords)

    def embed(self, x, coords):
        return self.mix(self.spatial(x, coords).mean(-1))


class AtPlaces(Dataset):
    def __init__(self, rows):
        self.rows, self.x, self.label = rows, rows.x, rows.label

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, items):
        return self.rows.__getitems__(list(items))._replace(coords=coords_of(MONTAGE))


class Data(toy.Data):
    """The toy windows, at places."""

    batch_size = 8

    def __init__(self, n_classes=3):
        super().__init__(n_classes)
        self.splits = {name: AtPlaces(rows) for name, rows in self.splits.items()}

    def datasets(self, split):
        return {"": self.splits[split]}


def coords_of(montage):
    return torch.tensor(montage.coords, dtype=torch.float32)


def task_of(backbone, n_classes, **kwargs):
    spec = SampleSpec(MONTAGE, (3, toy.N_TIMES), 8.0, tuple("abcdef"[:n_classes]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classify(backbone(), spec, optimizer=lambda p: torch.optim.Adam(p, 0.01), seed=0, **kwargs)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_gradient_of_a_linear_classifier_is_its_weights(n_classes):
    """Logits are A x averaged over time, so every sample has the same slope: that of the margin, over n_times."""
    task, data = task_of(Linear, n_classes), Data(n_classes)
    found = gradient_and_pattern(task, data)["gradient"]
    backbone, rows = task.backbone, data.splits["val"]
    a = (task.head.weight @ backbone.mix.weight @ backbone.spatial_weights(coords_of(MONTAGE))).detach()
    slopes = []
    for x, label in zip(rows.x, rows.label, strict=True):
        if n_classes == 2:
            slopes.append(a[0].abs())
            continue
        logits = task(x[None], coords_of(MONTAGE))[0]
        rival = max((i for i in range(n_classes) if i != label), key=lambda i: logits[i])
        slopes.append((a[label] - a[rival]).abs())
    expected = torch.stack(slopes).mean(0) / toy.N_TIMES
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_the_gradient_is_per_microvolt():
    """A task that divides its input by 50 has a fiftieth of the slope."""
    plain, scaled = (
        gradient_and_pattern(task_of(Linear, 2, scale=scale), Data(2))["gradient"] for scale in (None, 50.0)
    )
    np.testing.assert_allclose(scaled, plain / 50, rtol=1e-5)


class Filter(Linear):
    """The mean over time of one mixture of the channels."""

    def __init__(self):
        super().__init__()
        self.width, self.filter = 1, nn.Parameter(torch.zeros(3))

    def embed(self, x, coords):
        return (self.filter @ x).mean(-1, keepdim=True)


def test_the_pattern_of_the_best_linear_filter_is_where_the_source_is_seen():
    """Haufe et al. 2014: a filter that cancels noise is no map of the source; through the covariance it is."""
    rng = np.random.default_rng(0)
    seen, noise = np.array([1.0, 0.2, 0.0]), np.array([1.0, 0.0, 1.0])  # by channel
    source, disturbance = rng.standard_normal((2, 400, 1, toy.N_TIMES))
    x = seen[:, None] * source + 3 * noise[:, None] * disturbance
    x += 0.01 * rng.standard_normal(x.shape)
    data, rows = Data(2), toy.Windows(400, 2, seed=0)
    rows.x = torch.tensor(x, dtype=torch.float32)
    data.splits["val"] = AtPlaces(rows)
    covariance = np.einsum("bct,bdt->cd", x, x) / (400 * toy.N_TIMES)
    task = task_of(Filter, 2)
    with torch.no_grad():
        task.backbone.filter.copy_(torch.tensor(np.linalg.solve(covariance, seen), dtype=torch.float32))
    found = gradient_and_pattern(task, data)
    np.testing.assert_allclose(found["pattern"] / found["pattern"][0], seen, atol=0.1)
    assert found["gradient"][2] > 0.5 * found["gradient"][0]  # where nothing of the source is


@given(st.lists(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_margin_is_positive_where_the_class_is_ahead(rows):
    logits = torch.tensor(rows)
    for label in range(3):
        ahead = margin(logits, torch.full((len(rows),), label)) > 0
        others = logits[:, [i for i in range(3) if i != label]]
        assert torch.equal(ahead, (logits[:, label : label + 1] > others).all(1))
    binary = margin(logits[:, :1], torch.arange(len(rows)) % 2)
    assert torch.equal(binary.abs(), logits[:, 0].abs())


def test_the_column_mean_counts_magnitudes():
    weights = np.array([[0.5, -0.25, 0.0], [0.0, 0.75, 0.0]])
    np.testing.assert_array_equal(column_mean(weights), [0.25, 0.5, 0.0])


@pytest.mark.parametrize("freeze", [False, True])
def test_looking_moves_nothing(freeze):
    """No weight, no gradient, no running statistic, no module's mode, no random number."""
    task, data = task_of(Noisy, 3, freeze=freeze), Data(3)
    task.train()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    modes, random = [m.training for m in task.modules()], torch.get_rng_state()
    look(task, {"": MONTAGE}, data)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert [m.training for m in task.modules()] == modes and any(modes)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in task.parameters())


class Noisy(Linear):
    """With noise and running statistics on top."""

    def __init__(self):
        super().__init__()
        self.more = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(5))

    def embed(self, x, coords):
        return self.more(super().embed(x, coords))


def test_other_backbones_have_no_map():
    assert maps_places(task_of(Linear, 3))
    assert not maps_places(Classify(toy.Backbone(), toy.spec_of(3), optimizer=torch.optim.Adam, seed=0))
    assert not maps_places(object())


def fit(folder, epochs, *, stop_after=None, judge=True, **kwargs):
    """The task after a fit in `folder`, in two parts where it is stopped."""
    for last in filter(None, (stop_after, epochs)):
        task = task_of(Linear, 3)
        trainer = toy.trainer(
            folder,
            max_epochs=last,
            callbacks=[KeepPlaces(folder, {"a": MONTAGE, "b": eight()}, judge=judge)],
            **kwargs,
        )
        checkpoint = folder / "last.ckpt"
        trainer.fit(
            task,
            datamodule=Data(3),
            ckpt_path=checkpoint if checkpoint.exists() else None,
            weights_only=True,
        )
        trainer.save_checkpoint(checkpoint)
    return task


def test_frames_are_those_of_the_epochs(tmp_path):
    """The first is before training, the last of the end, one an epoch between; every montage has its own."""
    untrained, task = task_of(Linear, 3), fit(tmp_path, 4)
    found = read_frames(tmp_path)
    assert set(found) == {"a", "b"}
    for name, montage in (("a", MONTAGE), ("b", eight())):
        one = found[name]
        assert one.epoch.tolist() == [START, 0, 1, 2, 3]
        for frame, of in ((0, untrained), (-1, task)):
            weights = of.backbone.spatial_weights(coords_of(montage)).detach().numpy()
            np.testing.assert_array_equal(one.weights[frame], weights)
        assert np.abs(np.diff(one.weights, axis=0)).max(axis=(1, 2)).min() > 0  # it does learn
    np.testing.assert_array_equal(
        found["a"].start.importance["gradient"], gradient_and_pattern(untrained, Data(3))["gradient"]
    )
    assert list(read_frames(tmp_path)["b"].start.importance) == ["column_mean", "gradient", "pattern"]


@settings(max_examples=4, deadline=None)
@given(epochs=st.sampled_from([1, 9, 10, 23]))
def test_there_are_never_more_frames_than_a_row_holds(tmp_path_factory, epochs):
    folder = tmp_path_factory.mktemp("frames")
    fit(folder, epochs, judge=False, limit_train_batches=1, limit_val_batches=0)
    found = read_frames(folder)["a"]
    assert len(found.epoch) <= FRAMES and len(found.epoch) > min(epochs, 5)
    assert len(set(np.diff(found.epoch[1:]))) <= 1


def test_a_fit_of_so_many_steps_has_frames_too(tmp_path):
    fit(tmp_path, -1, judge=False, max_steps=15)  # of 5 a epoch
    assert read_frames(tmp_path)["a"].epoch.tolist() == [START, 0, 1, 2]


def test_a_resumed_fit_leaves_the_frames_of_an_uninterrupted_one(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    fit(tmp_path / "one", 5)
    fit(tmp_path / "two", 5, stop_after=2)
    one, two = (read_frames(tmp_path / name)["a"] for name in ("one", "two"))
    np.testing.assert_array_equal(one.epoch, two.epoch)
    np.testing.assert_array_equal(one.weights, two.weights)
    np.testing.assert_array_equal(one.start.importance["gradient"], two.start.importance["gradient"])


def test_a_folder_without_the_file_has_none(tmp_path):
    assert read_frames(tmp_path) == {}


def test_a_channel_without_a_place_does_not_matter():
    montage = Montage(("C3", "A2-A1", "C4"), montage_of(("C3", "A2-A1", "C4")).coords)
    seen = look(task_of(Linear, 3), {"": montage})[""]
    assert seen.importance["column_mean"][1] == 0 and np.isfinite(seen.weights).all()
