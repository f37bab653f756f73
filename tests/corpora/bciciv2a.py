"""BCIC-IV-2a in small: sessions of a few runs of a few trials, as BNCI Horizon 2020 (MAT) and the competition (GDF)
have them."""

import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.signal
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth
from tests.writers_gdf import write_gdf

CHANNELS = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split()
EOG = ["EOG-left", "EOG-central", "EOG-right"]
GDF_LABELS = [f"EEG-{name}" if name in ("Fz", "C3", "Cz", "C4", "Pz") else "EEG" for name in CHANNELS] + EOG
SFREQ = 250
SPLIT_OF = {
    subject: "train" if subject <= 5 else "val" if subject <= 7 else "test" for subject in range(1, 10)
}
GAP = 100  # missing samples between the runs of a GDF file
BROKEN_OFF = -1  # a last trial of the left hand, in which its run ends after 5.5 s

# (subject, session) -> the classes of the trials of its runs, from 0
Table = dict[tuple[int, str], list[list[int]]]


def write(root: Path, table: Table, *, variant: str, files: str) -> list[Truth]:
    """Write the file; fields that are not in the table are missing."""
    truths = []
    home = root / "BCICIV_2a_gdf" if files == "gdf" else root
    home.mkdir(exist_ok=True)
    for (subject, session), runs in table.items():
        recording = f"A{subject:02d}{session}"
        (write_mat if files == "mat" else write_competition)(home, recording, runs)
        for number, start, begins, classes in layout(recording, runs, GAP if files == "gdf" else 0):
            # the reference takes runs from the fourth on, and its trials begin one sample late
            if variant == "published" and number < 3:
                continue
            truths += [
                Truth(
                    f"A{subject:02d}",
                    recording,
                    SPLIT_OF[subject],
                    (start + begin + (variant == "published")) / SFREQ + 2,
                    label,
                )
                for begin, label in zip(begins, classes, strict=True)
                if label != BROKEN_OFF
            ]
    # any of these would move a split by position
    (home / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (home / "desc_2a.pdf").write_bytes(b"%PDF-1.4")
    return truths


def calibrations(recording: str) -> int:
    return 1 if recording == "A04T" else 3


def layout(recording: str, runs: list[list[int]], gap: int) -> list[tuple[int, int, list[int], list[int]]]:
    """For every run: its number, its first sample in the file, the first samples of its trials, and their classes.

    Trials begin at whole multiples of 20 ms, which are samples at 250 and at 200 Hz.
    """
    found, start = [], 0
    for number, classes in enumerate([[]] * calibrations(recording) + runs):
        begins = [500 + 1880 * i + 15 * (i * i % 7) for i in range(len(classes))]
        found.append((number, start, begins, classes))
        start += length(begins, classes) + gap
    return found


def length(begins: list[int], classes: list[int]) -> int:
    if not classes:
        return 512
    return begins[-1] + (1375 if classes[-1] == BROKEN_OFF else 1843)


# ---- the signal ------------------------------------------------------------------------------------------------------


@cache
def rhythm(recording: str, electrode: str) -> tuple[float, float]:
    """Hz and phase. Four seconds hold whole periods, so that the FFT method does not ring."""
    draw = np.random.default_rng(zlib.crc32(f"{recording}/{electrode}".encode()))
    return draw.integers(32, 81) / 4, draw.uniform(0, 2 * np.pi)


def electrode(
    recording: str, name: str, seconds: np.ndarray, respond: Callable[[float], complex]
) -> np.ndarray:
    """30 µV, after a filter that answers to a frequency as it says."""
    hz, phase = rhythm(recording, name)
    answer = respond(hz)
    return 30 * abs(answer) * np.sin(2 * np.pi * hz * seconds + phase + np.angle(answer))


def passes(hz: float) -> complex:
    return 1.0


def butterworth(hz: float) -> complex:
    """A rhythm after the causal filter of the published steps: it is unchanged, but late."""
    b, a = scipy.signal.butter(5, (0.3, 50), "bandpass", fs=SFREQ)
    return complex(scipy.signal.freqz(b, a, [hz], fs=SFREQ)[1][0])


def stored(
    recording: str, row: str, seconds: np.ndarray, *, respond: Callable[[float], complex]
) -> np.ndarray:
    """Against the average of the 22."""
    # a window's rows are asked for one by one
    every = _window(recording, float(seconds[0]), len(seconds), respond)
    return every[CHANNELS.index(row)]


@cache
def _window(recording: str, start: float, n: int, respond: Callable[[float], complex]) -> np.ndarray:
    seconds = start + np.arange(n) / 200
    rows = np.stack([electrode(recording, name, seconds, respond) for name in CHANNELS])
    return rows - rows.mean(axis=0)


def recorded(recording: str, start: int, n: int) -> np.ndarray:
    """[25, time] in microvolts: every electrode's rhythm, what all share of the reference's, and three eyes.

    In the first and the last second of a run, where there are no windows, it comes and goes: a zero-phase filter of 0.3
    Hz continues a run by its mirror image, and a jump there would be felt for seconds.
    """
    seconds = (start + np.arange(n)) / SFREQ
    rows = [electrode(recording, name, seconds, passes) for name in CHANNELS]
    shared = 15 * np.sin(2 * np.pi * 11.3 * seconds)
    eyes = [100 * np.sin(2 * np.pi * hz * seconds) for hz in (0.7, 0.9, 1.1)]
    fade = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / SFREQ, 0, 1)
    return np.stack([*(row + shared for row in rows), *eyes]) * np.sin(np.pi / 2 * fade) ** 2


