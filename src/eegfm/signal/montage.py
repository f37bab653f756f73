"""Electrode names -> places: metres in MNE's head frame, from MNE's own template of the 10-05 system.

The template (Oostenveld & Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7, on the Colin27 head) holds
positions in that head's MRI frame. They are transformed to the *head* frame, whose origin and axes come
from three points of the head itself: both ear points (LPA, RPA) lie on the x axis, the nasion on the
positive y axis, and z points up. `raw.set_montage` does the same, and positions digitised at a real head
use this frame. The ear points of the template are 82 mm from the origin and its nasion 114 mm: it is an
adult head at its own size, not a unit sphere.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import mne
import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError, Montage

# rows that are signals without a place on the scalp; their coordinates are NaN
NOT_A_PLACE = frozenset({"A2-A1"})  # difference of the two ears (MentalArithmetic)

# The centre from which electrodes are projected: that of MNE's own sphere fitted to them, as in
# eegfm.benchmarks.synthetic. Fpz, T7 and T8 then lie 97 to 100 degrees from the top, where the outline is drawn.
HEAD_CENTRE = (0.0, 0.016, 0.045)  # metres, head frame
OUTLINE = 100.0  # degrees from the top

Frame = Literal["head", "template"]

# what files write before and behind an electrode: "EEG Fp1", "EEG-Fz", "POL C3"; "Fp1-REF", "Fp1-LE", "C3-A2"
DECORATION = re.compile(r"^(eeg|pol)[\s:_-]+", re.IGNORECASE)
REFERENCE = re.compile(
    r"\s*[-_:/]\s*(ref\d*|le|a1|a2|m1|m2|a12|a1a2|a1\+a2|m1m2|avg?|average|car|ave|gnd)$", re.IGNORECASE
)

# The 64 electrodes of BCI2000 in their order, used in PhysioNet's motor imagery and in many caps since.
TEN_TEN = tuple(
    "FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6 Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 "
    "F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FT8 T7 T8 T9 T10 TP7 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 "
    "O1 Oz O2 Iz".split()
)
LAYOUTS = ("standard_1020", "distinct", "ten_ten")
FARTHEST = 1.0  # metres: no electrode is farther from the centre of a head, but nearly all are if given in millimetres

# places that the 10-05 system knows under another name. CB1 and CB2 of Neuroscan's caps (SEED) sit below PO7 and PO8.
ALSO_KNOWN_AS = {"cb1": "po9", "cb2": "po10"}
# older names of the 10-20 system -> today's names of the same places
TODAY = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}


def montage_of(names: Sequence[str]) -> Montage:
    """The given rows with their places; names are kept as given and looked up regardless of case.

    The template also knows the older names T3, T4, T5, T6, at the places of T7, T8, P7, P8. "FP1-F7" is a
    bipolar row, half way between its two electrodes (see `Montage`). Rows declared in `NOT_A_PLACE` get
    NaN; any other unknown name raises EegfmError.
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


def layout(name: str, frame: Frame = "head") -> Montage:
    """Target places of a spatial embedding, by name or from a file, in metres.

    "standard_1020": the 94 of SAMBA's workbook, MNE's template of the 10-20 system in its order, four of
    them twice (T3, T4, T5, T6 are T7, T8, P7, P8). "distinct": the 90 different ones. "ten_ten": the 64 of
    BCI2000. Any other name is the path of a CSV with the columns name, x, y, z (metres, head frame), or of
    an electrode file that MNE reads and that has both ear points and the nasion. `frame` "template" is the
    MRI frame of the template's head, used by SAMBA's workbooks; "head" is the frame of all coordinates
    here. Raises EegfmError.
    """
    if frame not in get_args(Frame):
        raise EegfmError(f"frame={frame!r} is not a choice. Choose one of: {', '.join(get_args(Frame))}.")
    if name not in LAYOUTS:
        found = _from_file(Path(name))
        return found if frame == "head" else Montage(found.names, template_frame(found.coords))
    template = _template("1020")
    places = {electrode: place.copy() for electrode, place in template.get_positions()["ch_pos"].items()}
    names = TEN_TEN if name == "ten_ten" else tuple(template.ch_names)
    if name == "distinct":
        names = tuple(electrode for electrode in names if electrode.casefold() not in TODAY)
    coords = np.array([places[electrode] for electrode in names])
    return Montage(names, coords if frame == "template" else _apply(_template_to_head(), coords))


def template_frame(coords: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, "place 3"]:
    """Transform places, in metres, from the head frame to the template's MRI frame, about 50 mm away; NaN stays NaN."""
    return _apply(to_template(), np.asarray(coords, dtype=float))


def to_template() -> Float[np.ndarray, "4 4"]:
    """The rigid transform of `template_frame`, for a model that transforms its coordinates."""
    return np.linalg.inv(_template_to_head())


def from_above(coords: Float[np.ndarray, "place 3"]) -> Float[np.ndarray, "place 2"]:
    """Places of the head frame from above, azimuthal and equidistant: (to the right, to the nose).

    The outline of the head has radius 1. NaN stays NaN.
    """
    x, y, z = (np.asarray(coords, dtype=float) - HEAD_CENTRE).T
    across = np.hypot(x, y)
    distance = np.degrees(np.arctan2(across, z)) / OUTLINE
    return np.stack([x, y], axis=1) * (distance / np.where(across > 0, across, 1.0))[:, None]


def today(name: str) -> str:
    """A row's name for comparisons: in lower case, with today's names of electrodes for older ones."""
    parts = [part.strip() for part in name.casefold().split("-")]
    return "-".join(TODAY.get(part, part) for part in parts)


