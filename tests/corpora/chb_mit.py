"""CHB-MIT in small: EDF files by edfio and the summaries beside them, with the irregularities of the real ones."""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import edfio
import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth

SFREQ = 256
RANGE_UV = 800.0
# as the files order them; T8-P8 is there twice
NEW = (
    "FP1-F7 F7-T7 T7-P7 P7-O1 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 FP2-F8 F8-T8 T8-P8 P8-O2 FZ-CZ CZ-PZ "
    "P7-T7 T7-FT9 FT9-FT10 FT10-T8 T8-P8"
).split()
MONTAGES = {
    "new": NEW,
    "dummies": [
        *NEW[:4],
        "-",
        *NEW[4:8],
        "-",
        *NEW[8:12],
        "-",
        *NEW[12:16],
        ".",
        *NEW[16:18],
        "-",
        *NEW[18:],
        "ECG",
    ],
    "once": [*NEW[:18], "LOC-ROC", "VNS"],
    "CS2": [f"{name}-CS2" for name in "FP1 F7 T7 P7 01 F3 C3 P3 FP2 F4 C4 P4 O2 F8 T8 P8 FZ CZ PZ".split()],
    "bare": "FP1 F7 T7 P7 01 F3 C3 P3 FP2 F4 C4 P4 O2 F8 T8 P8 FZ CZ PZ".split(),
}
CASES = {"val": ("chb21", "chb22"), "test": ("chb23", "chb24")}
NOT_PUBLISHED = ("chb12", "chb13", "chb17", "chb02_16+", "chb24_02", "chb24_22")


class File(NamedTuple):
    recording: str
    seconds: int
    seizures: tuple[tuple[int, int], ...] = ()
    montage: str = "new"

    @property
    def case(self) -> str:
        return self.recording[:5]

    @property
    def subject(self) -> str:
        return "chb01" if self.case == "chb21" else self.case

    @property
    def has_rows(self) -> bool:
        return self.montage not in ("CS2", "bare")


def signal(recording: str, row: str, seconds: np.ndarray) -> np.ndarray:
    """A tone with a whole number of waves in ten seconds: for the Fourier method a window of it has no ends."""
    draw = np.random.default_rng(zlib.crc32(f"{recording}/{row}".encode()))
    return 30 * np.sin(2 * np.pi * draw.integers(80, 200) / 10 * seconds + draw.uniform(0, 2 * np.pi))


def write_edf(path: Path, file: File) -> None:
    times = np.arange(file.seconds * SFREQ) / SFREQ
    names = MONTAGES[file.montage]
    signals = []
    for i, name in enumerate(names):
        # the second of a name is another signal, so that it shows which of the two is read
        known = name if name not in names[:i] else f"{name} again"
        data = np.zeros(len(times)) if name in "-." else signal(file.recording, known, times)
        signals.append(
            edfio.EdfSignal(
                data, SFREQ, label=name, physical_dimension="uV", physical_range=(-RANGE_UV, RANGE_UV)
            )
        )
    edfio.Edf(signals, data_record_duration=1).write(path)
    if file.recording == "chb17b_69":
        with path.open("ab") as open_file:
            open_file.write(bytes(256))


def summary(case: str, files: list[File]) -> str:
    """What the corpus's authors wrote of these files."""
    lines = ["Data Sampling Rate: 256 Hz", "*************************", ""]
    montage = None
    for file in files:
        if case == "chb24" and not file.seizures:
            continue  # of this case only the files with a seizure are listed
        if file.montage != montage:
            lines += [
                "Channels in EDF Files:" if montage is None else "Channels changed:",
                "**********************",
            ]
            lines += [f"Channel {i}: {name}" for i, name in enumerate(MONTAGES[file.montage], 1)] + [""]
            montage = file.montage
        lines.append(f"File Name: {file.recording}.edf")
        if case != "chb24":
            lines += ["File Start Time: 23:22:17", "File End Time: 24:22:17 "]
        lines.append(f"Number of Seizures in File: {len(file.seizures)}")
        for i, (start, end) in enumerate(file.seizures, 1):
            numbered = len(file.seizures) > 1 and case != "chb24"
            # in chb09_08 the end of the second seizure is called that of the first
            of_start, of_end = (f"{i} ", f"{1 if case == 'chb09' else i} ") if numbered else ("", "")
            lines += [
                f"Seizure {of_start}Start Time: {start} seconds",
                f"Seizure {of_end}End Time:  {end} seconds",
            ]
        lines.append("")
    return "\n".join(lines)


