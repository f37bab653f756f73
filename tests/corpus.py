"""A tiny corpus of real EDF files, for tests of all that handles files. Written by edfio, not by our reader."""

from pathlib import Path

import edfio
import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Source, Window
from eegfm.data.manifest import Manifest
from eegfm.data.recipe import Recipe
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Resample

CHANNELS = ("C3", "Cz", "C4", "Pz")
SUBJECTS = {"train": ("01", "02", "03"), "val": ("04",), "test": ("05",)}
SECONDS = 12


def sources(root: Path) -> list[Source]:
    return [
        Source(subject, f"S{subject}_{label}", split, root / f"S{subject}_{label}.edf")
        for split, subjects in SUBJECTS.items()
        for subject in subjects
        for label in (0, 1)
    ]


def read(source: Source) -> Recording:
    return read_edf(source.path, channels=CHANNELS)


def windows(recording: Recording, source: Source) -> list[Window]:
    return [Window(float(onset), int(source.recording[-1])) for onset in range(0, SECONDS, 2)]


TINY = BenchmarkSpec(
    name="tiny",
    title="A tiny corpus",
    protocol="tests@1",
    classes=("rest", "task"),
    channels=CHANNELS,
    sfreq=200.0,
    window_s=2.0,
    steps=(Resample(200.0),),
    splits=SUBJECTS,
    census=Census(
        recordings=10, windows=60, per_split={"train": 36, "val": 12, "test": 12}, source="tests/corpus.py"
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="tests/corpus.py",
    licence="MIT",
    access="Written by tests/corpus.py.",
    citation="none",
    raw_sfreq=(250.0,),
)


def signal(source: Source, sfreq: float = 250.0) -> np.ndarray:
    """What a recording of the corpus holds, in microvolts, at any rate: slow rhythms, stronger where the label is 1."""
    rng = np.random.default_rng(int(source.subject) * 10 + int(source.recording[-1]))
    time = np.arange(round(SECONDS * sfreq)) / sfreq
    frequency = rng.uniform(1, 4, (len(CHANNELS), 5, 1))
    phase = rng.uniform(0, 2 * np.pi, (len(CHANNELS), 5, 1))
    amplitude = 8 * (1 + int(source.recording[-1]))
    return (amplitude * np.sin(2 * np.pi * frequency * time + phase)).sum(1)


def write_edf(
    path: Path,
    data: np.ndarray,
    sfreq: float = 250.0,
    unit: str = "uV",
    names: tuple[str, ...] = CHANNELS,
    patient: str = "",
) -> None:
    signals = [
        edfio.EdfSignal(row, sfreq, label=name, physical_dimension=unit)
        for name, row in zip(names, data, strict=True)
    ]
    who = edfio.Patient(name=patient) if patient else None
    edfio.Edf(signals, data_record_duration=1, patient=who).write(path)


def manifest_of(recipe: Recipe, shape: tuple[int, ...], windows: int) -> Manifest:
    """The manifest of a store of made-up windows, which come from no recording."""
    return Manifest(
        fingerprint=recipe.fingerprint,
        recipe=recipe,
        shape=shape,
        windows=windows,
        protocol="tests@1",
        simulated=True,
        within_subject=False,
        complete=True,
        subjects_total=0,
        census={},
        census_differences=[],
        missing=[],
        unusable=[],
        left_out=[],
        recordings=[],
        prepared_with={},
    )


def write(root: Path) -> None:
    """The whole corpus."""
    root.mkdir(parents=True, exist_ok=True)
    for source in sources(root):
        write_edf(source.path, signal(source))
