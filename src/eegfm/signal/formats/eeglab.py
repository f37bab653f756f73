"""EEGLAB (.set, with its samples inside or in a .fdt beside it) -> recordings. MNE reads.

The format states no unit; EEGLAB's are microvolts by convention, and so says MNE. A file of epochs is a recording whose
pieces they are. Files in MATLAB's version 7.3 need the package pymatreader.
"""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import mne

from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.signal.formats.epochs import open_epochs
from eegfm.signal.formats.of_mne import events_of, opened, read_by_mne
from eegfm.signal.formats.opened import Opened

NAME = "EEGLAB"
HDF5 = b"MATLAB 7.3"
SAMPLE_BYTES = 4  # of a .fdt


def open_eeglab(path: Path) -> Opened:
    """The file, whose samples are read later, unless they are epochs.

    Raises EegfmError if it cannot be read, or its .fdt is missing, of another name, or of another length than it says.
    """
    with open(path, "rb") as file:
        if file.read(len(HDF5)) == HDF5 and find_spec("pymatreader") is None:
            raise EegfmError(
                f"{path} was saved by MATLAB as version 7.3, which is read by a package that is not here: pip install "
                "pymatreader. Or save it in EEGLAB as version 6 or 7 (Memory options)."
            )
    try:
        raw, notes = read_by_mne(path, NAME, lambda: mne.io.read_raw_eeglab(path, verbose="warning"))
    except EegfmError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError):
            raise EegfmError(
                f"{path} keeps its samples in {path.with_suffix('.fdt').name}, which is not beside it. Fetch both "
                "files, under the names that they had."
            ) from error
        if isinstance(cause, TypeError) and "number of trials" in str(cause):
            return _epochs(path)
        raise
    events = tuple(
        # a number is a double of MATLAB, in which a reader may leave its decimals
        replace(event, description=re.sub(r"^(-?\d+)\.0$", r"\1", event.description))
        for event in events_of(raw)
    )
    data = Path(raw.filenames[0]) if raw.filenames[0] else path
    beside = _checked(path, data, SAMPLE_BYTES * len(raw.ch_names) * raw.n_times)
    return opened(
        path,
        NAME,
        raw,
        events=events,
        notes=notes,
        number_uv=dict.fromkeys(raw.ch_names, 1.0),
        beside=beside,
    )


def beside(path: Path) -> tuple[Path, ...]:
    """The file of samples of a .set, where it has one."""
    return tuple(other for other in (path.with_suffix(".fdt"),) if other.is_file())


def _epochs(path: Path) -> Opened:
    epochs, notes = read_by_mne(path, NAME, lambda: mne.io.read_epochs_eeglab(path, verbose="warning"))
    size = SAMPLE_BYTES * len(epochs.ch_names) * len(epochs.times) * len(epochs)
    found = beside(path)
    return open_epochs(
        path,
        NAME,
        epochs,
        notes=notes,
        number_uv=dict.fromkeys(epochs.ch_names, 1.0),
        beside=_checked(path, found[0], size) if found else (),
    )


def _checked(path: Path, data: Path, wanted: int) -> tuple[Path, ...]:
    """The file of samples, none where they are in the .set. Raises EegfmError if it is not the one that belongs."""
    if data.suffix.lower() != ".fdt":
        return ()
    if data.name != path.with_suffix(".fdt").name:
        raise EegfmError(
            f"{path} keeps its samples in {data.name}; {path.with_suffix('.fdt').name} is wanted, so that both are "
            "kept and checked together. Save it again in EEGLAB."
        )
    found = data.stat().st_size
    if found != wanted:
        what = "cut short" if found < wanted else "longer than its header says"
        raise EegfmError(
            f"{data}, the samples of {path}, is {what}: {found:,} bytes found, {wanted:,} wanted. {FETCH_AGAIN}"
        )
    return (data,)
