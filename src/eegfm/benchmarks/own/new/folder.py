"""The files below a folder: recordings, what belongs to them, tables, files of events, copies, and everything else."""

import gzip
import hashlib
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eegfm.benchmarks.own.patterns import files_below
from eegfm.contracts import EegfmError
from eegfm.signal.formats import any_file, fif
from eegfm.signal.formats.bids import is_bids
from eegfm.support.files import sha256_of

TABLES = (".csv", ".tsv")
EVENTS = ("-eve.fif", "_eve.fif", ".eve", "_events.tsv", "_events.csv")
SIDECARS = (
    "_channels.tsv",
    "_electrodes.tsv",
    "_scans.tsv",
    "_sessions.tsv",
)  # of BIDS, a table a recording
PART_BYTES = (
    2**16
)  # of a file's beginning, middle and end, which tell most different files of one size apart
SHOWN = 100  # characters of a file of unknown kind


@dataclass(frozen=True)
class Files:
    """Paths below the folder, as texts with `/`, each in one of the lists.

    `unopened` are recordings that lack the file by which they would be opened, with the reason; `others` have a suffix
    of nothing that is read here.
    """

    root: Path
    recordings: tuple[str, ...]
    unopened: dict[str, str]
    beside: tuple[str, ...]
    events: tuple[str, ...]
    tables: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        return sorted(
            [*self.recordings, *self.unopened, *self.beside, *self.events, *self.tables, *self.others]
        )


def sorted_files(root: Path) -> Files:
    """The files below a folder by what they are; none is opened but for headers that name others."""
    there = files_below(root)
    unopened: dict[str, str] = {}
    beside: set[str] = set()
    candidates = []
    for path in there:
        name = path.rpartition("/")[2].lower()
        if name.endswith(EVENTS) or fif.OTHER.search(name) or not name.endswith(any_file.SUFFIXES):
            continue
        try:
            head = any_file.head_of(root / path)
            first = fif.first_part(root / path)
            if head != root / path or first != root / path:
                beside.add(path)  # of another recording
                continue
            beside.update(_below(root, any_file.beside(root / path)))
            candidates.append(path)
        except (EegfmError, OSError) as error:
            unopened[path] = _said(error, root)
    if is_bids(root):
        beside.update(path for path in there if path.endswith(SIDECARS))
    known = {*candidates, *unopened, *beside}
    rest = [path for path in there if path not in known]
    events = [path for path in rest if path.lower().endswith(EVENTS)]
    tables = [path for path in rest if path.lower().endswith(TABLES) and path not in events]
    return Files(
        root,
        tuple(path for path in candidates if path not in beside),
        unopened,
        tuple(path for path in there if path in beside and path not in unopened),
        tuple(events),
        tuple(tables),
        tuple(path for path in rest if path not in {*events, *tables}),
    )


def copies(root: Path, paths: Iterable[str]) -> list[list[str]]:
    """Groups of files with equal bytes."""
    groups = [[*paths]]
    for key in (_size, _parts, sha256_of):
        finer = []
        for group in groups:
            by_key: dict[object, list[str]] = defaultdict(list)
            for path in group:
                try:
                    by_key[key(root / path)].append(path)
                except OSError:  # it is told as unreadable
                    continue
            finer += [alike for alike in by_key.values() if len(alike) > 1]
        groups = finer
    return groups


def kinds(paths: Sequence[str]) -> list[tuple[str, int]]:
    """How many files there are of each suffix, the most frequent first."""
    return Counter(suffix_of(path) or "no suffix" for path in paths).most_common()


def suffix_of(path: str) -> str:
    """The suffix of a path, with that of a compressed file."""
    name = path.rpartition("/")[2].lower()
    suffixes = Path(name).suffixes
    if suffixes[-1:] == [".gz"]:
        inner = suffixes[-2:-1]
        return "".join([*inner, ".gz"]) if inner and not inner[0][1:].isdigit() else ".gz"
    return suffixes[-1] if suffixes else ""


def first_words(path: Path) -> str:
    """What a file of unknown kind begins with, for a person who writes a reader: a line of text, or what it packs."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                names = [name for name in packed.namelist() if not name.endswith("/")]
            return (
                f"packs {names[0]}" + (f" and {len(names) - 1} more" * (len(names) > 1))
                if names
                else "is empty"
            )
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            start = file.read(SHOWN)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        return f"cannot be looked into ({type(error).__name__})"
    line = start.split(b"\n")[0].rstrip(b"\r")
    if b"\0" in line:
        return "is no text"
    try:
        return f"begins with {line.decode().strip()!r}"
    except UnicodeDecodeError:
        return "is no text"


def _size(path: Path) -> int:
    return path.stat().st_size


def _parts(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for start in (0, max(0, size // 2), max(0, size - PART_BYTES)):
            file.seek(start)
            digest.update(file.read(PART_BYTES))
    return digest.digest()


def _below(root: Path, paths: Iterable[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)]


def _said(error: Exception, root: Path) -> str:
    return str(error).replace(f"{root}/", "")
