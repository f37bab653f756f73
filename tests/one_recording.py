"""One real recording, written in every format by MNE, by mne-bids and by the packages that they use."""

import warnings
from collections.abc import Callable
from pathlib import Path

import mne
import pytest

TASK = "Subject02_2.edf"  # a minute of MentalArithmetic
EVENTS = mne.Annotations([1.5, 10.25, 30.0, 45.1], [0.0, 2.0, 0.0, 0.0], ["rest", "task", "1", "rest"])


def one_recording(folder: Path) -> mne.io.BaseRaw:
    """MNE's reading of a real EDF of `mental_arithmetic_eegmat`, with electrodes by name, places, and events."""
    raw = mne.io.read_raw_edf(folder / "mental_arithmetic_eegmat" / TASK, verbose="error")
    raw.rename_channels(lambda name: name.removeprefix("EEG "))
    raw.set_channel_types({"ECG ECG": "ecg", "A2-A1": "misc"}, on_unit_change="ignore")
    raw.set_montage("standard_1020", on_missing="ignore", verbose="error")
    raw.set_annotations(
        mne.Annotations(EVENTS.onset, EVENTS.duration, EVENTS.description, orig_time=raw.info["meas_date"])
    )
    return raw


def _exported(suffix: str, **options) -> Callable[[mne.io.BaseRaw, Path], Path]:
    def write(raw: mne.io.BaseRaw, folder: Path) -> Path:
        pytest.importorskip({".vhdr": "pybv", ".set": "eeglabio"}.get(suffix, "edfio"))
        mne.export.export_raw(folder / f"a{suffix}", raw, verbose="error", **options)
        return folder / f"a{suffix}"

    return write


def _fif(name: str, **options) -> Callable[[mne.io.BaseRaw, Path], Path]:
    def write(raw: mne.io.BaseRaw, folder: Path) -> Path:
        raw.save(folder / name, verbose="error", **options)
        return folder / name

    return write


def _bids(kind: str) -> Callable[[mne.io.BaseRaw, Path], Path]:
    def write(raw: mne.io.BaseRaw, folder: Path) -> Path:
        return write_bids(raw, folder, kind)

    return write


def write_bids(raw: mne.io.BaseRaw, folder: Path, kind: str, *, subject: str = "01") -> Path:
    """A recording as a data set of BIDS; the path of its file."""
    mne_bids = pytest.importorskip("mne_bids")
    pytest.importorskip({"BrainVision": "pybv", "EEGLAB": "eeglabio"}.get(kind, "edfio"))
    place = mne_bids.BIDSPath(subject=subject, session="a", task="sums", root=folder, datatype="eeg")
    return mne_bids.write_raw_bids(raw.copy(), place, format=kind, overwrite=True, verbose="error").fpath


WRITERS: dict[str, Callable[[mne.io.BaseRaw, Path], Path]] = {
    "EDF": _exported(".edf", physical_range="channelwise"),
    "BDF": _exported(".bdf"),
    "BrainVision": _exported(".vhdr"),
    "EEGLAB": _exported(".set"),
    "FIF": _fif("a_raw.fif"),
    "FIF in parts": _fif("b_raw.fif", split_size="2MB"),
    "BIDS of EDF": _bids("EDF"),
    "BIDS of BrainVision": _bids("BrainVision"),
    "BIDS of EEGLAB": _bids("EEGLAB"),
}


def written(raw: mne.io.BaseRaw, folder: Path, kind: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bytes that another type holds, and of times without a zone
        return WRITERS[kind](raw, folder)
