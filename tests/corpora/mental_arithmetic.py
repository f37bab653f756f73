"""MentalArithmetic in small: EDF files by edfio with the names, the order and the two extra signals of PhysioNet's."""

from pathlib import Path

import edfio
import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth, tone

ORDER = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz A2-A1".split()
SFREQ = 500


def split_of(subject: int) -> str:
    return "train" if subject < 28 else "val" if subject < 32 else "test"


def write(root: Path, table: dict[int, tuple[int, int]]) -> list[Truth]:
    """`table`: seconds of rest and of arithmetic, by subject."""
    truths = []
    for subject, lengths in table.items():
        for part, seconds in enumerate(lengths, 1):
            recording = f"Subject{subject:02d}_{part}"
            times = np.arange(seconds * SFREQ) / SFREQ
            rows = {f"EEG {name}": tone(recording, name, times) for name in ORDER}
            rows["ECG ECG"] = 50 * np.sin(2 * np.pi * 1.1 * times)
            signals = [
                edfio.EdfSignal(
                    row, SFREQ, label=name, physical_dimension="uV", physical_range=(-100.0, 100.0)
                )
                for name, row in rows.items()
            ]
            edfio.Edf(signals, data_record_duration=1).write(root / f"{recording}.edf")
            truths += [
                Truth(f"Subject{subject:02d}", recording, split_of(subject), 5.0 * i, part - 1)
                for i in range(seconds // 5)
            ]
    for stray in ("README.txt", "RECORDS", "subject-info.csv"):
        (root / stray).write_text("stray")
    return truths


CORPORA = [
    Corpus(
        option="mental_arithmetic",
        write=write,
        signal=tone,
        table={subject: (22, 17) for subject in (0, 1, 28, 29, 34, 35)},
        tables=st.dictionaries(
            st.integers(0, 35),
            st.tuples(st.integers(16, 24), st.integers(16, 24)),
            min_size=1,
            max_size=3,
        ),
        # MNE pads to a power of two and rounds: at these lengths the time axis moves by up to an eighth of a sample,
        # 2.6 µV of the steepest tone (at 10 to 15 s by half a sample, 11 µV)
        tolerance_uv=4.0,
        margin_s=0.5,  # and the ends of a file are guessed by reflection
    )
]
