"""Two small corpora of known tones, a mix of them, and a task that trains on it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Census, Source, Window
from eegfm.data.mix import Mix
from eegfm.data.module import EEGDataModule
from eegfm.signal.formats.edf import read_edf
from eegfm.tasks.reconstruct import Reconstruct
from tests.corpora import tone
from tests.corpus import TINY, write_edf

SECONDS = 12
ONE = {"train": ("a", "b", "c"), "val": ("d",), "test": ("e",)}
TWO = {"train": ("p", "q"), "val": ("r",), "test": ("s",)}


def corpus(
    name: str, channels: tuple[str, ...], window_s: float, subjects, kind="R", **facts
) -> BenchmarkSpec:
    """A recording a subject, of the tones of its electrodes, in windows without gaps."""

    def sources(root: Path) -> list[Source]:
        return [
            Source(s, kind + s, split, root / f"{kind}{s}.edf") for split in SPLITS for s in subjects[split]
        ]

    def windows(recording, source) -> list[Window]:
        return [Window(float(onset), i % 2) for i, onset in enumerate(np.arange(0, SECONDS, window_s))]

    facts = {"title": name.title(), "sfreq": 200.0, "raw_sfreq": (200.0,), "steps": (), **facts}
    return replace(
        TINY,
        name=name,
        channels=channels,
        window_s=window_s,
        splits=subjects,
        census=Census(),
        sources=sources,
        read=lambda source: read_edf(source.path, channels=channels),
        windows=windows,
        **facts,
    )


def signal(recording: str, name: str, seconds: np.ndarray) -> np.ndarray:
    return tone(recording, name.upper().replace("T3", "T7"), seconds)


def write(benchmark: BenchmarkSpec, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    times = np.arange(SECONDS * 200) / 200
    for source in benchmark.sources(root):
        rows = np.stack([signal(source.recording, name, times) for name in benchmark.channels])
        write_edf(source.path, rows, 200.0, names=benchmark.channels)


FIRST = corpus("first", ("Fz", "T3", "C3", "Cz"), 2.0, ONE)
SECOND = corpus("second", ("CZ", "O1", "c3", "T7", "FZ"), 1.0, TWO)
SHARED = ("Fz", "T3", "C3", "Cz")


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mix")
    for benchmark in (FIRST, SECOND):
        write(benchmark, root / "raw" / benchmark.name)
    return root


def mix(places: Path, *benchmarks: BenchmarkSpec, own=None, **options) -> Mix:
    corpora = {
        b.name: partial(
            EEGDataModule,
            benchmark=b,
            raw=places / "raw" / b.name,
            cache=places / "cache",
            seed=3,
            progress=False,
            **(own or {}),
        )
        for b in benchmarks or (FIRST, SECOND)
    }
    data = Mix(corpora=corpora, **({"seed": 3, "channels": "common", "batch_size": 5} | options))
    data.prepare_data()
    return data


def ready(places: Path, *benchmarks: BenchmarkSpec, stage: str = "fit", **options) -> Mix:
    data = mix(places, *benchmarks, **options)
    data.setup(stage)
    return data


class Small(nn.Module):
    """One convolution, which takes any length, or a plain factor, whose errors are known."""

    def __init__(self, factor: float | None = None) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor or 0.0))
        self.layer = nn.Conv1d(4, 4, 9, padding=4) if factor is None else None

    def forward(self, x, coords):
        return self.factor * x if self.layer is None else self.layer(x)


def task_of(data: Mix, factor: float | None = None, mask=None) -> Reconstruct:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = Small(factor)
    recipe = {"optimizer": partial(AdamW, lr=1e-2), "loss": {"mse": 1.0}, "scale": 30.0, "seed": 0}
    return Reconstruct(backbone, data.spec, mask=mask, **recipe)
