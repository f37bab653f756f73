"""Tables in the folder: which column names subjects or files, and which could be labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eegfm.benchmarks.own.tables import EMPTY, Table, read_table
from eegfm.contracts import EegfmError

LARGEST = 5_000_000  # bytes of a table that is read
MOST_TABLES = 50
MOST_CLASSES = 12
NAMED = 0.5  # so many of the subjects, or files, must be named by a column that is their key


@dataclass(frozen=True)
class Column:
    """A column that could be labels: how many recordings would have each text, and how many would have none."""

    name: str
    counts: Mapping[str, int]
    without: int


@dataclass(frozen=True)
class Said:
    """What a table says.

    Attributes:
        file: below the folder.
        columns: all of them.
        n_rows: without the first line.
        key: the column that names subjects or files; "" where none does.
        by: what it names.
        named: how many of those that are here.
        strangers: keys of nobody and nothing here.
        labels: columns that could be labels.
        people: columns that could be the subject, of a table by file.
    """

    file: str
    columns: tuple[str, ...]
    n_rows: int
    key: str
    by: str
    named: int
    strangers: tuple[str, ...]
    labels: tuple[Column, ...]
    people: tuple[str, ...]

    def declared(self, column: str) -> str:
        """The column as a declaration names it."""
        return f"file: {_quoted(self.file)}, key: {_quoted(self.key)}, by: {self.by}, column: {_quoted(column)}"


def tables_in(
    root: Path, files: Sequence[str], paths: Sequence[str], subjects: Mapping[str, str]
) -> tuple[list[Said], dict[str, str]]:
    """What the tables of a folder say of its recordings, and which tables cannot be read."""
    found, broken = [], {}
    for file in files[:MOST_TABLES]:
        try:
            if (root / file).stat().st_size > LARGEST:
                broken[file] = "is too large for a table of recordings, and was not looked into"
                continue
            found.append(_said(file, read_table(root / file), paths, subjects))
        except (EegfmError, OSError) as error:
            broken[file] = str(error).replace(f"{root / file}: ", "").replace(f"{root / file} ", "")
    return found, broken


def _said(file: str, table: Table, paths: Sequence[str], subjects: Mapping[str, str]) -> Said:
    keys_of = {"subject": {path: {who, _bare(who)} for path, who in subjects.items()}}
    keys_of["file"] = {path: _names_of(path) for path in paths}
    best: tuple[float, str, str, dict[str, str]] = (0.0, "", "", {})
    for column in table.columns:
        texts = [row[column] for _, row in table.rows]
        if len(set(texts)) < max(2, len(texts) // 2) and len(texts) > 1:
            continue  # a key names different things
        for by, keys in keys_of.items():
            of = {path: text for path, names in keys.items() for text in (_one(names, texts),) if text}
            share = len(of) / max(len(keys), 1)
            if share > best[0]:
                best = (share, column, by, of)
    share, key, by, of = best
    if share < NAMED:
        return Said(file, table.columns, len(table.rows), "", "", 0, (), (), ())
    row_of = {row[key]: row for _, row in table.rows}
    labels, people = [], []
    for column in table.columns:
        if column == key:
            continue
        texts = {path: row_of[text][column] for path, text in of.items()}
        counts = Counter(text for text in texts.values() if text.casefold() not in EMPTY)
        if 1 < len(counts) <= MOST_CLASSES and min(counts.values()) > 1:
            labels.append(Column(column, dict(sorted(counts.items())), len(paths) - sum(counts.values())))
        if by == "file" and 1 < len(counts) < len(of):
            people.append(column)
    used = set(of.values())
    named = len({subjects[path] for path in of}) if by == "subject" else len(of)
    strangers = tuple(text for text in row_of if text not in used)
    return Said(
        file, table.columns, len(table.rows), key, by, named, strangers, tuple(labels), tuple(people)
    )


def _names_of(path: str) -> set[str]:
    name = path.rpartition("/")[2]
    return {path, name, path.rpartition(".")[0], Path(name).stem}


def _one(names: set[str], texts: Sequence[str]) -> str:
    """The text of a table that is one of the names; "" for none."""
    return next((text for text in texts if text and (text in names or _bare(text) in names)), "")


def _bare(subject: str) -> str:
    return subject.removeprefix("sub-")


def _quoted(text: str) -> str:
    """A text for a mapping of YAML on one line."""
    plain = text.replace("_", "").replace("-", "").replace("/", "").replace(".", "")
    return text if plain.isalnum() and not plain.isdigit() else '"' + text.replace('"', '\\"') + '"'
