"""A file that was opened and found sound: MNE's object, and what MNE gets wrong or does not say.

Each format's module opens its files as this; a benchmark's reader takes the whole recording of it, and `eegfm stream`
a stretch at a time. So gaps, units, rates and cuts are handled once, by the module of the format.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from jaxtyping import Bool, Float

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.formats.units import MICROVOLTS, Fault, microvolts_of
from eegfm.signal.recording import FETCH_AGAIN, Event, Recording

FILLED_S = 0.1  # so long, electrodes on a head do not all keep their values
VOLT_UV = 1e6
NEAREST_M, FARTHEST_M = 0.03, 0.2  # of an electrode, in metres from the centre of the head's frame
TRIGGERS = 2**16 - 1  # BioSemi's channel of status has 16 bits of triggers, and above them its own


class Stretch(NamedTuple):
    """Samples without a gap: columns `first` up to `after` of what MNE reads, `onset_s` the first one's second."""

    first: int
    after: int
    onset_s: float


@dataclass(frozen=True, eq=False)
class Opened:
    """A file whose samples are read when they are asked for.

    Attributes:
        path: of the file.
        format: its name.
        raw: MNE's object.
        stretches: the samples that are there, in order of time.
        events: the file's, in seconds from its first sample; None for what MNE says.
        factors: by channel, what MNE's value must be multiplied by, where that is not 1: it took a unit for volts.
        faults: by channel, why it cannot be read.
        notes: what is to be said of the file.
        number_uv: by channel, the microvolts that MNE takes one number of the file for, where that is not a volt.
        kinds: by channel, "eeg", "eog", "ecg", "stim", "misc" ...: the types of MNE.
        places: by channel, where it was measured: metres in MNE's head frame. Empty where the file says nothing.
        stim: the channels whose codes are events too.
        beside: further files that are read with this one.
        aliases: other names of its channels, by which they are asked for as well: the file's -> ours.
    """

    path: Path
    format: str
    raw: "mne.io.BaseRaw"
    stretches: Sequence[Stretch]
    events: tuple[Event, ...] | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    number_uv: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Float[np.ndarray, " 3"]] = field(default_factory=dict)
    stim: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return self.raw.ch_names

    @property
    def sfreq(self) -> float:
        return float(self.raw.info["sfreq"])

    @property
    def n_times(self) -> int:
        """Samples that are there."""
        return sum(after - first for first, after, _ in self.stretches)

    def check(self, channels: Iterable[str]) -> None:
        """Raise EegfmError, with each channel's name, if one of these channels has a fault."""
        found = [(name, fault) for name in channels for fault in self.faults.get(name, ())]
        if found:
            said = ", ".join(f"{name} {fault.what}" for name, fault in found)
            remedies = " ".join(dict.fromkeys(fault.remedy for _, fault in found))
            raise EegfmError(f"{self.path}: {said}. {remedies} {FETCH_AGAIN}")

    def in_units(self, units: Mapping[str, str | float]) -> "Opened":
        """The file with somebody's word on its units in place of its own.

        `units` says what one number of a channel is, by its name in the file or "*" for all others: a unit such as
        "mV", or how many microvolts. Raises EegfmError for a channel that is not there or a unit that is none.
        """
        wrong = [name for name in units if name != "*" and name not in self.names]
        if wrong:
            raise EegfmError(f"{self.path} has no {', '.join(wrong)}. It has {', '.join(self.names)}.")
        factors, faults = dict(self.factors), dict(self.faults)
        for name in self.names:
            unit = units.get(name, units.get("*"))
            if unit is None:
                continue
            uv = microvolts_of(unit) if isinstance(unit, str) else unit
            if uv is None or not 0 < abs(uv) < math.inf:
                raise EegfmError(
                    f"{unit!r}, which is to be the unit of {name}, is none that is known. There are "
                    f"{', '.join(MICROVOLTS)}, or a number: how many microvolts one is."
                )
            factors[name] = uv / self.number_uv.get(name, VOLT_UV)
            faults[name] = [fault for fault in self.faults.get(name, ()) if not fault.of_unit]
        return replace(self, factors=factors, faults=faults)

    def measured(self, channels: Mapping[str, str]) -> Montage:
        """The places at which the file says that its channels were; `channels` names them: the file's name -> ours.

        Raises EegfmError if the file has no place of one, or one that is on no head.
        """
        without = [name for name in channels if name not in self.places]
        if without:
            raise EegfmError(
                f"{self.path} has no place of {len(without)} of {len(channels)} channels: {', '.join(without)}. "
                "Take their places by name (places: names), or give a file of electrodes."
            )
        coords = np.array([self.places[name] for name in channels], dtype=float).reshape(-1, 3)
        away = np.linalg.norm(coords, axis=1)
        if len(away) and not (NEAREST_M < away.min() and away.max() < FARTHEST_M):
            raise EegfmError(
                f"{self.path} has its channels {away.min():.3g} to {away.max():.3g} from the centre of the head, where "
                "metres are wanted (about 0.1). Take their places by name (places: names), or give a file of "
                "electrodes."
            )
        return Montage(tuple(channels.values()), coords)

    def take(self, channels: Sequence[str], first: int, after: int) -> Float[np.ndarray, "channel time"]:
        """Columns `first` up to `after` of the channels, in microvolts."""
        rows = np.array([self.names.index(name) for name in channels], dtype=int)
        if first == after:  # MNE gives no data of an empty range
            return np.empty((len(rows), 0))
        with self._damage_named():
            data = np.asarray(self.raw.get_data(picks=rows, start=first, stop=after)) * VOLT_UV
        return _corrected(data, [self.factors.get(name, 1.0) for name in channels])

    def recording(
        self, channels: Mapping[str, str] | Sequence[str], montage: Montage | None = None
    ) -> Recording:
        """The wanted channels in the wanted order, with a piece for each stretch (see `Recording.from_mne`).

        Raises EegfmError if a channel is missing or has a fault.
        """
        self.check(channels)
        with self._damage_named():
            whole = Recording.from_mne(self.raw, channels=channels, path=self.path, montage=montage)
            events = whole.events if self.events is None else self.events
            if self.stim:
                events = sorted((*events, *self.codes()), key=lambda event: event.onset_s)
        whole = replace(
            whole,
            data=_corrected(whole.data, [self.factors.get(name, 1.0) for name in channels]),
            events=tuple(events),
            notes=self.notes,
            filled_from_s=_filled_from_s(whole.data, self.stretches[-1], self.sfreq),
        )
        if [*self.stretches] == [Stretch(0, whole.n_times, 0.0)]:
            return whole
        return whole.in_pieces(
            [whole.data[:, first:after] for first, after, _ in self.stretches],
            [onset_s for _, _, onset_s in self.stretches],
        )

    def codes(self) -> tuple[Event, ...]:
        """The events of the channels of triggers, found as `mne.find_events` does: a code whenever it rises."""
        found = [
            mne.find_events(
                self.raw,
                stim_channel=name,
                shortest_event=1,
                mask=TRIGGERS if self.format == "BDF" else None,
                mask_type="and",
                verbose="error",
            )
            for name in self.stim
        ]
        samples = [
            (int(sample) - self.raw.first_samp, int(code)) for of_one in found for sample, _, code in of_one
        ]
        return tuple(
            Event(round(onset_s + (sample - first) / self.sfreq, 6), 0.0, str(code))
            for sample, code in sorted(samples)
            for first, after, onset_s in self.stretches
            if first <= sample < after
        )

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (EegfmError, MemoryError):
            raise
        except Exception as error:  # a reader may raise anything on a damaged file
            raise EegfmError(
                f"{self.path} cannot be read as {self.format} ({type(error).__name__}: {error}). {FETCH_AGAIN}"
            ) from error


