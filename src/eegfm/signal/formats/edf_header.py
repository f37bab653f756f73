"""The header of EDF and BDF files (Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7; edfplus.info/specs).

BDF is EDF with samples of 24 bits and another first byte (biosemi.com/faq/file_format.htm).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.signal.formats.units import Fault, field_of, microvolts_of, unit_fault

VERSIONS = {b"0       ": 2, b"\xffBIOSEMI": 3}  # bytes of a sample by a file's first eight
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
# bytes a signal of its label, transducer, unit, physical and digital range, filters, samples a record
WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8)
# what MNE takes for the scale of a unit, in volts; 1 for all others
OF_MNE = {"\u03bcV": 1e-6, "\u00b5V": 1e-6, "\x83\u00caV": 1e-6, "uV": 1e-6, "mV": 1e-3}


@dataclass(frozen=True)
class Header:
    """What is needed of a header.

    Signals are in the file's order. `mne_names` are MNE's: it numbers repeated names and leaves annotations out.
    """

    kind: str  # "EDF" or "BDF"
    header_bytes: int
    n_records: int  # -1: unknown, because the recording was not closed
    record_s: float
    sample_bytes: int
    counts: tuple[int, ...]  # samples of a record
    names: tuple[str, ...]
    units: tuple[bytes, ...]
    ranges: tuple[tuple[bytes, bytes, bytes, bytes], ...]  # physical and digital minimum and maximum
    says_gaps: bool  # EDF+D

    @property
    def record_bytes(self) -> int:
        return self.sample_bytes * sum(self.counts)

    @property
    def per_record(self) -> int:
        """Samples of a record of the fastest signal, which MNE brings all others to."""
        return max(
            count for count, name in zip(self.counts, self.names, strict=True) if name not in ANNOTATIONS
        )

    @property
    def annotations(self) -> list[int]:
        return [i for i, name in enumerate(self.names) if name in ANNOTATIONS]

    @property
    def mne_names(self) -> dict[str, int]:
        """The signal that each of MNE's names means."""
        signals = [i for i, name in enumerate(self.names) if name not in ANNOTATIONS]
        return dict(zip(_numbered([self.names[i] for i in signals]), signals, strict=True))

    def records_in(self, path: Path) -> int:
        """Whole records of the file."""
        return (path.stat().st_size - self.header_bytes) // self.record_bytes

    def check_size(self, path: Path, padding: int = 0) -> None:
        found = path.stat().st_size
        n_records = self.n_records
        if n_records == -1:
            n_records = -(-(found - self.header_bytes) // self.record_bytes)  # whole records only
        wanted = self.header_bytes + n_records * self.record_bytes
        if found not in (wanted, wanted + padding):
            what = "cut short" if found < wanted else "longer than its header says"
            raise EegfmError(f"{path} is {what}: {found:,} bytes found, {wanted:,} wanted. {FETCH_AGAIN}")

    def number_uv(self) -> dict[str, float]:
        """By MNE's name, the microvolts that MNE takes one number for."""
        return {
            name: round(OF_MNE.get(self.units[i].strip().decode("latin-1"), 1.0) * 1e6)
            for name, i in self.mne_names.items()
        }

    def factors(self) -> dict[str, float]:
        """By MNE's name, what its value must be multiplied by, where it is not 1."""
        factors, number_uv = {}, self.number_uv()
        for name, i in self.mne_names.items():
            unit = microvolts_of(field_of(self.units[i]))
            if unit is not None and unit / number_uv[name] != 1:
                factors[name] = unit / number_uv[name]
        return factors

    def faults(self) -> Mapping[str, list[Fault]]:
        """By MNE's name: another rate than the file's, no known unit, no scale."""
        faults: dict[str, list[Fault]] = {name: [] for name in self.mne_names}
        for name, i in self.mne_names.items():
            unit = field_of(self.units[i])
            if self.counts[i] != self.per_record:
                rate, other = self.counts[i] / self.record_s, self.per_record / self.record_s
                what = f"is sampled at {rate:g} Hz, other channels at {other:g} Hz"
                faults[name].append(Fault(what, "A recording has one rate."))
            if microvolts_of(unit) is None:
                faults[name].append(unit_fault(unit))
            low, high, least, most = (field_of(field) for field in self.ranges[i])
            for what, one, other in (("physical", low, high), ("digital", least, most)):
                if _number(one) == _number(other):
                    said = f"has no scale: its {what} minimum and maximum are both {one}"
                    faults[name].append(Fault(said, "The header is damaged."))
        return faults


def read_header(path: Path) -> Header:
    """Raises EegfmError if the file is not EDF or BDF, or holds no signal."""
    with open(path, "rb") as file:
        fixed = file.read(256)
        try:
            if fixed[:8] not in VERSIONS:
                raise ValueError("it does not begin with the version 0")
            sample_bytes = VERSIONS[fixed[:8]]
            n, record_s = int(fixed[252:256]), float(fixed[244:252])
            fields = [[file.read(width) for _ in range(n)] for width in WIDTHS]
            labels, _, units, *ranges, _, counts = fields
            header = Header(
                kind="EDF" if sample_bytes == 2 else "BDF",
                header_bytes=int(fixed[184:192]),
                n_records=int(fixed[236:244]),
                record_s=record_s,
                sample_bytes=sample_bytes,
                counts=tuple(int(count) for count in counts),
                names=tuple(label.strip().decode("latin-1") for label in labels),
                units=tuple(units),
                ranges=tuple(zip(*ranges, strict=True)),
                says_gaps=fixed[192:197].upper() in (b"EDF+D", b"BDF+D"),
            )
            if not record_s > 0 or not set(header.names) - {*ANNOTATIONS} or min(header.counts) < 1:
                raise ValueError("it holds no signal")
        except ValueError as error:
            start = fixed[:24].decode("latin-1")
            raise EegfmError(
                f"{path} is not an EDF file ({error}); it begins with {start!r}. {FETCH_AGAIN}"
            ) from error
    return header


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))  # as MNE does
    except ValueError:
        return float("nan")  # MNE refuses it


def _numbered(names: Sequence[str]) -> list[str]:
    """MNE's names for channels that share a name: "T8-P8-0", "T8-P8-1"."""
    return [
        f"{name}-{names[:i].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)
    ]
