"""Eyes open or closed: a benchmark outside of the package, from the files to the protocol.

    cd examples/own_benchmark
    eegfm train data=eyes row=bandpower
    eegfm verify data=eyes

The corpus is simulated here, so that the example runs anywhere: for recordings of your own leave out `make` and
`simulated`, and let `sources` and `read` find and read your files. Nothing of this needs to be registered anywhere:
`conf/data/eyes.yaml` names `eyes.EYES`, and Python finds `eyes.py` because the command is typed beside it.
"""

from pathlib import Path

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Source, SplitName, Window
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Event, Recording
from eegfm.signal.steps import BandPass, Resample
from eegfm.signal.windows import grid

CLASSES = ("open", "closed")
CHANNELS = ("Fz", "Cz", "Pz", "O1", "O2")
RATE, SECONDS, WINDOW_S = 250.0, 60, 4.0
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": ("A", "B", "C", "D"),
    "val": ("E", "F"),
    "test": ("G", "H", "I"),
}


def make(root: Path) -> None:
    """Write a minute with open and a minute with closed eyes of each subject: the rhythm of 10 Hz grows at the back."""
    root.mkdir(parents=True, exist_ok=True)
    for source in sources(root):
        if not source.path.exists():
            draw = np.random.default_rng([ord(letter) for letter in source.recording])
            t = np.arange(round(RATE * SECONDS)) / RATE
            strength = np.array([2, 3, 6, 9, 9]) * (2.0 if source.recording.endswith("closed") else 0.7)
            rhythm = np.sin(2 * np.pi * draw.uniform(9, 11) * t + draw.uniform(0, 6))
            data = strength[:, None] * rhythm + 10 * draw.standard_normal((len(CHANNELS), t.size))
            np.savez(source.path, microvolts=data.astype(np.float32))


def sources(root: Path) -> list[Source]:
    """Two recordings a subject."""
    return [
        Source(subject, f"{subject}_{state}", split, root / f"{subject}_{state}.npz")
        for split, subjects in SPLITS.items()
        for subject in subjects
        for state in CLASSES
    ]


def read(source: Source) -> Recording:
    """Microvolts, a rate, named rows, and an event where there is one."""
    data = np.load(source.path)["microvolts"].astype(np.float64)
    state = source.recording.rpartition("_")[2]
    return Recording(data, RATE, montage_of(CHANNELS), (Event(0.0, SECONDS, state),), source.path)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Adjacent windows; the class is the state of the whole recording."""
    label = CLASSES.index(recording.events[0].description)
    return [Window(onset_s, label) for onset_s in grid(recording, WINDOW_S)]


EYES = BenchmarkSpec(
    name="eyes",
    title="Eyes open or closed",
    protocol="example@1",
    classes=CLASSES,
    channels=CHANNELS,
    sfreq=200.0,
    window_s=WINDOW_S,
    steps=(BandPass(low=0.5, high=45.0), Resample(200.0)),
    splits=SPLITS,
    census=Census(
        recordings=18,
        windows=270,
        per_split={"train": 120, "val": 60, "test": 90},
        source="the arithmetic of this file",
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="simulated by this file",
    licence="MIT",
    access="made by `eegfm prepare data=eyes`",
    citation="none",
    raw_sfreq=(RATE,),
    simulated=True,
    make=make,
    one_label=True,
)
