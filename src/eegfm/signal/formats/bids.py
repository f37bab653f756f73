"""Recordings of a BIDS data set (Brain Imaging Data Structure, Pernet et al. 2019, doi:10.1038/s41597-019-0104-8).

The reader of the file's format opens it, as strictly as outside of BIDS; what its sidecars say comes from mne-bids (an
extra): types and bad channels of channels.tsv, events of events.tsv, places of electrodes.tsv. A unit of channels.tsv
counts where the file states none: else the file's own does, and a difference is told. Derivatives are data sets too.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import beside, head_of, open_any
from eegfm.signal.formats.of_mne import events_of, places_of, read_by_mne
from eegfm.signal.formats.opened import VOLT_UV, Opened
from eegfm.signal.formats.units import microvolts_of, text_of

INSTALL = "pip install 'eegfm[bids]'"
SIDECARS = (
    ("channels", ".tsv"), ("events", ".tsv"), ("events", ".json"), ("electrodes", ".tsv"), ("coordsystem", ".json"),
    ("eeg", ".json"),
)  # fmt: skip
# warnings of mne-bids that concern no sample, no event and no place of a channel of EEG
ASIDE = (
    "participants.tsv", "Unable to map the following column", "is not listed in", "channels without locations",
    "Not setting positions of",
)  # fmt: skip


def open_bids(path: Path) -> Opened:
    """A recording with what its data set says of it.

    Epochs are read as their file is. Raises EegfmError, as `open_any` does, without mne-bids, for a name that is none
    of BIDS, and for sidecars that contradict the file.
    """
    found = open_any(path)
    of_set = _path_of(found.path)
    if "epochs" in found.format:
        return replace(found, beside=bids_beside(path))
    read = _mne_bids("read_raw_bids")
    raw, warned = read_by_mne(found.path, "a recording of BIDS", lambda: read(of_set, verbose="warning"))
    if raw.ch_names != found.names:
        raise EegfmError(
            f"{found.path}: channels.tsv names other channels than the recording has. Correct it."
        )
    notes = [note for note in warned if not any(text in note for text in ASIDE)]
    if raw.info["bads"]:
        notes.append(f"bad by channels.tsv: {', '.join(raw.info['bads'])}")
    channels = _sidecar(of_set, "channels", ".tsv")
    with_events = _sidecar(of_set, "events", ".tsv") is not None
    found = replace(
        found,
        events=events_of(raw) if with_events else found.events,
        stim=() if with_events else found.stim,
        kinds=dict(zip(raw.ch_names, raw.get_channel_types(), strict=True)) if channels else found.kinds,
        places=places_of(raw) if _sidecar(of_set, "electrodes", ".tsv") else found.places,
        beside=bids_beside(path),
    )
    stated, more = _units(found, channels)
    found = found.in_units(stated) if stated else found
    return replace(found, notes=tuple(dict.fromkeys((*found.notes, *notes, *more))))


def bids_beside(path: Path) -> tuple[Path, ...]:
    """The files that are read with a recording of BIDS: those of its format, and its sidecars."""
    head = head_of(path)
    of_set = _path_of(head)
    sidecars = [_sidecar(of_set, suffix, extension) for suffix, extension in SIDECARS]
    return tuple(dict.fromkeys((*beside(head), *(one for one in sidecars if one is not None))))


def is_bids(folder: Path) -> bool:
    """Whether a folder is a data set of BIDS."""
    return (folder / "dataset_description.json").is_file()


def _units(found: Opened, channels: Path | None) -> tuple[dict[str, str | float], list[str]]:
    """The units of channels.tsv that count, and where it differs from the file."""
    if channels is None:
        return {}, []
    lines = [line.split("\t") for line in text_of(channels.read_bytes()).splitlines()]
    head = lines[0] if lines else []
    if not {"name", "units"} <= set(head):
        return {}, []
    said = {
        line[head.index("name")]: line[head.index("units")] for line in lines[1:] if len(line) == len(head)
    }
    stated: dict[str, str | float] = {}
    other = []
    for name in found.names:
        uv = microvolts_of(said.get(name, ""))
        if uv is None or found.kinds[name] == "stim":
            continue
        own = found.factors.get(name, 1.0) * found.number_uv.get(name, VOLT_UV)
        faulty = any(fault.of_unit for fault in found.faults.get(name, ()))
        # an .set has no unit, and "V" is what programs write of microvolts that they have converted
        if faulty or (found.format == "EEGLAB" and uv not in (own, VOLT_UV)):
            stated[name] = uv
        elif abs(uv / own - 1) > 1e-9:
            other.append(f"{name} {said[name]}")
    notes = (
        [f"channels.tsv has other units than the file, whose own count: {', '.join(other)}"]
        if other
        else []
    )
    return stated, notes


def _sidecar(of_set: Any, suffix: str, extension: str) -> Path | None:
    return of_set.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")


def _path_of(path: Path) -> Any:
    """mne-bids' path of a file. Raises EegfmError if its name is none of BIDS."""
    try:
        found = _mne_bids("get_bids_path_from_fname")(path, check=False)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _no_name(path, " ".join(str(error).split())) from error
    if found.subject is None:
        raise _no_name(path, "it has no sub-")
    return found


def _no_name(path: Path, why: str) -> EegfmError:
    return EegfmError(
        f"{path}: its name is none of BIDS ({why}), such as sub-01/eeg/sub-01_task-rest_eeg.vhdr. Say bids: false, or "
        "take it out of files."
    )


def _mne_bids(name: str) -> Callable[..., Any]:
    try:
        import mne_bids
    except ImportError as error:
        raise EegfmError(
            f"BIDS is read by mne-bids, which is not here ({error}). Type: {INSTALL}"
        ) from None
    return getattr(mne_bids, name)
