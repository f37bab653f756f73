"""FACED in small: some of its pickles. A file cannot be smaller than the protocol says (28 clips of 30 s, 27 MB as
float32), so there are few."""

import pickle
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from eegfm.benchmarks.faced import CHANNELS
from tests.corpora import Corpus, Truth, tone

# the classes of the 28 clips, as the authors list them
LABELS = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 4 + [5] * 3 + [6] * 3 + [7] * 3 + [8] * 3


def write(root: Path, table: list[int]) -> list[Truth]:
    """`table`: the numbers of the subjects that are there."""
    home = root / "Processed_data"
    home.mkdir()
    truths = []
    for subject in table:
        name = f"sub{subject:03d}"
        with open(home / f"{name}.pkl", "wb") as file:
            # different people pickle differently
            pickle.dump(clips(name), file, protocol=2 + subject % 4)
        split = "train" if subject < 80 else "val" if subject < 100 else "test"
        truths += [
            Truth(name, name, split, 30.0 * clip + 10.0 * part, label)
            for clip, label in enumerate(LABELS)
            for part in range(3)
        ]
    # any of these moves the reference's splits, which are positions in the listing
    (home / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (home / "readme.txt").write_text("Processed data")
    return truths


def clips(recording: str) -> np.ndarray:
    """[clip, channel, 7500] in microvolts: one signal over all clips, cut into them."""
    seconds = np.arange(28 * 7500) / 250
    rows = np.stack([tone(recording, name, seconds).astype(np.float32) for name in CHANNELS])
    return np.ascontiguousarray(rows.reshape(len(CHANNELS), 28, 7500).transpose(1, 0, 2))


# at the ends of a clip the plain FFT method rings and the polyphase filter sees the kink of reflected ends
CORPORA = [
    Corpus(
        "faced",
        write,
        tone,
        table=[0, 79, 80, 99, 100, 122],
        tables=st.lists(st.integers(0, 122), min_size=1, max_size=1),
        arguments={"variant": variant},
        margin_s=0.1,
    )
    for variant in ("repaired", "published")
]