def electrode_of(name: str) -> str | None:
    """The electrode that a file's name of a channel means, in the spelling of the 10-05 system; None for no such name.

    "EEG FP1-REF" and "Fp1." are Fp1, "T3" is T7, "C3-A2" is C3, and "FP1-F7" is the bipolar row Fp1-F7.
    """
    bare = DECORATION.sub("", name.strip().rstrip(".").strip())
    if bare in NOT_A_PLACE:
        return None
    plain = REFERENCE.sub("", bare).strip()
    parts = [part.strip() for part in (plain, *plain.split("-", 1))]
    whole, *ends = [_spelling().get(TODAY.get(part.casefold(), part.casefold())) for part in parts]
    if whole is not None:
        return whole
    return f"{ends[0]}-{ends[1]}" if len(ends) == 2 and None not in ends else None


def _electrodes(name: str) -> list[str]:
    """The electrode of a row, or the anode and the cathode of a bipolar row."""
    return name.split("-", 1)


def _place(electrode: str) -> Float[np.ndarray, " 3"] | None:
    name = electrode.casefold()
    return _places().get(ALSO_KNOWN_AS.get(name, name))


@cache
def _spelling() -> Mapping[str, str]:
    """Every name of the template by its casefolded form, and those that are known for another place."""
    names = {name.casefold(): name for name in _template("1005").ch_names}
    return names | {name: name.upper() for name in ALSO_KNOWN_AS}


@cache
def _places() -> Mapping[str, Float[np.ndarray, " 3"]]:
    """Every place of the template by its casefolded name."""
    template = _template("1005")
    montage = mne.create_info(template.ch_names, 1.0, "eeg").set_montage(template).get_montage()
    assert montage is not None
    positions = montage.get_positions()
    assert positions["coord_frame"] == "head"
    return {name.casefold(): place for name, place in positions["ch_pos"].items()}


def _template(system: Literal["1005", "1020"]) -> mne.channels.DigMontage:
    # MNE 1.13 gave the template the name of the head it was made on, and drops the old one in 1.14
    today = f"colin27_{system}"
    name = today if today in mne.channels.get_builtin_montages() else f"standard_{system}"
    return mne.channels.make_standard_montage(name)


@cache
def _template_to_head() -> Float[np.ndarray, "4 4"]:
    """The rigid transform from the template's MRI frame to the head frame, fixed by its ear points and nasion."""
    return mne.channels.compute_native_head_t(_template("1020"))["trans"]


def _apply(
    transform: Float[np.ndarray, "4 4"], coords: Float[np.ndarray, "place 3"]
) -> Float[np.ndarray, "place 3"]:
    return coords @ transform[:3, :3].T + transform[:3, 3]


def _from_file(path: Path) -> Montage:
    """The electrodes of a file, in its order, in metres of the head frame."""
    if not path.is_file():
        raise EegfmError(
            f"{str(path)!r} is neither a layout nor a file. Choose one of: {', '.join(LAYOUTS)}; or give the path of a "
            "CSV with the columns name, x, y, z (metres, head frame)."
        )
    places = _from_csv(path) if path.suffix == ".csv" else _from_mne(path)
    if not places:
        raise EegfmError(f"{path} holds no electrode.")
    coords = np.array([*places.values()], dtype=float)
    if not np.isfinite(coords).all() or np.abs(coords).max() > FARTHEST:
        raise EegfmError(
            f"{path}: places reach {np.abs(coords).max():.4g}, where metres in the head's frame are wanted (a head is "
            "about 0.1). If they are millimetres, divide them by 1000."
        )
    return Montage(tuple(places), coords)


def _from_csv(path: Path) -> dict[str, list[float]]:
    places = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames is None or not {"name", "x", "y", "z"} <= set(rows.fieldnames):
            raise EegfmError(
                f"{path} has the columns {', '.join(rows.fieldnames or [])}; name, x, y, z are wanted."
            )
        for row in rows:
            try:
                place = [float(row[axis]) for axis in "xyz"]
            except (TypeError, ValueError):
                raise EegfmError(f"{path}, line {rows.line_num}: x, y, z must be three numbers.") from None
            if row["name"] in places:
                raise EegfmError(f"{path}, line {rows.line_num}: {row['name']!r} is there twice.")
            places[row["name"]] = place
    return places


def _from_mne(path: Path) -> dict[str, Float[np.ndarray, " 3"]]:
    try:
        if path.suffix == ".fif":
            montage = mne.channels.read_dig_fif(path, verbose="error")
        else:
            # an .elc states its unit; other files do not, so MNE scales their heads to 0.095 m
            size: Any = None if path.suffix == ".elc" else 0.095
            montage = mne.channels.read_custom_montage(path, head_size=size)
    except Exception as error:  # a reader may raise anything on a file that is not its own
        raise EegfmError(
            f"{path} cannot be read as a file of electrodes ({type(error).__name__}: {error}). Give a CSV with the "
            "columns name, x, y, z (metres, head frame)."
        ) from error
    positions = montage.get_positions()
    if positions["coord_frame"] != "head":
        if any(positions[point] is None for point in ("nasion", "lpa", "rpa")):
            raise EegfmError(
                f"{path} has no ear points and nasion, so its frame is not known. Give a CSV with the columns name, x, "
                "y, z in metres of the head frame: ears on the x axis, nose on the positive y axis."
            )
        positions = mne.channels.montage.transform_to_head(montage).get_positions()
    return positions["ch_pos"]


def _with_close_matches(name: str) -> str:
    close = get_close_matches(name.casefold(), list(_places()), n=3)
    return f"{name!r} (close: {', '.join(close)})" if close else repr(name)
