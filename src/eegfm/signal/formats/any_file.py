"""A recording of any format that is read here, for whatever takes people's own files."""

import itertools
from pathlib import Path

import mne
import numpy as np
from mne.io.constants import FIFF

from eegfm.contracts import EegfmError
from eegfm.signal.formats.cnt import open_cnt
from eegfm.signal.formats.edf import open_edf
from eegfm.signal.formats.gdf import open_gdf
from eegfm.signal.formats.opened import Opened, Stretch
from eegfm.signal.formats.units import Fault
from eegfm.signal.recording import FETCH_AGAIN

OWN = {".edf": open_edf, ".bdf": open_edf, ".gdf": open_gdf, ".cnt": open_cnt}
# annotations of MNE's readers behind which the recording goes on at another time, which is not known
BREAKS = ("boundary", "bad boundary", "edge boundary", "new segment/")
SKIPPED = "bad_acq_skip"  # nothing was recorded: a FIF file's reader gives zeros


def open_any(path: Path) -> Opened:
    """The file, by the reader of its format; one that has none here is read by MNE's.

    Raises EegfmError if the file is not there, damaged, or unreadable.
    """
    if not path.is_file():
        raise EegfmError(f"No file at {path}. Name a recording: file=<file.edf>")
    try:
        own = OWN.get(path.suffix.lower())
        return _of_mne(path) if own is None else own(path)
    except EegfmError as error:
        # that advice is for a corpus's files, and this file may be anybody's
        raise EegfmError(str(error).replace(FETCH_AGAIN, "").strip()) from None


def _of_mne(path: Path) -> Opened:
    """A file of another format: parts that were joined are stretches, channels that are no voltage have a fault."""
    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    except Exception as error:  # a reader may raise anything on a file that is none of its kind
        raise EegfmError(
            f"{path} cannot be read by MNE ({type(error).__name__}: {error}). Name an EDF file, or another recording."
        ) from error
    sfreq = float(raw.info["sfreq"])
    there = np.ones(raw.n_times, dtype=bool)
    edges = {0, raw.n_times}
    for onset_s, length_s, text in zip(
        raw.annotations.onset - raw.first_time,
        raw.annotations.duration,
        raw.annotations.description,
        strict=True,
    ):
        first = min(max(round(onset_s * sfreq), 0), raw.n_times)
        if text.casefold() == SKIPPED:
            there[first : max(first, round((onset_s + length_s) * sfreq))] = False
        elif text.casefold().startswith(BREAKS):
            edges.add(first)
    edges |= set((np.flatnonzero(np.diff(there)) + 1).tolist())
    places = sorted(edges)
    stretches = [Stretch(a, b, a / sfreq) for a, b in itertools.pairwise(places) if there[a]]
    if not stretches:
        raise EegfmError(f"{path} holds nothing but missing samples.")
    faults = {
        channel["ch_name"]: [Fault("is no voltage", "Choose a channel of EEG.")]
        for channel in raw.info["chs"]
        if channel["unit"] != FIFF.FIFF_UNIT_V
    }
    return Opened(path, path.suffix.removeprefix(".").upper(), raw, stretches, faults=faults)
