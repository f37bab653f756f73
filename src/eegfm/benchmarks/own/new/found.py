"""Everything that a look at a folder finds, together."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eegfm.benchmarks.own.new import paths, tables
from eegfm.benchmarks.own.new.channels import Amplitude, Channels, amplitude_of, channels_of, scalp
from eegfm.benchmarks.own.new.events import Codes, codes_beside, own_codes
from eegfm.benchmarks.own.new.folder import Files, copies, kinds, sorted_files, suffix_of
from eegfm.benchmarks.own.new.headers import Looked, look_at
from eegfm.contracts import EegfmError
from eegfm.signal.formats.bids import is_bids

TEXTS = (".md", ".rst", ".pdf", ".html", ".json", ".bib", ".py", ".m", ".sh", ".log", ".jpg", ".png", "")


@dataclass(frozen=True)
class Found:
    """What is in a folder. `said` is of the recordings, or of the most frequent unknown files if none can be read.

    `decided` are keys of the YAML that whoever the folder is from has decided, as YAML, with who that is.
    """

    files: Files
    looked: Looked
    said: paths.Said
    channels: Channels
    amplitude: Amplitude | None
    codes: tuple[Codes, ...]
    tables: tuple[tables.Said, ...]
    bad_tables: dict[str, str]
    copies: tuple[tuple[str, ...], ...]
    decided: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.files.root

    @property
    def unreadable(self) -> dict[str, str]:
        return {**self.files.unopened, **self.looked.unreadable}

    @property
    def bids(self) -> bool:
        return is_bids(self.root)

    @cached_property
    def rates(self) -> dict[float, int]:
        return dict(Counter(look.sfreq for look in self.looked.looks).most_common())

    @cached_property
    def strange(self) -> list[str]:
        """Files of the most frequent kind that is read by nothing here, if no recording can be read."""
        return [] if self.looked.looks else strange_in(self.files)

    @property
    def subjects(self) -> list[str]:
        return sorted(set(self.said.subjects.values()))

    @property
    def hours(self) -> float:
        return sum(look.duration_s for look in self.looked.looks) / 3600


def strange_in(files: Files) -> list[str]:
    """The files of the most frequent kind that could be recordings in a format of nobody else's."""
    data = [
        (suffix, n)
        for suffix, n in kinds([*files.others, *files.tables])
        if suffix not in (*TEXTS, "no suffix")
    ]
    data = [(suffix, n) for suffix, n in data if n > 1 or suffix != ".txt"]
    if not data:
        return []
    return [path for path in (*files.others, *files.tables) if suffix_of(path) == data[0][0]]


def find_in(
    root: Path,
    begin: Callable[[int], Callable[[], None]] = lambda n: lambda: None,
    decided: Mapping[str, tuple[str, str]] | None = None,
) -> Found:
    """Look at a folder. `begin` is told the number of recordings, and what it gives is called after each.

    `decided` are keys that need no decision (see `Found`).

    Raises EegfmError if there is no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise EegfmError(f"{root} is no folder. Name the folder of your recordings: eegfm new <folder>")
    files = sorted_files(root)
    if not files.all:
        raise EegfmError(
            f"There is no file below {root}. Name the folder of your recordings: eegfm new <folder>"
        )
    looked = look_at(root, files.recordings, begin(len(files.recordings)))
    looks = looked.looks
    names = [look.path for look in looks] or strange_in(files)
    said = paths.said_by(names)
    channels = channels_of(looks)
    beside = codes_beside(root, looks, [*files.events, *files.tables])
    own = own_codes(looks)
    of_events = {codes.file.removeprefix("{stem}") for codes in beside}
    rest = [file for file in files.tables if not any(file.endswith(ending) for ending in of_events)]
    found, bad = tables.tables_in(root, rest, names, said.subjects)
    return Found(
        files=files,
        looked=looked,
        said=said,
        channels=channels,
        amplitude=amplitude_of(looks, scalp(channels.common)),
        codes=(*beside, *((own,) if own is not None else ())),
        tables=tuple(found),
        bad_tables=bad,
        copies=tuple(map(tuple, copies(root, names))),
        decided=decided or {},
    )
