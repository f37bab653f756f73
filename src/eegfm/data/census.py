"""Counting what was found, holding it against what must be there, and looking for leaks between splits."""

from typing import Any

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.data.store import SampleIndex


def count(index: SampleIndex, n_classes: int) -> dict[str, Any]:
    """Windows in all, per split, and per split and class."""
    per_class = {
        split: np.bincount(index.label[index.rows(split)], minlength=n_classes).tolist() for split in SPLITS
    }
    return {
        "windows": len(index),
        "per_split": {split: sum(per_class[split]) for split in SPLITS},
        "per_class": per_class,
        "subjects": {split: sorted(set(index.subject[index.rows(split)].tolist())) for split in SPLITS},
    }


def census_differences(benchmark: BenchmarkSpec, index: SampleIndex, n_recordings: int) -> list[str]:
    """Where a complete corpus does not give what its census says; empty when all is right."""
    census, found = benchmark.census, count(index, len(benchmark.classes))
    wrong = []
    if census.recordings is not None and census.recordings != n_recordings:
        wrong.append(f"{n_recordings} recordings, the census says {census.recordings}")
    if census.windows is not None and census.windows != found["windows"]:
        wrong.append(f"{found['windows']:,} windows, the census says {census.windows:,}")
    for split, n in (census.per_split or {}).items():
        if n != found["per_split"][split]:
            wrong.append(f"{found['per_split'][split]:,} windows in {split}, the census says {n:,}")
    for split, counts in (census.per_class or {}).items():
        if list(counts) != found["per_class"][split]:
            wrong.append(f"classes of {split} {found['per_class'][split]}, the census says {list(counts)}")
    return wrong


def leaks(index: SampleIndex) -> list[str]:
    """What is shared between splits and must not be: subjects, recordings, byte-identical windows. Empty when clean."""
    found = []
    for what, values in (
        ("subject", index.subject),
        ("recording", index.recording),
        ("byte-identical window", index.digest),
    ):
        pairs = np.unique(
            np.stack(
                [np.unique(values, return_inverse=True)[1], np.unique(index.split, return_inverse=True)[1]]
            ),
            axis=1,
        )
        names, splits_of = np.unique(pairs[0], return_counts=True)
        for position in names[splits_of > 1][:5]:
            value = np.unique(values)[position]
            rows = np.flatnonzero(values == value)
            where = {str(index.split[row]): index.key(int(row)) for row in rows}
            found.append(
                f"{what} in {' and '.join(f'{split} ({key})' for split, key in sorted(where.items()))}"
            )
    return found
