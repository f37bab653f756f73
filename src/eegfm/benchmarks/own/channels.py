"""The rows of a person's own recordings: names, places, and the names that files have for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.matching import matched
from eegfm.signal.montage import FARTHEST, LAYOUTS, layout, montage_of
from eegfm.support.words import some, unknown

TOLD = "`eegfm new <folder>` shows which they are, and writes them"


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """The rows that the YAML says: a list, or the name of a montage.

    Raises EegfmError for no channel, one twice, and what has to be known before a file is opened.
    """
    if given == "common":
        raise EegfmError(
            "channels: common: which these are must be known before a file is opened, for a trained model is applied "
            f"where these files are not. Name them: {TOLD}."
        )
    if isinstance(given, str):
        return _of_montage(given)
    names = tuple(map(str, given))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise EegfmError(
            f"channels: {some(twice)} twice."
            if twice
            else f"channels: none is named. {TOLD[0].upper()}{TOLD[1:]}."
        )
    return names


def _of_montage(name: str) -> tuple[str, ...]:
    known = [str(one) for one in mne.channels.get_builtin_montages()]
    if name in LAYOUTS:
        return layout(name).names
    if name in known:
        return tuple(mne.channels.make_standard_montage(name).ch_names)
    raise EegfmError(
        unknown(f"channels: {name}", "it is no montage", name, [*LAYOUTS, *known])
        + " Name the channels in a list, or a montage."
    )


def places_of(names: Sequence[str], given: str | Mapping[str, Any]) -> Montage:
    """The places of rows.

    `given` is "names", a mapping (metres in the head frame, or None for what has no place on the scalp), or the path
    of a file of electrodes. Rows that it does not name are looked up by name. Raises EegfmError.
    """
    own: dict[str, np.ndarray] = {}
    if isinstance(given, str) and given != "names":
        if given in ("file", "electrodes.tsv"):
            raise EegfmError(
                f"places: {given}: where electrodes are must be known before a file is opened, for a trained model is "
                f"applied where these files are not. Write them as {{Fp1: [x, y, z]}}: {TOLD}."
            )
        measured = layout(given)
        own = dict(zip(measured.names, measured.coords, strict=True))
    elif not isinstance(given, str):
        own = {str(name): _place(str(name), place) for name, place in given.items()}
    strangers = [name for name in own if name not in names]
    if strangers and not isinstance(given, str):
        raise EegfmError(unknown("places", f"no channel is {some(strangers)}", strangers[0], names))
    named = [name for name in names if name not in own]
    try:
        template = montage_of(named)
    except EegfmError as error:
        first = next(name for name in named if not _is_known(name))
        raise EegfmError(
            f"{str(error).partition(' Map the')[0]} Say which electrode it is under aliases, where it is under places: "
            f"{{{first}: [x, y, z]}}, or that it has no place: {{{first}: null}}"
        ) from None
    known = {**dict(zip(template.names, template.coords, strict=True)), **own}
    ends = None
    if template.ends is not None:
        pairs = dict(zip(template.names, template.ends, strict=True))
        ends = np.stack([pairs.get(name, np.stack([known[name]] * 2)) for name in names])
    return Montage(tuple(names), np.stack([known[name] for name in names]), ends)


def _is_known(name: str) -> bool:
    try:
        return bool(montage_of([name]).names)
    except EegfmError:
        return False


def _place(name: str, given: Any) -> np.ndarray:
    if given is None:
        return np.full(3, np.nan)
    numbers = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 3
    if not numbers or not all(isinstance(one, int | float) for one in given):
        raise EegfmError(
            f"places.{name}={given}: [x, y, z] in metres of the head frame, or null, is wanted."
        )
    place = np.array(given, dtype=float)
    if not np.isfinite(place).all() or np.abs(place).max() > FARTHEST:
        raise EegfmError(
            f"places.{name}={given}: metres in the head frame are wanted (a head is about 0.1). If these are "
            "millimetres, divide them by 1000."
        )
    return place


def chosen(
    there: Sequence[str], wanted: Sequence[str], aliases: Mapping[str, str], path: Path
) -> dict[str, str]:
    """The wanted channels of a file: its name -> ours. Raises EegfmError for one that is lacking or unclear."""
    remedy = "Take the others out of channels, or say which of these they are under aliases: {<its name>: <name>}"
    return matched(there, wanted, path, remedy=remedy, aliases=aliases)
