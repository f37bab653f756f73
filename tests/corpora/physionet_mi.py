"""PhysioNet-MI in small: EDF+ files by edfio with PhysioNet's names, padded with dots, and its annotations."""

from pathlib import Path

import edfio
import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth, tone

NAMES = (
    "Fc5. Fc3. Fc1. Fcz. Fc2. Fc4. Fc6. C5.. C3.. C1.. Cz.. C2.. C4.. C6.. Cp5. Cp3. "
    "Cp1. Cpz. Cp2. Cp4. Cp6. Fp1. Fpz. Fp2. Af7. Af3. Afz. Af4. Af8. F7.. F5.. F3.. "
    "F1.. Fz.. F2.. F4.. F6.. F8.. Ft7. Ft8. T7.. T8.. T9.. T10. Tp7. Tp8. P7.. P5.. "
    "P3.. P1.. Pz.. P2.. P4.. P6.. P8.. Po7. Po3. Poz. Po4. Po8. O1.. Oz.. O2.. Iz.."
).split()
SFREQ, REST_S, CUE_S = 160, 4.25, 4.125  # both a whole number of samples
FISTS, FEET = (4, 8, 12), (6, 10, 14)


def split_of(subject: int) -> str:
    return "train" if subject <= 70 else "val" if subject <= 89 else "test"


def electrode(name: str) -> str:
    return name.rstrip(".").upper()


def signal(recording: str, row: str, seconds: np.ndarray) -> np.ndarray:
    """The tone of an electrode against the average of all 64."""
    if (recording, seconds[0]) not in AVERAGES:
        AVERAGES.clear()
        tones = [tone(recording, electrode(name), seconds) for name in NAMES]
        AVERAGES[recording, seconds[0]] = np.mean(tones, axis=0)
    return tone(recording, row.upper(), seconds) - AVERAGES[recording, seconds[0]]


AVERAGES: dict[tuple[str, float], np.ndarray] = {}


def write(root: Path, table: dict[int, dict[int, str]]) -> list[Truth]:
    """`table`: of each subject and run the cues, a letter each: L(eft), R(ight); B(oth fists), F(eet); s(hort)."""
    truths = []
    for subject, runs in table.items():
        folder = root / f"S{subject:03d}"
        folder.mkdir()
        for run, cues in runs.items():
            recording = f"S{subject:03d}R{run:02d}"
            annotations, onset = [], 0.0
            for cue in cues:
                annotations.append(edfio.EdfAnnotation(onset, REST_S, "T0"))
                onset += REST_S
                annotations.append(edfio.EdfAnnotation(onset, CUE_S, "T1" if cue in "LB" else "T2"))
                label = "LRBF".index(cue)
                truths.append(Truth(f"S{subject:03d}", recording, split_of(subject), onset, label))
                onset += CUE_S
            # a last cue too near the end for four seconds
            annotations.append(edfio.EdfAnnotation(onset, 1.0, "T2"))
            seconds = int(onset) + 3
            times = np.arange(seconds * SFREQ) / SFREQ
            signals = [
                edfio.EdfSignal(
                    tone(recording, electrode(name), times),
                    SFREQ,
                    label=name,
                    physical_dimension="uV",
                    physical_range=(-100.0, 100.0),
                )
                for name in NAMES
            ]
            edfio.Edf(signals, data_record_duration=1, annotations=annotations).write(
                folder / f"{recording}.edf"
            )
        (folder / "S001R04.edf.event").write_text("stray")
    (root / "ANNOTATORS").write_text("stray")
    return truths


def runs() -> st.SearchStrategy[dict[int, str]]:
    fists = st.dictionaries(st.sampled_from(FISTS), st.text("LR", min_size=2, max_size=3), max_size=2)
    feet = st.dictionaries(
        st.sampled_from(FEET), st.text("BF", min_size=2, max_size=3), min_size=1, max_size=1
    )
    return st.builds(lambda one, two: {**one, **two}, fists, feet)


CORPORA = [
    Corpus(
        option="physionet_mi",
        write=write,
        signal=signal,
        table={subject: {4: "LRR", 6: "BF"} for subject in (1, 70, 71, 89, 90, 109)},
        tables=st.dictionaries(st.integers(1, 109), runs(), min_size=1, max_size=2),
        # MNE pads to a power of two and rounds: the time axis comes back stretched by up to 1e-4
        tolerance_uv=6.0,
        margin_s=0.5,
    )
]
