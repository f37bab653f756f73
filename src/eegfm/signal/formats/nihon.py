"""Nihon Kohden (.EEG, with .21E, .LOG and .PNT beside it) -> recordings. MNE reads.

The .21E names the electrodes and the .LOG holds the events; without them MNE takes the amplifier's own names, and no
event. Both are notes of the file. MNE looks for their suffixes in capitals.
"""

from pathlib import Path

import mne

from eegfm.signal.formats.of_mne import opened, read_by_mne
from eegfm.signal.formats.opened import Opened

NAME = "Nihon Kohden"
BESIDE = (".21E", ".LOG", ".PNT")
STARTS = (b"EEG-", b"QI-")  # of the device's name and version, in the first bytes


def is_nihon(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(16).startswith(STARTS)


def open_nihon(path: Path) -> Opened:
    """The file, whose samples are read later. Raises EegfmError if it cannot be read or was cut."""
    raw, notes = read_by_mne(path, NAME, lambda: mne.io.read_raw_nihon(path, verbose="warning"))
    return opened(path, NAME, raw, notes=notes, beside=beside(path))


def beside(path: Path) -> tuple[Path, ...]:
    """The files that are read with it, as far as they are there."""
    return tuple(other for suffix in BESIDE if (other := path.with_suffix(suffix)).is_file())
