"""SHU-MI: imagined movement of the left or the right hand, two classes, from four seconds of 32 channels.

Corpus: "A large EEG dataset for studying cross-session variability in motor imagery brain-computer interface" (Ma et
al. 2022, Scientific Data 9:531, doi:10.1038/s41597-022-01647-1), figshare 19228725: 25 subjects, five sessions each on
five days, 125 MAT files of up to 100 trials. Its authors filtered it (FIR, 0.5 to 40 Hz), removed the baseline
and bad trials, and cut the four seconds of imagery: `data` is (trial, channel, 1000) at 250 Hz in microvolts,
`labels` is 1 for left and 2 for right.
Access: CC BY 4.0; version 3 of the figshare entry holds archives whose password the authors give on request.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: each trial resampled to 200 Hz by the FFT
method (`variant="published"`), no filter, no other reference. STAMP's copy does the same.

Quirks
- The MAT files name no channels, and the reference stores their rows unchanged. The names here are those of the
  corpus's own channels.tsv, beside its EDF files, in that order, as MOABB (its Ma2022) and other public code give them.
  We have NOT verified that the MAT files keep that order. A model that uses places depends on it.
- `scipy.signal.resample` treats a trial as one period of an endless signal, so a level that differs between its first
  and its last sample rings at both ends, in every window: by a tenth of the difference at the edge, by a hundredth
  20 ms further in. `variant="repaired"` (our default) resamples by a polyphase filter with reflected ends instead.
- Bad trials are removed, so the number of trials, at most 100, differs between sessions: 11,988 of 12,500 remain.
  Counts per split or class are not published, and the classes of a session need not be balanced.
- Nothing above 40 Hz is left, unlike in the other data sets of imagery.
- The splits are by subject here; the reference cuts a sorted directory listing into 75, 25 and 25 files, which gives
  the same splits as long as no file is added or missing.
- The reference reserves 0.1 GB for a store of 2.5 GB (CBraMod) or 537 GB (STAMP). Ours grows as needed.
- "Ma 2020" (25 subjects too, hand and elbow, 62 channels) is another corpus.
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
from eegfm.signal.formats.mat import read_mat
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import FourierResample, PolyphaseResample, Step
from eegfm.signal.windows import fits

CLASSES = ("left hand", "right hand")
CHANNELS = tuple(
    (
        "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T3 T4 A1 A2 CP1 CP2 CP5 CP6 Pz P3 P4 T5 T6 PO3 PO4 Oz O1 O2"
    ).split()
)  # not in the MAT files; see the quirks
RAW_SFREQ = 250.0
WINDOW_S = 4.0
SESSIONS = tuple(f"ses-{i:02d}" for i in range(1, 6))
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"sub-{i:03d}" for i in range(1, 16)),
    "val": tuple(f"sub-{i:03d}" for i in range(16, 21)),
    "test": tuple(f"sub-{i:03d}" for i in range(21, 26)),
}
STEPS: dict[str, tuple[Step, ...]] = {
    "repaired": (PolyphaseResample(200.0),),
    "published": (FourierResample(200.0),),
}


def sources(root: Path) -> list[Source]:
    """Five sessions per subject, in `root` or its `mat_files`: `sub-001_ses-01_task_motorimagery_eeg.mat` and so on."""
    home = folder_in(root, "mat_files")
    return [
        Source(
            subject,
            f"{subject}_{session}",
            split,
            home / f"{subject}_{session}_task_motorimagery_eeg.mat",
            session,
        )
        for split, subjects in SPLITS.items()
        for subject in subjects
        for session in SESSIONS
    ]


def read(source: Source) -> Recording:
    """The trials of a session end to end, each a piece; a trial's event names the hand."""
    found = read_mat(source.path, ("data", "labels"))
    data, labels = np.asarray(found["data"]), np.asarray(found["labels"])
    n_times = round(WINDOW_S * RAW_SFREQ)
    if data.ndim != 3 or data.shape[1:] != (len(CHANNELS), n_times) or data.dtype.kind not in "iuf":
        raise EegfmError(
            f"{source.path}: `data` is {data.shape} of {data.dtype}; wanted are numbers, (trials, {len(CHANNELS)}, "
            f"{n_times}). {FETCH_AGAIN}"
        )
    if labels.shape not in ((1, len(data)), (len(data), 1)) or not np.isin(labels, (1, 2)).all():
        raise EegfmError(
            f"{source.path}: `labels` is {labels.shape} with the values {np.unique(labels).tolist()[:5]}; wanted is a "
            f"1 (left) or a 2 (right) for each of {len(data)} trials. {FETCH_AGAIN}"
        )
    hands = [CLASSES[int(label) - 1] for label in labels.ravel()]
    return Recording.of_epochs(data, RAW_SFREQ, montage_of(CHANNELS), hands, source.path)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Every trial."""
    return [
        Window(event.onset_s, CLASSES.index(event.description))
        for event in recording.events
        if fits(recording, event.onset_s, WINDOW_S)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """The reference's keys: file name without .mat, number of the trial."""
    found = re.fullmatch(r"(sub-\d{3}_ses-\d{2})_task_motorimagery_eeg-(\d+)", key)
    return found and ReferenceWindow(found[1], int(found[2]), int(found[2]) * WINDOW_S)


def shu_mi(*, variant: Literal["repaired", "published"] = "repaired") -> BenchmarkSpec:
    """SHU-MI; `variant="published"` resamples each trial as the published numbers do, ringing ends included."""
    return BenchmarkSpec(
        name="shu_mi",
        title="SHU-MI",
        protocol="cbramod@b9e9610" if variant == "published" else "cbramod-repaired@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=200.0,
        window_s=WINDOW_S,
        steps=STEPS[variant],
        splits=SPLITS,
        census=Census(
            recordings=125,
            # 125 sessions of 100 trials would be 12,500; the authors rejected bad trials
            windows=11_988,
            source="declared in the STAMP code (dataset_params); counts per split and class are not published",
        ),
        sources=sources,
        read=read,
        windows=windows,
        corpus="https://figshare.com/articles/dataset/shu_dataset/19228725",
        licence="Creative Commons Attribution 4.0 International (CC BY 4.0)",
        access=(
            "figshare: https://figshare.com/articles/dataset/shu_dataset/19228725 (mat_files.zip, its password on "
            "request from the authors; 25 subjects, 125 MAT files)."
        ),
        citation=(
            "Ma et al. 2022, A large EEG dataset for studying cross-session variability in motor imagery "
            "brain-computer interface, Scientific Data 9:531, doi:10.1038/s41597-022-01647-1"
        ),
        raw_sfreq=(RAW_SFREQ,),
        reference_key=reference_key if variant == "published" else None,
    )
