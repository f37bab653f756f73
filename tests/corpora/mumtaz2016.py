"""Mumtaz2016 in small: EDF+ files by edfio, named, spaced and doubled as figshare has them."""

import shutil
import zlib
from functools import partial
from pathlib import Path

import edfio
import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth, tone

# the order of the files, which is not the protocol's, and three signals that not all of them have
FILE_ORDER = "Fp1 F3 C3 P3 O1 F7 T3 T5 Fz Fp2 F4 C4 P4 O2 F8 T4 T6 Cz Pz".split()
AUXILIARY = ("EEG A2-A1", "EEG 23A-23R", "EEG 24A-24R")
RANGE_UV = 200.0
TWINS = ("6921143_H S15 EO", "6921959_H S15 EO")
# the second is a copy of the first
PAIRS = {"H S30 EC": "H S27 EC", "MDD S34 EC": "MDD S33 EC"}
IN_DOUBT = (*TWINS, *PAIRS, *PAIRS.values())
SPLITS = {
    "val": ("H S3", "H S4", "H S29", "H S30", "MDD S3", "MDD S30", "MDD S31", "MDD S32", "MDD S33"),
    "test": (
        "H S5",
        "H S6",
        "H S7",
        "H S8",
        "H S9",
        "MDD S34",
        "MDD S4",
        "MDD S5",
        "MDD S6",
        "MDD S7",
        "MDD S9",
    ),
}


def spoken(name: str) -> str:
    """The recording that a file's name says; its figshare number is part of it only where the name is there twice."""
    path = Path(name)
    words = path.stem.replace("_", " ").split()
    return " ".join(words if path.stem in TWINS else words[-3:])


def subject_of(recording: str) -> str:
    return " ".join(recording.split()[-3:-1])


def split_of(subject: str) -> str:
    return next((split for split, subjects in SPLITS.items() if subject in subjects), "train")


def seconds_of(recording: str) -> float:
    """Four or five windows of 5 s, and a rest."""
    return 22.0 + zlib.crc32(recording.encode()) % 6


def signal(recording: str, row: str, seconds: np.ndarray) -> np.ndarray:
    """A tone, faded in and out in a second, so that filters find nothing to ring at."""
    recording = PAIRS.get(recording, recording)
    fade = np.sin(np.pi / 2 * np.clip(np.minimum(seconds, seconds_of(recording) - seconds), 0, 1)) ** 2
    return fade * tone(recording, row, seconds)


def write_edf(path: Path, recording: str, *, sfreq: int = 256, lacks: str = "") -> None:
    seconds = seconds_of(PAIRS.get(recording, recording))
    times = np.arange(round(seconds * sfreq)) / sfreq
    few = zlib.crc32(recording.encode()) % 2
    rows = {f"EEG {name}-LE": name for name in FILE_ORDER if name != lacks}
    names = [*rows, *AUXILIARY[: 1 if few else 3]]
    signals = [
        edfio.EdfSignal(
            signal(recording, rows.get(name, name), times),
            sfreq,
            label=name,
            physical_dimension="uV",
            physical_range=(-RANGE_UV, RANGE_UV),
        )
        for name in names
    ]
    edfio.Edf(signals, data_record_duration=1, annotations=[edfio.EdfAnnotation(0, None, "start")]).write(
        path
    )


def write(root: Path, names: list[str], *, published: bool) -> list[Truth]:
    """`names` are paths of files below the root, spelt as they are spelt."""
    truths = []
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        recording = spoken(name)
        write_edf(path, recording)
        if recording.endswith("TASK") or (not published and path.stem in IN_DOUBT):
            continue
        subject = subject_of(recording)
        truths += [
            Truth(subject, recording, split_of(subject), 5.0 * i, int(subject.startswith("MDD")))
            for i in range(int(seconds_of(PAIRS.get(recording, recording)) // 5))
        ]
    for copy, original in PAIRS.items():
        if f"{copy}.edf" in names:
            shutil.copyfile(root / f"{original}.edf", root / f"{copy}.edf")
    for stray in (".DS_Store", "._H S1 EC.edf", "H S1 EC.txt", "readme.edf.part"):
        (root / stray).write_bytes(b"\0\5\26\7 not a recording")
    return truths


TABLE = [
    "H S1 EC.edf",
    "H S1 EO.edf",
    "H S1 TASK.edf",
    "H S15 EC.edf",
    *(f"{name}.edf" for name in TWINS),
    "H S27 EC.edf",
    "H S27  EO.edf",
    "H S30 EC.edf",
    "H S30 EO.edf",
    "H S5 EC.edf",
    "H S9 EO .edf",
    "MDD S2 EC.edf",
    "MDD S11  EO.edf",
    "6921500_MDD S29 EC.edf",
    "MDD S30/MDD S30 EC.edf",  # a folder a subject, as some unpack it
    "MDD S33 EC.edf",
    "MDD S34 EC.edf",
    "MDD S34 EO.edf",
    "MDD S4 EO.edf",
    "MDD S7 TASK.edf",
]
TABLES = st.lists(
    st.builds(
        "{}{} S{}{}{}.edf".format,
        st.sampled_from(["", "", "6921001_"]),
        st.sampled_from(["H", "MDD"]),
        st.sampled_from([1, 2, 3, 5, 6, 9, 10, 14, 20, 26]),  # of these, both groups have both recordings
        st.sampled_from([" ", "  "]),
        st.sampled_from(["EC", "EO", "TASK"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=spoken,
).filter(lambda names: not all(name.endswith("TASK.edf") for name in names))


def corpus(variant: str) -> Corpus:
    return Corpus(
        "mumtaz2016",
        partial(write, published=variant == "published"),
        signal,
        TABLE,
        TABLES,
        {"variant": variant},
    )


CORPORA = [corpus("repaired"), corpus("published")]
