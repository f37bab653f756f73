"""A mix whose corpora keep their own channels: batches of one montage, errors by place, and corpora of one split."""

import csv
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW

from eegfm.build import Run
from eegfm.contracts import EegfmError
from eegfm.models.eegm2 import Eegm2
from eegfm.nn.masks import Spans
from eegfm.runs.outputs import write_errors
from eegfm.tasks.errors import mean_there
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.training.figures import figures_of_windows
from eegfm.training.keep_curves import KeepCurves
from tests.data.small_mix import FIRST, SECOND, TWO, mix, ready, signal, write
from tests.tasks.toy import trainer

PLACES = ("Fz", "T3", "C3", "Cz", "O1")  # of both, each once, under the name that came first


class Halving(nn.Module):
    """Gives half of any window back, whatever its channels: its errors are known."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, coords):
        assert coords.shape == (x.shape[1], 3)
        return self.factor * x


def task_of(data, **options) -> Reconstruct:
    recipe = {"optimizer": partial(AdamW, lr=0.0), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
    return Reconstruct(Halving(), data.spec, **recipe | options)


def test_batches_have_the_channels_and_the_places_of_their_corpus(places):
    data = ready(places, channels="own")
    spec = data.spec
    assert spec.montage.names == PLACES and spec.shape == (5, 200)
    assert [montage.names for montage in spec.montages] == [PLACES[:4], ("Cz", "O1", "C3", "T3", "Fz")]
    channels = {"first": FIRST.channels, "second": SECOND.channels}
    for batch in data.train_dataloader():
        own = data.corpora[batch.corpus].benchmark
        torch.testing.assert_close(batch.coords, torch.tensor(own.montage.coords).float())
        for x, key in zip(batch.x, batch.key, strict=True):
            recording, onset = key.split("/")
            times = float(onset[:-1]) + np.arange(x.shape[1]) / 200
            expected = np.stack([signal(recording, name, times) for name in channels[batch.corpus]])
            np.testing.assert_allclose(x, expected, atol=0.05)


def test_errors_are_of_the_places_that_a_corpus_has(places, tmp_path):
    """The backbone halves everything, so the error of a channel is half of its own size."""
    data = mix(places, channels="own")
    task = task_of(data)
    (logged,) = trainer(tmp_path).validate(task, datamodule=data, verbose=False)
    x = {name: part.__getitems__(range(len(part))).x.numpy() for name, part in data.datasets("val").items()}
    square = {name: np.square(values / 2).mean(2) for name, values in x.items()}  # [window, channel]
    whole = np.concatenate([values.mean(1) for values in square.values()])  # a window counts as one
    assert logged["val/rmse_uv"] == pytest.approx(np.sqrt(whole.mean()), rel=1e-5)
    for name, values in square.items():
        assert logged[f"val/rmse_uv/{name}"] == pytest.approx(np.sqrt(values.mean()), rel=1e-5)
        assert logged[f"val/r2/{name}"] == pytest.approx(0.75, abs=0.02)
    found, by_name = task.outputs, {name: [] for name in PLACES}
    for corpus, montage in zip(data.spec.corpora, data.spec.montages, strict=True):
        for row, name in enumerate(montage.names):
            by_name[name].append(square[corpus][:, row])
    expected = [np.sqrt(np.concatenate(values).mean()) for values in by_name.values()]
    np.testing.assert_allclose(found.by_channel(), expected, rtol=1e-5)

    ids = [data.subjects[i] for i in found.subject]
    write_errors(tmp_path / "errors.csv", found, ids, data.spec.montage.names)
    rows = list(csv.DictReader(open(tmp_path / "errors.csv")))
    for row, corpus in zip(rows, found.corpus, strict=True):
        lacking = {name for name in PLACES if row[f"rmse_uv({name})"] == ""}
        assert lacking == ({"O1"} if corpus == 0 else set())
        values = [float(row[f"rmse_uv({name})"]) ** 2 for name in PLACES if name not in lacking]
        assert float(row["rmse_uv"]) == pytest.approx(np.sqrt(np.mean(values)), rel=1e-6)


def test_a_reconstruction_that_is_not_a_number_is_told_from_a_channel_that_is_not_there(places, tmp_path):
    data = mix(places, channels="own")
    task = task_of(data)
    with torch.no_grad():
        task.backbone.factor.fill_(torch.nan)
    with pytest.raises(EegfmError, match="not a number for 18 of 18 windows"):
        trainer(tmp_path).validate(task, datamodule=data, verbose=False)


def test_means_are_of_what_is_there():
    values = np.array([[1.0, np.nan, 3.0], [5.0, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_there(values, axis=1), [2, 5])
    np.testing.assert_array_equal(mean_there(values, axis=0), [3, np.nan, 3])


def test_a_model_of_one_montage_says_what_to_type(places):
    with pytest.raises(EegfmError, match=r"data\.channels=common.*model=samba"):
        Eegm2(mix(places, channels="own").spec)


def test_a_corpus_may_have_nobody_to_test_on_and_every_result_says_so(tmp_path):
    """Pictures are drawn only of the corpora with test subjects."""
    lone = replace(SECOND, splits={**TWO, "val": (), "test": ()})
    lone = replace(lone, sources=lambda root: [s for s in SECOND.sources(root) if s.split == "train"])
    for benchmark in (FIRST, lone):
        write(benchmark, tmp_path / "raw" / benchmark.name)
    data = mix(tmp_path, FIRST, lone, channels="own")
    task = task_of(data, mask=partial(Spans, ratio=0.5, span_s=0.2))
    fit = trainer(tmp_path, max_epochs=1, callbacks=[KeepCurves(tmp_path)])
    fit.fit(task, datamodule=data)
    assert "val/rmse_uv/first" in fit.callback_metrics and "val/rmse_uv/second" not in fit.callback_metrics
    fit.test(task, datamodule=data, verbose=False)
    facts = data.provenance()
    assert facts.without() == ["no validation subject of second", "no test subject of second"]
    assert facts.census["train"] == [18, 24] and facts.census["test"] == [6, 0]
    drawn = figures_of_windows(
        tmp_path, Run(task, data, None, {}), task.outputs, SimpleNamespace(best_epoch=0), "title"
    )
    assert {"reconstruction_first", "error_by_channel"} <= set(drawn)
    assert "reconstruction_second" not in drawn

    empty = replace(FIRST, sources=lambda root: [s for s in FIRST.sources(root) if s.split != "train"])
    with pytest.raises(EegfmError, match=r"train: 0 \(0 0\)"):
        ready(
            tmp_path / "other", *(write(b, tmp_path / "other/raw" / b.name) or b for b in (empty, SECOND))
        )


class Shown(Halving):
    """The same, that can be looked into."""

    time_axis: ClassVar = {"seen": 2}

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Identity()

    def forward(self, x, coords):
        return super().forward(self.seen(x), coords)


def test_a_corpus_of_a_mix_can_be_probed_while_all_are_learned(places, tmp_path):
    recipe = {"optimizer": partial(AdamW, lr=0.0), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
    observe = {"every": 1, "corpus": "second", "layer": "seen", "head": "ridge"}
    data = mix(places, channels="own")
    task = Reconstruct(Shown(), data.spec, observe=observe, **recipe)
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(task, datamodule=data)
    assert 0 <= fit.callback_metrics["observe/balanced_accuracy"] <= 1
    with pytest.raises(EegfmError, match="wanted one of a mix's"):
        Reconstruct(Shown(), data.spec, observe={**observe, "corpus": "third"}, **recipe)
    with pytest.raises(EegfmError, match="name a corpus that has some"):
        Reconstruct(Shown(), data.spec, observe={"every": 1}, **recipe)
