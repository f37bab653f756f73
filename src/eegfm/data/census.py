"""Count the windows of a store, compare the counts with the census, and look for leaks between splits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Source
from eegfm.data.facts import Leakage
from eegfm.data.store import SampleIndex


def count(index: SampleIndex, n_classes: int) -> dict[str, Any]:
    """The number of windows: all, by split, by split and class; and the subjects of each split."""
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
    """The differences between a complete corpus and its census; empty if there are none."""
    census, counted = benchmark.census, count(index, len(benchmark.kinds))
    wrong = []
    if census.recordings is not None and census.recordings != n_recordings:
        wrong.append(f"{n_recordings} recordings, the census says {census.recordings}")
    if census.windows is not None and census.windows != counted["windows"]:
        wrong.append(f"{counted['windows']:,} windows, the census says {census.windows:,}")
    for split, n in (census.per_split or {}).items():
        if n != counted["per_split"][split]:
            wrong.append(f"{counted['per_split'][split]:,} windows in {split}, the census says {n:,}")
    for split, counts in (census.per_class or {}).items():
        if list(counts) != counted["per_class"][split]:
            wrong.append(
                f"classes of {split} {counted['per_class'][split]}, the census says {list(counts)}"
            )
    return wrong


@dataclass(frozen=True)
class Copies:
    """Groups of different files with the same bytes, each as {file: recording}; and those that are not declared."""

    groups: list[dict[Path, str]]
    undeclared: list[dict[Path, str]]

    def named(self) -> list[str]:
        """The files of each group that the benchmark does not declare, with recordings that are called otherwise."""
        return [
            " = ".join(
                path.name if recording == path.stem else f"{path.name} ({recording})"
                for path, recording in group.items()
            )
            for group in self.undeclared
        ]


def copies(benchmark: BenchmarkSpec, sources: Iterable[Source], sha256: Mapping[Path, str]) -> Copies:
    """Find the copies among the files whose SHA-256 is known."""
    by_sum: dict[str, dict[Path, str]] = {}
    for source in sources:
        if source.path in sha256:
            by_sum.setdefault(sha256[source.path], {})[source.path] = source.recording
    groups = [group for group in by_sum.values() if len(group) > 1]
    declared = [set(known) for known in benchmark.duplicates]
    wrong = [group for group in groups if not any(set(group.values()) <= known for known in declared)]
    return Copies(groups, wrong)


def leakage(index: SampleIndex, window_s: float) -> Leakage:
    """Compare the splits of an index, whose windows are `window_s` seconds long. Unused rows ("") are left out."""
    used = np.flatnonzero(index.split != "")
    split = index.split[used]
    nearest_s, nearest = None, None
    shared_recordings = _shared(index.recording[used], split)
    for name in shared_recordings:
        rows = used[index.recording[used] == name]
        rows = rows[np.argsort(index.onset_s[rows], kind="stable")]
        # all windows have one length, so the nearest pair of two splits are neighbours in time
        other = np.flatnonzero(index.split[rows][1:] != index.split[rows][:-1])
        gaps = np.diff(index.onset_s[rows])[other] - window_s
        i = int(np.argmin(gaps))
        if nearest_s is None or gaps[i] < nearest_s:
            nearest_s = round(float(gaps[i]), 6)
            nearest = (index.key(int(rows[other[i]])), index.key(int(rows[other[i] + 1])))
    identical = []
    for digest in _shared(index.digest[used], split):
        rows = used[index.digest[used] == digest]
        identical.append({index.key(int(row)): str(index.split[row]) for row in rows})
    return Leakage(
        shared_subjects=_shared(index.subject[used], split),
        shared_recordings=shared_recordings,
        nearest_s=nearest_s,
        nearest=nearest,
        identical=identical,
    )


def _shared(values: np.ndarray, split: np.ndarray) -> dict[Any, list[str]]:
    """The values that are in more than one split, with their splits."""
    names, position = np.unique(values, return_inverse=True)
    member = np.stack([np.bincount(position[split == name], minlength=len(names)) > 0 for name in SPLITS])
    return {
        names[i].item(): [name for name, has in zip(SPLITS, member[:, i], strict=True) if has]
        for i in np.flatnonzero(member.sum(axis=0) > 1)
    }
