"""A corpus of any number of EDF recordings with the steps of Mumtaz2016: for what depends on a corpus's size."""

from functools import partial
from pathlib import Path

import edfio
import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Source, Window
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.recording import Recording
from eegfm.signal.steps import BandPass, Notch, Resample
from eegfm.signal.windows import grid

CHANNELS = tuple("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split())
SFREQ = 256


def subjects(n: int) -> list[str]:
    return [f"S{i:04d}" for i in range(n)]


def sources(root: Path, *, n: int) -> list[Source]:
    splits = {0: "val", 1: "test"}
    return [Source(s, s, splits.get(i, "train"), root / f"{s}.edf") for i, s in enumerate(subjects(n))]  # type: ignore[arg-type]


def read(source: Source) -> Recording:
    return read_edf(source.path, channels=CHANNELS)


def windows(recording: Recording, source: Source) -> list[Window]:
    return [Window(onset_s, int(source.subject[-1]) % 2) for onset_s in grid(recording, 5.0)]


def benchmark(n: int) -> BenchmarkSpec:
    ids = subjects(n)
    return BenchmarkSpec(
        name="many",
        title="Many recordings",
        protocol="tests@1",
        classes=("even", "odd"),
        channels=CHANNELS,
        sfreq=200.0,
        window_s=5.0,
        steps=(Resample(200.0), BandPass(low=0.3, high=75.0), Notch(50.0)),
        splits={"train": ids[2:], "val": ids[:1], "test": ids[1:2]},
        census=Census(recordings=n, source="this file"),
        sources=partial(sources, n=n),
        read=read,
        windows=windows,
        corpus="tests",
        licence="MIT",
        access="Written by tests/many_recordings.py.",
        citation="none",
    )


def write(root: Path, n: int, seconds: int) -> None:
    """Noise, the same but for its first seconds in every file: writing it must not take longer than preparing it."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    data = 20 * rng.standard_normal((len(CHANNELS), seconds * SFREQ))
    for i, subject in enumerate(subjects(n)):
        data[:, : 2 * SFREQ] = 20 * np.random.default_rng(i).standard_normal((len(CHANNELS), 2 * SFREQ))
        signals = [
            edfio.EdfSignal(
                np.roll(row, i), SFREQ, label=name, physical_dimension="uV", physical_range=(-500, 500)
            )
            for name, row in zip(CHANNELS, data, strict=True)
        ]
        edfio.Edf(signals).write(root / f"{subject}.edf")
