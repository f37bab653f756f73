"""Small corpora in the native formats of the benchmarks, one module a benchmark, made from a signal that is known.

A module `tests/corpora/<name>.py` writes what the corpus's authors published - names, units, channel order, triggers
and irregularities - through writers that are not our readers, and offers `CORPORA`: a `Corpus` for every set of
arguments that the benchmark takes. `tests/contract/test_protocols.py` runs them all.
"""

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hydra.utils import instantiate
from hypothesis.strategies import SearchStrategy
from omegaconf import OmegaConf

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.config.schema import config_dir


class Truth(NamedTuple):
    """A window that must come out, of which the writer of the files knows everything."""

    subject: str
    recording: str
    split: str
    onset_s: float  # in the file
    label: int


@dataclass(frozen=True)
class Corpus:
    """A benchmark, its arguments, and small corpora for it.

    `table` says which subjects there are and what they did, in any form that `write` understands: the one here has
    every split and every class and at least two subjects a split where the protocol knows subjects; `tables` draws
    others, small ones, down to a single recording.
    """

    option: str  # of data=
    write: Callable[
        [Path, Any], list[Truth]
    ]  # native files under a folder; every window that must come of them
    signal: Callable[
        [str, str, np.ndarray], np.ndarray
    ]  # recording, stored row, seconds of the file -> µV stored
    table: Any
    tables: SearchStrategy[Any]
    arguments: Mapping[str, str] = field(default_factory=dict)  # of data.benchmark.
    tolerance_uv: float = 1.0
    margin_s: float = 0.0  # at either end of a window, where the published processing is known to ring
    # the specification with what no small corpus can have (recordings of an hour) made small, and nothing else changed
    adapt: Callable[[BenchmarkSpec], BenchmarkSpec] = lambda benchmark: benchmark

    @property
    def name(self) -> str:
        return "-".join([self.option, *self.arguments.values()])


def tone(recording: str, electrode: str, seconds: np.ndarray) -> np.ndarray:
    """The known signal of an electrode, in microvolts: 30 µV of a rhythm of its own between 8 and 20 Hz.

    Every filter of every protocol passes it, so that it comes back as it is; it is continuous over a whole file, so
    that a shift of a sample shows.
    """
    draw = np.random.default_rng(zlib.crc32(f"{recording}/{electrode}".encode()))
    return 30 * np.sin(2 * np.pi * draw.uniform(8, 20) * seconds + draw.uniform(0, 2 * np.pi))


def corpora() -> dict[str, Corpus]:
    """Every corpus of every module, by its name."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return {corpus.name: corpus for module in modules for corpus in module.CORPORA}


def made(name: str, **_: str) -> BenchmarkSpec:
    """The benchmark of a corpus, as its config and its arguments make it, adapted to the corpus's size.

    What else stands in the config that this is called from is the arguments that the corpus's name has said.
    """
    corpus = corpora()[name]
    node = OmegaConf.load(config_dir() / "data" / f"{corpus.option}.yaml").benchmark
    return corpus.adapt(instantiate(OmegaConf.merge(node, dict(corpus.arguments))))
