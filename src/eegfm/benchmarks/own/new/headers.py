"""A quick look at each recording: its header, its annotations, and a few seconds of its samples."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import open_any
from eegfm.signal.formats.opened import FARTHEST_M, NEAREST_M, Opened
from eegfm.signal.recording import Event

LOOKED_S = 2.0  # so many seconds of samples, at two places
CODES_S = 20.0  # so long, channels of triggers are gone through, which takes their whole files
ASIDE = (
    "boundary",
    "new segment/",
    "bad boundary",
    "edge boundary",
    "bad_acq_skip",
)  # no events of an experiment


@dataclass(frozen=True)
class Look:
    """What a recording says at a quick look.

    Attributes:
        path: below the folder.
        format, sfreq, duration_s, n_gaps: of the file.
        names: its channels, in order.
        kinds: by channel, MNE's type.
        faults: by channel of EEG, why it cannot be read.
        unitless: the channels whose fault a stated unit would mend.
        sizes: by channel, the typical microvolts from its median, as the file states its unit.
        volts: how many microvolts one number of the file is taken for, of most channels.
        places: by channel, where the file says that it was measured, if that is on a head.
        displaced: it has places that are on no head.
        events: how often each event is there; None where a channel of triggers was not gone through.
        apart_s: the median seconds from one event to the next; 0 for fewer than two.
        lasting_s: the median length of events.
        notes: what the reader says of the file.
    """

    path: str
    format: str
    sfreq: float
    duration_s: float
    n_gaps: int
    names: tuple[str, ...]
    kinds: Mapping[str, str]
    faults: Mapping[str, str]
    unitless: tuple[str, ...]
    sizes: Mapping[str, float]
    volts: float
    places: Mapping[str, Float[np.ndarray, " 3"]]
    displaced: bool
    events: Mapping[str, int] | None
    apart_s: float
    lasting_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Looked:
    """All recordings that could be read, and why the others could not."""

    looks: tuple[Look, ...]
    unreadable: Mapping[str, str]


def look_at(root: Path, paths: Iterable[str], done: Callable[[], None] = lambda: None) -> Looked:
    """Open each recording; a file that cannot be read is told, and stops nothing. `done` is called after each."""
    looks, unreadable = [], {}
    spent_s = 0.0
    for path in paths:
        try:
            opened = open_any(root / path)
            look, took_s = _look(path, opened, codes=spent_s < CODES_S)
            spent_s += took_s
            looks.append(look)
        except (EegfmError, OSError, MemoryError) as error:
            said = str(error).replace(f"{root / path}: ", "").replace(f"{root / path} ", "")
            unreadable[path] = said.replace(f"{root}/", "")
        except Exception as error:  # any reader, on anybody's file
            unreadable[path] = " ".join(f"{type(error).__name__}: {error}".split())
        done()
    return Looked(tuple(looks), unreadable)


def _look(path: str, opened: Opened, *, codes: bool) -> tuple[Look, float]:
    """What one file says, and the seconds that its channels of triggers took."""
    eeg = [name for name in opened.names if opened.kinds.get(name, "eeg") == "eeg"]
    faults = {name: opened.faults[name] for name in eeg if opened.faults.get(name)}
    readable = [name for name in eeg if not faults.get(name)]
    begun = monotonic()
    events: list[Event] | None = [*opened.events] if opened.events is not None else None
    if events is None:
        from_mne = opened.raw.annotations
        onsets = from_mne.onset - opened.raw.first_time
        events = [
            Event(float(onset_s), float(length_s), str(text))
            for onset_s, length_s, text in zip(onsets, from_mne.duration, from_mne.description, strict=True)
        ]
    counted = codes or not opened.stim
    if opened.stim and counted:
        events += opened.codes()
    took_s = monotonic() - begun
    events = sorted(
        (event for event in events if not event.description.casefold().startswith(ASIDE)),
        key=lambda event: event.onset_s,
    )
    apart = np.diff([event.onset_s for event in events])
    lasting = [event.duration_s for event in events]
    uv = Counter(opened.number_uv.get(name, 1e6) for name in eeg).most_common(1)
    away = {name: float(np.linalg.norm(place)) for name, place in opened.places.items()}
    on_head = {name: opened.places[name] for name, m in away.items() if NEAREST_M < m < FARTHEST_M}
    last = opened.stretches[-1]
    look = Look(
        path=path,
        format=opened.format,
        sfreq=opened.sfreq,
        duration_s=last.onset_s + (last.after - last.first) / opened.sfreq,
        n_gaps=len(opened.stretches) - 1,
        names=tuple(opened.names),
        kinds=dict(opened.kinds),
        faults={name: " and ".join(fault.what for fault in found) for name, found in faults.items()},
        unitless=tuple(name for name, found in faults.items() if all(fault.of_unit for fault in found)),
        sizes=_sizes(opened, readable),
        volts=uv[0][0] if uv else 1e6,
        places=on_head if len(on_head) == len(away) else {},
        displaced=len(on_head) < len(away),
        events=Counter(event.description for event in events) if counted else None,
        apart_s=float(np.median(apart)) if len(apart) else 0.0,
        lasting_s=float(np.median(lasting)) if lasting else 0.0,
        notes=opened.notes,
    )
    return look, took_s if opened.stim else 0.0


def _sizes(opened: Opened, names: list[str]) -> dict[str, float]:
    """The typical distance of each channel from its own line, in microvolts: drift and offset are not looked at."""
    if not names:
        return {}
    first, after, _ = max(opened.stretches, key=lambda stretch: stretch.after - stretch.first)
    n = min(round(LOOKED_S * opened.sfreq), after - first)
    found = []
    for part in (0.25, 0.75):
        start = first + round(part * (after - first - n))
        data = opened.take(names, start, start + n)
        at = np.arange(n) - (n - 1) / 2
        slope = data @ at / max(float(at @ at), 1.0)
        level = data - slope[:, None] * at
        found.append(np.median(np.abs(level - np.median(level, axis=1, keepdims=True)), axis=1))
    return dict(zip(names, np.median(found, axis=0).tolist(), strict=True))
