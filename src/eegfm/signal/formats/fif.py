"""FIF, the format of MNE and of Neuromag, in one file or in parts -> recordings. MNE reads.

A file that was cut between two buffers reads as a shorter one; the reader's warning of a missing end is taken for
what it is (see `of_mne`). A first part names the next one, and every part must be there.
"""

import re
from pathlib import Path

import mne

from eegfm.contracts import EegfmError
from eegfm.signal.formats.epochs import open_epochs
from eegfm.signal.formats.of_mne import opened, read_by_mne
from eegfm.signal.formats.opened import Opened

NAME = "FIF"
EPOCHS = re.compile(r"[-_]epo(-\d+)?\.fif(\.gz)?$")
# what MNE keeps in files of the same suffix, by its conventions of names
OTHER = re.compile(
    r"[-_](eve|ave|cov|ica|trans|fwd|inv|src|proj|annot|dig|bem|bem-sol|sol|tfr|psd|lout)\.fif(\.gz)?$"
)
NUMBER = re.compile(r"-(\d+)(\.fif(?:\.gz)?)$")  # a_raw-1.fif follows a_raw.fif
SPLIT = re.compile(r"_split-(\d+)_")  # in BIDS


def open_fif(path: Path) -> Opened:
    """The file, whose samples are read later, unless they are epochs.

    Raises EegfmError if it cannot be read, was cut, is a later part of a recording, or lacks its next part.
    """
    first = first_part(path)
    if first != path:
        raise EegfmError(
            f"{path} is a part of {first.name}, which is read with all its parts. Name that file."
        )
    if EPOCHS.search(path.name):
        epochs, notes = read_by_mne(path, NAME, lambda: mne.read_epochs(path, verbose="warning"))
        return open_epochs(path, NAME, epochs, notes=_worth(notes), beside=parts(path)[1:])
    try:
        raw, notes = read_by_mne(path, NAME, lambda: mne.io.read_raw_fif(path, verbose="warning"))
    except EegfmError as error:
        if "next file" in str(error.__cause__):
            raise EegfmError(
                f"{path} is the first part of a recording, and its next part is not there. Fetch all parts, under the "
                f"names that they had. MNE says: {' '.join(str(error.__cause__).split())}"
            ) from error
        raise
    notes = _worth(notes)
    if raw.info["projs"]:
        notes += (f"{len(raw.info['projs'])} projectors of the file are not applied",)
    return opened(path, NAME, raw, notes=notes, beside=tuple(Path(one) for one in raw.filenames[1:] if one))


def first_part(path: Path) -> Path:
    """The first part of the recording that a file is a part of: the file itself, or one that is there."""
    number, split = NUMBER.search(path.name), SPLIT.search(path.name)
    if split and int(split[1]) > 1:
        digits = f"{1:0{len(split[1])}d}"
        first = path.with_name(SPLIT.sub(f"_split-{digits}_", path.name))
        return first if first.is_file() else path
    if number:
        first = path.with_name(NUMBER.sub(r"\2", path.name))
        return first if first.is_file() else path
    return path


def parts(path: Path) -> tuple[Path, ...]:
    """The first part and those that follow it by name, as far as they are there."""
    split, found = SPLIT.search(path.name), [path]
    suffix = ".fif.gz" if path.name.endswith(".fif.gz") else path.suffix
    stem = path.name.removesuffix(suffix)
    while True:
        n = len(found)
        if split:
            following = SPLIT.sub(f"_split-{int(split[1]) + n:0{len(split[1])}d}_", path.name)
        else:
            following = f"{stem}-{n}{suffix}"
        if not path.with_name(following).is_file():
            return tuple(found)
        found.append(path.with_name(following))


def _worth(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Without what concerns the file's name alone."""
    return tuple(note for note in notes if "naming conventions" not in note)
