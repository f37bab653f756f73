"""Neuroscan CNT -> recordings. MNE reads; this module raises on damage, so that it never passes for data.

The format (structures SETUP, ELECTLOC and TEEG: paulbourke.net/dataformats/eeg) does not say whether
samples have 16 or 32 bits, and the number of samples in its header is often nonsense (0, or -732). Only the
start of the table of events can be trusted: right after the samples. So the caller, who knows the corpus,
gives the width, and the length follows.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import mne
import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.formats.opened import Opened, Stretch
from eegfm.signal.formats.units import Fault
from eegfm.signal.recording import FETCH_AGAIN, Recording

Width = Literal["int16", "int32"]
BYTES: Mapping[Width, int] = {"int16": 2, "int32": 4}
SETUP_BYTES = 900
ELECTLOC_BYTES = 75
TEEG = struct.Struct("<Bll")  # type of events, bytes of all events, offset
LOOKED_AT = 2**21  # words of 16 bits whose values tell the width
EVENT_BYTES = {1: 8, 2: 19, 3: 19}  # bytes of an event, by type
# From this size on, MNE trusts the header's number of samples: the position of the events is a signed 32-bit integer
LARGEST = 2_000_000_000


def read_cnt(path: Path, *, channels: Mapping[str, str] | Sequence[str], data_format: Width) -> Recording:
    """A Neuroscan CNT file, the wanted channels in the wanted order (see `Recording.from_mne`).

    Only the wanted channels are kept in memory. Raises EegfmError, always with the file's name, if the file
    is not Neuroscan CNT, ends before its table of events does, has no such table where its header says,
    holds samples of the other width as far as its header tells, is too long for the format, or lacks a
    channel.
    """
    return open_cnt(path, data_format=data_format).recording(channels)


def open_cnt(path: Path, *, data_format: Width | None = None) -> Opened:
    """The file, whose samples are read later; without `data_format`, of the width that its bytes tell.

    Raises EegfmError, as `read_cnt` does, of everything that is not a channel's, and if its bytes do not tell.
    """
    data_format = data_format or _told_width(path)
    setup = _check(path, data_format)
    try:
        raw = mne.io.read_raw_cnt(
            path, data_format=data_format, recompute_n_samples=True, preload=False, verbose="error"
        )
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as Neuroscan CNT ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error
    scaleless = Fault("has no scale: its sensitivity is 0", "The header is damaged.")
    faults = {
        name: [scaleless] for name, scale in zip(raw.ch_names, setup.scales, strict=False) if not scale
    }
    return Opened(
        path,
        "Neuroscan CNT",
        raw,
        [Stretch(0, raw.n_times, 0.0)],
        faults=faults,
        number_uv=dict.fromkeys(raw.ch_names, 1.0),
    )


def _told_width(path: Path) -> Width:
    """The width of the samples, told by the samples themselves, since the header's count of them may be wrong.

    An amplifier has 24 bits at most. So the upper half of a 32-bit sample is a small number; of 16-bit samples, the
    place of that half is another sample, which leaves those 8 bits sooner or later. Raises EegfmError if the header's
    count contradicts that.
    """
    with open(path, "rb") as file:
        setup = _read_setup(path, file.read(SETUP_BYTES))
        file.seek(setup.samples_at)
        words = np.frombuffer(
            file.read(min(2 * LOOKED_AT, max(0, setup.events_at - setup.samples_at)) & ~3), "<i2"
        )
    upper = words[1::2]
    told: Width = "int32" if ((upper >= -128) & (upper < 128)).all() else "int16"
    n_values, data_bytes = setup.n_samples * setup.n_channels, setup.events_at - setup.samples_at
    counted: list[Width] = [
        width for width in BYTES if n_values > 0 and n_values * BYTES[width] == data_bytes
    ]
    if counted and counted != [told]:
        raise EegfmError(
            f"{path} counts {setup.n_samples:,} samples in its header, which makes them {8 * BYTES[counted[0]]}-bit "
            f"ones, and their values are those of {8 * BYTES[told]}-bit ones. Convert it to EDF with the software "
            f"that recorded it. {FETCH_AGAIN}"
        )
    return told


@dataclass(frozen=True)
class _Setup:
    """The fields of the file's first 900 bytes."""

    n_channels: int
    rate: int
    n_samples: int  # unreliable
    events_at: int
    block_bytes: int  # consecutive bytes of a channel; 0 and 1 mean one sample
    scales: tuple[float, ...] = ()  # of each channel

    @property
    def samples_at(self) -> int:
        return SETUP_BYTES + ELECTLOC_BYTES * self.n_channels