def _corrected(
    data: Float[np.ndarray, "channel time"], factors: Sequence[float]
) -> Float[np.ndarray, "channel time"]:
    wrong = [i for i, factor in enumerate(factors) if factor != 1]
    data[wrong] *= np.array(factors)[wrong, None]
    return data


def _filled_from_s(data: Float[np.ndarray, "channel time"], last: Stretch, sfreq: float) -> float:
    """The second from which on every channel keeps its last value, to the end; infinite where that is a moment only.

    Software fills the last record of a file so.
    """
    n, looked_at = last.after - last.first, round(sfreq)
    while True:  # mostly, the last second tells
        tail = data[:, max(last.first, last.after - looked_at) : last.after]
        moves = np.flatnonzero((tail != tail[:, -1:]).any(axis=0))
        if len(moves) or looked_at >= n:
            break
        looked_at *= 2
    filled = tail.shape[1] - (int(moves[-1]) + 1 if len(moves) else 0)
    return last.onset_s + (n - filled) / sfreq if filled >= FILLED_S * sfreq else math.inf


def between(missing: Bool[np.ndarray, " time"], sfreq: float, path: Path) -> list[Stretch]:
    """The stretches between missing samples. Raises EegfmError if there is none."""
    spans = np.flatnonzero(np.diff(~missing, prepend=False, append=False)).reshape(-1, 2).tolist()
    if not spans:
        raise EegfmError(f"{path} holds nothing but missing samples. {FETCH_AGAIN}")
    return [Stretch(first, after, first / sfreq) for first, after in spans]
