"""Counting what was found, holding it against what must be there, and looking for leaks between splits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Source
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
    census, found = benchmark.census, count(index, len(benchmark.kinds))
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


@dataclass(frozen=True)
class Copies:
    """Different files of a protocol with the same bytes: of each group its recordings, by their file."""

    groups: list[dict[Path, str]]
    undeclared: list[dict[Path, str]]

    def named(self) -> list[str]:
        """Of each group that the benchmark does not declare, its files."""
        return [" = ".join(path.name for path in group) for group in self.undeclared]


def copies(benchmark: BenchmarkSpec, sources: Iterable[Source], sha256: Mapping[Path, str]) -> Copies:
    """Compare the files of recordings, as far as their SHA-256 is known."""
    by_sum: dict[str, dict[Path, str]] = {}
    for source in sources:
        if source.path in sha256:
            by_sum.setdefault(sha256[source.path], {})[source.path] = source.recording
    groups = [group for group in by_sum.values() if len(group) > 1]
    declared = [set(known) for known in benchmark.duplicates]
    wrong = [group for group in groups if not any(set(group.values()) <= known for known in declared)]
    return Copies(groups, wrong)


@dataclass(frozen=True)
class Leakage:
    """What splits have in common.

    `shared_*` stand in more than one split, each with its splits. `nearest_s` is the smallest distance between windows
    of different splits in one recording, from the end of the one to the beginning of the other (negative: they overlap;
    None: no recording is shared), `nearest` their keys. `identical` are windows of different splits with the same
    bytes: keys with their splits.
    """

    shared_subjects: dict[str, list[str]]
    shared_recordings: dict[str, list[str]]
    nearest_s: float | None
    nearest: tuple[str, str] | None
    identical: list[dict[str, str]]

    def undeclared(self, benchmark: BenchmarkSpec, *, within_subject: bool | None = None) -> list[str]:
        """What the benchmark does not say of itself, a clause each; empty when nothing leaks.

        `within_subject` overrides the benchmark's own word, for a split that is not its published one.
        """
        found = []
        if not (benchmark.within_subject if within_subject is None else within_subject):
            declared = {"train", "val"} if benchmark.subject_leak else set()
            subjects = {
                name: splits for name, splits in self.shared_subjects.items() if set(splits) - declared
            }
            shared = {"subject": subjects, "recording": self.shared_recordings}
            found = [
                f"{what} {name} in {' and '.join(splits)}"
                for what, names in shared.items()
                for name, splits in list(names.items())[:5]
            ]
        known = [set(group) for group in benchmark.duplicates]
        for keys in self.identical:
            if not any({key.rsplit("/", 1)[0] for key in keys} <= group for group in known):
                found.append(
                    "byte-identical window in "
                    + " and ".join(f"{split} ({key})" for key, split in keys.items())
                )
        return found[:10]


def leakage(index: SampleIndex, window_s: float) -> Leakage:
    """Compare the splits of an index, whose windows are `window_s` seconds long. Rows of no split ("") are left out."""
    used = np.flatnonzero(index.split != "")
    split = index.split[used]
    nearest_s, nearest = None, None
    shared_recordings = _shared(index.recording[used], split)
    for name in shared_recordings:
        rows = used[index.recording[used] == name]
        rows = rows[np.argsort(index.onset_s[rows], kind="stable")]
        # windows are of one length, so the nearest pair of two splits is next to one another in time
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
    """Values that stand in more than one split, with their splits."""
    names, position = np.unique(values, return_inverse=True)
    member = np.stack([np.bincount(position[split == name], minlength=len(names)) > 0 for name in SPLITS])
    return {
        names[i].item(): [name for name, has in zip(SPLITS, member[:, i], strict=True) if has]
        for i in np.flatnonzero(member.sum(axis=0) > 1)
    }


def leakage_sentence(leakage: Mapping[str, Any]) -> str:
    """What the splits of a run have in common, in a line (see `eegfm.data.census.Leakage` and `eegfm.data.mix`)."""
    subjects, identical = len(leakage["shared_subjects"]), len(leakage["identical"])
    across = [
        f"left out of {gone['corpus']}, {gone['split']}: {gone['windows']:,} windows of {len(gone['subjects'])} "
        f"subjects ({gone['what']} in a later split of another corpus)"
        for gone in leakage.get("left_out", [])
    ]
    across += [
        f"{name}: {gap}, so that they are not recognised in other corpora"
        for name, gap in leakage.get("not_told", {}).items()
    ]
    if not subjects and not identical and leakage["nearest_s"] is None:
        return "; ".join(["none; splits share no subject, no recording and no window", *across])
    said = [f"{subjects} subjects in more than one split" if subjects else "splits share no subject"]
    if leakage["nearest_s"] is not None:
        first, second = leakage["nearest"]
        said.append(
            f"{len(leakage['shared_recordings'])} recordings shared, windows of different splits as near as "
            f"{leakage['nearest_s']:g} s ({first} and {second})"
        )
    said.append(f"{identical} byte-identical windows across splits" if identical else "no window twice")
    return "; ".join([*said, *across])
