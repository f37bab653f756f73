"""Electrode names -> places: metres in MNE's head frame, from MNE's own template of the 10-05 system.

The template (Oostenveld & Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7, on the Colin27 head) holds positions in
that head's MRI frame. They are brought into the *head* frame, whose origin and axes come from three points of the head
itself: both ear points (LPA, RPA) lie on the x axis, the nasion on the positive y axis, and z points up. This is what
`raw.set_montage` does, and the frame of positions digitised at a real head. The ear points of the template are 82 mm
from the origin and its nasion 114 mm: it is an adult head at its own size, not a unit sphere.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache

import mne
import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError, Montage

# rows that are signals without a place on the scalp; their coordinates are NaN
NOT_A_PLACE = frozenset({"A2-A1"})  # difference of the two ears (MentalArithmetic)


def montage_of(names: Sequence[str]) -> Montage:
    """The given rows with their places; names are kept as given and looked up whatever their case.

    The older names T3, T4, T5, T6 are places of the template too, those of T7, T8, P7, P8. Rows declared in
    `NOT_A_PLACE` get NaN; any other unknown name raises EegfmError.
    """
    places = _places()
    unknown = [name for name in names if name.casefold() not in places and name not in NOT_A_PLACE]
    if unknown:
        raise EegfmError(
            f"Not a place of the 10-05 system: {'; '.join(map(_with_close_matches, unknown))}. "
            "Map the file's names to names of the 10-05 system, or declare a row that is no place in "
            "eegfm.signal.montage.NOT_A_PLACE."
        )
    nowhere = np.full(3, np.nan)
    coords = [nowhere if name in NOT_A_PLACE else places[name.casefold()] for name in names]
    return Montage(tuple(names), np.array(coords, dtype=np.float64).reshape(-1, 3))


def midpoints(pairs: Sequence[tuple[str, str]]) -> Montage:
    """Bipolar rows, anode - cathode, placed half way between their two electrodes, under the skin's surface."""
    anodes, cathodes = (montage_of(names) for names in zip(*pairs, strict=True))
    names = tuple(f"{anode}-{cathode}" for anode, cathode in pairs)
    return Montage(names, (anodes.coords + cathodes.coords) / 2)


@cache
def _places() -> Mapping[str, Float[np.ndarray, " 3"]]:
    """Every place of the template by its casefolded name."""
    # MNE 1.13 gave the template the name of the head it was made on, and drops the old one in 1.14
    name = "colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005"
    template = mne.channels.make_standard_montage(name)
    montage = mne.create_info(template.ch_names, 1.0, "eeg").set_montage(template).get_montage()
    assert montage is not None
    positions = montage.get_positions()
    assert positions["coord_frame"] == "head"
    return {name.casefold(): place for name, place in positions["ch_pos"].items()}


def _with_close_matches(name: str) -> str:
    close = get_close_matches(name.casefold(), list(_places()), n=3)
    return f"{name!r} (close: {', '.join(close)})" if close else repr(name)
