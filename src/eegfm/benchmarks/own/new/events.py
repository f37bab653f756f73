"""What happened in the recordings: codes with their counts, from the recordings and from files beside them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from eegfm.benchmarks.own.events import EventFile
from eegfm.benchmarks.own.new.folder import EVENTS, TABLES
from eegfm.benchmarks.own.new.headers import Look
from eegfm.benchmarks.own.tables import Table, read_table
from eegfm.contracts import EegfmError

ONSETS = ("onset", "onset_s", "latency", "time", "start", "start_s", "begin", "sample", "seconds")
TEXTS = (
    "trial_type", "type", "description", "event", "event_type", "label", "class", "condition", "stimulus", "marker",
    "code", "value", "stim", "state", "stage",
)  # fmt: skip
MOST = 40  # different texts: more are no classes


@dataclass(frozen=True)
class Codes:
    """The events of one source: the recordings' own, or a kind of file beside them.

    Attributes:
        file: as a declaration names it, "{stem}-eve.fif"; "" for the recordings' own.
        columns: of a table, onset and text as far as their names tell them.
        of_recordings: how many recordings have it.
        counts: of each code, over all recordings.
        least, most: of each code, in a recording that has this source.
        missing: recordings without a file of this kind.
        broken: files that cannot be read as events, and why.
        apart_s: the median seconds from one event to the next, over recordings; 0 where it is not known.
        lasting_s: the median length.
        uncounted: recordings whose channels of triggers were not gone through.
    """

    file: str
    columns: Mapping[str, str]
    of_recordings: int
    counts: Mapping[str, int]
    least: Mapping[str, int]
    most: Mapping[str, int]
    missing: tuple[str, ...]
    broken: Mapping[str, str]
    apart_s: float
    lasting_s: float
    uncounted: int = 0

    @property
    def declared(self) -> str:
        """The labels that a declaration would say."""
        if not self.file:
            return "{from: events}"
        columns = "".join(f", {key}: {name}" for key, name in self.columns.items())
        return f'{{from: events, file: "{self.file}"{columns}}}'


def own_codes(looks: Sequence[Look]) -> Codes | None:
    """The recordings' own annotations and codes; None where there are none."""
    with_events = [look for look in looks if look.events]
    uncounted = sum(look.events is None for look in looks)
    if not with_events and not uncounted:
        return None
    return _counted(
        "",
        {},
        {look.path: Counter(look.events) for look in with_events},
        looks,
        {},
        [look.apart_s for look in with_events if look.apart_s],
        [look.lasting_s for look in with_events],
        uncounted,
    )


def codes_beside(root: Path, looks: Sequence[Look], files: Sequence[str]) -> list[Codes]:
    """The kinds of files of events that lie beside recordings; `files` are all that could be one."""
    by_ending: dict[str, dict[str, str]] = {}
    of_folder: dict[str, list[str]] = {}
    for file in files:
        of_folder.setdefault(file.rpartition("/")[0], []).append(file)
    for look in looks:
        folder = look.path.rpartition("/")[0]
        stem = EventFile("{stem}").beside(Path(look.path), {}).name
        for file in of_folder.get(folder, ()):
            if file.rpartition("/")[2].startswith(stem):
                ending = file.rpartition("/")[2][len(stem) :]
                if ending.lower().endswith(EVENTS) or ending.lower() in TABLES:
                    by_ending.setdefault(ending, {})[look.path] = file
    found = [_of_kind(root, looks, ending, of) for ending, of in by_ending.items()]
    return sorted((one for one in found if one is not None), key=lambda codes: -codes.of_recordings)


def _of_kind(root: Path, looks: Sequence[Look], ending: str, of: Mapping[str, str]) -> Codes | None:
    """The events of the files with one ending; None for tables that are no events."""
    counts: dict[str, Counter[str]] = {}
    broken: dict[str, str] = {}
    columns: dict[str, str] = {}
    apart: list[float] = []
    rates = {look.path: look.sfreq for look in looks}
    for path, file in of.items():
        try:
            if ending.lower().endswith(TABLES):
                table = read_table(root / file)
                columns = columns or _columns(table)
                if "column" not in columns:
                    return None
                table.need(columns["column"], columns["onset"])
                texts = [row[columns["column"]] for _, row in table.rows]
            else:
                numbers = np.asarray(mne.read_events(root / file, verbose="error"))
                texts = [str(code) for _, _, code in numbers]
                if len(numbers) > 1:
                    apart.append(float(np.median(np.diff(numbers[:, 0]))) / rates[path])
            counts[path] = Counter(texts)
        except (EegfmError, OSError) as error:
            broken[file] = str(error).replace(f"{root}/", "")
        except Exception as error:  # MNE's readers raise anything on a file that is not theirs
            broken[file] = " ".join(f"{type(error).__name__}: {error}".split())
    return _counted("{stem}" + ending, columns, counts, looks, broken, apart, [])


def _columns(table: Table) -> dict[str, str]:
    """Which column says when and which says what, by their names; "column" is lacking where nothing does."""
    known = {name.casefold(): name for name in table.columns}
    onset = next((known[name] for name in ONSETS if name in known), "")
    text = next(
        (known[name] for name in TEXTS if name in known and _several(table, known[name])),
        "",
    )
    if not onset or not text:
        return {}
    found = {"column": text, "onset": onset}
    return found | ({"onset_in": "samples"} if onset in ("sample", "latency") else {})


def _several(table: Table, column: str) -> bool:
    texts = {row[column] for _, row in table.rows} - {"", "n/a"}
    return 0 < len(texts) <= MOST


def _counted(
    file: str,
    columns: Mapping[str, str],
    by_path: Mapping[str, Counter[str]],
    looks: Sequence[Look],
    broken: Mapping[str, str],
    apart: Sequence[float],
    lasting: Sequence[float],
    uncounted: int = 0,
) -> Codes:
    total: Counter[str] = Counter()
    for counts in by_path.values():
        total.update(counts)
    order = sorted(total, key=_natural)
    return Codes(
        file=file,
        columns=columns,
        of_recordings=len(by_path),
        counts={code: total[code] for code in order},
        least={code: min(counts[code] for counts in by_path.values()) for code in order},
        most={code: max(counts[code] for counts in by_path.values()) for code in order},
        missing=tuple(look.path for look in looks if look.path not in by_path) if file else (),
        broken=broken,
        apart_s=float(np.median(apart)) if apart else 0.0,
        lasting_s=float(np.median(lasting)) if lasting else 0.0,
        uncounted=uncounted,
    )


def _natural(code: str) -> tuple[int, float, str]:
    """Numbers by size, then texts by letters."""
    try:
        return 0, float(code), code
    except ValueError:
        return 1, 0.0, code