# ---- files -----------------------------------------------------------------------------------------------------------


Signal = Callable[
    [str, int, int], np.ndarray
]  # recording, first sample, samples -> [25, time] in microvolts


def write_mat(home: Path, recording: str, runs: list[list[int]], signal: Signal = recorded) -> Path:
    """A cell a run; samples are counted from 1."""
    path = home / f"{recording}.mat"
    write_cells(path, mat_cells(recording, runs, signal))
    return path


def mat_cells(recording: str, runs: list[list[int]], signal: Signal = recorded) -> list[dict[str, Any]]:
    cells = []
    for _, start, begins, classes in layout(recording, runs, 0):
        labels = [0 if label == BROKEN_OFF else label for label in classes]
        cells.append(
            {
                "X": signal(recording, start, length(begins, classes)).T,
                "trial": np.array(begins, dtype=float)[:, None] + 1 if begins else np.empty((0, 0)),
                "y": np.array(labels, dtype=float)[:, None] + 1 if labels else np.empty((0, 0)),
                "fs": 250.0,
                "classes": np.array([["left hand", "right hand", "feet", "tongue"]], dtype=object),
                "artifacts": np.array([i % 3 == 0 for i in range(len(labels))], dtype=float)[:, None],
                "gender": "male",
                "age": 22.0,
            }
        )
    return cells


def write_cells(path: Path, cells: list[dict[str, Any]]) -> None:
    data = np.empty((1, len(cells)), dtype=object)
    data[0] = cells
    scipy.io.savemat(path, {"data": data}, do_compression=False)


def write_competition(
    home: Path,
    recording: str,
    runs: list[list[int]],
    signal: Signal = recorded,
    *,
    gap: int = GAP,
    edit: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = list,
) -> Path:
    """Runs joined by missing samples; cues of evaluation sessions are unknown, their labels in files of their own."""
    rows, events, classlabel = [], [], []
    for number, start, begins, classes in layout(recording, runs, gap):
        data = signal(recording, start, length(begins, classes))
        events.append((start, 32766))
        if not classes:
            # as in the real files, the amplifier has yet to settle when the first run begins
            data[:, 231:235] = np.nan
            events.append((start, 1072 if number == calibrations(recording) - 1 else (276, 277)[number]))
        for i, (begin, label) in enumerate(zip(begins, classes, strict=True)):
            known = 0 if label == BROKEN_OFF else label
            events.append((start + begin, 768))
            if i % 3 == 0:
                events.append((start + begin, 1023))
            events.append((start + begin + 500, 769 + known if recording.endswith("T") else 783))
            classlabel.append(known + 1)
        rows += [data, np.full((len(data), gap), np.nan)]
    ranges = [100.0] * len(CHANNELS) + [1000.0] * len(EOG)
    data = np.concatenate(rows[:-1], axis=1)
    path = home / f"{recording}.gdf"
    write_gdf(path, data, GDF_LABELS, range_uv=ranges, events=edit(events))
    labels = (home.parent if home.name == "BCICIV_2a_gdf" else home) / "true_labels"
    labels.mkdir(exist_ok=True)
    scipy.io.savemat(
        labels / f"{recording}.mat", {"classlabel": np.array(classlabel, dtype=float)[:, None]}
    )
    return path


TABLE: Table = {
    (1, "T"): [[0, 1, 2, 3], [3, 2, BROKEN_OFF]],
    (1, "E"): [[2, 2]],
    (4, "T"): [[0, 1], [2, 3], [1, 0, 3]],
    (6, "T"): [[3, 0]],
    (7, "E"): [[1, 2]],
    (8, "E"): [[0, 3, 1]],
    (9, "T"): [[2, 1]],
}
RUNS = st.lists(
    st.tuples(st.lists(st.integers(0, 3), min_size=2, max_size=3), st.booleans()).map(
        lambda pair: pair[0] + [BROKEN_OFF] * pair[1]
    ),
    min_size=1,
    max_size=2,
)
TABLES = st.dictionaries(
    st.tuples(st.integers(1, 9), st.sampled_from("TE")), RUNS, min_size=1, max_size=3
).map(
    # of A04T the reference loses two runs, and a recording of which nothing is left is unusable
    lambda table: {key: [[0, 1], [2, 3]] * (key == (4, "T")) + runs for key, runs in table.items()}
)
CORPORA = [
    Corpus(
        "bciciv2a",
        partial(write, variant=variant, files=files),
        partial(stored, respond=butterworth if variant == "published" else passes),
        TABLE,
        TABLES,
        {"variant": variant, "files": files},
        # the causal filter is still settling, the pass-band of the zero-phase one ripples by 2 %
        tolerance_uv=0.4 if variant == "published" else 0.8,
    )
    for variant in ("repaired", "published")
    for files in ("mat", "gdf")
]
