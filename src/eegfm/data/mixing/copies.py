"""Near copies across the corpora of a mix: a recording of each holds one signal, though no byte need be the same.

Two corpora are compared where their windows are: the same channels in any order, one rate and one length, and no
encoder before them. How a copy is found, and how surely, stands in `eegfm.data.verifying.near_copies`.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from eegfm.data.module import EEGDataModule
from eegfm.data.store import SampleIndex
from eegfm.data.verifying.near_copies import NearCopies, probe_rows
from eegfm.signal.montage import today
from eegfm.support.files import write_json
from eegfm.support.summed import with_sum, without_sum

FOLDER = "near_copies"  # in the cache: what was found in two stores, by recipe and content of both
VERSION = 1  # of the search: with another one, what is kept there is found anew
WORTH_S = 1.0  # what took longer is kept there
CHUNK = 2**24  # bytes of windows that are read at a time


def signals(parts: Mapping[str, EEGDataModule]) -> dict[str, np.ndarray]:
    """By corpus, a name for the signal of every row: recordings of two corpora that hold one signal have one name."""
    same: dict[str, str] = {}

    def name(recording: str) -> str:
        while recording in same:
            recording = same[recording]
        return recording

    for (first, one), (second, other) in combinations(parts.items(), 2):
        for mine, theirs in _pairs(one, other) if _comparable(one, other) else []:
            a, b = name(f"{first}/{mine}"), name(f"{second}/{theirs}")
            if a != b:
                same[a] = b
    return {
        corpus: np.array([name(f"{corpus}/{recording}") for recording in part.index.recording.tolist()])
        for corpus, part in parts.items()
    }


def _comparable(one: EEGDataModule, other: EEGDataModule) -> bool:
    alike = [
        (sorted(map(today, part.spec.montage.names)), part.spec.sfreq, part.spec.shape)
        for part in (one, other)
    ]
    return alike[0] == alike[1] and one.encoder is None and other.encoder is None


def _pairs(one: EEGDataModule, other: EEGDataModule) -> list[list[str]]:
    """Recordings of two corpora that hold one signal: found in their stores, or where it was found before."""
    stores = [part.open() for part in (one, other)]
    contents = "-".join(f"{store.recipe.fingerprint}-{store.content}" for store in stores)
    kept = Path(one.preparation.cache) / FOLDER / f"{contents}-v{VERSION}.json"
    # there is none; or it is damaged, and made again
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        held = without_sum(json.loads(kept.read_text(encoding="utf-8")), kept)
        return [[str(mine), str(theirs)] for mine, theirs in held["pairs"]]
    began = time.monotonic()
    found = _search(one, other)
    if time.monotonic() - began > WORTH_S:
        with suppress(OSError):  # a cache that one may only read: it is found again next time
            kept.parent.mkdir(exist_ok=True)
            write_json(kept, with_sum({"pairs": found}), sync=False)
    return found


def _search(one: EEGDataModule, other: EEGDataModule) -> list[list[str]]:
    """Look for windows of each store in those of the other."""
    stores = [one.open(), other.open()]
    places = [[today(name) for name in part.spec.montage.names] for part in (one, other)]
    order = [places[1].index(name) for name in places[0]]
    recordings = np.concatenate([store.index.recording for store in stores])
    n_first = len(stores[0])

    def read(rows: Int[np.ndarray, " window"]) -> Float[np.ndarray, "window channel time"]:
        windows = np.empty((len(rows), *stores[0].shape), dtype=np.float32)
        mine = rows < n_first
        windows[mine] = stores[0].read(rows[mine])
        windows[~mine] = stores[1].read(rows[~mine] - n_first)[:, order]
        return np.nan_to_num(windows, copy=False, posinf=0, neginf=0)

    # to the search each store is one recording, so that no window is looked for among those of its own corpus
    stored = SampleIndex.concatenate([store.index for store in stores])
    corpora = replace(stored, recording=np.repeat(["first", "second"], [n_first, len(stores[1])]))
    probes = np.concatenate([probe_rows(stores[0].index), n_first + probe_rows(stores[1].index)])
    copies = NearCopies(corpora, probes, read(probes), one.spec.sfreq)
    n = max(1, CHUNK // (int(np.prod(stores[0].shape)) * 4))
    for start in range(0, len(corpora), n):
        rows = np.arange(start, min(start + n, len(corpora)))
        copies.add(rows, read(rows))
    found = set()
    for copy in copies.found(read):
        mine, theirs = sorted((copy.row, copy.like))
        found.add((str(recordings[mine]), str(recordings[theirs])))
    return [list(names) for names in sorted(found)]
