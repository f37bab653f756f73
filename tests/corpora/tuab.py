"""TUAB in small: EDF files as Temple University's are, by edfio, of patients some of whom are in both classes."""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth
from tests.corpora.tuev import ELECTRODES, NEEDED, TOLERANCE_UV, electrode, write_edf


class File(NamedTuple):
    part: str
    kind: str
    patient: str
    session: int = 1
    rate: int = 250
    lacks: str = ""

    @property
    def name(self) -> str:
        return f"{self.patient}_s{self.session:03d}_t{self.session % 2:03d}"

    @property
    def recording(self) -> str:
        return f"{self.part}-{self.kind}-{self.name}"


def seconds_of(recording: str, window_s: int = 10) -> int:
    """One window or two, and a tail of 0 to 9 s. At 250 Hz MNE pads all of these to the same length (see tuev.py)."""
    return window_s + 7 + zlib.crc32(recording.encode()) % 9


def signal(recording: str, row: str, seconds: np.ndarray, *, window_s: int = 10) -> np.ndarray:
    whole = seconds_of(recording, window_s)
    anode, cathode = (electrode(recording, name, seconds, whole) for name in row.split("-"))
    return anode - cathode


def in_order(patients: set[str]) -> list[str]:
    return sorted(patients)


def write(
    root: Path,
    files: list[File],
    *,
    by_class: bool,
    order: Callable[[set[str]], list[str]] = in_order,
    window_s: int = 10,
) -> list[Truth]:
    truths = []
    for file in files:
        folder = root / "tuh_eeg_abnormal" / "v3.0.1" / "edf" / file.part / file.kind / "01_tcp_ar"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")  # the reference takes it for a patient
        seconds = seconds_of(file.recording, window_s)
        there = {
            name: partial(electrode, file.recording, name, duration=seconds)
            for name in ELECTRODES
            if name != file.lacks
        }
        write_edf(folder / f"{file.name}.edf", there, rate=file.rate, seconds=seconds)
        alike = {f.patient for f in files if f.part == "train" and (f.kind == file.kind or not by_class)}
        train = order(alike)[: len(alike) * 4 // 5]
        split = "test" if file.part == "eval" else "train" if file.patient in train else "val"
        if file.lacks not in NEEDED:
            label = int(file.kind == "abnormal")
            truths += [
                Truth(file.patient, file.recording, split, float(window_s * i), label)
                for i in range(seconds // window_s)
            ]
    return truths


TABLE = [
    *(File("train", "normal", f"aaaaaaa{letter}", rate=256) for letter in "abcde"),
    *(File("train", "abnormal", f"aaaaaaa{letter}") for letter in "defghijklm"),  # d and e are both
    File("train", "abnormal", "aaaaaaam", session=2, rate=512),
    File("train", "normal", "aaaaaaan", lacks="P3"),
    File("eval", "normal", "aaaaaabx"),
    File("eval", "abnormal", "aaaaaaby", session=4, rate=400),
]
TABLES = st.sets(
    st.one_of(
        st.builds(
            File,
            st.just("train"),
            st.sampled_from(["normal", "abnormal"]),
            st.sampled_from("abcdefgh").map("aaaaaaa{}".format),
            st.integers(1, 2),
            st.just(250),
            st.sampled_from(["", "", "O2"]),
        ),
        st.builds(
            File, st.just("eval"), st.just("normal"), st.just("aaaaaabz"), st.integers(1, 3), st.just(256)
        ),
    ),
    max_size=4,
).map(lambda files: [TABLE[-1], *{file.recording: file for file in sorted(files)}.values()])

CORPORA = [
    Corpus(
        "tuab",
        partial(write, by_class=variant == "published"),
        signal,
        TABLE,
        TABLES,
        {"variant": variant},
        tolerance_uv=TOLERANCE_UV,
    )
    for variant in ("repaired", "published")
]
