"""Pre-training by reconstruction, through Lightning's own trainer and through the real command."""

import csv
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim import AdamW

from eegfm.config.make import make
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.drawing import recordings
from eegfm.nn import masks_published
from eegfm.nn.losses import l1, mse, spectral
from eegfm.nn.masks import Spans, interpolate
from eegfm.runs.curves import read_curves
from eegfm.runs.outputs import write_errors
from eegfm.runs.results import read_result
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.tasks.schedules import one_cycle
from eegfm.training.keep_curves import KeepCurves
from tests.command_line import call, environment
from tests.composed import composed
from tests.nn.tokens import as_a_person

from .autoencoder import N_CHANNELS, N_TIMES, PLACES, SIZES, SPEC, Autoencoder, Data
from .toy import trainer

HALF = partial(Spans, ratio=0.5, span_s=0.125)


def task_of(backbone=None, *, dropout=0.0, **kwargs):
    """The weights always start alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        recipe = {"optimizer": partial(AdamW, lr=3e-3), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
        return Reconstruct(backbone or Autoencoder(SPEC, dropout=dropout), SPEC, **(recipe | kwargs))


class Scaled(nn.Module):
    """Gives back what it is given, times a number: its errors are known."""

    def __init__(self, by=0.5):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x, coords):
        return self.by * x


@pytest.mark.slow
def test_masked_rhythms_are_learned_better_than_straight_lines(tmp_path):
    """Half of every window is hidden in stretches of an eighth of a second, most of a cycle: lines cannot follow."""
    task, data = task_of(mask=HALF, optimizer=partial(AdamW, lr=1e-2)), Data()
    fit = trainer(tmp_path, max_epochs=25, gradient_clip_val=1.0)
    (before,) = fit.test(task, datamodule=data, verbose=False)
    fit.fit(task, datamodule=data)
    (after,) = fit.test(task, datamodule=data, verbose=False)
    lines = after["test/interpolation_rmse_uv"]
    assert before["test/interpolation_rmse_uv"] == lines  # the same samples are hidden
    assert min(lines, before["test/hidden_rmse_uv"]) > 2 * after["test/hidden_rmse_uv"]
    assert after["test/visible_rmse_uv"] < after["test/hidden_rmse_uv"]


def outcome(task, tmp_path, split="val", batch_size=16):
    fit = trainer(tmp_path, max_epochs=1)
    run = {"val": fit.validate, "test": fit.test}[split]
    (logged,) = run(task, datamodule=Data(batch_size), verbose=False)
    return task.outputs, logged


def test_errors_are_in_microvolts_by_window_channel_and_split_against_numpy(tmp_path):
    """The backbone halves everything, whatever its unit; there are 22 windows in batches of 16 and 6."""
    x = Data().splits["val"].x.double().numpy()
    for scale in (None, 30.0, "quantile"):
        found, logged = outcome(task_of(Scaled(), scale=scale), tmp_path)
        assert found.keys == [f"1/{i}s" for i in range(SIZES["val"])]
        np.testing.assert_array_equal(found.subject, np.arange(SIZES["val"]) % 4)
        np.testing.assert_allclose(found.square["all"], (0.25 * x**2).mean(-1), rtol=1e-5)
        np.testing.assert_allclose(found.by_channel(), np.sqrt((0.25 * x**2).mean(axis=(0, 2))), rtol=1e-5)
        of_window = x - x.mean(-1, keepdims=True)
        expected = {
            "rmse_uv": np.sqrt((0.25 * x**2).mean()),
            "mae_uv": np.abs(0.5 * x).mean(),
            "r2": 1 - (0.25 * x**2).mean() / (of_window**2).mean(),
        }
        assert {name: logged[f"val/{name}"] for name in expected} == pytest.approx(expected, rel=1e-5)
        assert found.metrics() == pytest.approx(
            {name.removeprefix("val/"): v for name, v in logged.items() if name != "val/mse"}, rel=1e-5
        )
        one = found.subject == 2
        assert found.by_subject()[2]["rmse_uv"] == pytest.approx(
            np.sqrt((0.25 * x[one] ** 2).mean()), rel=1e-5
        )


def test_the_published_acmse_is_its_formula_with_its_two_faults(tmp_path):
    """Averages of all windows first, then the sum over channels divided by the number of samples, not of channels."""
    found, _ = outcome(task_of(Scaled(), scale="quantile"), tmp_path)
    x = Data().splits["val"].x.double().numpy()
    seen = x / (np.quantile(np.abs(x), 0.95, axis=-1, keepdims=True) + 1e-8)
    per_channel = ((seen.mean(0) - 0.5 * seen.mean(0)) ** 2).mean(-1)
    assert found.acmse == pytest.approx(per_channel.sum() / N_TIMES, rel=1e-5)
    true = (0.25 * seen**2).mean()  # the error of windows
    assert true > 10 * per_channel.mean() > 300 * found.acmse


def test_hidden_and_visible_errors_and_the_straight_lines_are_of_their_own_samples(tmp_path):
    """Oracle: the task's own masks, applied by hand to a backbone that gives back what it sees."""
    task = task_of(Scaled(1.0), mask=HALF)
    found, _ = outcome(task, tmp_path)
    batch = Data().splits["val"].__getitems__(range(SIZES["val"]))
    hidden = task.forward_pass(batch, training=False).hidden
    assert (hidden.sum(-1) == N_TIMES // 2).all()
    x = batch.x
    np.testing.assert_allclose(found.square["visible"], 0, atol=1e-6)
    of_hidden = [
        [float(row[h].square().mean()) for row, h in zip(*pair, strict=True)]
        for pair in zip(x, hidden, strict=True)
    ]
    np.testing.assert_allclose(
        found.square["hidden"], of_hidden, rtol=1e-4
    )  # zeros came back: all of it is error
    lines = ((interpolate(x, hidden) - x).square() * hidden).sum(-1) / hidden.sum(-1)
    np.testing.assert_allclose(found.square["interpolation"], lines, rtol=1e-4)
    np.testing.assert_allclose(found.square["all"], found.square["hidden"] / 2, rtol=1e-4)


@pytest.mark.parametrize("loss_on", ["all", "masked"])
def test_an_evaluation_does_not_depend_on_the_batches_or_on_the_seed(tmp_path, loss_on):
    """A window is masked by its name; losses are means over windows."""
    loss = {"l1": 1.0, "spectral_ortho": 0.5, "stft": 0.1}
    first, logged = outcome(task_of(mask=HALF, loss=loss, loss_on=loss_on), tmp_path, batch_size=22)
    for seed, size in ((0, 5), (7, 16)):
        again, other = outcome(
            task_of(mask=HALF, loss=loss, loss_on=loss_on, seed=seed), tmp_path, batch_size=size
        )
        assert other == pytest.approx(logged, rel=1e-5)
        np.testing.assert_allclose(again.square["hidden"], first.square["hidden"], rtol=1e-4)


def test_training_masks_are_new_at_every_step_and_follow_the_seed(tmp_path):
    seen = []

    class Look(Autoencoder):
        def forward(self, x, coords):
            if self.training:
                seen.append(x[0, 0] == 0)
            return super().forward(x, coords)

    runs = []
    for seed in (0, 0, 1):
        seen.clear()
        task = task_of(Look(SPEC), mask=HALF, seed=seed)
        trainer(tmp_path, max_epochs=2).fit(task, datamodule=Data())
        runs.append(torch.stack(seen))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert len({tuple(row.tolist()) for row in runs[0]}) == len(runs[0]) == 12


def test_the_loss_is_on_all_samples_or_on_the_hidden_ones(tmp_path):
    batch = Data().splits["val"].__getitems__(range(8))
    for loss_on in ("all", "masked"):
        task = task_of(mask=HALF, loss={"l1": 1.0}, loss_on=loss_on)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            loss, terms, passed = task._loss(batch, training=True)
        where = passed.hidden if loss_on == "masked" else torch.ones_like(passed.hidden)
        expected = (passed.pred - passed.true).abs()[where].mean()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(terms["l1"], expected)


def test_every_term_is_logged_apart_and_the_loss_is_their_weighted_sum(tmp_path):
    history = KeepCurves(tmp_path)
    task = task_of(loss={"l1": 1.0, "spectral": 0.25}, scale="quantile")
    trainer(tmp_path, max_epochs=2, callbacks=[history]).fit(task, datamodule=Data())
    for row in read_curves(tmp_path / "metrics.csv"):
        assert float(row["val/loss"]) == pytest.approx(
            float(row["val/l1"]) + 0.25 * float(row["val/spectral"]), rel=1e-5
        )
        assert float(row["train/loss_epoch"]) == pytest.approx(
            float(row["train/l1"]) + 0.25 * float(row["train/spectral"]), rel=1e-5
        )
        # the published setting: all of this is L1 + T x MSE
        assert float(row["val/spectral"]) > 1


@pytest.mark.parametrize("loss_on", ["all", "masked"])
def test_terms_over_hidden_and_visible_samples_are_logged_apart_and_make_up_the_whole(tmp_path, loss_on):
    """These terms are means over samples; half is hidden, so the whole is their mean. There is one forward pass."""
    calls = []

    class Counted(Autoencoder):
        def forward(self, x, coords):
            calls.append(self.training)
            return super().forward(x, coords)

    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = Counted(SPEC)
    task = task_of(backbone, mask=HALF, loss_on=loss_on, loss={"l1": 1.0, "mse": 0.5, "stft": 0.1})
    trainer(tmp_path, max_epochs=2, callbacks=[KeepCurves(tmp_path)], num_sanity_val_steps=0).fit(
        task, datamodule=Data()
    )
    assert calls.count(True) == 2 * 6 and calls.count(False) == 2 * 2
    for row in read_curves(tmp_path / "metrics.csv"):
        for split in ("train", "val"):
            for name in ("l1", "mse"):
                hidden, visible = (float(row[f"{split}/{name}_{part}"]) for part in ("hidden", "visible"))
                whole = hidden if loss_on == "masked" else (hidden + visible) / 2
                assert float(row[f"{split}/{name}"]) == pytest.approx(whole, rel=1e-5)
        assert float(row["val/mse_hidden"]) == pytest.approx(
            (float(row["val/hidden_rmse_uv"]) / 30) ** 2, rel=1e-5
        )
        assert not any("stft_" in name for name in row)


def test_a_mask_that_hides_nothing_of_a_window_gives_no_nan(tmp_path):
    """SAMBA's own, on windows of 32 samples."""
    task = task_of(Scaled(), mask=masks_published.Semantic, loss={"l1": 1.0})
    batch = Data().splits["val"].__getitems__(range(4))
    loss, terms, passed = task._loss(batch._replace(x=batch.x[..., :32]), training=False)
    assert not passed.hidden.any() and terms["l1_hidden"] == 0
    torch.testing.assert_close(terms["l1_visible"], loss.detach())


def test_without_a_mask_it_is_the_published_auto_encoding(tmp_path):
    """Scaled by its quantile, whole, through L1 plus the unnormalised spectral term."""
    task = task_of(loss={"l1": 1.0, "spectral": 1.0}, scale="quantile")
    batch = Data().splits["val"].__getitems__(range(6))
    passed = task.forward_pass(batch, training=True)
    assert passed.hidden is None and torch.equal(passed.given, passed.true)
    loss = task._loss(batch, training=True)[0].detach()
    torch.testing.assert_close(loss, l1(passed.pred, passed.true) + spectral(passed.pred, passed.true))
    said = l1(passed.pred, passed.true) + N_TIMES * mse(passed.pred, passed.true)
    torch.testing.assert_close(loss, said.detach(), rtol=0.03, atol=0)
    found, _ = outcome(task, tmp_path)
    assert set(found.square) == {"all"} and "hidden_rmse_uv" not in found.metrics()


MASKS = sorted(path.stem for path in (config_dir() / "task" / "mask").glob("*.yaml"))


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_of_the_config_is_made_and_hides_something(name):
    """What else the two settings say is held by tests/models/test_eegm2.py and tests/parity/test_eegm2_numbers.py."""
    config = composed("model=bandpower", "task=reconstruct", f"task/mask={name}")
    mask = make(config.task, "task")(Autoencoder(SPEC), SPEC).mask
    where = "eegfm.nn.masks_published" if name.endswith("_published") else "eegfm.nn.masks"
    assert type(mask).__module__ == where
    assert type(mask).__name__.lower() == name.removesuffix("_published")
    assert mask(torch.zeros(2, N_CHANNELS, N_TIMES)).any()


@pytest.mark.parametrize("n_batches", [452, 766, 1552])
def test_the_learning_rates_are_those_of_the_published_training_logs(n_batches):
    """TUAB, 500 epochs of 452 (100 s), 766 (60 s) or 1552 (30 s) batches: first, after an epoch, at the peak, last."""
    optimizer = AdamW([nn.Parameter(torch.zeros(1))], lr=5e-5)
    total = 500 * n_batches
    schedule = one_cycle(
        optimizer, total, max_lr=5e-4, pct_start=0.1, div_factor=2.0, final_div_factor=100.0
    )

    def rate(step: int) -> float:
        optimizer.step()
        schedule.last_epoch = step - 1
        schedule.step()
        return schedule.get_last_lr()[0]

    assert f"{rate(n_batches):.5e}" == "2.50247e-04"
    found = [rate(step) for step in (0, total // 10 - 2, total // 10 - 1, total // 10, total - 1)]
    assert found[::4] == pytest.approx([2.5e-4, 2.5e-6], rel=1e-9)
    assert found[2] == pytest.approx(5e-4, rel=1e-9) and found[1] < found[2] > found[3]


class Trace(Callback):
    def __init__(self, die_before=None):
        self.losses, self.die_before = [], die_before

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.die_before:
            raise PowerCutError

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


class PowerCutError(Exception):
    pass


def test_an_interrupted_and_resumed_fit_has_the_trace_of_an_uninterrupted_one(tmp_path):
    """With masks, dropout, a schedule, a probe beside, and another random state at the restart."""

    def made():
        observe = {"every": 2, "layer": "encoder", "head": "ridge"}
        return task_of(dropout=0.2, mask=HALF, schedule=partial(one_cycle, max_lr=1e-2), observe=observe)

    def fit(task, trace, **kwargs):
        saver = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
        saving = trainer(tmp_path, max_epochs=4, callbacks=[trace, saver], enable_checkpointing=True)
        saving.fit(task, datamodule=Labelled(), **kwargs)

    whole, before, after = Trace(), Trace(die_before=2), Trace()
    task, resumed = made(), made()
    trainer(tmp_path, max_epochs=4, callbacks=[whole]).fit(task, datamodule=Labelled())
    with pytest.raises(PowerCutError):
        fit(made(), before)
    nn.init.zeros_(resumed.backbone.decoder.weight)
    torch.manual_seed(12345)
    fit(resumed, after, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert before.losses + after.losses == whole.losses
    for name, value in task.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


class Labelled(Data):
    """As the real data module: splits by name, with the labels of a store."""

    spec = SPEC

    def dataset(self, split):
        rows = self.splits[split]
        rows.rows = np.arange(len(rows))
        rows.store = Store(rows)
        rows.labels = rows.store.label
        return rows

    def datasets(self, split):
        return {"": self.dataset(split)}

    @property
    def corpora(self):
        return {"": self}


class Store:
    def __init__(self, rows):
        self.index = self
        self.label = rows.label.numpy()


def test_a_probe_looks_on_every_n_epochs_and_changes_nothing(tmp_path):
    rows = {}
    for every in (0, 2):
        task = task_of(mask=HALF, observe={"every": every, "layer": "encoder", "head": "logistic"})
        history = KeepCurves(tmp_path / str(every))
        (tmp_path / str(every)).mkdir()
        trainer(tmp_path, max_epochs=4, callbacks=[history]).fit(task, datamodule=Labelled())
        rows[every] = read_curves(tmp_path / str(every) / "metrics.csv")
    assert [bool(row["observe/auroc"]) for row in rows[2]] == [False, True, False, True]
    assert float(rows[2][-1]["observe/balanced_accuracy"]) > 0.9  # 5 and 7 Hz
    for with_, without in zip(rows[2], rows[0], strict=True):
        assert {k: v for k, v in with_.items() if not k.startswith("observe")} == without


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"loss_on": "masked"}, "task.loss_on=all"),
        ({"loss": {"l3": 1.0}}, "no l3"),
        ({"observe": {"every": 1, "head": "tree"}}, "logistic, mlp, knn, ridge"),
        ({"decay": "some"}, "task.decay"),
    ],
)
def test_what_cannot_work_is_a_sentence(wrong, sentence):
    with pytest.raises(EegfmError, match=sentence), as_a_person():
        task_of(**wrong)


