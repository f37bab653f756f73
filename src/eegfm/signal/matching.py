"""The channels of anybody's file, matched with those that are wanted, or brought to their places."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.montage import electrode_of, montage_of, today

Places = Mapping[str, Float[np.ndarray, " 3"]]  # by channel, metres in the head frame, as a file has them

NEAR_M = 0.015  # neighbours of the 10-10 system are about 35 mm apart: nearer than half of that is the same place


def matched(
    there: Sequence[str],
    wanted: Sequence[str],
    path: Path,
    places: Places | None = None,
    remedy: str = "Choose a recording of that montage, or rename its channels.",
    aliases: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Match a file's channels with the wanted ones: the file's name -> ours, in the wanted order.

    An exact name comes first. Otherwise case, a leading "EEG ", a trailing reference "-REF" or "-LE" and
    trailing dots are ignored, and T3, T4, T5, T6 equal T7, T8, P7, P8. If the file holds a name several
    times, the first is taken ("T8-P8-0"). References are not compared.

    A channel that is not there by name is taken by its place, where the file has `places`: the nearest electrode
    that no name has taken, if it is within `NEAR_M`.

    `aliases` are other names of the file's channels, which take the place of their own: the file's -> ours.

    Raises EegfmError, with their names, if channels are missing or match more than one.
    """
    if aliases:
        ours = _renamed(there, aliases, wanted, path)
        by_ours = {name: places[own] for name, own in ours.items() if own in places} if places else None
        found = matched([*ours], wanted, path, by_ours, remedy)
        return {ours[name]: row for name, row in found.items()}
    found: dict[str, str] = {}
    missing, unclear = [], []
    for name in wanted:
        exact = [other for other in (name, f"{name}-0") if other in there]
        alike = exact[:1] or [other for other in there if _plain(other) == _plain(name)]
        if len(alike) == 1:
            found[alike[0]] = name
        elif alike:
            unclear.append(f"{name} ({' or '.join(alike)})")
        else:
            missing.append(name)
    if missing and places:
        near = _nearest(missing, {name: place for name, place in places.items() if name not in found})
        missing = [name for name in missing if name not in near.values()]
        order = {name: i for i, name in enumerate(wanted)}
        found = dict(sorted((found | near).items(), key=lambda pair: order[pair[1]]))
    if missing:
        raise EegfmError(
            f"{path} lacks {len(missing)} of the {len(wanted)} channels of this run: {', '.join(missing)}. "
            f"It has {', '.join(there)}. {remedy}"
        )
    if unclear:
        raise EegfmError(
            f"{path} has several channels for one of the run: {', '.join(unclear)}. Rename one."
        )
    return found


def _renamed(
    there: Sequence[str], aliases: Mapping[str, str], wanted: Sequence[str], path: Path
) -> dict[str, str]:
    """The file's channel by its other name, or by its own. Raises EegfmError if two are a channel that is wanted."""
    ours: dict[str, str] = {}
    for name in there:
        other = ours.setdefault(aliases.get(name, name), name)
        if other != name and aliases.get(name, name) in wanted:
            raise EegfmError(
                f"{path}: {other} and {name} are both {aliases.get(name, name)} (aliases). Name one of them."
            )
    return ours


def everywhere(
    there: Sequence[str], places: Places, path: Path, aliases: Mapping[str, str] | None = None
) -> tuple[dict[str, str], Montage]:
    """All channels of a file that have a place, for a model that reads places: the file's name -> ours, and places.

    A name that means an electrode (see `electrode_of`) has the place of that electrode, as in training. Another name
    has the place that the file gives it. Of several channels at one place the first is taken. `aliases` as for
    `matched`.

    Raises EegfmError if no channel has a place.
    """
    found: dict[str, tuple[str, Float[np.ndarray, " 3"]]] = {}
    taken = set()
    for name in there:
        called = (aliases or {}).get(name, name)
        ours = electrode_of(called)
        if (ours is None and name not in places) or today(ours or called) in taken:
            continue
        taken.add(today(ours or called))
        found[name] = (ours or called, places[name] if ours is None else montage_of([ours]).coords[0])
    if not found:
        raise EegfmError(
            f"{path} has no channel whose name is a place of the 10-05 system, and no digitised places: it has "
            f"{', '.join(there)}. Rename its channels."
        )
    names, coords = zip(*found.values(), strict=True)
    return dict(zip(found, names, strict=True)), Montage(names, np.array(coords))


def _nearest(missing: Sequence[str], places: Places) -> dict[str, str]:
    """The electrodes that lie where missing channels are, each for one: the file's name -> ours, the nearest first."""
    placed = [name for name in missing if electrode_of(name) is not None]
    pairs = sorted(
        (float(np.linalg.norm(place - coords)), other, name)
        for name, coords in zip(placed, montage_of(placed).coords, strict=True)
        for other, place in places.items()
    )
    found: dict[str, str] = {}
    for distance, other, name in pairs:
        if distance <= NEAR_M and other not in found and name not in found.values():
            found[other] = name
    return found


def _plain(name: str) -> str:
    name = re.sub(r"^eeg\s+", "", name.strip().casefold()).rstrip(".")
    return today(re.sub(r"-(ref|le)$", "", name))
