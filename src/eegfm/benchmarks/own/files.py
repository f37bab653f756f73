"""The recordings below a folder: whose they are, which class, which split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from eegfm.benchmarks.own.labels import Labels
from eegfm.benchmarks.own.patterns import Pattern, files_below, without_match
from eegfm.benchmarks.own.splits import Split
from eegfm.benchmarks.own.tables import Cell, Column
from eegfm.benchmarks.spec import SPLITS, Source, SplitName
from eegfm.contracts import EegfmError
from eegfm.support.words import some


@dataclass(frozen=True)
class Found(Source):
    """A recording that was found.

    `label` is its class, None where events have labels or nothing has; `left_out` says why it is not used, "" if it
    is; `of_events` is the file of its events, itself unless another one is beside it.
    """

    label: int | None = None
    left_out: str = ""
    of_events: Path = Path()


class Part(NamedTuple):
    """A file and what its path says."""

    path: str
    says: Mapping[str, str]
    recording: str
    left_out: str


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the YAML says of files: see `eegfm.benchmarks.own.declared.benchmark`.

    `beside` are further files that are read with a recording: markers, samples, following parts.
    """

    patterns: tuple[Pattern, ...]
    subject: str | Column | None
    session: str | Column | None
    leave_out: Mapping[str, str]
    labels: Labels
    split: Split
    beside: Callable[[Path], tuple[Path, ...]]

    def __post_init__(self) -> None:
        for what, needed in (("labels", self.labels.origin), ("split", self.split.origin)):
            field = what.rstrip("s")
            if needed == "path" and not all(field in pattern.fields for pattern in self.patterns):
                raise EegfmError(
                    f"{what}: from: path, and files has no {{{field}}}. Put it into {self.patterns[0].text} where the "
                    f"path says it, in the place of a * or of a part of a name."
                )
        if self.subject is None and not all("subject" in pattern.fields for pattern in self.patterns):
            raise EegfmError(
                "files has no {subject}. Put it where the path says whose a recording is, or say it in subject: a name "
                "if all are of one person, or a column: {file: files.csv, key: file, by: file, column: person}"
            )

    @cached_property
    def _left_out(self) -> list[tuple[Pattern, str]]:
        return [(Pattern(text), reason) for text, reason in self.leave_out.items()]

    def person(self, path: Path) -> str:
        """Whose a recording is by the patterns, wherever their folder lies: the shortest end of its path that fits."""
        for first in range(len(path.parts) - 1, 0, -1):
            for pattern in self.patterns:
                says = pattern.match("/".join(path.parts[first:]))
                if says is not None:
                    return says.get("subject", "")
        return ""

    @property
    def tables(self) -> list[Column]:
        """The columns of tables that are used."""
        columns = (self.subject, self.session, self.labels.column, self.split.column)
        return [column for column in columns if isinstance(column, Column)]

    def sources(self, root: Path) -> list[Found]:
        """Every recording, sorted by path.

        Raises EegfmError where the declaration and what is there contradict each other.
        """
        parts = self._parts(root)
        used = [part for part in parts if not part.left_out]
        subjects = self._said(root, parts, "subject", self.subject)
        sessions = self._said(root, parts, "session", self.session)
        cells = self._cells(root, parts, subjects, self.labels.column)
        labels = {part.path: self._label(root, part, cells) for part in used}
        splits = self._splits(root, parts, subjects, labels)
        beside = tuple(dict.fromkeys(column.path(root) for column in self.tables))
        found = []
        for part in parts:
            subject, path = subjects.get(part.path, ""), root / part.path
            of_events = path
            if self.labels.events is not None:
                known = {**part.says, "subject": subject, "session": sessions.get(part.path, "")}
                of_events = self.labels.events.beside(path, known)
            source = Found(
                subject, part.recording, splits.get(part.path), path, sessions.get(part.path, ""),
                left_out=part.left_out, of_events=of_events,
            )  # fmt: skip
            if not part.left_out:
                own = () if of_events == path else (of_events,)
                more = (*own, *self.beside(path), *beside)
                source = replace(source, beside=tuple(dict.fromkeys(more)), label=labels[part.path])
            found.append(source)
        return found

    def _parts(self, root: Path) -> list[Part]:
        there = files_below(root)
        found = []
        for path in there:
            says = next((says for one in self.patterns if (says := one.match(path)) is not None), None)
            if says is not None:
                reason = next(
                    (why for pattern, why in self._left_out if pattern.match(path) is not None), ""
                )
                name = path.rpartition(".")[0] or path
                found.append(Part(path, says, says.get("recording") or name.replace("/", "-"), reason))
        if not found:
            raise without_match("files", [pattern.text for pattern in self.patterns], root, there)
        keys = {key for column in self.tables for key in column.cells(root)}
        for pattern, _ in self._left_out:
            if pattern.text not in keys and not any(pattern.match(part.path) is not None for part in found):
                raise EegfmError(
                    f"leave_out: {pattern.text} is none of the {len(found)} recordings below {root} "
                    f"({some([part.path for part in found], 3)})"
                    + (" and no key of a table." if self.tables else ".")
                    + " Square brackets are themselves; ? stands for one letter, * for several."
                    * ("[" in pattern.text)
                )
        if all(part.left_out for part in found):
            raise EegfmError(f"leave_out leaves out all {len(found)} recordings below {root}.")
        return found

    def _said(
        self, root: Path, parts: Sequence[Part], field: str, given: str | Column | None
    ) -> dict[str, str]:
        """Subject or session by path."""
        if isinstance(given, Column):
            cells = self._cells(root, parts, {}, given)
            return {path: cell.text for path, cell in cells.items()}
        return {part.path: part.says.get(field) or given or "" for part in parts}

    def _cells(
        self, root: Path, parts: Sequence[Part], subjects: Mapping[str, str], column: Column | None
    ) -> dict[str, Cell]:
        """The text of a column by path."""
        if column is None:
            return {}
        used, excused = [part.path for part in parts if not part.left_out], [*self.leave_out]
        if column.by == "file":
            files = {part.path: part.recording for part in parts}
            return column.of_files(root, files, used, excused)
        if not subjects:
            raise EegfmError("subject and session: a column by file is wanted (by: file).")
        everybody, theirs = set(subjects.values()), {subjects[path] for path in used}
        cells = column.of_subjects(root, everybody, theirs, excused)
        return {path: cells[subjects[path]] for path in used}

    def _label(self, root: Path, part: Part, cells: Mapping[str, Cell]) -> int | None:
        if self.labels.origin == "path":
            return self.labels.index(part.says["label"], str(root / part.path))
        if self.labels.column is not None:
            cell = cells[part.path]
            return self.labels.index(cell.text, f"{self.labels.column.path(root)}, line {cell.line}")
        return None

    def _splits(
        self,
        root: Path,
        parts: Sequence[Part],
        subjects: Mapping[str, str],
        labels: Mapping[str, int | None],
    ) -> dict[str, SplitName]:
        used = [part for part in parts if not part.left_out]
        kinds: dict[str, set[int]] = {}
        for part in used:
            label = labels[part.path]
            kinds.setdefault(subjects[part.path], set()).update([] if label is None else [label])
        if self.split.origin in ("drawn", "named"):
            of = self.split.of_subjects(kinds)
            return {part.path: of[subjects[part.path]] for part in used}
        if self.split.column is None:
            said = {part.path: (part.says["split"], str(root / part.path)) for part in used}
        else:
            where = self.split.column.path(root)
            cells = self._cells(root, parts, subjects, self.split.column)
            said = {path: (cell.text, f"{where}, line {cell.line}") for path, cell in cells.items()}
        found: dict[str, SplitName] = {
            path: self.split.word(text, place) for path, (text, place) in said.items()
        }
        if not self.split.within_subject:
            self._refuse_shared(used, subjects, found, {path: place for path, (_, place) in said.items()})
        if self.split.val_share:
            train = {subjects[path] for path, split in found.items() if split == "train"}
            shares = (1 - self.split.val_share, self.split.val_share, 0.0)
            drawn = Split("drawn", shares, self.split.seed).of_subjects({who: kinds[who] for who in train})
            found = {path: drawn.get(subjects[path], split) for path, split in found.items()}
        empty = [split for split in SPLITS if split not in found.values()]
        if empty:
            raise EegfmError(
                f"split: no recording is in {' and '.join(empty)}, {self.split.rule}. Name some there; or "
                "let a part of the training subjects validate: split.val_share: 0.2; or let all train and divide them "
                "anew: split: train, with split=kfold or split=loso."
            )
        return found

    def _refuse_shared(
        self,
        used: Sequence[Part],
        subjects: Mapping[str, str],
        splits: Mapping[str, SplitName],
        places: Mapping[str, str],
    ) -> None:
        first: dict[str, str] = {}
        for part in used:
            before = first.setdefault(subjects[part.path], part.path)
            if splits[before] != splits[part.path]:
                raise EegfmError(
                    f"subject {subjects[part.path]} is in {splits[before]} ({places[before]}) and in "
                    f"{splits[part.path]} ({places[part.path]}). Correct one, or say that it is meant so: "
                    "split.within_subject: true"
                )
