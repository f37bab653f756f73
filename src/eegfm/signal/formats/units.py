"""The unit that a header names for a channel: how many microvolts it is.

MNE knows a few spellings and silently takes every other one for volts, which is a factor of 1e6.
"""

from collections.abc import Mapping
from typing import NamedTuple

MICROVOLTS: Mapping[str, float] = {
    "nv": 1e-3,
    "nanovolt": 1e-3,
    "uv": 1.0,
    "uvolt": 1.0,
    "microvolt": 1.0,
    "mv": 1e3,
    "mvolt": 1e3,
    "millivolt": 1e3,
    "microvol": 1.0,  # EDF's field ends after eight letters
    "millivol": 1e3,
    "v": 1e6,
    "volt": 1e6,
}
# the sign micro, the Greek letter, and the letter in Shift-JIS, where MNE reads Latin-1
MICRO = ("\u00b5", "\u03bc", "\x83\u00ca")


class Fault(NamedTuple):
    """Why a channel cannot be read, as what is said of it, and what to do.

    `of_unit`: it can, once somebody says what one number of it is (see `Opened.in_units`).
    """

    what: str
    remedy: str
    of_unit: bool = False


def text_of(content: bytes) -> str:
    """Bytes of a file as text: UTF-8 where they are that, else Latin-1, which any bytes are."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def field_of(content: bytes) -> str:
    """A header's field, which blanks or zeros fill up, as text."""
    return text_of(content.split(b"\0")[0].strip())


def microvolts_of(unit: str) -> float | None:
    """Microvolts in one of the unit; None for a unit that is no known voltage.

    Capitals do not matter ("UV"), except of "MV", which may be a thousandth or a million volts.
    """
    for sign in MICRO:
        unit = unit.replace(sign, "u")
    plain = unit.casefold().removesuffix("s")
    if unit.startswith("M") and plain in ("mv", "mvolt"):
        return None
    return MICROVOLTS.get(plain)


def unit_fault(unit: str) -> Fault:
    """The fault of a channel whose unit is not known."""
    named = f"has the unit {unit!r}" if unit else "has no unit"
    return Fault(
        f"{named}, which says nothing of microvolts",
        'Write the true unit into its header (of an EDF file, edfio does: signal.physical_dimension = "uV").',
        of_unit=True,
    )
