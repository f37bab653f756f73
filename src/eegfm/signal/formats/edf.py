"""EDF and EDF+ -> recordings. MNE reads; this module raises on damage, so that it never passes for data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mne

from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN, Recording


def read_edf(path: Path, *, channels: Mapping[str, str] | Sequence[str], padding: int = 0) -> Recording:
    """An EDF or EDF+ file, the wanted channels in the wanted order (see `Recording.from_mne`).

    A name that occurs several times in the file is numbered as in MNE: "T8-P8-0" and "T8-P8-1". `padding`
    bytes may follow the last sample, if they are known for this very file.

    Raises EegfmError, always with the file's name, if the file is not EDF, is shorter or longer than its
    header says, is discontinuous (EDF+D), has another rate in the wanted channels than in the others, or
    lacks a channel.
    """
    raw = open_edf(path, padding=padding, preload=True)
    refuse_other_rates(path, channels, raw)
    return Recording.from_mne(raw, channels=channels, path=path)


def open_edf(path: Path, *, padding: int = 0, preload: bool = False) -> "mne.io.BaseRaw":
    """The file as an MNE object, whose samples are read later unless `preload` is true.

    Raises EegfmError, as `read_edf` does, if the file is not EDF, not of its header's length, or
    discontinuous.
    """
    _read_header(path).check_size(path, padding)
    try:
        return mne.io.read_raw_edf(path, preload=preload, verbose="error")
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as EDF ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error


def refuse_other_rates(path: Path, channels: Iterable[str], raw: "mne.io.BaseRaw") -> None:
    """Raise EegfmError if a channel has another rate than the file: MNE would silently resample it."""
    rates, sfreq = _read_header(path).rates, raw.info["sfreq"]
    slower = {name: rates[name] for name in channels if rates.get(name, sfreq) != sfreq}
    if slower:
        raise EegfmError(
            f"{path}: {', '.join(f'{name} is sampled at {rate:g} Hz' for name, rate in slower.items())}, other "
            f"channels at {sfreq:g} Hz. A recording has one rate. {FETCH_AGAIN}"
        )


def channel_names(path: Path, *, padding: int = 0) -> tuple[str, ...]:
    """The names of an EDF file's signals, in its order and its header's spelling; no sample is read.

    Raises EegfmError, as `read_edf` does, if the file is not EDF or not as long as its header says.
    """
    header = _read_header(path)
    header.check_size(path, padding)
    return header.names


@dataclass(frozen=True)
class _EdfHeader:
    """The fields of an EDF header (Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7; edfplus.info/specs)."""

    header_bytes: int
    record_bytes: int
    n_records: int  # -1: unknown, because the recording was not closed
    names: tuple[str, ...]
    rates: Mapping[str, float]  # by MNE's name, which numbers repeated names

    def check_size(self, path: Path, padding: int = 0) -> None:
        found = path.stat().st_size
        n_records = self.n_records
        if n_records == -1:
            n_records = -(-(found - self.header_bytes) // self.record_bytes)  # whole records only
        wanted = self.header_bytes + n_records * self.record_bytes
        if found not in (wanted, wanted + padding):
            what = "cut short" if found < wanted else "longer than its header says"
            raise EegfmError(f"{path} is {what}: {found:,} bytes found, {wanted:,} wanted. {FETCH_AGAIN}")


def _read_header(path: Path) -> _EdfHeader:
    with open(path, "rb") as file:
        fixed = file.read(256)
        try:
            if fixed[:8].strip() != b"0":
                raise ValueError("it does not begin with the version 0")
            n_signals, record_s = int(fixed[252:256]), float(fixed[244:252])
            labels = file.read(16 * n_signals)
            # skips label, transducer, unit, ranges and filters of every signal
            file.seek(256 + 216 * n_signals)
            samples = file.read(8 * n_signals)
            names = [labels[i : i + 16].strip().decode("latin-1") for i in range(0, 16 * n_signals, 16)]
            counts = [int(samples[i : i + 8]) for i in range(0, 8 * n_signals, 8)]
            if n_signals < 1 or not record_s > 0 or min(counts) < 1:
                raise ValueError("it holds no signal")
            header = _EdfHeader(
                header_bytes=int(fixed[184:192]),
                record_bytes=2 * sum(counts),
                n_records=int(fixed[236:244]),
                names=tuple(names),
                rates={name: n / record_s for name, n in zip(_numbered(names), counts, strict=True)},
            )
        except ValueError as error:
            start = fixed[:24].decode("latin-1")
            raise EegfmError(
                f"{path} is not an EDF file ({error}); it begins with {start!r}. {FETCH_AGAIN}"
            ) from error
    if fixed[192:197] == b"EDF+D":
        raise EegfmError(
            f"{path} is discontinuous (EDF+D): its gaps would be closed without a trace and its events would move. "
            "Convert it to EDF+C, or leave the recording out with data.allow_partial=true."
        )
    return header


def _numbered(names: Sequence[str]) -> list[str]:
    """MNE's names for channels that share a name: "T8-P8-0", "T8-P8-1"."""
    return [
        f"{name}-{names[:i].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)
    ]
