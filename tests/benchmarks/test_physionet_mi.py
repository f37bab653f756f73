"""PhysioNet-MI: windows and labels against MNE's Epochs as the reference uses them, on real and on made files."""

from collections import Counter
from datetime import time
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from eegfm.benchmarks.physionet_mi import CHANNELS, CLASSES, FILE_NAMES, PHYSIONET_MI, SPLITS
from eegfm.benchmarks.spec import Source
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process

IMAGERY = {"04": "fists", "06": "feet", "08": "fists", "10": "feet", "12": "fists", "14": "feet"}


def source_of(root: Path, recording: str) -> Source:
    return next(source for source in PHYSIONET_MI.sources(root) if source.recording == recording)


def epochs_of(raw: mne.io.BaseRaw) -> mne.Epochs:
    """The reference's epochs: every cue, T0 too, from 0 to 4 - 1/200 s."""
    events, ids = mne.events_from_annotations(raw, verbose="error")
    kwargs = {"tmin": 0, "tmax": 4 - 1 / 200, "baseline": None, "preload": True, "verbose": "error"}
    return mne.Epochs(raw, events, event_id=ids, **kwargs)


def by_plain_mne(path: Path) -> tuple[np.ndarray, list[int]]:
    """The reference's preprocessing and its labels from numeric ids (T0 = 1, T1 = 2, T2 = 3)."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    assert [name.rstrip(".").upper() for name in raw.ch_names] == [name.upper() for name in CHANNELS]
    raw.set_eeg_reference("average", verbose="error")
    raw.filter(l_freq=0.3, h_freq=None, verbose="error")
    raw.notch_filter(60, verbose="error")
    raw.resample(200, verbose="error")
    epochs = epochs_of(raw)
    cues = epochs.events[:, 2] > 1
    shift = -2 if IMAGERY[path.stem[-2:]] == "fists" else 0
    return epochs.get_data(units="uV", verbose="error")[cues], (epochs.events[cues, 2] + shift).tolist()


@pytest.mark.parametrize(
    "run", ["04", "06", *(pytest.param(run, marks=pytest.mark.slow) for run in ("08", "10", "12", "14"))]
)
def test_every_stored_window_and_label_is_the_references(eeg_data, run):
    source = source_of(eeg_data / "eegmmidb", f"S001R{run}")
    windows, index = process(PHYSIONET_MI, source, PHYSIONET_MI.steps)
    expected, labels = by_plain_mne(source.path)
    assert windows.shape == expected.shape == (15, 64, 800) and windows.dtype == np.float32
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert index.label.tolist() == labels


@pytest.mark.parametrize("run", IMAGERY)
def test_counts_and_classes_are_those_of_the_annotations(eeg_data, run):
    """The annotations by edfio; T1 is left or both fists, T2 right or both feet."""
    source = source_of(eeg_data / "eegmmidb", f"S001R{run}")
    notes = Counter(note.text for note in edfio.read_edf(source.path).annotations)
    first, second = ("left fist", "right fist") if IMAGERY[run] == "fists" else ("both fists", "both feet")
    windows = PHYSIONET_MI.windows(PHYSIONET_MI.read(source), source)
    found = Counter(CLASSES[window.label] for window in windows)
    assert found == {first: notes["T1"], second: notes["T2"]} and sum(found.values()) == 15


# ---- made files ------------------------------------------------------------------------------------------------------


def write(
    folder: Path, recording: str, cues: list[tuple[float, str]], *, sfreq=160, seconds=30, names=FILE_NAMES
) -> Source:
    """A file of noise, as the corpus names and pads it."""
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(
            np.clip(30 * rng.standard_normal(sfreq * seconds), -190, 190),
            sfreq,
            label=name,
            physical_dimension="uV",
            physical_range=(-200, 200),
        )
        for name in names
    ]
    source = source_of(folder, recording)
    source.path.parent.mkdir(parents=True)
    notes = [edfio.EdfAnnotation(onset, 4.1, text) for onset, text in cues]
    edfio.Edf(signals, annotations=notes, starttime=time(0), data_record_duration=1.0).write(source.path)
    return source


@pytest.mark.parametrize("sfreq", [128, 160])
def test_windows_at_the_end_are_kept_and_dropped_as_mne_does(tmp_path, sfreq):
    """Cues about the last moment at which four seconds fit, and half-way between samples. The corpus has 128 Hz too."""
    onsets = [0.0, 4.1953125, 8.3125, 12.5625, 17.0, 25.9, 25.995, 26.0, 26.0025, 26.0075, 26.01, 29.9]
    source = write(tmp_path, "S088R06", [(onset, "T1") for onset in onsets], sfreq=sfreq)
    raw = mne.io.read_raw_edf(source.path, preload=True, verbose="error").resample(200, verbose="error")
    events, ids = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(
        raw,
        events,
        ids,
        0,
        4 - 1 / 200,
        baseline=None,
        preload=True,
        event_repeated="drop",
        verbose="error",
    )
    recording = PHYSIONET_MI.steps[-1](PHYSIONET_MI.read(source))
    windows = PHYSIONET_MI.windows(recording, source)
    starts = [round(window.onset_s * 200) for window in windows]
    assert sorted(set(starts)) == epochs.events[:, 0].tolist()
    assert len(epochs) < len(onsets) and 5200 in starts  # the window that ends with the file is kept


def test_a_label_is_its_description_and_run_not_a_number(tmp_path):
    """Without rest in the file MNE counts T1 as 1, and the reference's labels would all shift by one."""
    cues = [(2.0, "T1"), (8.0, "T2"), (14.0, "T2")]
    fists, feet = write(tmp_path / "a", "S003R04", cues), write(tmp_path / "b", "S003R14", cues)
    assert [w.label for w in PHYSIONET_MI.windows(PHYSIONET_MI.read(fists), fists)] == [0, 1, 1]
    assert [w.label for w in PHYSIONET_MI.windows(PHYSIONET_MI.read(feet), feet)] == [2, 3, 3]


