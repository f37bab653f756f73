"""Tables that somebody keeps beside recordings: a CSV or TSV file, a row a subject or a file."""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from eegfm.contracts import EegfmError
from eegfm.signal.formats.units import text_of
from eegfm.support.words import some, unknown

EMPTY = ("", "n/a", "na", "nan")  # BIDS writes the second


class Cell(NamedTuple):
    """A text of a table, and the line of the file that it stands in."""

    text: str
    line: int


class Table(NamedTuple):
    """The columns of a table in its order, and its rows: line of the file, and text by column."""

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]

    def need(self, *columns: str) -> None:
        """Raise EegfmError for a column that is not there."""
        for name in columns:
            if name not in self.columns:
                raise EegfmError(
                    unknown(str(self.path), f"there is no column {name!r}", name, self.columns)
                )


def read_table(path: Path) -> Table:
    """A CSV or TSV file whose first line names its columns; tabs, semicolons or commas between them.

    Raises EegfmError if it is not there or no such table.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise EegfmError(
            f"No table at {path} ({error.strerror}). Its name is looked for below data.raw."
        ) from None
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int, size: int) -> Table:
    content = path.read_bytes()
    if b"\0" in content[:4096]:
        raise EegfmError(f"{path} is no text. Save the table as CSV.")
    lines = text_of(content).removeprefix("\ufeff").splitlines()
    first = lines[0] if lines else ""
    between = next((sign for sign in "\t;" if sign in first), ",")
    reader = csv.reader(lines, delimiter=between)
    columns = tuple(name.strip() for name in next(reader, []))
    if not any(columns) or len(set(columns)) != len(columns):
        raise EegfmError(f"{path}: its first line names no columns, or one twice: {some(columns)}.")
    rows = []
    for row in reader:
        if not any(text.strip() for text in row):
            continue
        if len(row) != len(columns):
            raise EegfmError(
                f"{path}, line {reader.line_num}: {len(row)} values, and there are {len(columns)} columns "
                f"({some(columns)})."
            )
        rows.append(
            (reader.line_num, {name: text.strip() for name, text in zip(columns, row, strict=True)})
        )
    return Table(path, columns, rows)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, which says something of every file or of every subject.

    Args:
        file: the table, below the folder of the raw files.
        key: the column that names the file (by its path, name, or name without suffix) or the subject.
        by: what the key names.
        column: the column that is wanted.
    """

    file: str
    key: str
    column: str
    by: Literal["subject", "file"]

    def path(self, root: Path) -> Path:
        return root / self.file

    def cells(self, root: Path) -> dict[str, Cell]:
        """The text of every key. Raises EegfmError for a key that has several."""
        table = read_table(self.path(root))
        table.need(self.key, self.column)
        found: dict[str, Cell] = {}
        for line, row in table.rows:
            key, text = row[self.key], row[self.column]
            before = found.setdefault(key, Cell(text, line))
            if before.text != text:
                raise EegfmError(
                    f"{table.path}: {self.by} {key} is {before.text!r} in line {before.line} and {text!r} in line "
                    f"{line} ({self.column}). Which is it? Correct the other line."
                )
        return found

    def of_subjects(
        self, root: Path, subjects: Collection[str], used: Collection[str], excused: Collection[str]
    ) -> dict[str, Cell]:
        """The text of every subject that is `used`, whose key may begin with BIDS's "sub-".

        Raises EegfmError for one of them without a row or text, and for a row that is neither one of the `subjects`
        nor `excused`.
        """
        ours = {_bare(subject): subject for subject in subjects}
        found, strangers = {}, []
        for key, cell in self.cells(root).items():
            if _bare(key) in ours:
                found[ours[_bare(key)]] = cell
            elif key not in excused:
                strangers.append(f"line {cell.line}: {key}")
        where = self.path(root)
        if strangers:
            raise EegfmError(
                f"{where} has {len(strangers)} subjects of whom there is no file ({some(strangers, 4)}); there are "
                f"files of {some(sorted(subjects), 4)}. Fetch the files, correct the rows, or say why under leave_out: "
                "{<key>: <reason>}"
            )
        without = sorted(set(used) - set(found))
        if without:
            raise EegfmError(
                f"{where}: no row has {self.key} {some(without, 4)}, of whom there are files. Add the rows, or say why "
                "the files are not used under leave_out: {<pattern>: <reason>}"
            )
        return self._filled(where, {key: found[key] for key in found if key in used})

    def of_files(
        self, root: Path, files: Mapping[str, str], used: Collection[str], excused: Collection[str]
    ) -> dict[str, Cell]:
        """The text of every file that is `used`, by its path; `files` has the recording's name of every path.

        Raises EegfmError for one of them without a row or text, and for a row that names none of the `files`, or
        several, and is not `excused`.
        """
        known: dict[str, set[str]] = {}
        for path, recording in files.items():
            name = path.rpartition("/")[2]
            for key in {path, name, path.rpartition(".")[0], Path(name).stem, recording}:
                known.setdefault(key, set()).add(path)
        found: dict[str, Cell] = {}
        strangers, where = [], self.path(root)
        for key, cell in self.cells(root).items():
            paths = known.get(key.replace("\\", "/").removeprefix("./"), set())
            if len(paths) > 1:
                raise EegfmError(
                    f"{where}, line {cell.line}: {key} may be any of {some(sorted(paths), 4)}. Write its path below "
                    f"{root}."
                )
            if paths:
                found[next(iter(paths))] = cell
            elif key not in excused:
                strangers.append(f"line {cell.line}: {key}")
        if strangers:
            raise EegfmError(
                f"{where} names {len(strangers)} files that are not there ({some(strangers, 4)}). Fetch them, correct "
                "the rows, or say why under leave_out: {<key>: <reason>}"
            )
        without = sorted(set(used) - set(found))
        if without:
            raise EegfmError(
                f"{where}: no row names {len(without)} of the files ({some(without, 4)}). Add the rows, or say why "
                "the files are not used under leave_out: {<pattern>: <reason>}"
            )
        return self._filled(where, {key: found[key] for key in found if key in used})

    def _filled(self, where: Path, found: dict[str, Cell]) -> dict[str, Cell]:
        empty = [f"line {cell.line}: {key}" for key, cell in found.items() if cell.text.lower() in EMPTY]
        if empty:
            raise EegfmError(
                f"{where}: {self.column} is empty for {some(empty, 4)}. Fill it in, or say why these are not used, "
                "under leave_out: {<pattern>: <reason>}"
            )
        return found


