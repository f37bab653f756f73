"""A small folder of somebody's own recordings, and its declaration; tests change either."""

from pathlib import Path
from typing import Any

import numpy as np

from eegfm.benchmarks.own.declared import benchmark
from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleStore
from tests.corpus import CHANNELS, write_edf

PEOPLE = ("S1", "S2", "S3", "S4", "S5", "S6")
RATE, SECONDS = 200.0, 8


def signal(name: str, rate: float = RATE, seconds: float = SECONDS, n: int = len(CHANNELS)) -> np.ndarray:
    """Some microvolts, other ones for every name."""
    time = np.arange(round(seconds * rate)) / rate
    draw = np.random.default_rng(list(name.encode()))
    return 20 * np.sin(2 * np.pi * (draw.uniform(4, 20, (n, 1)) * time + draw.uniform(0, 1, (n, 1))))


def write(root: Path, path: str, **options: Any) -> Path:
    """A recording of its own at this path below the folder: an EDF file in microvolts."""
    rate, seconds = options.pop("rate", RATE), options.pop("seconds", SECONDS)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_edf(root / path, signal(path, rate, seconds), rate, **options)
    return root / path


def folder(root: Path) -> Path:
    """`S1/rest.edf`, `S1/task.edf` and so on of six people, and `people.csv`, which says more of them."""
    for person in PEOPLE:
        for label in ("rest", "task"):
            write(root, f"{person}/{label}.edf")
    groups = ["sick" if i % 2 else "well" for i in range(len(PEOPLE))]
    lines = [f"{person},{group}" for person, group in zip(PEOPLE, groups, strict=True)]
    (root / "people.csv").write_text("\n".join(["person,group", *lines]) + "\n")
    return root


def declared(**changes: Any) -> BenchmarkSpec:
    """The declaration of the folder, with something in it changed."""
    usual: dict[str, Any] = dict(
        name="mine",
        files="{subject}/{label}.edf",
        labels={"from": "path"},
        classes={"rest": "rest", "task": "task"},
        windows={"cut": "end_to_end", "length_s": 2},
        channels=list(CHANNELS),
        sfreq=200,
        split={"by": "subject", "shares": [0.5, 0.25, 0.25], "seed": 0},
    )
    return benchmark(**{**usual, **changes})


GROUPS = {"from": "table", "file": "people.csv", "key": "person", "by": "subject", "column": "group"}


def prepared(benchmark: BenchmarkSpec, root: Path, **options: Any) -> SampleStore:
    """The store of the folder, in a cache beside it."""
    return prepare(benchmark, root, root.parent / "cache", progress=False, **options)
