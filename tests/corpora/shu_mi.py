"""SHU-MI in small: MAT files of a session, most of version 7 by SciPy, some of 7.3 by h5py, and beside them files that
are not the protocol's."""

from pathlib import Path

import h5py
import numpy as np
import scipy.io
from hypothesis import strategies as st

from eegfm.benchmarks.shu_mi import CHANNELS
from tests.corpora import Corpus, Truth, tone

SPLIT_OF = {
    subject: "train" if subject <= 15 else "val" if subject <= 20 else "test" for subject in range(1, 26)
}


def write(root: Path, table: dict[tuple[int, int], list[int]]) -> list[Truth]:
    """`table`: (subject, session) -> the labels of its trials, 1 or 2; what is not in it is missing."""
    truths = []
    for (subject, session), labels in table.items():
        recording = f"sub-{subject:03d}_ses-{session:02d}"
        path = root / f"{recording}_task_motorimagery_eeg.mat"
        (write_v73 if session == 5 else write_v5)(path, trials(recording, len(labels)), labels)
        truths += [
            Truth(f"sub-{subject:03d}", recording, SPLIT_OF[subject], 4.0 * i, label - 1)
            for i, label in enumerate(labels)
        ]
    # any of these moves the reference's splits, which are positions in the listing
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "sub-001_ses-01_task_motorimagery_events.tsv").write_text("onset\tduration\ttrial_type\n")
    write_v5(root / "sub-000_ses-01_task_motorimagery_eeg.mat", trials("nobody", 1), [1])
    return truths


def trials(recording: str, n: int) -> np.ndarray:
    """[trial, channel, 1000] in microvolts: one signal over the whole session, cut into trials."""
    seconds = np.arange(1000 * n) / 250
    rows = np.stack([tone(recording, name, seconds) for name in CHANNELS])
    return rows.reshape(len(CHANNELS), n, 1000).transpose(1, 0, 2)


def write_v5(path: Path, data: np.ndarray, labels: list[int], *, compress: bool = True) -> None:
    scipy.io.savemat(
        path, {"data": data, "labels": np.array([labels], dtype=float)}, do_compression=compress
    )


def write_v73(path: Path, data: np.ndarray, labels: list[int]) -> None:
    """Write a file as MATLAB does: HDF5 behind a header of 512 bytes, each array with its axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in {"data": data, "labels": np.array([labels], dtype=float)}.items():
            file.create_dataset(name, data=value.T, compression=3)
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


TABLE = {
    (1, 1): [1, 2, 1],
    (1, 5): [2, 1],
    (2, 3): [2],
    (16, 2): [1, 2],
    (17, 5): [2],
    (20, 4): [1],
    (21, 1): [2, 1],
    (25, 5): [1],
}
TABLES = st.dictionaries(
    st.tuples(st.integers(1, 25), st.integers(1, 5)),
    st.lists(st.integers(1, 2), min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)

# A tone is not periodic in four seconds, so the plain FFT method rings: 4 µV at the edge, 1 µV two samples further in.
# The polyphase filter sees a kink where the ends are reflected: 2 µV at the edge.
CORPORA = [
    Corpus("shu_mi", write, tone, TABLE, TABLES, {"variant": "repaired"}, tolerance_uv=0.5, margin_s=0.05),
    Corpus("shu_mi", write, tone, TABLE, TABLES, {"variant": "published"}, margin_s=0.1),
]
