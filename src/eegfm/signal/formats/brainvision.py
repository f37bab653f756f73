"""BrainVision (.vhdr, which names its .eeg and its .vmrk) -> recordings. MNE reads; the header is read here as well.

The format (Brain Products, "BrainVision Core Data Format 1.0"): a header in the style of an INI file, a text of markers
and a file of samples without a header of its own. MNE takes the length from the size of the samples, so that a file
which was cut passes; goes on without markers where the file of markers is missing; takes a unit that it does not know
for volts; and calls a channel without coordinates no EEG. Places of radius 1 are those of an idealised head: nobody
measured them.
"""

import configparser
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne

from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.signal.formats.of_mne import events_of, opened, places_of, read_by_mne
from eegfm.signal.formats.opened import VOLT_UV, Opened
from eegfm.signal.formats.units import Fault, microvolts_of, text_of, unit_fault

NAME = "BrainVision"
BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
FREE = "Comment/"  # a person's text: its kind says nothing that the text does not
LATE_S = 1.0  # a marker so far behind the last sample tells of samples that are gone
RENAMED = (
    "Files were renamed or left behind: the header names its files, so rename all three with "
    "mne_bids.copyfiles.copyfile_brainvision, or write the true name into it."
)


@dataclass(frozen=True)
class Header:
    """What is needed of a .vhdr. `units` are the channels', in their order; "" means microvolts."""

    data: str
    markers: str  # "" for none
    n_channels: int
    sfreq: float
    sample_bytes: int  # 0 for samples in text
    n_points: int  # 0 where it does not say
    names: tuple[str, ...]
    units: tuple[str, ...]
    idealised: bool


def open_brainvision(path: Path) -> Opened:
    """The file of a header, whose samples are read later.

    Raises EegfmError if it is not a header of BrainVision, or names files that are not there or not as long as it says.
    """
    header = read_header(path)
    data = _named(path, header.data, "samples")
    markers = _named(path, header.markers, "markers") if header.markers else None
    n_times = _checked_size(path, header, data)
    raw, notes = read_by_mne(path, NAME, lambda: mne.io.read_raw_brainvision(path, verbose="warning"))
    if n_times and raw.n_times != n_times:
        raise EegfmError(f"{path} holds {n_times:,} samples, and MNE reads {raw.n_times:,}. {FETCH_AGAIN}")
    if markers:
        _check_markers(markers, header, raw.n_times)
    factors, faults, number_uv, kinds = {}, {}, {}, {}
    types = raw.get_channel_types()
    for channel, kind, unit in zip(raw.info["chs"], types, header.units, strict=True):
        name, uv = channel["ch_name"], microvolts_of(unit or "µV")
        number_uv[name] = channel["range"] * VOLT_UV  # what MNE takes the unit for
        if uv is None:
            faults[name] = [unit_fault(unit)]
        elif abs(uv / number_uv[name] - 1) > 1e-9:
            factors[name] = uv / number_uv[name]
        kinds[name] = "eeg" if kind == "misc" and uv is not None else kind
        if kind == "stim":
            faults[name] = [Fault("is a channel of triggers", "Choose a channel of EEG.")]
    events = tuple(
        replace(event, description=event.description.removeprefix(FREE)) for event in events_of(raw)
    )
    return opened(
        path, NAME, raw, events=events, factors=factors, faults=faults, number_uv=number_uv, kinds=kinds,
        notes=tuple(note for note in notes if not note.startswith("No coordinate information")),
        places={} if header.idealised else places_of(raw), beside=(data, markers) if markers else (data,),
    )  # fmt: skip


def beside(path: Path) -> tuple[Path, ...]:
    """The files that a header names, there or not. Raises EegfmError if it is no header."""
    header = read_header(path)
    return tuple(path.with_name(name) for name in (header.data, header.markers) if name)


def read_header(path: Path) -> Header:
    """Raises EegfmError if the file is not a header of BrainVision."""
    content = path.read_bytes()
    try:
        first, _, rest = content.partition(b"\n")
        if not re.search(rb"(?i)brain ?vision.*data", first):
            raise ValueError("it does not begin with the format's name")
        text = text_of(rest).partition("[Comment]")[0]
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        sections = {name.casefold(): parser[name] for name in parser.sections()}
        common, channels = sections["common infos"], sections["channel infos"]
        n = int(common["NumberOfChannels"])
        rows = {
            int(key[2:]): [field.replace(r"\1", ",") for field in value.split(",")]
            for key, value in channels.items()
        }
        missing = [i for i in range(1, n + 1) if i not in rows]
        if missing:
            raise ValueError(f"it does not describe its channel {missing[0]}")
        binary = common.get("DataFormat", "BINARY").upper() == "BINARY"
        return Header(
            data=common["DataFile"],
            markers=common.get("MarkerFile", ""),
            n_channels=n,
            sfreq=1e6 / float(common["SamplingInterval"]),
            sample_bytes=BYTES[sections["binary infos"]["BinaryFormat"]] if binary else 0,
            n_points=int(common.get("DataPoints", "0") or 0),
            names=tuple(rows[i][0] for i in range(1, n + 1)),
            units=tuple((rows[i][3] if len(rows[i]) > 3 else "").strip() for i in range(1, n + 1)),
            idealised=all(
                float(place.split(",")[0]) in (0.0, 1.0)
                for place in sections.get("coordinates", {}).values()
            ),
        )
    except (ValueError, KeyError, ZeroDivisionError, configparser.Error) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise EegfmError(
            f"{path} is not a header of BrainVision that can be read ({said}). {FETCH_AGAIN}"
        ) from error


def _named(path: Path, name: str, what: str) -> Path:
    """The file that a header names. Raises EegfmError if it is not there."""
    found = path.with_name(name)
    if found.is_file():
        return found
    near = [other.name for other in (path.with_suffix(found.suffix),) if other.is_file()]
    there = f" {near[0]} is there." if near else ""
    raise EegfmError(f"{path} says that its {what} are in {name}, which is not beside it.{there} {RENAMED}")


def _checked_size(path: Path, header: Header, data: Path) -> int:
    """The samples of a binary file, 0 for text. Raises EegfmError if it is not as long as its header says."""
    if not header.sample_bytes:
        return 0
    size, sample = data.stat().st_size, header.sample_bytes * header.n_channels
    if not size:
        raise EegfmError(f"{data}, the samples of {path}, holds no sample. {FETCH_AGAIN}")
    wanted = header.n_points * sample
    if size % sample or (wanted and size != wanted):
        said = f"{wanted:,} wanted" if wanted else f"a multiple of {sample:,} wanted"
        what = "longer than its header says" if wanted and size > wanted else "cut short"
        raise EegfmError(
            f"{data}, the samples of {path}, is {what}: {size:,} bytes found, {said}. {FETCH_AGAIN}"
        )
    return size // sample


def _check_markers(path: Path, header: Header, n_times: int) -> None:
    """Raise EegfmError if markers lie behind the last sample: MNE leaves them out, and the samples were cut."""
    sfreq: Any = header.sfreq  # MNE takes a number as well as "auto"
    markers, _ = read_by_mne(path, NAME, lambda: mne.read_annotations(path, sfreq=sfreq))
    last_s = max(markers.onset, default=0.0)
    if last_s > n_times / header.sfreq + LATE_S:
        raise EegfmError(
            f"{path} has a marker at {last_s:,.2f} s, and there are samples up to {n_times / header.sfreq:,.2f} s: "
            f"they were cut, or belong to another recording. {FETCH_AGAIN}"
        )
