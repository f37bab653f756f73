"""The Emotiv sets in small: `.npy` dictionaries as EEG2Rep and SAMBA write them, and STEW's own texts.

NumPy writes the dictionaries, and pickle, which one of the sets is without NumPy's head.
"""

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.signal
from hypothesis import strategies as st

from eegfm.benchmarks.emotiv import stew_read
from tests.corpora import Corpus, Truth, tone

ORDER = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
SPLITS = ("train", "val", "test")
KEYS = {"eeg2rep": ("{}_data", "{}_label"), "samba": ("X_{}", "Y_{}")}


def without_mean(recording: str, name: str, seconds: np.ndarray) -> np.ndarray:
    """A window of the tone without its mean, which is not 0 over parts of a period."""
    x = tone(recording, name, seconds)
    return x - x.mean()


def filtered(recording: str, name: str, seconds: np.ndarray) -> np.ndarray:
    """A window of the tone after the published filter, which moves it: by up to 41 µV at the ends."""
    edges, stops = np.array([0.5, 40]) / 64, np.array([0.2, 48]) / 64
    z, p, k = scipy.signal.iirdesign(edges, stops, 1, 40, ftype="cheby2", output="zpk")
    return scipy.signal.sosfiltfilt(scipy.signal.zpk2sos(z, p, k), 4200 + tone(recording, name, seconds))


def write_npy(
    root: Path, sizes: dict[str, int], *, file: str, keys: str = "eeg2rep", head: bool = True
) -> list[Truth]:
    """So many windows in each split, of both classes in turn, at an offset, in a dictionary with what else it has."""
    held: dict[str, object] = {"max_len": 256}
    truths = []
    for split, n in sizes.items():
        seconds = np.arange(n * 256) / 128
        rows = np.stack([tone(split, name, seconds) for name in ORDER]) + 4200
        x, label = rows.reshape(14, n, 256).transpose(1, 0, 2), np.arange(n) % 2
        held |= {key.format(split): value for key, value in zip(KEYS[keys], (x, label), strict=True)}
        truths += [Truth(split, split, split, 2.0 * i, int(label[i])) for i in range(n)]
    if keys == "eeg2rep":
        held |= {"All_train_data": held["train_data"], "All_train_label": held["train_label"]}
    if head:
        np.save(root / f"{file}.npy", np.array(held, dtype=object))
    else:
        (root / f"{file}.npy").write_bytes(pickle.dumps(held, protocol=4))
    return truths


def write_stew(root: Path, table: dict[str, int]) -> list[Truth]:
    """Texts of so many seconds, named as at IEEE DataPort, of a person in each split."""
    home = root / "STEW Dataset"
    home.mkdir()
    truths = []
    for person, length_s in table.items():
        order = np.random.default_rng(0).permutation(48).tolist()
        at = order.index(int(person[3:]) - 1)
        split = "train" if at < 30 else "val" if at < 36 else "test"
        for label, kind in enumerate(("lo", "hi")):
            name = f"{person}_{kind}"
            seconds = np.arange(length_s * 128) / 128
            rows = np.stack([stew_signal(name, row, seconds, length_s) for row in ORDER]) + 4200
            np.savetxt(home / f"{name}.txt", rows.T, fmt="%.4f", delimiter="  ")
            truths += [Truth(person, name, split, 0.5 * i, label) for i in range(2 * length_s - 3)]
    (home / "ratings.txt").write_text("1, 4, 7\n")
    return truths


def stew_signal(recording: str, name: str, seconds: np.ndarray, length_s: int) -> np.ndarray:
    """A tone that fades in and out, so that a filter of the whole recording finds no step at its ends."""
    fade = np.sin(np.pi / 2 * np.clip(np.minimum(seconds, length_s - seconds), 0, 1)) ** 2
    return fade * tone(recording, name, seconds)


SIZES = dict(zip(SPLITS, (4, 2, 2), strict=True))
LENGTH_S = 6


def of_npy(option: str, file: str, variant: str = "repaired", **how) -> Corpus:
    more = {"files": "npy"} if option == "stew" else {}
    return Corpus(
        option,
        partial(write_npy, file=file, **how),
        without_mean if variant == "repaired" else filtered,
        SIZES,
        st.just(SIZES).map(lambda sizes: dict.fromkeys(sizes, 2)),
        {**more, "variant": variant},
        tolerance_uv=0.01,
    )


CORPORA = [
    of_npy("crowdsourced", "Crowdsource"),
    of_npy("crowdsourced", "Crowdsource", "published"),
    of_npy("stew", "STEW"),
    Corpus(
        "stew",
        write_stew,
        partial(stew_signal, length_s=LENGTH_S),
        dict.fromkeys(("sub01", "sub10", "sub06"), LENGTH_S),
        st.just({"sub01": LENGTH_S}),
        {"files": "raw", "variant": "repaired"},
        tolerance_uv=1.0,
        adapt=lambda benchmark: replace(benchmark, read=partial(stew_read, length_s=LENGTH_S)),
    ),
    of_npy("dreamer", "DREAMER", head=False),
    of_npy("alpha", "Alpha", keys="samba"),
    of_npy("attention", "Attention"),
    of_npy("driver_distraction", "DriverDistraction"),
]
