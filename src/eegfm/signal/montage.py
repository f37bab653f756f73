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

# Where the template's electrodes look down on the head from: the middle of MNE's own sphere fitted to them, as in
# eegfm.benchmarks.synthetic. Fpz, T7 and T8 then lie 97 to 100 degrees from the top, where an outline is drawn.
HEAD_CENTRE = (0.0, 0.016, 0.045)  # metres, head frame
OUTLINE = 100.0  # degrees from the top

# places that the 10-05 system knows under another name. CB1 and CB2 of Neuroscan's caps (SEED) sit below PO7 and PO8.
ALSO_KNOWN_AS = {"cb1": "po9", "cb2": "po10"}
# older names of the 10-20 system, and those of today for the same places
TODAY = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}


def montage_of(names: Sequence[str]) -> Montage:
    """The given rows with their places; names are kept as given and looked up whatever their case.

    The older names T3, T4, T5, T6 are places of the template too, those of T7, T8, P7, P8. "FP1-F7" is a bipolar row,
    half way between its two electrodes (see `Montage`). Rows declared in `NOT_A_PLACE` get NaN; any other unknown name
    raises EegfmError.
    """
    unknown = [
        part
        for name in names
        if name not in NOT_A_PLACE
        for part in _electrodes(name)
        if _place(part) is None
    ]
    if unknown:
        raise EegfmError(
            f"Not a place of the 10-05 system: {'; '.join(map(_with_close_matches, dict.fromkeys(unknown)))}. "
            "Map the file's names to names of the 10-05 system, or declare a row that is no place in "
            "eegfm.signal.montage.NOT_A_PLACE."
        )
    ends = np.full((len(names), 2, 3), np.nan)
    for row, name in zip(ends, names, strict=True):
        if name not in NOT_A_PLACE:
            row[0], row[1] = _place(_electrodes(name)[0]), _place(_electrodes(name)[-1])
    bipolar = any(len(_electrodes(name)) == 2 for name in names if name not in NOT_A_PLACE)
    return Montage(tuple(names), ends.mean(axis=1), ends if bipolar else None)


def from_above(coords: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, "place 2"]:
    """Places of the head frame as seen from above, azimuthal and equidistant: (to the right, to the nose).

    The outline of the head is 1 away from the middle. NaN stays NaN.
    """
    x, y, z = (np.asarray(coords, dtype=float) - HEAD_CENTRE).T
    across = np.hypot(x, y)
    distance = np.degrees(np.arctan2(across, z)) / OUTLINE
    return np.stack([x, y], axis=1) * (distance / np.where(across > 0, across, 1.0))[:, None]


def today(name: str) -> str:
    """A row's name by which it is compared with others: in lower case, older names of electrodes as those of today."""
    parts = [part.strip() for part in name.casefold().split("-")]
    return "-".join(TODAY.get(part, part) for part in parts)


def _electrodes(name: str) -> list[str]:
    """The one electrode of a row, or the anode and the cathode of a bipolar one."""
    return name.split("-", 1)


def _place(electrode: str) -> Float[np.ndarray, " 3"] | None:
    name = electrode.casefold()
    return _places().get(ALSO_KNOWN_AS.get(name, name))


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
