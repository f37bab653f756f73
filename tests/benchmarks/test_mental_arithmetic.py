"""MentalArithmetic: facts against PhysioNet's own lists, windows against a few lines of plain MNE."""

from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest

from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC, SPLITS
from eegfm.benchmarks.spec import Source
from eegfm.data.preparing.making import process

CHANNELS = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz A2-A1".split()


@pytest.fixture
def root(eeg_data) -> Path:
    return eeg_data / "mental_arithmetic_eegmat"


def source_of(root: Path, recording: str) -> Source:
    return next(source for source in MENTAL_ARITHMETIC.sources(root) if source.recording == recording)


def by_plain_mne(path: Path) -> np.ndarray:
    """The reference's preprocessing, [window, channel, time] in microvolts."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    raw.pick([f"EEG {name}" for name in CHANNELS]).reorder_channels([f"EEG {name}" for name in CHANNELS])
    raw.resample(200, verbose="error")
    data = raw.get_data(units="uV")
    n = data.shape[1] // 1000
    return data[:, : n * 1000].reshape(20, n, 1000).transpose(1, 0, 2)


@pytest.mark.parametrize(
    "recording", ["Subject02_2", "Subject04_1", "Subject28_2", "Subject31_1", "Subject35_2"]
)
def test_every_stored_window_is_plain_mnes(root, recording):
    """Subject04_1 and Subject31_1 are of other lengths than the rest."""
    source = source_of(root, recording)
    windows, index = process(MENTAL_ARITHMETIC, source, MENTAL_ARITHMETIC.steps)
    expected = by_plain_mne(source.path)
    assert windows.shape == expected.shape and windows.dtype == np.float32
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert index.onset_s.tolist() == [5.0 * i for i in range(len(expected))]
    assert set(index.label.tolist()) == {0 if recording.endswith("_1") else 1}
    assert set(index.subject.tolist()) == {recording[:9]}


@pytest.mark.slow
def test_val_and_test_have_the_counts_of_the_census(root):
    found = Counter()
    for source in MENTAL_ARITHMETIC.sources(root):
        if source.split != "train":
            _, index = process(MENTAL_ARITHMETIC, source, MENTAL_ARITHMETIC.steps)
            found.update((source.split, int(label)) for label in index.label)
    census = MENTAL_ARITHMETIC.census
    for split in ("val", "test"):
        assert (found[split, 0], found[split, 1]) == census.per_class[split]
        assert found[split, 0] + found[split, 1] == census.per_split[split]


def test_the_protocol_uses_every_recording_that_physionet_lists(root):
    records = (root / "RECORDS").read_text().split()
    sums = [line.split()[1] for line in (root / "SHA256SUMS.txt").read_text().splitlines()]
    sources = MENTAL_ARITHMETIC.sources(root)
    names = [source.path.relative_to(root).as_posix() for source in sources]
    assert names == sorted(records) == sorted(name for name in sums if name.endswith(".edf"))
    assert len(names) == MENTAL_ARITHMETIC.census.recordings


def test_splits_are_the_papers_28_4_4_subjects():
    """00-27, 28-31, 32-35: the CBraMod paper's subjects 1-28, 29-32, 33-36."""
    numbers = {split: [int(subject[-2:]) for subject in subjects] for split, subjects in SPLITS.items()}
    assert numbers == {"train": [*range(28)], "val": [28, 29, 30, 31], "test": [32, 33, 34, 35]}
    assert all(source.subject in SPLITS[source.split] for source in MENTAL_ARITHMETIC.sources(Path("raw")))


def test_the_ear_difference_is_the_only_row_without_a_place():
    coords = MENTAL_ARITHMETIC.montage.coords
    assert np.isnan(coords[-1]).all() and np.isfinite(coords[:-1]).all()
    assert MENTAL_ARITHMETIC.channels == tuple(CHANNELS)