def _bare(subject: str) -> str:
    return subject.removeprefix("sub-")


def below_raw(file: str, what: str) -> str:
    """The path of a file that a declaration names. Raises EegfmError for one that leaves the folder of raw files."""
    if Path(file).is_absolute() or ".." in Path(file).parts or not file:
        raise EegfmError(f"{what}.file={file}: a path below data.raw is wanted.")
    return file


def column_of(given: Mapping[str, Any], what: str, more: Sequence[str] = ()) -> Column:
    """The column that a mapping of the YAML says; `what` names it in messages, `more` are keys of others."""
    known = ("file", "key", "by", "column")
    for key in given:
        if key not in (*known, *more):
            raise EegfmError(unknown(f"{what}.{key}", f"{what} has no {key}", key, (*known, *more)))
    lacking = [key for key in known if key not in given]
    if lacking:
        raise EegfmError(
            f"{what}: {', '.join(lacking)} is wanted as well, as in {{file: participants.tsv, key: participant_id, "
            "by: subject, column: group}"
        )
    if given["by"] not in ("subject", "file"):
        raise EegfmError(f"{what}.by={given['by']}: subject or file is wanted.")
    below_raw(str(given["file"]), what)
    return Column(**{key: str(given[key]) for key in known})  # type: ignore[arg-type]
