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
from eegfm.signal.formats.opened import Opened, between
from eegfm.signal.formats.units import Fault, field_of, microvolts_of, unit_fault
from eegfm.signal.recording import FETCH_AGAIN, Recording

INTEGERS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8}  # bytes of a sample by its type
FLOATS = {16: 4, 17: 8}
# microvolts in a unit of 2.x, which are codes of ISO 11073, and what MNE takes it for in volts (others: for 1)
UNITS_2: Mapping[int, float] = {4256: 1e6, 4274: 1e3, 4275: 1.0, 4276: 1e-3}
OF_MNE_2: Mapping[int, float] = {4275: 1e-6, 4274: 1e-3}
AT_ONCE = 60_000  # samples that are searched at once


def read_gdf(path: Path, *, channels: Mapping[str, str] | Sequence[str]) -> Recording:
    """A GDF file, the wanted channels in the wanted order (see `Recording.from_mne`), with gaps for missing samples.

    A name that several channels share is numbered in the file's order, as in MNE: "EEG-0", "EEG-1". Raises
    EegfmError, always with the file's name, if the file is not GDF, ends before its header or its table of
    events says, was not closed, has no sound table of events, counts events at another rate than samples,
    holds the wanted channels in a unit that is no voltage or at another rate than the file's, lacks a
    channel, or holds only missing samples.
    """
    return open_gdf(path, preload=True).recording(channels)


def open_gdf(path: Path, *, preload: bool = False) -> Opened:
    """The file, whose samples are read later unless `preload` is true; they are searched for missing ones at once.

    Raises EegfmError, as `read_gdf` does, of everything that is not a channel's.
    """
    header = _read_header(path)
    header.check_events(path)
    try:
        raw = mne.io.read_raw_gdf(path, preload=preload, verbose="error")
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as GDF ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error
    stretches = between(header.missing(raw), float(raw.info["sfreq"]), path)
    return Opened(
        path,
        "GDF",
        raw,
        stretches,
        factors=header.factors(raw.ch_names),
        faults=header.faults(raw.ch_names),
        number_uv={
            name: round(volts * 1e6) for name, volts in zip(raw.ch_names, header.mne_volts, strict=True)
        },
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
    unit_names: list[str]
    units: list[float | None]  # microvolts in one; None: a unit that is not known
    mne_volts: list[float]  # what MNE takes one for
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

    def factors(self, names: Sequence[str]) -> dict[str, float]:
        """By name, what MNE's value must be multiplied by, where it is not 1."""
        both = zip(names, self.units, self.mne_volts, strict=True)
        factors = {name: (unit or 1.0) / round(volts * 1e6) for name, unit, volts in both}
        return {name: factor for name, factor in factors.items() if factor != 1}

    def faults(self, names: Sequence[str]) -> Mapping[str, list[Fault]]:
        """By name: another rate than the file's, to which MNE silently resamples; no known unit; no scale."""
        faults: dict[str, list[Fault]] = {name: [] for name in names}
        for row, name in enumerate(names):
            if self.counts[row] != max(self.counts):
                rate = self.counts[row] / self.record_s
                what = f"is sampled at {rate:g} Hz, other channels at {self.sfreq:g} Hz"
                faults[name].append(Fault(what, "A recording has one rate."))
            if self.units[row] is None:
                faults[name].append(unit_fault(self.unit_names[row]))
            if not self.step[row]:
                said = "has no scale: its minimum and maximum are the same"
                faults[name].append(Fault(said, "The header is damaged."))
        return faults

    def missing(self, raw: "mne.io.BaseRaw") -> np.ndarray:
        """Samples at which every channel (of the highest rate) holds its smallest number, or NaN."""
        missing = np.ones(raw.n_times, dtype=bool)
        rows = np.flatnonzero(np.array(self.counts) == max(self.counts))
        floor = (np.array(self.lowest) + np.array(self.step) / 2) * self.mne_volts
        floor[[kind in FLOATS for kind in self.types]] = np.nan  # the smallest number may be a real sample
        for start in range(0, raw.n_times, AT_ONCE):
            part = slice(start, min(start + AT_ONCE, raw.n_times))
            values = np.asarray(raw.get_data(picks=rows, start=part.start, stop=part.stop))
            lowest = np.isnan(values) | (values <= floor[rows, None])
            missing[part] = lowest.all(axis=0)
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
                unit_names = [field_of(name) for name in names]
                units = [microvolts_of(name) for name in unit_names]
                mne_volts = [1e-6 if name.startswith("uV") else 1.0 for name in unit_names]
            else:
                codes = column(102, 2, "<H")
                unit_names = [f"code {code}" for code in codes]
                units = [UNITS_2.get(code) for code in codes]
                mne_volts = [OF_MNE_2.get(code, 1.0) for code in codes]
            header = _GdfHeader(
                version=version,
                header_bytes=header_bytes,
                n_records=n_records,
                record_s=(upper or 1) / lower,  # 0: one second, as in MNE
                counts=column(216, 4, "<i"),
                types=column(220, 4, "<i"),
                unit_names=unit_names,
                units=units,
                mne_volts=mne_volts,
                lowest=lowest,
                step=[
                    (b - a) / (d - c) if d != c else 0.0
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
