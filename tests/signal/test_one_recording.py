"""The same real recording in every format gives the same windows."""

import numpy as np
import pytest

from eegfm.signal.formats.any_file import open_any
from eegfm.signal.formats.bids import open_bids
from eegfm.signal.formats.edf_header import read_header
from eegfm.signal.recording import Recording
from eegfm.signal.steps import BandPass, Notch, Resample
from eegfm.signal.windows import cut, fits
from tests.one_recording import EVENTS, TASK, WRITERS, one_recording, written

STEPS = (BandPass(low=0.5, high=45.0), Notch(50.0), Resample(200.0))
EXACT_UV = 1e-4
NAMES = ("Fp1", "Cz", "Pz", "O2", "T3", "F8")


def windows_of(recording, window_s=4.0):
    """Windows at the events, by what happened, after steps as a benchmark has them."""
    for step in STEPS:
        recording = step(recording)
    return {
        (round(event.onset_s, 3), event.description): cut(recording, event.onset_s, window_s)
        for event in recording.events
        if fits(recording, event.onset_s, window_s)
    }


@pytest.fixture
def raw(eeg_data):
    return one_recording(eeg_data)  # anew: some writers load it


@pytest.fixture(scope="module")
def original(eeg_data):
    """The windows of the file as it was published, which has no events: those of the writers are put beside it."""
    found = open_any(eeg_data / "mental_arithmetic_eegmat" / TASK)
    recording = found.recording({f"EEG {name}": name for name in NAMES})
    with_events = Recording.from_mne(one_recording(eeg_data), channels=NAMES)
    np.testing.assert_array_equal(recording.data, with_events.data)
    return windows_of(with_events)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_windows(raw, original, tmp_path, kind):
    """Within 1e-4 µV; an EDF that was written anew within its own digits, which are told by its header."""
    path = written(raw, tmp_path, kind)
    found = open_bids(path) if kind.startswith("BIDS") else open_any(path)
    windows = windows_of(found.recording(NAMES))
    assert {*windows} == {*original} == {*zip(EVENTS.onset, EVENTS.description, strict=True)}
    step_uv = _step_uv(path) if path.suffix == ".edf" else 0.0
    assert step_uv < 0.02
    for key, window in windows.items():
        assert np.abs(window - original[key]).max() < EXACT_UV + 2 * step_uv
    assert {found.kinds[name] for name in NAMES} == {"eeg"}


def _step_uv(path):
    """The largest digital step of an EDF."""
    steps = []
    for low, high, least, most in read_header(path).ranges[:21]:
        steps.append((float(high) - float(low)) / (int(most) - int(least)))
    return max(steps)


@pytest.mark.parametrize("kind", ["FIF", "EEGLAB", "BIDS of EDF", "BIDS of BrainVision"])
def test_places_survive_where_the_format_keeps_them(raw, tmp_path, kind):
    path = written(raw, tmp_path, kind)
    found = open_bids(path) if kind.startswith("BIDS") else open_any(path)
    montage = found.measured({name: name for name in NAMES})
    expected = [raw.info["chs"][raw.ch_names.index(name)]["loc"][:3] for name in NAMES]
    np.testing.assert_allclose(montage.coords, expected, rtol=0, atol=1e-6)