def test_encoded_samples_and_models_that_give_nothing_back_are_refused(tmp_path):
    spec = SampleSpec(SPEC.montage, (N_CHANNELS, 2, 8), SPEC.sfreq, SPEC.classes)
    with pytest.raises(EegfmError, match="encoder=raw"):
        Reconstruct(Autoencoder(SPEC), spec, optimizer=AdamW, loss={"l1": 1.0}, seed=0)

    class EmbedsOnly(nn.Module):
        width = 2

    with pytest.raises(EegfmError, match="EmbedsOnly gives no windows back"):
        task_of(EmbedsOnly())

    class Longer(Scaled):
        def forward(self, x, coords):
            return torch.cat([x, x], dim=-1)

    with pytest.raises(EegfmError, match="gave back"):
        outcome(task_of(Longer()), tmp_path)


def test_a_diverged_model_is_a_sentence_and_not_a_number(tmp_path):
    with pytest.raises(EegfmError, match="not a number for 22 of 22"):
        outcome(task_of(Scaled(float("nan"))), tmp_path)


def test_without_labels_it_trains_all_the_same(tmp_path):
    spec = SampleSpec(SPEC.montage, SPEC.shape, SPEC.sfreq, ())
    task = Reconstruct(Autoencoder(spec), spec, optimizer=partial(AdamW, lr=1e-3), loss={"l1": 1.0}, seed=0)
    trainer(tmp_path, max_epochs=1).fit(task, datamodule=Data())
    assert task.outputs.metrics()["rmse_uv"] > 0