def test_other_annotations_are_no_cues(tmp_path):
    source = write(tmp_path, "S003R04", [(0.0, "T0"), (4.0, "T1"), (8.0, "lost electrode")])
    assert [window.onset_s for window in PHYSIONET_MI.windows(PHYSIONET_MI.read(source), source)] == [4.0]


def test_a_recording_without_cues_is_refused(tmp_path):
    source = write(tmp_path, "S003R04", [(0.0, "T0")])
    with pytest.raises(EegfmError, match=r"S003R04\.edf has no T1 or T2 among its annotations \(T0\)"):
        process(PHYSIONET_MI, source, PHYSIONET_MI.steps)


def test_a_wrong_rate_and_a_missing_channel_are_refused(tmp_path):
    source = write(tmp_path / "a", "S003R04", [(2.0, "T1")], sfreq=250)
    with pytest.raises(EegfmError, match="250 Hz; the corpus has 160 or 128 Hz"):
        process(PHYSIONET_MI, source, PHYSIONET_MI.steps)
    source = write(
        tmp_path / "b", "S003R04", [(2.0, "T1")], names=[name for name in FILE_NAMES if name != "Oz.."]
    )
    with pytest.raises(EegfmError, match=r"lacks 1 of 64 channels: Oz\.\."):
        process(PHYSIONET_MI, source, PHYSIONET_MI.steps)


# ---- facts -----------------------------------------------------------------------------------------------------------


def test_sources_are_the_six_imagery_runs_of_109_subjects(tmp_path):
    (tmp_path / "S001").mkdir()
    (tmp_path / "RECORDS").touch()  # sorts before S001; the reference's split would move
    sources = PHYSIONET_MI.sources(tmp_path)
    names = [source.path.relative_to(tmp_path).as_posix() for source in sources]
    assert names == sorted(f"S{i:03d}/S{i:03d}R{run}.edf" for i in range(1, 110) for run in IMAGERY)
    assert len({source.recording for source in sources}) == PHYSIONET_MI.census.recordings == 654
    assert all(source.subject in SPLITS[source.split] for source in sources)


def test_a_folder_that_holds_the_corpus_will_do(tmp_path):
    (tmp_path / "eegmmidb").mkdir()
    assert source_of(tmp_path, "S109R14").path == tmp_path / "eegmmidb" / "S109" / "S109R14.edf"


def test_splits_are_the_papers_70_19_20_subjects():
    numbers = {split: [int(subject[1:]) for subject in subjects] for split, subjects in SPLITS.items()}
    assert numbers == {"train": [*range(1, 71)], "val": [*range(71, 90)], "test": [*range(90, 110)]}


def test_the_census_and_the_paradigm_differ_by_the_27_windows_that_are_explained():
    """Six recordings a subject and 15 cues a recording; the declared total is a little more."""
    cued = {split: len(subjects) * 6 * 15 for split, subjects in SPLITS.items()}
    assert cued == {"train": 6300, "val": 1710, "test": 1800}
    assert PHYSIONET_MI.census.windows == sum(cued.values()) + 27
