"""The channels of all recordings: which electrodes they are, which all have, where they are, and their amplitudes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float

from eegfm.benchmarks.own.new.headers import Look
from eegfm.contracts import EegfmError
from eegfm.signal.matching import matched
from eegfm.signal.montage import electrode_of, today
from eegfm.signal.quality import HIGH_UV, LOW_UV

EARS = ("A1", "A2", "M1", "M2")
NUMBERED = 3  # A1, A2 and A3 are inputs of an amplifier, where A1 and A2 alone are ears
UNITS = ("V", "mV", "uV", "nV")
TYPICAL_UV = (2.0, 200.0)  # what one wants to see, narrower than what is refused


@dataclass(frozen=True)
class Channels:
    """What the recordings' channels are.

    Attributes:
        common: the electrodes that all recordings have, in the order of the first one.
        partly: electrodes of some, with the number of recordings.
        placeless: channels of EEG whose name is no electrode's, with the number of recordings.
        others: channels that are no EEG, with the number of recordings, by kind.
        aliases: electrode by a file's name, where it is not known without.
        doubles: electrodes that a file has several times, with its names of them.
        montage: the one of MNE that has all names which are no electrodes; "".
        places: where electrodes were measured, the median over recordings that say it.
        n_placed, n_displaced: recordings that say places, and those whose places are on no head.
    """

    common: tuple[str, ...]
    partly: Mapping[str, int]
    placeless: Mapping[str, int]
    others: Mapping[str, Mapping[str, int]]
    aliases: Mapping[str, str]
    doubles: Mapping[str, tuple[str, ...]]
    montage: str
    places: Mapping[str, Float[np.ndarray, " 3"]]
    n_placed: int
    n_displaced: int


@dataclass(frozen=True)
class Amplitude:
    """The typical value over channels and recordings, in microvolts by the files' own units; what would make EEG of it.

    `beyond` are recordings that are not EEG in size; `unitless` the channels whose unit the files do not say.
    """

    typical_uv: float
    least_uv: float
    most_uv: float
    beyond: tuple[str, ...]
    unitless: Mapping[str, int]
    candidates: Mapping[str, float]
    still: Mapping[str, int]


def channels_of(looks: Sequence[Look]) -> Channels:
    """What the channels of all recordings are."""
    electrodes: Counter[str] = Counter()
    placeless: Counter[str] = Counter()
    others: dict[str, Counter[str]] = {}
    aliases: dict[str, str] = {}
    doubles: dict[str, tuple[str, ...]] = {}
    places: dict[str, list[np.ndarray]] = {}
    order: dict[str, None] = {}
    for look in looks:
        meant: dict[str, list[str]] = {}
        inputs = sum(name.strip() in _TELLING for name in look.names) >= NUMBERED
        for name in look.names:
            kind = look.kinds.get(name, "eeg")
            if kind != "eeg":
                others.setdefault(kind, Counter())[name] += 1
                continue
            electrode = None if inputs and name.strip() in _INPUTS else electrode_of(name)
            if electrode is None:
                placeless[name] += 1
            else:
                meant.setdefault(electrode, []).append(name)
        for electrode, names in meant.items():
            electrodes[electrode] += 1
            order.setdefault(electrode)
            if len(names) > 1:
                doubles.setdefault(electrode, tuple(names))
            elif not _known(names[0], electrode):
                aliases[names[0]] = electrode
            if names[0] in look.places:
                places.setdefault(electrode, []).append(look.places[names[0]])
    n = len(looks)
    return Channels(
        common=tuple(name for name in order if electrodes[name] == n and name not in doubles),
        partly={name: electrodes[name] for name in order if electrodes[name] < n},
        placeless=dict(placeless),
        others=others,
        aliases=aliases,
        doubles=doubles,
        montage=_montage_of([name for name, count in placeless.items() if count == n]),
        places={name: np.median(found, axis=0) for name, found in places.items()},
        n_placed=sum(bool(look.places) for look in looks),
        n_displaced=sum(look.displaced for look in looks),
    )


def scalp(names: Sequence[str]) -> list[str]:
    """Without the ears, which are references."""
    return [name for name in names if name not in EARS]


def places_in(montage: str, names: Sequence[str]) -> dict[str, Float[np.ndarray, " 3"]]:
    """The places of channels in a montage of MNE, in the head frame."""
    template = mne.channels.make_standard_montage(montage)
    info = mne.create_info(template.ch_names, 1.0, "eeg").set_montage(template)
    found = info.get_montage()
    assert found is not None
    positions = found.get_positions()["ch_pos"]
    return {name: positions[name] for name in names if name in positions}


def amplitude_of(looks: Sequence[Look], electrodes: Sequence[str]) -> Amplitude | None:
    """The amplitude of the channels that are these electrodes, or of all where none is; None without any.

    A unit is a candidate if it makes EEG of what the files hold.
    """
    sizes: dict[str, float] = {}
    still: Counter[str] = Counter()
    unitless: Counter[str] = Counter()
    for look in looks:
        wanted = [name for name in look.sizes if electrode_of(name) in electrodes] or [*look.sizes]
        if wanted:
            sizes[look.path] = float(np.median([look.sizes[name] for name in wanted]))
        still.update(name for name in look.sizes if look.sizes[name] == 0)
        unitless.update(look.unitless)
    if not sizes and not unitless:
        return None
    values = [*sizes.values()]
    typical = float(np.median(values)) if values else 0.0
    volts = Counter(look.volts for look in looks if look.sizes).most_common(1)
    numbers = typical / volts[0][0] if volts else 0.0
    uv = {"V": 1e6, "mV": 1e3, "uV": 1.0, "nV": 1e-3}
    return Amplitude(
        typical_uv=typical,
        least_uv=min(values, default=0.0),
        most_uv=max(values, default=0.0),
        beyond=tuple(path for path, size in sizes.items() if not LOW_UV <= size <= HIGH_UV),
        unitless=dict(unitless),
        candidates={unit: numbers * uv[unit] for unit in UNITS if LOW_UV <= numbers * uv[unit] <= HIGH_UV},
        still=dict(still),
    )


_INPUTS = frozenset(f"{bank}{i}" for bank in "ABCDEFGH" for i in range(1, 33))  # of BioSemi's amplifier
# C3 and F3 are electrodes far more often
_TELLING = _INPUTS - {f"{bank}{i}" for bank in "CF" for i in range(1, 11)}


def _known(name: str, electrode: str) -> bool:
    """Whether a file's name is matched with the electrode without an alias."""
    try:
        return matched([name], [electrode], Path()) == {name: electrode} or today(name) == today(electrode)
    except EegfmError:
        return False


def _montage_of(names: Sequence[str]) -> str:
    """The smallest montage of MNE that has all of these names; "" for none."""
    if len(names) < NUMBERED:
        return ""
    fitting = []
    for name in mne.channels.get_builtin_montages():
        known = mne.channels.make_standard_montage(name).ch_names
        if {*names} <= {*known}:
            fitting.append((len(known), name))
    return min(fitting)[1] if fitting else ""