def test_only_matrices_decay_and_what_asks_not_to_does_not(tmp_path):
    """With decay="matrices", the default here: biases, and a matrix that is marked, keep out of it."""
    backbone = Autoencoder(SPEC)
    backbone.turned.weight._no_weight_decay = True
    for decay, decaying in (("matrices", 6), ("all", 14)):
        task = task_of(backbone, optimizer=partial(AdamW, lr=1e-3, weight_decay=0.1), decay=decay)
        fit = trainer(tmp_path, max_epochs=1)
        fit.fit(task, datamodule=Data())
        groups = fit.optimizers[0].param_groups
        sizes = {group["weight_decay"]: group["params"] for group in groups}
        assert len(sizes[0.1]) == decaying and sum(map(len, sizes.values())) == 14
        if decay == "matrices":
            assert all(p.ndim >= 2 and p is not backbone.turned.weight for p in sizes[0.1])


def test_the_file_of_errors_averages_to_the_splits_own(tmp_path):
    found, _ = outcome(task_of(mask=HALF), tmp_path, split="test")
    write_errors(tmp_path / "e.csv", found, [f"S{i}" for i in found.subject], SPEC.montage.names)
    with open(tmp_path / "e.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == found.keys and rows[1]["subject"] == "S1"
    for name in ("rmse_uv", "hidden_rmse_uv", "interpolation_rmse_uv", "visible_rmse_uv"):
        pooled = np.sqrt(np.mean([float(row[name]) ** 2 for row in rows]))
        assert pooled == pytest.approx(found.metrics()[name], rel=1e-12)
    of_c3 = np.sqrt(np.mean([float(row["rmse_uv(C3)"]) ** 2 for row in rows]))
    assert of_c3 == pytest.approx(found.by_channel()[0], rel=1e-12)


def test_figures_take_what_montages_and_masks_there_are():
    """Rows without a place, two rows of one place, too few for a spline, none at all; masked or not, of one channel."""
    places = {
        "usual": PLACES_OF_TEN,
        "nowhere": np.vstack([PLACES_OF_TEN[:-1], [[np.nan] * 3]]),
        "double": np.vstack([PLACES_OF_TEN[:-1], PLACES_OF_TEN[:1]]),
        "line": PLACES,
        "none": np.full((2, 3), np.nan),
    }
    for coords in places.values():
        montage = Montage(tuple(f"E{i}" for i in range(len(coords))), coords)
        values = np.linspace(1, 2, len(coords))
        maps = recordings.scalp_maps({"a": values, "b": 0 * values + 1}, montage, unit="µV")
        maps.draw_without_rendering()
        assert len(maps.axes) == 3  # the last one is the scale
    x = np.random.default_rng(0).normal(size=(2, 1, 40)).astype(np.float32)
    for hidden in (None, x > 1):
        drawn = recordings.reconstruction(
            x, x, 0 * x, hidden=hidden, names=["Cz"], sfreq=20.0, keys=["a", "b"]
        )
        drawn.draw_without_rendering()


PLACES_OF_TEN = 0.1 * np.random.default_rng(1).normal(size=(10, 3)) + [0, 0, 0.1]


# through the real command, with a model of the user's own: `--config-dir` and a module on the path

TOY = """# @package _global_
defaults:
  - override /encoder: raw
  - override /task: reconstruct
model: {_target_: tests.tasks.autoencoder.Autoencoder, _partial_: true, width: 8, dropout: 0.0}
trainer: {max_epochs: 2, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reconstruct")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "toy.yaml").write_text(TOY)
    return folder


def door(place: Path, name: str, *arguments: str) -> str:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = call(f"eegfm.{name}", *arguments, cwd=place, env=environment(COLUMNS="160", PYTHONPATH=path))
    assert done.returncode == 0 or "paths.runs=refused" in arguments, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def train(place: Path, runs: str, *arguments: str) -> tuple[Path, str]:
    said = door(
        place, "train", "--config-dir=conf", "model=toy", "data=synthetic", f"paths.runs={runs}", *arguments
    )
    (folder,) = (place / runs / "single").iterdir()
    return folder, said


@pytest.mark.slow
@pytest.mark.long
def test_from_pre_training_to_probes_fine_tuning_and_a_report(place):
    observe = ("task.observe.every=1", "task.observe.layer=encoder", "task.observe.head=ridge")
    pre, said = train(place, "pre", "task.loss.stft=0", *observe)
    result = read_result(pre)
    assert "interpolation_rmse_uv" in said and "reconstruction_test.csv" in said
    assert result.task == "reconstruct" and result.monitor == "loss" and result.started_from == {}
    assert result.monitor_value == pytest.approx(
        float(read_curves(pre / "metrics.csv")[result.best_epoch]["val/loss"])
    )
    assert "observe/auroc" in read_curves(pre / "metrics.csv")[0]
    assert set(result.by_subject["test"]) == set(result.benchmark.subjects["test"])
    for name in ("reconstruction", "error_by_channel", "loss_terms"):
        assert (pre / "figures" / f"{name}.png").stat().st_size > 5000
    for split in ("val", "test"):
        with open(pre / f"reconstruction_{split}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 180 and "rmse_uv(Cz)" in rows[0]
        pooled = np.sqrt(np.mean([float(row["hidden_rmse_uv"]) ** 2 for row in rows]))
        assert pooled == pytest.approx(result.metrics[split]["hidden_rmse_uv"], rel=1e-9)

    door(place, "evaluate", f"run={pre}", "split=val", "trust=tests.tasks.autoencoder")
    (again,) = pre.glob("evaluations/val-*/reconstruction_val.csv")
    assert again.read_text() == (pre / "reconstruction_val.csv").read_text()

    weights = f"weights={pre}"
    refused = door(
        place, "train", "--config-dir=conf", "model=toy", "task=probe", weights, "paths.runs=refused"
    )
    assert "Type task.scale=typical" in refused
    probe, said = train(place, "probe", "task=probe", weights, "task.scale=typical", "task.layer=turned")
    probed = read_result(probe)
    assert probed.started_from == {"weights": str(pre / "checkpoints" / "best.ckpt"), "left_out": []}
    assert probed.parameters["trainable"] == 9 * 8 + 1 and "left out of it: nothing" in said
    random, said = train(place, "random", "task=probe", "task.scale=typical", "task.head=knn")
    assert "RANDOM WEIGHTS" in said and read_result(random).started_from == {}
    assert read_result(random).metrics["test"]["auroc"] != probed.metrics["test"]["auroc"]
    door(place, "evaluate", f"run={random}", "split=test", "trust=tests.tasks")
    (again,) = random.glob("evaluations/test-*/predictions_test.csv")
    assert again.read_text() == (random / "predictions_test.csv").read_text()  # the same random weights
    tuned, said = train(
        place, "tuned", "task=classify", weights, "task.scale=typical", "trainer.max_epochs=1"
    )
    assert (
        read_result(tuned).started_from["left_out"] == [] and "auroc" in read_result(tuned).metrics["test"]
    )

    report = door(
        place, "report", "pre", "probe", "random", "tuned", "--csv", "all.csv", "--markdown", "all.md"
    )
    assert "reconstruction" in report and "straight lines" in report and "RANDOM WEIGHTS" in report
    tables = (place / "all.md").read_text().split("## ")[1:]
    assert (
        len(tables) == 2
        and "toy · raw · probe" in tables[0]
        and "Without a number" not in (place / "all.md").read_text()
    )
    with open(place / "all.csv", newline="") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    assert float(rows[str(pre.relative_to(place))]["test_rmse_uv"]) == result.metrics["test"]["rmse_uv"]
