"""Divisions of a prepared store: the same windows, divided anew under a seed.

The published split is none of these: `benchmarks/<name>.py` makes it, and the store has it.

A division is a frozen dataclass. It is called with a store's index and the length of its windows in seconds, and
returns the split of every row, "" for an unused row. The store stays as it is. All subjects of a benchmark take part,
whatever their published split, so its scores cannot be compared with published numbers; every report says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.data.store import SampleIndex
from eegfm.support.words import some


class Division(Protocol):
    """What every division has. `within_subject`: a test subject may also be a training subject."""

    within_subject: ClassVar[bool]

    def __call__(self, index: SampleIndex, window_s: float) -> np.ndarray: ...


def published() -> None:
    """The split of the protocol, as the store has it: `benchmarks/<name>.py` makes it."""


@dataclass(frozen=True, kw_only=True)
class LeaveOneSubjectOut:
    """Test on one subject, validate on `val_subjects` drawn from the others, and train on the rest.

    Args:
        fold: the test subject, by its position among the sorted subject ids, from 0.
        val_subjects: the number of validation subjects.
        seed: of the draw. It is not the run's seed, so that seeds of one fold are comparable.
    """

    fold: int
    val_subjects: int = 2
    seed: int = 0
    within_subject: ClassVar[bool] = False

    def __call__(self, index: SampleIndex, window_s: float) -> np.ndarray:
        subjects = _subjects(index)
        _check_fold(self.fold, len(subjects), "subjects")
        if not 1 <= self.val_subjects <= len(subjects) - 2:
            raise EegfmError(
                f"split.val_subjects={self.val_subjects}: one of {len(subjects)} subjects tests and at least one "
                f"trains, so 1 to {len(subjects) - 2} may validate."
            )
        test = subjects[self.fold]
        others = [subject for subject in subjects if subject != test]
        drawn = np.random.default_rng([self.seed, self.fold]).permutation(others)
        return _split_of(index, val=drawn[: self.val_subjects].tolist(), test=[test])


@dataclass(frozen=True, kw_only=True)
class KFold:
    """Divide the subjects into `folds` groups of nearly equal size: one tests, the next validates, the others train.

    Args:
        fold: the group that tests, from 0.
        folds: the number of groups.
        seed: of the draw. It is not the run's seed, so that seeds of one fold are comparable.
    """

    fold: int
    folds: int = 5
    seed: int = 0
    within_subject: ClassVar[bool] = False

    def __call__(self, index: SampleIndex, window_s: float) -> np.ndarray:
        subjects = _subjects(index)
        if not 3 <= self.folds <= len(subjects):
            raise EegfmError(
                f"split.folds={self.folds}: one fold tests, one validates and one trains, and each has a subject, "
                f"so 3 to {len(subjects)} are possible."
            )
        _check_fold(self.fold, self.folds, "folds")
        groups = self._groups(index, np.random.default_rng(self.seed).permutation(subjects))
        after = (self.fold + 1) % self.folds
        return _split_of(index, val=groups[after].tolist(), test=groups[self.fold].tolist())

    def _groups(self, index: SampleIndex, drawn: np.ndarray) -> Sequence[np.ndarray]:
        return np.array_split(drawn, self.folds)


@dataclass(frozen=True, kw_only=True)
class KFoldByKind(KFold):
    """`KFold`, with the subjects of each class shared out among the groups: for data where a label is of a subject."""

    @staticmethod
    def fits(index: SampleIndex) -> bool:
        """Whether every subject has one label, and not all the same."""
        return len(set(index.label.tolist())) > 1 and len(
            set(zip(index.subject, index.label, strict=True))
        ) == len(_subjects(index))

    def _groups(self, index: SampleIndex, drawn: np.ndarray) -> Sequence[np.ndarray]:
        label = dict(zip(index.subject.tolist(), index.label.tolist(), strict=True))
        dealt = np.array(sorted(drawn.tolist(), key=label.__getitem__))  # as drawn within a class
        return [dealt[group :: self.folds] for group in range(self.folds)]


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Move a few windows of every test subject from the published test split to training: calibration to a person.

    The shots of a test subject and class lie together, at one end of a recording: the first `shots` windows of the
    class, or the last. Recording and end are drawn; a recording with fewer windows of the class is followed by the
    next. Windows within `gap_s` of a shot in the same recording are not used, since neighbouring windows are nearly the
    same; shots that lie together cost the least of them. Every subject keeps test windows of every class.

    Args:
        shots: windows for each class and test subject.
        gap_s: least distance of a test window from a training window, in seconds.
        seed: of the draw. It is not the run's seed, so that seeds are comparable.
    """

    shots: int
    gap_s: float = 10.0
    seed: int = 0
    within_subject: ClassVar[bool] = True

    def __call__(self, index: SampleIndex, window_s: float) -> np.ndarray:
        split = index.split.astype("<U5")
        lost = []
        for position, subject in enumerate(sorted(set(index.subject[split == "test"].tolist()))):
            rng = np.random.default_rng([self.seed, position])
            rows = np.flatnonzero((index.split == "test") & (index.subject == subject))
            names, recording = np.unique(index.recording[rows], return_inverse=True)
            turn = rng.permutation(len(names))[recording]
            from_its_end = rng.integers(2, size=len(names))[recording] == 1
            along = np.where(from_its_end, -index.onset_s[rows], index.onset_s[rows])
            rows = rows[np.lexsort((along, turn))]
            of_class = {
                int(label): rows[index.label[rows] == label] for label in np.unique(index.label[rows])
            }
            for shot in np.concatenate([own[: self.shots] for own in of_class.values()]):
                near = rows[
                    (index.recording[rows] == index.recording[shot])
                    & (np.abs(index.onset_s[rows] - index.onset_s[shot]) < window_s + self.gap_s)
                    & (split[rows] == "test")
                ]
                split[near] = ""
                split[shot] = "train"
            lost += [
                f"{subject} class {label} (of {len(own)})"
                for label, own in of_class.items()
                if not (split[own] == "test").any()
            ]
        if lost:
            raise EegfmError(
                f"split.shots={self.shots} with split.gap_s={self.gap_s:g} leaves no test window of {len(lost)} "
                f"classes of test subjects; classes count from 0: {some(lost, 8)}. Take fewer shots or a smaller gap."
            )
        return split


