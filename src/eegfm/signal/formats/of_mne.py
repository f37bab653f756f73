"""What a reader of MNE gives -> `Opened`, for the formats that have no parser of their own here.

Most readers take the length of a recording from its header or from its size, and say what is odd in warnings. So the
last sample is read at once, which a file that was cut does not have, and warnings become notes of the file, or its
fault where they tell of damage. Joined parts are stretches. Kinds, measured places and channels of triggers are told.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import mne
import numpy as np
from jaxtyping import Float
from mne.io.constants import FIFF

from eegfm.contracts import EegfmError
from eegfm.signal.formats.opened import Opened, Stretch
from eegfm.signal.formats.units import Fault
from eegfm.signal.recording import FETCH_AGAIN, Event

T = TypeVar("T")

# annotations of MNE's readers behind which the recording goes on at another time, which is not known
BREAKS = ("boundary", "bad boundary", "edge boundary", "new segment/")
SKIPPED = "bad_acq_skip"  # nothing was recorded: a FIF file's reader gives zeros
# boundaries are stretches here, and places are judged when they are asked for
TOLD = ("The data contains 'boundary' events", "Estimated head radius")
DAMAGE = ("Invalid tag", "FIF tag directory missing", "Bad tag")  # of a FIF file that was cut


def read_by_mne(path: Path, name: str, read: Callable[[], T]) -> tuple[T, tuple[str, ...]]:
    """What a reader of MNE gives for a file of the format `name`, and what it warned of.

    Raises EegfmError if it gives nothing, or warns of damage.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            given = read()
        except (EegfmError, MemoryError):
            raise
        except Exception as error:  # a reader may raise anything on a damaged file
            raise unreadable(path, name, error) from error
    said = dict.fromkeys(
        " ".join(str(one.message).split()) for one in caught if issubclass(one.category, RuntimeWarning)
    )
    damage = [text for text in said if text.startswith(DAMAGE)]
    if damage:
        raise EegfmError(f"{path} is cut short or damaged ({damage[0]}). {FETCH_AGAIN}")
    return given, tuple(text for text in said if not text.startswith(TOLD))


def opened(
    path: Path,
    name: str,
    raw: "mne.io.BaseRaw",
    *,
    events: tuple[Event, ...] | None = None,
    factors: Mapping[str, float] | None = None,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    notes: tuple[str, ...] = (),
    number_uv: Mapping[str, float] | None = None,
    kinds: Mapping[str, str] | None = None,
    places: Mapping[str, Float[np.ndarray, " 3"]] | None = None,
    stretches: Sequence[Stretch] | None = None,
    stim: tuple[str, ...] | None = None,
    beside: tuple[Path, ...] = (),
) -> Opened:
    """The file, with what MNE's object says of it where the format's module does not know better.

    Raises EegfmError if its last sample cannot be read.
    """
    if not raw.n_times:
        raise EegfmError(f"{path} holds no sample. {FETCH_AGAIN}")
    read_by_mne(path, name, lambda: raw.get_data(start=raw.n_times - 1))
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True)) if kinds is None else kinds
    return Opened(
        path,
        name,
        raw,
        stretches_of(path, raw) if stretches is None else stretches,
        events=events,
        factors=factors or {},
        faults=_faults(raw, kinds) if faults is None else faults,
        notes=notes,
        number_uv=number_uv or {},
        kinds=kinds,
        places=places_of(raw) if places is None else places,
        stim=stim_of(raw) if stim is None else stim,
        beside=beside,
    )


def stretches_of(path: Path, raw: "mne.io.BaseRaw") -> list[Stretch]:
    """What lies between the boundaries of joined parts and the samples that were never recorded.

    Raises EegfmError if there is nothing else.
    """
    sfreq = float(raw.info["sfreq"])
    there = np.ones(raw.n_times, dtype=bool)
    edges = {0, raw.n_times}
    for event in events_of(raw):
        # a boundary lies on the first sample of a part, or between two samples
        first = min(max(math.ceil(event.onset_s * sfreq - 1e-3), 0), raw.n_times)
        if event.description.casefold() == SKIPPED:
            there[first : max(first, round((event.onset_s + event.duration_s) * sfreq))] = False
        elif event.description.casefold().startswith(BREAKS):
            edges.add(first)
    edges |= set((np.flatnonzero(np.diff(there)) + 1).tolist())
    borders = sorted(edges)
    found = [Stretch(a, b, a / sfreq) for a, b in itertools.pairwise(borders) if there[a]]
    if not found:
        raise EegfmError(f"{path} holds nothing but missing samples. {FETCH_AGAIN}")
    return found


def events_of(raw: "mne.io.BaseRaw") -> tuple[Event, ...]:
    """The annotations, in seconds from the first sample."""
    return tuple(
        Event(float(onset_s), float(length_s), str(text))
        for onset_s, length_s, text in zip(
            raw.annotations.onset - raw.first_time,
            raw.annotations.duration,
            raw.annotations.description,
            strict=True,
        )
    )


def places_of(raw: "mne.io.BaseRaw") -> dict[str, Float[np.ndarray, " 3"]]:
    """By channel, its place in MNE's head frame, where the file says one."""
    found = {}
    for channel in raw.info["chs"]:
        place = np.array(channel["loc"][:3], dtype=float)
        if channel["kind"] == FIFF.FIFFV_EEG_CH and np.isfinite(place).all() and place.any():
            found[channel["ch_name"]] = place
    return found


def stim_of(raw: "mne.io.BaseRaw") -> tuple[str, ...]:
    """The channels of triggers: the one that holds all lines where there is one, as MNE chooses, or all of them."""
    kinds = raw.get_channel_types()
    found = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "stim"]
    whole = [name for name in ("STI101", "STI 014") if name in found]
    return tuple(whole[:1] or found)


def unreadable(path: Path, name: str, error: Exception) -> EegfmError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return EegfmError(f"{path} cannot be read as {name} ({said}). {FETCH_AGAIN}")


def _faults(raw: "mne.io.BaseRaw", kinds: Mapping[str, str]) -> dict[str, list[Fault]]:
    """Channels that are no voltage, by MNE's own word."""
    faults = {}
    for channel in raw.info["chs"]:
        name = channel["ch_name"]
        if kinds[name] == "stim":
            faults[name] = [Fault("is a channel of triggers", "Choose a channel of EEG.")]
        elif channel["unit"] != FIFF.FIFF_UNIT_V:
            faults[name] = [Fault("is no voltage", "Choose a channel of EEG.", of_unit=True)]
    return faults
