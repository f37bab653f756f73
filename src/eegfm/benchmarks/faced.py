"""FACED: which of nine emotions a film clip was meant to evoke, from ten seconds of 32 channels.

Corpus: Finer-grained Affective Computing EEG Dataset (Chen et al. 2023, Scientific Data 10:740,
doi:10.1038/s41597-023-02650-w), 123 subjects who watched the same 28 clips. The protocol uses the folder
`Processed_data`: `sub000.pkl` to `sub122.pkl`, each a pickled array (28 clips, 32 channels, 7500), the last 30 s of
each clip at 250 Hz, cleaned by the authors (band-pass, ICA, reference).
Access: Synapse syn50614194, with a free account.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: each clip resampled to 200 Hz by the FFT
method (`variant="published"`), cut into three windows of 10 s, no filter. STAMP's copy does the same.

Quirks
- A pickle is a program. `eegfm.signal.formats.pickled` reads these files and runs nothing in them.
- The files name no channels, and the reference does not check them. The order here, A2 and A1 last, is the one that
  torcheeg documents for this folder. The recordings come from two cohorts, whose raw files are reported to differ in
  order; that `Processed_data` has one order for all is commonly assumed and NOT verified here.
- The files name no unit either. The protocol assumes microvolts, and so do we; a file that does not have the amplitude
  of EEG in microvolts is refused, as in every benchmark.
- A1 and A2 are ears or mastoids, not scalp; they are places of the 10-05 template and keep their coordinates.
- `scipy.signal.resample` treats a clip as one period of an endless signal and rings at both of its ends, which are ends
  of its first and of its third window. `variant="repaired"` (our default) resamples by a polyphase filter with
  reflected ends instead.
- A label is the emotion that the clip stands for, not what the subject felt, and all subjects of all splits watched the
  same 28 clips: a model that recognises the clip knows the label, so scores cannot separate films from emotions.
- Neutral has four clips, every other emotion three.
- The published number needs the head over all patches, not their average (CBraMod's issue 14).
- The open copy of the raw recordings (eegdash nm000112) is not `Processed_data`: it lacks the authors' cleaning.
- The splits are by subject here; the reference cuts a sorted directory listing, so any other file in it moves the
  cut. The paper counts its subjects from 1, the files from 000.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np

from eegfm.benchmarks.spec import (
    BenchmarkSpec,
    Census,
    ReferenceWindow,
    Source,
    SplitName,
    Window,
    folder_in,
)
from eegfm.contracts import EegfmError
from eegfm.signal.formats.pickled import read_pickled
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import FourierResample, PolyphaseResample, Step
from eegfm.signal.windows import fits

CLASSES = (
    "anger",
    "disgust",
    "fear",
    "sadness",
    "neutral",
    "amusement",
    "inspiration",
    "joy",
    "tenderness",
)
CLIPS = tuple(
    name for name in CLASSES for _ in range(4 if name == "neutral" else 3)
)  # in the order of the files
CHANNELS = tuple(
    (
        "FP1 FP2 FZ F3 F4 F7 F8 FC1 FC2 FC5 FC6 CZ C3 C4 T7 T8 CP1 CP2 CP5 CP6 PZ P3 P4 P7 P8 PO3 PO4 OZ O1 O2 A2 A1"
    ).split()
)  # not in the files; see the quirks
RAW_SFREQ = 250.0
CLIP_S = 30.0
WINDOW_S = 10.0
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"sub{i:03d}" for i in range(80)),
    "val": tuple(f"sub{i:03d}" for i in range(80, 100)),
    "test": tuple(f"sub{i:03d}" for i in range(100, 123)),
}
STEPS: dict[str, tuple[Step, ...]] = {
    "repaired": (PolyphaseResample(200.0),),
    "published": (FourierResample(200.0),),
}


def sources(root: Path) -> list[Source]:
    """One recording per subject: `sub000.pkl` and so on, in `root` or in its `Processed_data`."""
    home = folder_in(root, "Processed_data")
    return [
        Source(subject, subject, split, home / f"{subject}.pkl")
        for split, subjects in SPLITS.items()
        for subject in subjects
    ]


def read(source: Source) -> Recording:
    """The 28 clips end to end, each a piece; a clip's event names its emotion."""
    data = read_pickled(source.path)
    n_times = round(CLIP_S * RAW_SFREQ)
    wanted = (len(CLIPS), len(CHANNELS), n_times)
    if not isinstance(data, np.ndarray) or data.shape != wanted or data.dtype.kind not in "iuf":
        what = f"{data.shape} of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise EegfmError(
            f"{source.path} holds {what}; wanted is an array of numbers, {wanted} for clips, channels, samples. "
            f"{FETCH_AGAIN}"
        )
    return Recording.of_epochs(data, RAW_SFREQ, montage_of(CHANNELS), CLIPS, source.path)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Three adjacent windows of every clip."""
    return [
        Window(event.onset_s + part * WINDOW_S, CLASSES.index(event.description))
        for event in recording.events
        for part in range(3)
        if fits(recording, event.onset_s + part * WINDOW_S, WINDOW_S)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """The reference's keys: file name, number of the clip, number of the part."""
    found = re.fullmatch(r"(sub\d{3})\.pkl-(\d+)-([012])", key)
    if not found or int(found[2]) >= len(CLIPS):
        return None
    clip, part = int(found[2]), int(found[3])
    label = CLASSES.index(CLIPS[clip])
    return ReferenceWindow(found[1], clip * 3 + part, clip * CLIP_S + part * WINDOW_S, label)


def faced(*, variant: Literal["repaired", "published"] = "repaired") -> BenchmarkSpec:
    """FACED; `variant="published"` resamples each clip as the published numbers do, ringing ends included."""
    # subjects x 28 clips x 3 windows; the total, 10,332, is also STAMP's
    per_split = {split: len(subjects) * len(CLIPS) * 3 for split, subjects in SPLITS.items()}
    return BenchmarkSpec(
        name="faced",
        title="FACED",
        protocol="cbramod@b9e9610" if variant == "published" else "cbramod-repaired@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=200.0,
        window_s=WINDOW_S,
        steps=STEPS[variant],
        splits=SPLITS,
        census=Census(
            recordings=123,
            windows=10_332,
            per_split=per_split,
            per_class={
                split: tuple(len(subjects) * CLIPS.count(name) * 3 for name in CLASSES)
                for split, subjects in SPLITS.items()
            },
            source="declared in the STAMP code (dataset_params); per split and class: subjects x clips x 3",
        ),
        sources=sources,
        read=read,
        windows=windows,
        corpus="https://www.synapse.org/Synapse:syn50614194",
        licence="that of the Synapse entry, accepted there",
        access=(
            "Synapse, with a free account: https://www.synapse.org/Synapse:syn50614194 (its folder Processed_data, "
            "syn50615881; 123 subjects, sub000.pkl to sub122.pkl)."
        ),
        citation=(
            "Chen et al. 2023, A Large Finer-grained Affective Computing EEG Dataset, Scientific Data 10:740, "
            "doi:10.1038/s41597-023-02650-w"
        ),
        raw_sfreq=(RAW_SFREQ,),
        reference_key=reference_key if variant == "published" else None,
    )
