"""A recording of any format that is read here, for whatever takes people's own files."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import mne

from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.signal.formats import brainvision, eeglab, fif, nihon
from eegfm.signal.formats.cnt import open_cnt
from eegfm.signal.formats.edf import open_edf
from eegfm.signal.formats.gdf import open_gdf
from eegfm.signal.formats.of_mne import opened, read_by_mne, stim_of
from eegfm.signal.formats.opened import Opened
from eegfm.signal.formats.units import Fault, text_of

OWN: dict[str, Callable[[Path], Opened]] = {
    ".edf": open_edf,
    ".bdf": open_edf,
    ".gdf": open_gdf,
    ".cnt": open_cnt,
    ".vhdr": brainvision.open_brainvision,
    ".set": eeglab.open_eeglab,
    ".fif": fif.open_fif,
    ".eeg": nihon.open_nihon,
}
# of files that are opened: those of our readers, and formats that only MNE reads
SUFFIXES = (*OWN, ".fif.gz", ".ahdr", ".lay", ".cdt", ".nedf", ".nxe")
# files that a header names, which is opened instead
NAMED = (".eeg", ".vmrk", ".dat", ".avg", ".seg")


def open_any(path: Path) -> Opened:
    """The file, by the reader of its format; one that has none here is read by MNE's.

    A file of samples or markers alone is opened by the header that names it. Raises EegfmError if the file is not
    there, damaged, or unreadable.
    """
    if not path.is_file():
        raise EegfmError(f"No file at {path}. Name a recording: file=<file.edf>")
    try:
        head = head_of(path)
        found = OWN.get(_suffix(head), _of_mne)(head)
        return _with_kinds(found)
    except EegfmError as error:
        # that advice is for a corpus's files, and this file may be anybody's
        raise EegfmError(str(error).replace(FETCH_AGAIN, "").strip()) from error.__cause__


def open_raw(raw: "mne.io.BaseRaw", path: Path | None = None) -> Opened:
    """A recording that MNE has read, in MNE's units; `path` is for messages, by default the file that it was read from.

    Raises EegfmError if there is nothing in it.
    """
    names = [Path(name) for name in raw.filenames if name is not None]
    path = path or next(iter(names), Path("the recording"))
    return _with_kinds(opened(path, path.suffix.removeprefix(".").upper() or "Raw", raw))


def head_of(path: Path) -> Path:
    """The file to open for this one: the header that names it, or the file itself.

    Raises EegfmError for a .eeg that is no recording of Nihon Kohden and that no header beside it names.
    """
    suffix = _suffix(path)
    if suffix == ".fdt":
        head = path.with_suffix(".set")
        return head if head.is_file() else path
    if suffix not in NAMED or (suffix == ".eeg" and nihon.is_nihon(path)):
        return path
    own = path.with_suffix(".vhdr")
    heads = [own, *sorted(other for other in path.parent.glob("*.vhdr") if other != own)]
    for head in heads:
        if head.is_file() and path.name in _text(head):
            return head
    if suffix == ".eeg":
        raise EegfmError(
            f"{path} is no recording of Nihon Kohden, and no .vhdr beside it names it as BrainVision's samples. Fetch "
            "its header as well."
        )
    return path


def no_recording(path: Path, others: Collection[Path]) -> str:
    """Why a file is no recording of its own, by its name or since it is read with one of the others; "" where it is."""
    if not _is_of_us(path) and any(
        map(_is_of_us, others)
    ):  # else a function of somebody's own may read them all
        return "of no format that is read here"
    if fif.OTHER.search(path.name.lower()):
        return "events, averages, covariances or the like, by its name"
    first = fif.first_part(path)
    if first != path and first in others:
        return f"a part of {first.name}"
    try:
        head = head_of(path)
    except EegfmError:  # whoever opens it says what is wrong
        return ""
    return f"read with {head.name}" if head != path and head in others else ""


def _is_of_us(path: Path) -> bool:
    return path.name.lower().endswith((*SUFFIXES, *NAMED, ".fdt"))


def beside(path: Path) -> tuple[Path, ...]:
    """Further files that are read with this one: markers, samples, the following parts. Some may not be there.

    Raises EegfmError for a header of BrainVision that cannot be read.
    """
    suffix = _suffix(path)
    if suffix == ".vhdr":
        return brainvision.beside(path)
    if suffix == ".set":
        return eeglab.beside(path)
    if suffix == ".fif":
        return fif.parts(path)[1:]
    return nihon.beside(path) if suffix == ".eeg" else ()


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".fif" if name.endswith(".fif.gz") else path.suffix.lower()


def _text(head: Path) -> str:
    return text_of(head.read_bytes())


def _of_mne(path: Path) -> Opened:
    """A file of another format."""
    raw, notes = read_by_mne(
        path, "a recording by MNE", lambda: mne.io.read_raw(path, preload=False, verbose="warning")
    )
    return opened(path, path.suffix.removeprefix(".").upper(), raw, notes=notes)


def _with_kinds(found: Opened) -> Opened:
    """The file with MNE's types of channels, and the codes of its channels of triggers among its events."""
    if found.kinds:
        return found
    kinds = dict(zip(found.names, found.raw.get_channel_types(), strict=True))
    stim = stim_of(found.raw)
    triggers = {name: [Fault("is a channel of triggers", "Choose a channel of EEG.")] for name in stim}
    return replace(found, kinds=kinds, stim=stim, faults={**found.faults, **triggers})
