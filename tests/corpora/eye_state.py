"""EEG Eye State in small: the text of UCI's file, with its offset, its states and a moment of broken samples."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth, tone

ORDER = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
SFREQ, WINDOW_S, FILE = 128, 4, "EEG Eye State.arff"


def signal(recording: str, name: str, seconds: np.ndarray) -> np.ndarray:
    """A tone that fades in: at the ends of a file a high-pass answers a step for seconds."""
    return tone(recording, name, seconds) * np.sin(np.pi / 2 * np.minimum(seconds / 2, 1)) ** 2


def write(root: Path, seconds: int) -> list[Truth]:
    """A recording of so many seconds. Behind the last window it fades out, and most channels break for a sample."""
    times = np.arange(seconds * SFREQ) / SFREQ
    end = seconds // WINDOW_S * WINDOW_S
    fade = np.cos(np.pi / 2 * np.clip((times - end) / (seconds - end), 0, 1)) ** 2
    rows = np.stack([4200 + 20 * i + fade * signal("P1", name, times) for i, name in enumerate(ORDER)])
    rows[3:, -40] = 70_000
    rows[:2, -40] -= 2_000
    text(root / FILE, rows, times % 7 < 3)
    (root / "Index").write_text("stray")
    return [Truth("P1", "P1", "train", float(WINDOW_S * i), 0) for i in range(seconds // WINDOW_S)]


def text(path: Path, rows: np.ndarray, closed: np.ndarray, names=ORDER) -> None:
    """The file as UCI has it: names, then a line a sample, two digits behind the point."""
    lines = ["@RELATION EEG_DATA", "", *(f"@ATTRIBUTE {name} NUMERIC" for name in names)]
    lines += ["@ATTRIBUTE eyeDetection {0,1}", "", "@DATA"]
    for values, state in zip(rows.T, closed, strict=True):
        lines.append(",".join([*(f"{value:.2f}" for value in values), str(int(state))]))
    path.write_text("\n".join([*lines, ""]))


CORPORA = [
    Corpus(
        option="eye_state",
        write=write,
        signal=signal,
        table=23,
        tables=st.integers(3, 7).map(lambda n: 4 * n + 2),
        # MNE pads to a power of two and rounds: the time axis moves by part of a sample
        tolerance_uv=6.0,
        margin_s=0.5,
    )
]
