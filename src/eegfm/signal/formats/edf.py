"""EDF, EDF+, BDF and BDF+ -> recordings. MNE reads samples; this module raises on damage, so that it never passes
for data, and says what MNE does not: units, gaps, events (see `edf_header` and `edf_times`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import mne

from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf_header import read_header
from eegfm.signal.formats.edf_times import read_times
from eegfm.signal.formats.opened import Opened
from eegfm.signal.recording import FETCH_AGAIN, Recording


def read_edf(path: Path, *, channels: Mapping[str, str] | Sequence[str], padding: int = 0) -> Recording:
    """An EDF or BDF file, the wanted channels in the wanted order, with a piece for each stretch without a gap.

    A name that occurs several times in the file is numbered as in MNE: "T8-P8-0" and "T8-P8-1". `padding`
    bytes may follow the last sample, if they are known for this very file.

    Raises EegfmError, always with the file's name, if the file is not EDF, is shorter or longer than its
    header says, has gaps and does not say where, has another rate in the wanted channels than in the others, lacks a
    channel, or has one without a known unit or a scale.
    """
    return open_edf(path, padding=padding, preload=True).recording(channels)


def open_edf(path: Path, *, padding: int = 0, preload: bool = False) -> Opened:
    """The file, whose samples are read later unless `preload` is true.

    Raises EegfmError, as `read_edf` does, of everything that is not a channel's.
    """
    header = read_header(path)
    header.check_size(path, padding)
    read = mne.io.read_raw_edf if header.kind == "EDF" else mne.io.read_raw_bdf
    try:
        # Latin-1: MNE's own annotations are not used, and in UTF-8 it ends at one that is not
        raw = read(path, preload=preload, encoding="latin1", verbose="error")
    except Exception as error:  # a reader may raise anything on a damaged file
        raise EegfmError(
            f"{path} cannot be read as {header.kind} ({type(error).__name__}: {error}). {FETCH_AGAIN}"
        ) from error
    stretches, events, notes = read_times(path, header)
    if stretches[-1].after != raw.n_times:
        raise EegfmError(
            f"{path} holds {stretches[-1].after:,} samples by its header, and MNE reads {raw.n_times:,}. {FETCH_AGAIN}"
        )
    return Opened(
        path,
        header.kind,
        raw,
        stretches,
        events,
        header.factors(),
        header.faults(),
        notes,
        header.number_uv(),
    )


def channel_names(path: Path, *, padding: int = 0) -> tuple[str, ...]:
    """The names of a file's signals, in its order and its header's spelling; no sample is read.

    Raises EegfmError, as `read_edf` does, if the file is not EDF or not as long as its header says.
    """
    header = read_header(path)
    header.check_size(path, padding)
    return header.names
