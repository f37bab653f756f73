"""TUAB: clinical EEG that was judged normal or abnormal, two classes, from ten seconds of 16 bipolar rows.

Corpus: TUH Abnormal EEG Corpus 3.0.1 (Lopez 2017), Temple University Hospital: 2,993 files of 15 minutes and more, one
a session, `edf/{train,eval}/{normal,abnormal}/01_tcp_ar/aaaaamye_s001_t000.edf` (patient, session, part), 1,141 hours,
https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ .
Access: free of charge, after a signed agreement with Temple University.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: resample to 200 Hz, band-pass 0.3 to 75
Hz, notch 60 Hz, 16 bipolar rows, windows of 10 s from the first sample on, the tail dropped. A file that lacks an
electrode is left out and named in the store's manifest. The published count implies that there is no such file:
1,141.00 hours in 2,993 files of whole seconds, with tails of 4.5 s on average, make about 409,413 windows; 409,455
are published, and one file holds 137.
Split: `eval` is test. The patients of `train` in alphabetical order, the first int(0.8 n) train, the others val. So
the split depends on all patients: an incomplete download is divided differently, and is marked as partial.

Versions
- published: the patients of each class are divided on their own. 54 of the 2,076 patients of `train` are in both
  classes (the corpus's README), and one of them whose name falls between the two cuts is in train with one class and
  in val with the other. Test is not touched. The benchmark declares it (`subject_leak`); the leakage report names the
  patient.
- repaired (ours): all patients of `train` are divided at once, whatever their classes. The numbers of windows in train
  and val are then not known beforehand.

Quirks
- A label is that of a whole session, given by its reader: ten seconds of an abnormal session may well look normal.
- The reference looks for a patient by `name in file name`. The corpus's names have equal lengths, so that
  finds the files of that patient and no others; a name that is part of another would put files into both splits. We do
  not repeat it. The reference also counts any file in the folder as a patient (`.DS_Store`), which moves the cut; here
  only files with names of the corpus count.
- Older papers used an earlier random split of 300,195 / 72,315 / 36,945 windows.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Source, SplitName, Window
from eegfm.benchmarks.tuh import (
    HOME,
    LICENCE,
    POOL,
    RAW_SFREQ,
    ROWS,
    SFREQ,
    STEPS,
    edf_folder,
    first_80_percent,
    read_electrodes,
)
from eegfm.signal.recording import Recording
from eegfm.signal.windows import grid

CLASSES = ("normal", "abnormal")  # and the names of the folders
WINDOW_S = 10.0
NAME = re.compile(r"([a-z0-9]+)_(s\d+)_(t\d+)")
RECORDINGS = 2_993  # train 1,371 normal and 1,346 abnormal, eval 150 and 126: README of the corpus
ACCESS = f"Temple University, signed agreement, then rsync: {HOME} (TUAB v3.0.1, 2,993 EDF files)."
CITATION = (
    "Lopez 2017, Automated Identification of Abnormal EEGs, MSc thesis, Temple University; Obeid & Picone 2016, The "
    "Temple University Hospital EEG Data Corpus, Frontiers in Neuroscience 10:196, doi:10.3389/fnins.2016.00196"
)
SUBJECT_LEAK = "patients of both classes may be in train with one and in val with the other"  # as published
PER_SPLIT = {"train": 297_103, "val": 75_407, "test": 36_945}  # preprocessing/README.md of CBraMod, v3.0.1


def sources(
    root: Path, *, by_class: bool, to_train: Callable[[set[str]], set[str]] = first_80_percent
) -> list[Source]:
    """The EDF files of the corpus, by part, class and name.

    `by_class` divides the patients of each class alone; `to_train` chooses who of them trains, the others validate.
    """
    home = edf_folder(root, "tuh_eeg_abnormal", "3.0.1")
    found = [
        (part, kind, match, path)
        for part in ("train", "eval")
        for kind in CLASSES
        for path in sorted((home / part / kind / "01_tcp_ar").glob("*.edf"))
        if (match := NAME.fullmatch(path.stem))
    ]
    patients = {
        kind: {
            match[1]
            for part, other, match, _ in found
            if part == "train" and (not by_class or other == kind)
        }
        for kind in CLASSES
    }
    train = {kind: to_train(patients[kind]) for kind in CLASSES}

    def split_of(part: str, kind: str, patient: str) -> SplitName:
        return "test" if part == "eval" else "train" if patient in train[kind] else "val"

    return [
        Source(
            match[1], f"{part}-{kind}-{path.stem}", split_of(part, kind, match[1]), path, session=match[2]
        )
        for part, kind, match, path in found
    ]


def windows(recording: Recording, source: Source, *, window_s: float = WINDOW_S) -> list[Window]:
    """Adjacent windows over the whole recording; its class is the folder that it came from."""
    label = CLASSES.index(source.recording.split("-")[1])
    return [Window(onset_s, label) for onset_s in grid(recording, window_s)]


def tuab(*, variant: Literal["repaired", "published"] = "repaired") -> BenchmarkSpec:
    """The benchmark, divided as published or over all patients (see the module)."""
    published = variant == "published"
    first = "the first int(0.8 n) train, the others val"
    return BenchmarkSpec(
        name="tuab",
        title="TUAB",
        protocol=f"cbramod{'' if published else '-repaired'}@b9e9610",
        classes=CLASSES,
        channels=ROWS,
        sfreq=SFREQ,
        window_s=WINDOW_S,
        steps=STEPS,
        splits=None,
        split_rule=(
            f"eval is test; the patients of train in alphabetical order, those of each class alone: {first}"
            if published
            else f"eval is test; the patients of train in alphabetical order, all at once: {first}"
        ),
        choices={"variant": variant},
        census=Census(
            recordings=RECORDINGS,
            windows=sum(PER_SPLIT.values()),
            per_split=PER_SPLIT if published else {"test": PER_SPLIT["test"]},
            source="files: README of the corpus; windows: CBraMod's preprocessing README",
        ),
        sources=partial(sources, by_class=published),
        read=partial(read_electrodes, references=("REF",)),
        windows=windows,
        corpus=f"{HOME}#c_tuab",
        licence=LICENCE,
        access=ACCESS,
        citation=CITATION,
        raw_sfreq=RAW_SFREQ,
        one_label=True,
        pool=POOL,
        subject_leak=SUBJECT_LEAK if published else "",
    )
