"""SEED-V in small: Neuroscan CNT files of the corpus's names, channels and rate, with clips of a second or two.

A recording of the corpus lasts most of an hour, 0.9 GB. The real timetable is held by `test_seed_v.py`.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np

from eegfm.benchmarks.seed_v import Trial
from eegfm.benchmarks.spec import BenchmarkSpec
from tests.corpora import Corpus, Truth, tone
from tests.writers_cnt import write_cnt

SFREQ = 1000
SPLIT_NAMES = ("train", "val", "test")
SUBJECTS = {"train": range(1, 11), "val": range(11, 14), "test": range(14, 17)}
# start, end and label of 15 clips; gaps and none, clips of one second and of two
STARTS = {
    1: (3, 4, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21),
    2: (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    3: (2, 4, 5, 6, 8, 9, 11, 12, 14, 15, 16, 17, 18, 19, 21),
}
ENDS = {
    1: (4, 6, 8, 9, 10, 12, 13, 15, 16, 17, 18, 19, 20, 21, 23),
    2: (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18),
    3: (3, 5, 6, 8, 9, 10, 12, 14, 15, 16, 17, 18, 19, 20, 22),
}
LABELS = {
    1: (4, 1, 3, 2, 0, 4, 1, 3, 2, 0, 4, 1, 3, 2, 0),
    2: (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
    3: (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
}
TIMETABLE = {
    str(session): tuple(map(Trial, STARTS[session], ENDS[session], LABELS[session])) for session in STARTS
}
SECONDS = 24
# the cap's order: the ears in the middle, the eyes behind
NAMES = tuple(
    (
        "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 "
        "M1 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 "
        "CB2 HEO VEO"
    ).split()
)


class Made(NamedTuple):
    """A recording to write, and what is odd about it."""

    subject: int
    session: int
    odd: str = ""  # of ODDITIES


ODDITIES = (
    "",
    "another channel",
    "no number of samples",  # in the header, as reported of subject 7, session 1
    "goes on",  # after the last clip
)


def adapt(benchmark: BenchmarkSpec) -> BenchmarkSpec:
    """The same benchmark with the short timetable."""
    return replace(benchmark, windows=functools.partial(benchmark.windows, timetable=TIMETABLE))


def file_of(root: Path, made: Made) -> Path:
    return (
        root / "EEG_raw" / f"{made.subject}_{made.session}_2018{made.session + 3:02d}{made.subject:02d}.cnt"
    )


def write_recording(root: Path, made: Made) -> Path:
    """One CNT file: the tones, with ears and eyes that are no part of the protocol.

    The tones rise and fall in the first and the last second, where no clip is: a file that broke off at 30 µV would be
    a step for the high-pass, and its answer lasts for seconds.
    """
    seconds = SECONDS + 1.5 * (made.odd == "goes on")
    times = np.arange(round(seconds * SFREQ)) / SFREQ
    gain = np.sin(np.pi / 2 * np.clip(np.minimum(times, times[-1] - times), 0, 1)) ** 2
    names = list(NAMES)
    if made.odd == "another channel":
        names.insert(20, "EKG")
    path = file_of(root, made)
    path.parent.mkdir(exist_ok=True)
    write_cnt(
        path,
        np.stack([gain * tone(f"{made.subject}_{made.session}", name, times) for name in names]),
        names,
        sfreq=SFREQ,
        n_samples=-732 if made.odd == "no number of samples" else None,
        events=((1500, 1),),
    )
    return path


def write(root: Path, table: tuple[Made, ...], *, split: str) -> list[Truth]:
    """Files of the recordings of the table, and beside them what lies in such folders."""
    truths = []
    for made in table:
        write_recording(root, made)
        subject = next(name for name, subjects in SUBJECTS.items() if made.subject in subjects)
        for i in range(15):
            of_split = SPLIT_NAMES[i // 5] if split == "trials" else subject
            truths += [
                Truth(
                    str(made.subject),
                    f"{made.subject}_{made.session}",
                    of_split,
                    float(second),
                    LABELS[made.session][i],
                )
                for second in range(STARTS[made.session][i], ENDS[made.session][i])
            ]
    home = root / "EEG_raw"
    for name in (".DS_Store", "._1_1_20180401.cnt", "17_1_20180901.cnt", "load_raw_data.ipynb", "1_1.cnt"):
        (home / name).write_bytes(b"not a recording")
    (root / "trial_start_end_timestamp.txt").write_text("Session 1:\n")
    return truths


def signal(recording: str, row: str, seconds: np.ndarray) -> np.ndarray:
    return tone(recording, row.upper(), seconds)


CORPORA = [
    Corpus(
        option="seed_v",
        arguments={"split": split},
        write=functools.partial(write, split=split),
        signal=signal,
        table=(
            Made(1, 1),
            Made(1, 3, "goes on"),
            Made(7, 1, "no number of samples"),
            Made(11, 2),
            Made(13, 3, "another channel"),
            Made(14, 2),
            Made(16, 1),
        ),
        tables=st.lists(
            st.builds(Made, st.integers(1, 16), st.integers(1, 3), st.sampled_from(ODDITIES)),
            min_size=1,
            max_size=2,
            unique_by=lambda made: (made.subject, made.session),
        ).map(tuple),
        adapt=adapt,
        # MNE resamples a recording padded to a power of two, a fifth of which is no whole number of samples: 24 s are
        # stretched by 6e-5, so that clips at their ends lie 0.7 ms off, 2.6 µV of a tone of 20 Hz. A sample is 5 ms.
        tolerance_uv=3.0,
    )
    for split in ("trials", "subjects")
]
