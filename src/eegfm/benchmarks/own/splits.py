"""Who trains, validates and tests: drawn by subject, named, or said by a table or a path."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eegfm.benchmarks.own.tables import Column, column_of
from eegfm.benchmarks.spec import SPLITS, SplitName
from eegfm.contracts import EegfmError
from eegfm.support.words import some, unknown

SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Split:
    """How recordings are divided.

    Args:
        origin: drawn by subject, or all for training; subjects by name; or a word of a path or a table.
        shares: of train, val and test, where drawn.
        seed: of the draw.
        subjects: by split, where named.
        column: that of a table.
        names: what each split is called in the path or the table.
        val_share: the part of the training subjects that validates, drawn, where the words know only train and test.
        within_subject: subjects may be in several splits.
    """

    origin: Literal["drawn", "named", "path", "table"]
    shares: tuple[float, ...] = SHARES
    seed: int = 0
    subjects: Mapping[SplitName, tuple[str, ...]] | None = None
    column: Column | None = None
    names: Mapping[str, SplitName] | None = None
    val_share: float = 0.0
    within_subject: bool = False

    @property
    def rule(self) -> str:
        """The division in words."""
        if self.origin == "drawn":
            shares = " / ".join(f"{share:g}" for share in self.shares)
            return f"drawn by subject, {shares} train / val / test, seed {self.seed}, of each kind of subject alike"
        if self.origin == "named":
            return "subjects by name"
        where = "the path" if self.column is None else f"column {self.column.column} of {self.column.file}"
        drawn = f", {self.val_share:g} of the training subjects validate, drawn, seed {self.seed}"
        return f"as {where} says{drawn if self.val_share else ''}"

    def word(self, text: str, where: str) -> SplitName:
        """The split that a word stands for. Raises EegfmError for none."""
        assert self.names is not None
        if text not in self.names:
            raise EegfmError(
                unknown(where, f"{text!r} is no split", text, [*self.names])
                + " Other words are named so: split.names: {train: training, val: dev, test: eval}"
            )
        return self.names[text]

    def of_subjects(self, kinds: Mapping[str, Collection[int]]) -> dict[str, SplitName]:
        """The split of every subject, drawn or named; `kinds` has the labels of each as far as they are known.

        Raises EegfmError for a subject without a split, one that is named and not there, and a split that would be
        empty.
        """
        if self.origin == "named":
            return self._named(kinds)
        order = sorted(kinds, key=lambda subject: (sorted(kinds[subject]), _lot(self.seed, subject)))
        counts = dict.fromkeys(SPLITS, 0)
        found: dict[str, SplitName] = {}
        for i, subject in enumerate(order, start=1):
            # the split that is farthest behind its share
            split = max(SPLITS, key=lambda name: self.shares[SPLITS.index(name)] * i - counts[name])
            found[subject] = split
            counts[split] += 1
        empty = [
            split for split, share in zip(SPLITS, self.shares, strict=True) if share and not counts[split]
        ]
        if empty:
            raise EegfmError(
                f"split: {len(order)} subjects ({some(order, 4)}) leave nobody for {' and '.join(empty)} with shares "
                f"of {list(self.shares)}. Take other shares, or split: train and another division "
                "(split=loso, split=recordings)."
            )
        return found

    def _named(self, kinds: Collection[str]) -> dict[str, SplitName]:
        assert self.subjects is not None
        found: dict[str, SplitName] = {
            subject: split for split, subjects in self.subjects.items() for subject in subjects
        }
        without, gone = sorted(set(kinds) - set(found)), sorted(set(found) - set(kinds))
        if without:
            raise EegfmError(
                f"split: {some(without)} in no split. Name them in train, val or test, or say why they are not used "
                "under leave_out: {<pattern>: <reason>}"
            )
        if gone:
            raise EegfmError(
                f"split: {some(gone)} named ({found[gone[0]]}), and no file is theirs; there are files of "
                f"{some(sorted(kinds))}. Fetch the files or correct the names."
            )
        return found


def split_of(given: str | Mapping[str, Any] | None) -> Split:
    """The division that the YAML says. Raises EegfmError for one that says none."""
    if given is None:
        return Split("drawn")
    if given == "train":
        return Split("drawn", (1.0, 0.0, 0.0))
    if not isinstance(given, Mapping):
        raise EegfmError(f"split: {given}: {_forms()}")
    rest = {str(key): value for key, value in given.items()}
    within = rest.pop("within_subject", False)
    if not isinstance(within, bool):
        raise EegfmError(f"split.within_subject={within}: true or false is wanted.")
    if set(rest) & set(SPLITS):
        return _of_names(rest, within)
    if "from" in rest:
        return _of_words(rest, within)
    for key in rest:
        if key not in ("by", "shares", "seed"):
            raise EegfmError(
                unknown(f"split.{key}", f"there is no {key}", key, ("by", "shares", "seed", *SPLITS))
            )
    if rest.get("by") != "subject" or within:
        raise EegfmError(f"split: {dict(given)}: {_forms()}")
    shares = tuple(rest.get("shares", SHARES))
    numbers = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
    if len(shares) != 3 or not numbers or abs(sum(shares) - 1) > 1e-6 or not shares[0]:
        raise EegfmError(
            f"split.shares={list(shares)}: three numbers for train, val and test are wanted, which are 1 together."
        )
    if not isinstance(rest.get("seed", 0), int):
        raise EegfmError(f"split.seed={rest['seed']}: a whole number is wanted.")
    return Split("drawn", tuple(map(float, shares)), rest.get("seed", 0))


def _of_names(rest: Mapping[str, Any], within: bool) -> Split:
    for key, value in rest.items():
        if key not in SPLITS:
            raise EegfmError(unknown(f"split.{key}", f"there is no {key}", key, SPLITS))
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise EegfmError(f"split.{key}={value}: a list of subjects is wanted.")
    subjects: dict[SplitName, tuple[str, ...]] = {
        split: tuple(map(str, rest.get(split, ()))) for split in SPLITS
    }
    seen: dict[str, str] = {}
    for split, names in subjects.items():
        for name in names:
            if seen.setdefault(name, split) != split or names.count(name) > 1:
                raise EegfmError(f"split: subject {name} is in {seen[name]} and in {split}. Name it once.")
    if within:
        raise EegfmError(
            "split: subjects by name are in one split each, so within_subject has no meaning here."
        )
    return Split("named", subjects=subjects)


def _of_words(rest: dict[str, Any], within: bool) -> Split:
    origin, names = rest.pop("from"), rest.pop("names", {split: split for split in SPLITS})
    val_share, seed = rest.pop("val_share", 0.0), rest.pop("seed", 0)
    if not isinstance(names, Mapping) or not set(map(str, names)) <= set(SPLITS):
        raise EegfmError(
            "split.names: {train: training, val: dev, test: eval} is wanted: ours, and theirs."
        )
    if not isinstance(val_share, int | float) or not 0 <= val_share < 1 or not isinstance(seed, int):
        raise EegfmError(
            f"split: val_share={val_share}, seed={seed}: a part of 1 and a whole number are wanted."
        )
    if val_share and within:
        raise EegfmError(
            "split: val_share draws subjects, and within_subject lets them be in several splits."
        )
    words = {str(names[split]): split for split in SPLITS if split in names}
    same: dict[str, Any] = dict(names=words, val_share=float(val_share), seed=seed, within_subject=within)
    if origin == "table":
        more = ("from", "names", "val_share", "seed", "within_subject")
        return Split("table", column=column_of(rest, "split", more), **same)
    if origin != "path" or rest:
        raise EegfmError(f"split: from: {origin}: {_forms()}")
    return Split("path", **same)


def _forms() -> str:
    return (
        "one of these is wanted: train, {by: subject, shares: [0.6, 0.2, 0.2], seed: 0}, {train: [...], val: [...], "
        "test: [...]}, {from: path}, {from: table, file: .., key: .., by: subject, column: ..}"
    )


def _lot(seed: int, subject: str) -> str:
    """What orders subjects by chance: who is added later does not move the others much."""
    return hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest()
