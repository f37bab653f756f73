"""TUAB in small for the protocol at 128 Hz: the files of tests/corpora/tuab.py, fewer of them, and longer ones."""

from functools import partial

import numpy as np

from tests.corpora import Corpus
from tests.corpora.tuab import TABLES, File, signal, write

TABLE = [
    *(File("train", "normal", f"aaaaaaa{letter}") for letter in "abc"),
    *(File("train", "abnormal", f"aaaaaaa{letter}", rate=512) for letter in "cdefg"),  # c is both
    File("eval", "normal", "aaaaaabx", rate=256),
    File("eval", "abnormal", "aaaaaaby", session=4, rate=256),
]
LONG = [
    *(File("train", "normal", f"aaaaaaa{letter}", rate=256) for letter in "ab"),
    *(File("train", "abnormal", f"aaaaaaa{letter}", rate=256) for letter in "bc"),
    File("eval", "abnormal", "aaaaaaby", session=4, rate=256),
]
FEW = TABLES.map(lambda files: [file._replace(rate=256) for file in files[:2]])


def drawn(patients: set[str]) -> list[str]:
    """The order that the seed 0 gives to the patients."""
    names = sorted(patients)
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))]


# a length padded to a power of two is rarely a whole number of samples at 128 Hz: see tests/corpora/tuev.py. Of 400 Hz,
# and of 250 Hz at other lengths than these, MNE is half a sample off, 18 µV of the fastest tone of an electrode
TOLERANCE_UV = 6.0
CORPORA = [
    Corpus(
        "tuab_eegm2",
        partial(write, by_class=variant == "published", order=drawn, window_s=window_s),
        partial(signal, window_s=window_s),
        table,
        FEW,
        {"length": f"{window_s}s", "variant": variant},
        tolerance_uv=TOLERANCE_UV,
    )
    for window_s, variant, table in ((10, "repaired", TABLE), (30, "published", LONG))
]
