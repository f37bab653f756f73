"""GDF 1.x and 2.x -> recordings. MNE reads; this module raises on damage, so that it never passes for data.

The format (Schlögl, arXiv:cs/0608052): a header of 256 bytes, 256 more per channel, the records, and after
them a table of events, which 2.x files may lack. Events are codes; their description is the code's number
("768"). Samples that were never recorded, as between runs that were joined to one file, are written as the
smallest number of every channel at once, or as NaN; MNE reads the smallest numbers as a signal. Here
missing samples are gaps between pieces of the recording.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN, Recording

INTEGERS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8}  # bytes of a sample by its type
FLOATS = {16: 4, 17: 8}
# the units that MNE knows; it silently takes any other for volts. 2.x writes codes of ISO 11073.
UNITS_1: Mapping[str, float] = {"uV": 1e-6, "V": 1.0}
UNITS_2: Mapping[int, float] = {4275: 1e-6, 4274: 1e-3, 4256: 1.0}


def read_gdf(path: Path, *, channels: Mapping[str, str] | Sequence[str]) -> Recording:
    """A GDF file, the wanted channels in the wanted order (see `Recording.from_mne`), with gaps for missing samples.

    A name that several channels share is numbered in the file's order, as in MNE: "EEG-0", "EEG-1". Raises
    EegfmError, always with the file's name, if the file is not GDF, ends before its header or its table of
    events says, was not closed, has no sound table of events, counts events at another rate than samples,
    holds the wanted channels in a unit that is no voltage or at another rate than the file's, lacks a
    channel, or holds only missing samples.
    """
    header = _read_header(path)
    header.check_events(path)
    try:
        raw = mne.io.read_raw_gdf(path, preload=True, verbose="error")
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as GDF ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error
    recording = Recording.from_mne(raw, channels=channels, path=path)
    header.check_channels(path, {name: raw.ch_names.index(name) for name in channels})
    return _in_stretches(recording, header.missing(raw))


def _in_stretches(recording: Recording, missing: np.ndarray) -> Recording:
    """The stretches between missing samples, each as a piece that keeps its onset."""
    if not missing.any():
        return recording
    spans = np.flatnonzero(np.diff(~missing, prepend=False, append=False)).reshape(-1, 2).tolist()
    if not spans:
        raise EegfmError(f"{recording.path} holds nothing but missing samples. {FETCH_AGAIN}")
    return recording.in_pieces(
        [recording.data[:, start:end] for start, end in spans],
        [start / recording.sfreq for start, _ in spans],
    )


@dataclass(frozen=True)
class _GdfHeader:
    """The fields of a GDF header."""

    version: float
    header_bytes: int
    n_records: int
    record_s: float
    counts: list[int]  # samples of a record, by channel
    types: list[int]
    units: list[float | None]  # volts per unit; None: a unit that MNE does not know
    lowest: list[float]  # physical value of the smallest number, in the unit
    step: list[float]

    @property
    def events_at(self) -> int:
        sizes = INTEGERS | FLOATS
        record = sum(n * sizes[kind] for n, kind in zip(self.counts, self.types, strict=True))
        return self.header_bytes + self.n_records * record

    @property
    def sfreq(self) -> float:
        return max(self.counts) / self.record_s

    def check_events(self, path: Path) -> None:
        """Check that the file holds its whole table of events, and that events count samples of the signal.

        A longer file is accepted: other data may follow the table, and nothing before it moves.
        """
        size = path.stat().st_size
        if size < self.events_at:
            raise _cut_short(path, size, self.events_at)
        if size == self.events_at and self.version >= 1.9:
            return  # no table means no events
        with open(path, "rb") as file:
            file.seek(self.events_at)
            start = file.read(8)
            if len(start) < 8:
                raise _cut_short(path, size, self.events_at + 8)
            if self.version < 1.94:
                rate, n = float(int.from_bytes(start[1:4], "little")), struct.unpack("<I", start[4:])[0]
            else:
                rate, n = struct.unpack("<f", start[4:])[0], int.from_bytes(start[1:4], "little")
            table = {1: 6, 3: 12}.get(
                start[0]
            )  # bytes per event: position and code; type 3 adds channel and length
            if table is None:
                raise EegfmError(
                    f"{path} has no table of events at byte {self.events_at:,}, where its header says. {FETCH_AGAIN}"
                )
            if size < self.events_at + 8 + n * table:
                raise _cut_short(path, size, self.events_at + 8 + n * table)
            positions = np.frombuffer(file.read(4 * n), "<u4")
        # zero means not given, and MNE never looks at it
        if rate and not np.isclose(rate, self.sfreq, rtol=1e-5, atol=0):
            raise EegfmError(
                f"{path} counts its events at {rate:g} Hz and its samples at {self.sfreq:g} Hz; MNE would put the "
                f"events at wrong places. {FETCH_AGAIN}"
            )
        n_times = self.n_records * max(self.counts)
        if ((positions < 1) | (positions > n_times)).any():
            raise EegfmError(
                f"{path} has events outside of its {n_times:,} samples: its header or its table of events is damaged. "
                f"{FETCH_AGAIN}"
            )

    def check_channels(self, path: Path, wanted: Mapping[str, int]) -> None:
        """Check that the wanted channels, by their row in the file, are voltages and have the file's rate."""
        # MNE silently resamples every channel to the file's highest rate
        slower = [name for name, row in wanted.items() if self.counts[row] != max(self.counts)]
        if slower:
            raise EegfmError(
                f"{path}: {', '.join(slower)} and other channels are not sampled at one rate. {FETCH_AGAIN}"
            )
        strange = [name for name, row in wanted.items() if self.units[row] is None]
        if strange:
            raise EegfmError(
                f"{path}: the unit of {', '.join(strange)} is not µV, mV or V (as MNE knows them). {FETCH_AGAIN}"
            )

    def missing(self, raw: "mne.io.BaseRaw") -> np.ndarray:
        """Samples at which every channel of the file holds its smallest number, or NaN."""
        missing = np.ones(raw.n_times, dtype=bool)
        for row, (kind, unit) in enumerate(zip(self.types, self.units, strict=True)):
            values = np.asarray(raw.get_data(picks=np.array([row])))[0]
            if kind in INTEGERS:
                floor = (self.lowest[row] + self.step[row] / 2) * (1.0 if unit is None else unit)
                missing &= ~(values > floor)
            else:  # here the smallest number may be a real sample
                missing &= np.isnan(values)
        return missing


