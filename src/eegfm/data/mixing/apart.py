"""Splits hold across the corpora of a mix.

A person, raw file or window that one corpus tests on is neither trained nor validated on in another, and
one that it validates on is not trained on: such windows are left out, and counted. A person is recognised
in corpora of one pool (see `BenchmarkSpec.pool`) and in two forms of one benchmark. A near copy of a
recording is left out as a whole (see `eegfm.data.mixing.copies`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from eegfm.benchmarks.spec import SPLITS
from eegfm.data.census import leakage
from eegfm.data.mixing.copies import signals
from eegfm.data.module import EEGDataModule


def keep_apart(parts: Mapping[str, EEGDataModule]) -> list[dict[str, Any]]:
    """Take out of every opened corpus the windows that another has in a later split, and report them.

    Splits come in the order train, val, test. An entry for each corpus, split and reason: {"corpus", "split",
    "windows", "subjects", "what"}; `what` is the first that is shared of "person", "raw file", "window" and
    "near copy".
    """
    left_out = []
    for what, name_rows in (
        ("person", _persons),
        ("raw file", _files),
        ("window", _windows),
        ("near copy", signals),
    ):
        names = name_rows(parts)
        later = in_a_later_split(names, {corpus: part.index.split for corpus, part in parts.items()})
        for corpus, rows in later.items():
            index = parts[corpus].index
            for split in SPLITS:
                gone = rows & (index.split == split)
                if gone.any():
                    subjects = sorted(set(index.subject[gone].tolist()))
                    facts = {
                        "corpus": corpus,
                        "split": split,
                        "windows": int(gone.sum()),
                        "subjects": subjects,
                    }
                    left_out.append({**facts, "what": what})
            parts[corpus].index = replace(index, split=np.where(rows, "", index.split))
    for corpus in {entry["corpus"] for entry in left_out}:
        parts[corpus].leakage = leakage(parts[corpus].index, parts[corpus].benchmark.window_s)
    return left_out


def in_a_later_split(
    names: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray]
) -> dict[str, Bool[np.ndarray, " row"]]:
    """Every corpus's rows whose name is in a later split of another. Rows of no split ("") do not count."""
    order = ("", *SPLITS)
    place = {corpus: sum((split == s) * i for i, s in enumerate(order)) for corpus, split in splits.items()}
    unique = {corpus: np.unique(values, return_inverse=True) for corpus, values in names.items()}
    latest: dict[str, dict[Any, int]] = {}
    for corpus, (known, row_of) in unique.items():
        last = np.zeros(len(known), dtype=int)
        np.maximum.at(last, row_of, place[corpus])
        latest[corpus] = dict(zip(known.tolist(), last.tolist(), strict=True))
    found = {}
    for corpus, (known, row_of) in unique.items():
        others = [found for other, found in latest.items() if other != corpus]
        elsewhere = [max((other.get(name, 0) for other in others), default=0) for name in known.tolist()]
        found[corpus] = (place[corpus] > 0) & (np.array(elsewhere, dtype=int)[row_of] > place[corpus])
    return found


def _persons(parts: Mapping[str, EEGDataModule]) -> dict[str, np.ndarray]:
    return {
        corpus: np.char.add(f"{part.benchmark.pool or part.benchmark.name}/", part.index.subject)
        for corpus, part in parts.items()
    }


def _files(parts: Mapping[str, EEGDataModule]) -> dict[str, np.ndarray]:
    return {corpus: _files_of(corpus, part) for corpus, part in parts.items()}


def _files_of(corpus: str, part: EEGDataModule) -> np.ndarray:
    """The SHA-256 of the signal's file of every row; where it is not known (an imported store), a name of its own."""
    recordings = part.open().manifest.recordings
    sums = {r["recording"]: r["files"][0]["sha256"] for r in recordings if r.get("files")}
    known, row_of = np.unique(part.index.recording, return_inverse=True)
    return np.array([sums.get(name, f"{corpus}/{name}") for name in known.tolist()])[row_of]


def _windows(parts: Mapping[str, EEGDataModule]) -> dict[str, np.ndarray]:
    return {corpus: part.index.digest for corpus, part in parts.items()}


def not_told(parts: Mapping[str, EEGDataModule]) -> dict[str, str]:
    """By corpus, the people whom the others of its pool cannot recognise (see `BenchmarkSpec.pool_gap`)."""
    pools = [part.benchmark.pool for part in parts.values()]
    return {
        name: part.benchmark.pool_gap
        for name, part in parts.items()
        if part.benchmark.pool_gap and pools.count(part.benchmark.pool) > 1
    }