def repaired(file: File) -> list[Truth]:
    split = next((split for split, cases in CASES.items() if file.case in cases), "train")
    split = "val" if file.case == "chb01" else split
    seizure = {second for start, end in file.seizures for second in range(start, end)}
    return [
        Truth(
            file.subject,
            file.recording,
            split,
            float(onset),
            int(bool(seizure & set(range(onset, onset + 10)))),
        )
        for onset in range(0, file.seconds - 9, 10)
    ]


def published(file: File) -> list[Truth]:
    if file.recording in NOT_PUBLISHED or file.case in NOT_PUBLISHED:
        return []
    split = next((split for split, cases in CASES.items() if file.case in cases), "train")
    moments = [256 * start - 1 for start, _ in file.seizures], [256 * end - 1 for _, end in file.seizures]
    truths = []
    for first in range(0, 256 * file.seconds - 2559, 2560):
        label = int(any(first < moment < first + 2560 for moment in (*moments[0], *moments[1])))
        truths.append(Truth(file.subject, file.recording, split, first / 256, label))
    for start, end in zip(*moments, strict=True):
        for first in range(max(0, start - 256), min(end + 256, 256 * file.seconds), 1280):
            assert first + 2560 <= 256 * file.seconds, (
                "a stretched window is not the signal; it has a test of its own"
            )
            truths.append(Truth(file.subject, file.recording, split, first / 256, 1))
    return truths


def write(root: Path, files: list[File], *, windows: Callable[[File], list[Truth]]) -> list[Truth]:
    for case in sorted({file.case for file in files}):
        folder = root / case
        folder.mkdir()
        of_case = [file for file in files if file.case == case]
        for file in of_case:
            write_edf(folder / f"{file.recording}.edf", file)
            if file.seizures:
                (folder / f"{file.recording}.edf.seizures").write_bytes(b"\0\x88 an annotation file")
        (folder / f"{case}-summary.txt").write_text(summary(case, of_case))
    for stray in ("RECORDS", "RECORDS-WITH-SEIZURES", "SUBJECT-INFO", ".DS_Store"):
        (root / stray).write_text("chb01/chb01_01.edf\n")
    return [truth for file in files if file.has_rows for truth in windows(file)]


TABLE = [
    File("chb01_03", 45, ((14, 31),)),
    File("chb01_18", 20),
    File("chb02_16", 30),
    File("chb02_16+", 20, ((4, 7),)),
    File("chb09_08", 70, ((5, 9), (40, 58)), "dummies"),
    File("chb12_06", 20),
    File("chb12_27", 30, ((4, 10), (12, 15)), "CS2"),
    File("chb12_28", 20, ((4, 9),), "bare"),
    File("chb17a_03", 20, ((1, 6),), "once"),
    File("chb17b_69", 31, (), "dummies"),
    File("chb21_19", 50, ((10, 30),), "dummies"),
    File("chb22_20", 40, ((20, 22),)),
    File("chb22_38", 25, (), "once"),
    File("chb23_06", 60, ((1, 4), (12, 13), (30, 49))),
    File("chb24_01", 40, ((7, 12), (14, 20))),
    File("chb24_02", 20),
    File("chb24_05", 20),
]


@st.composite
def tables(draw) -> list[File]:
    names = draw(
        st.sets(
            st.sampled_from(
                ["chb01_01", "chb02_16+", "chb04_43", "chb12_27", "chb17c_13", "chb21_33", "chb24_22"]
            ),
            max_size=3,
        )
    )
    files = []
    for name in [*sorted(names), "chb23_20"]:
        montage = "CS2" if name == "chb12_27" else draw(st.sampled_from(["new", "dummies", "once"]))
        seconds = draw(st.integers(20, 50))
        edges = sorted(draw(st.sets(st.integers(2, seconds - 11), max_size=4)))
        pairs = list(zip(edges[::2], edges[1::2], strict=False))
        # two seizures whose further windows would begin at one moment are no two seizures
        apart = [pair for i, pair in enumerate(pairs) if i == 0 or pair[0] > pairs[i - 1][1] + 2]
        files.append(File(name, seconds, tuple(apart), montage))
    return files


CORPORA = [
    Corpus(
        "chb_mit",
        partial(write, windows=repaired),
        signal,
        TABLE,
        tables(),
        {"variant": "repaired"},
        margin_s=0.25,
    ),
    Corpus("chb_mit", partial(write, windows=published), signal, TABLE, tables(), {"variant": "published"}),
]