@dataclass(frozen=True, kw_only=True)
class ByRecording:
    """Divide by the names of recordings: some validate, some test, the others train. For data of one or few persons.

    Args:
        val: names of the validation recordings.
        test: names of the test recordings.
    """

    val: Sequence[str]
    test: Sequence[str]
    within_subject: ClassVar[bool] = True

    def __call__(self, index: SampleIndex, window_s: float) -> np.ndarray:
        known = sorted(set(index.recording.tolist()))
        unknown = sorted({*self.val, *self.test} - set(known))
        if unknown or set(self.val) & set(self.test):
            raise EegfmError(
                f"split.val={list(self.val)}, split.test={list(self.test)}: "
                + (f"there is no {', '.join(unknown)}. " if unknown else "a recording has one split. ")
                + f"Some of the {len(known)} recordings: {', '.join(known[:8])}"
            )
        recording = index.recording
        return np.select(
            [np.isin(recording, self.test), np.isin(recording, self.val)], ["test", "val"], "train"
        )


def subset(index: SampleIndex, split: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """Keep only a fraction of the training rows of a split: the same of each class, at least one window.

    The draw is a function of the seed alone, and a smaller ratio is a subset of a larger one.
    """
    if not 0 < ratio <= 1:
        raise EegfmError(
            f"data.train_ratio={ratio:g}: a fraction of the training windows is wanted, above 0 and up to 1."
        )
    if ratio == 1:
        return split
    labels, counts = np.unique(index.label[split == "train"], return_counts=True)
    return _drawn(index, split, labels, [max(1, round(ratio * n)) for n in counts.tolist()], seed)


def few(index: SampleIndex, split: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Keep `n` training windows of a split: of each class its share, at least one, by the draw of `subset`.

    What is left over goes to the classes whose shares have the largest fractions.

    Raises:
        EegfmError: there are fewer training windows than that, or more classes.
    """
    labels, counts = np.unique(index.label[split == "train"], return_counts=True)
    if not len(labels) <= n <= counts.sum():
        raise EegfmError(
            f"data.train_windows={n}: there are {counts.sum()} training windows of {len(labels)} classes, so "
            f"{len(labels)} to {counts.sum()} are possible; null for all."
        )
    exact = n * counts / counts.sum()
    share = np.maximum(np.floor(exact), 1).astype(int)
    while share.sum() != n:
        step = 1 if share.sum() < n else -1
        open_to = share < counts if step > 0 else share > 1
        share[np.argmax(np.where(open_to, step * (exact - share), -np.inf))] += step
    return _drawn(index, split, labels, share.tolist(), seed)


def _drawn(
    index: SampleIndex, split: np.ndarray, labels: np.ndarray, kept: Sequence[int], seed: int
) -> np.ndarray:
    """The split with so many training rows of each of the labels, the first of an order that the seed draws."""
    chosen = split.copy()
    for label, n in zip(labels, kept, strict=True):
        rows = np.flatnonzero((split == "train") & (index.label == label))
        drawn = np.random.default_rng([seed, int(label)]).permutation(rows)
        chosen[drawn[n:]] = ""
    return chosen


def _subjects(index: SampleIndex) -> list[str]:
    return sorted(set(index.subject.tolist()))


def _split_of(index: SampleIndex, *, val: list[str], test: list[str]) -> np.ndarray:
    return np.select([np.isin(index.subject, test), np.isin(index.subject, val)], ["test", "val"], "train")


def _check_fold(fold: int, n: int, what: str) -> None:
    if not 0 <= fold < n:
        raise EegfmError(f"split.fold={fold}: there are {n} {what}, so a fold is 0 to {n - 1}.")