def _read_header(path: Path) -> _GdfHeader:
    """Read the fields that are needed; most are at the same places in 1.x and 2.x."""
    with open(path, "rb") as file:
        fixed = file.read(256)
        try:
            if fixed[:4] != b"GDF ":
                raise ValueError("it does not begin with GDF")
            if len(fixed) < 256:
                raise ValueError("its header is cut short")
            version = float(fixed[4:8])
            old = version < 1.9
            header_bytes = (
                struct.unpack_from("<q", fixed, 184)[0]
                if old
                else 256 * struct.unpack_from("<H", fixed, 184)[0]
            )
            n_records, upper, lower = struct.unpack_from("<qII", fixed, 236)
            n = struct.unpack_from("<I" if old else "<H", fixed, 252)[0]
            if not 1 <= n <= 4096 or header_bytes < 256 * (n + 1):
                raise ValueError(f"its header of {header_bytes} bytes cannot hold {n} channels")
            channels = file.read(256 * n)
            if len(channels) < 256 * n:
                raise ValueError("its header is cut short")

            def column(at: int, width: int, layout: str) -> list:
                return [struct.unpack_from(layout, channels, at * n + width * i)[0] for i in range(n)]

            lowest, highest = column(104, 8, "<d"), column(112, 8, "<d")
            digits = "<q" if old else "<d"
            least, most = column(120, 8, digits), column(128, 8, digits)
            if old:
                names = column(96, 8, "<8s")
                units = [UNITS_1.get(name.split(b"\0")[0].strip().decode("latin-1")) for name in names]
            else:
                units = [UNITS_2.get(code) for code in column(102, 2, "<H")]
            header = _GdfHeader(
                version=version,
                header_bytes=header_bytes,
                n_records=n_records,
                record_s=(upper or 1) / lower,  # 0: one second, as in MNE
                counts=column(216, 4, "<i"),
                types=column(220, 4, "<i"),
                units=units,
                lowest=lowest,
                step=[
                    (b - a) / ((d - c) or 1)
                    for a, b, c, d in zip(lowest, highest, least, most, strict=True)
                ],
            )
            unknown = set(header.types) - set(INTEGERS | FLOATS)
            if unknown:
                raise ValueError(f"it holds samples of the unknown type {min(unknown)}")
            if min(header.counts) < 1:
                raise ValueError("it has channels without samples")
        except (ValueError, ZeroDivisionError, struct.error) as error:
            start = fixed[:24].decode("latin-1")
            raise EegfmError(
                f"{path} is not a GDF file that can be read ({error}); it begins with {start!r}. {FETCH_AGAIN}"
            ) from error
    if n_records < 1:
        raise EegfmError(
            f"{path} says that it holds {n_records} records: it is empty or was not closed. {FETCH_AGAIN}"
        )
    return header


def _cut_short(path: Path, found: int, wanted: int) -> EegfmError:
    return EegfmError(
        f"{path} is cut short: {found:,} bytes found, at least {wanted:,} wanted. {FETCH_AGAIN}"
    )