def _check(path: Path, data_format: Width) -> _Setup:
    size, width = path.stat().st_size, BYTES[data_format]
    with open(path, "rb") as file:
        setup = _read_setup(path, file.read(SETUP_BYTES))
        heads = [file.read(ELECTLOC_BYTES) for _ in range(setup.n_channels)]
        if size >= LARGEST:
            raise EegfmError(
                f"{path} has {size:,} bytes. From {LARGEST:,} bytes on a CNT file does not say for sure where its "
                "samples end. Leave the recording out with data.allow_partial=true."
            )
        if size < setup.events_at + TEEG.size:
            raise _cut_short(path, size, setup.events_at + TEEG.size)
        file.seek(setup.events_at)
        kind, n_bytes, _ = TEEG.unpack(file.read(TEEG.size))
    scales = tuple(
        struct.unpack_from("<f", head, 59)[0] * struct.unpack_from("<f", head, 71)[0] for head in heads
    )
    if setup.events_at < setup.samples_at or n_bytes < 0 or n_bytes % EVENT_BYTES.get(kind, n_bytes + 1):
        raise EegfmError(
            f"{path} has no table of events at byte {setup.events_at:,}, where its header says. {FETCH_AGAIN}"
        )
    if size < setup.events_at + TEEG.size + n_bytes:
        raise _cut_short(path, size, setup.events_at + TEEG.size + n_bytes)
    data_bytes = setup.events_at - setup.samples_at
    other: Width = "int16" if data_format == "int32" else "int32"
    if setup.n_samples > 0 and data_bytes == setup.n_samples * setup.n_channels * BYTES[other]:
        raise EegfmError(
            f"{path} holds {8 * BYTES[other]}-bit samples; {8 * width}-bit ones were expected. It is another edition "
            f"or was converted. {FETCH_AGAIN}"
        )
    if data_bytes % (setup.n_channels * max(width, setup.block_bytes)):
        raise EegfmError(
            f"{path} does not hold the same number of {8 * width}-bit samples for each of its {setup.n_channels} "
            f"channels ({data_bytes:,} bytes between header and events). {FETCH_AGAIN}"
        )
    return replace(setup, scales=scales)


def _read_setup(path: Path, header: bytes) -> _Setup:
    start = header[:12].decode("latin-1")
    # ANT's files of the same suffix begin with "EEP" or "RIFF"
    if not header.startswith(b"Version"):
        raise EegfmError(f"{path} is not a Neuroscan CNT file; it begins with {start!r}. {FETCH_AGAIN}")
    if len(header) < SETUP_BYTES:
        raise _cut_short(path, len(header), SETUP_BYTES)
    setup = _Setup(
        n_channels=struct.unpack_from("<H", header, 370)[0],
        rate=struct.unpack_from("<H", header, 376)[0],
        n_samples=struct.unpack_from("<i", header, 864)[0],
        events_at=struct.unpack_from("<I", header, 886)[0],
        block_bytes=struct.unpack_from("<i", header, 894)[0],
    )
    if setup.n_channels < 1 or setup.rate < 1:
        raise EegfmError(
            f"{path} has a damaged header: {setup.n_channels} channels at {setup.rate} Hz. {FETCH_AGAIN}"
        )
    return setup


def _cut_short(path: Path, found: int, wanted: int) -> EegfmError:
    return EegfmError(
        f"{path} is cut short: {found:,} bytes found, at least {wanted:,} wanted. {FETCH_AGAIN}"
    )
