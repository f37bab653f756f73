"""Windows: tiles of the recording, or the epochs of MNE."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Event, Recording
from eegfm.signal.windows import cut, fits, grid

rates = st.sampled_from([100.0, 128.0, 160.0, 200.0, 250.0, 512.0, 99.7])


def counted(n_times, sfreq, events=()) -> Recording:
    """Every sample holds its own number, so a window says which samples it is made of."""
    data = np.stack([np.arange(n_times, dtype=float), -np.arange(n_times, dtype=float)])
    return Recording(data, sfreq, montage_of(("Cz", "Pz")), tuple(events))


@settings(derandomize=True, deadline=None)
@given(n_times=st.integers(0, 5000), sfreq=rates, window_s=st.sampled_from([0.5, 1.0, 4.0, 5.0, 1 / 3]))
def test_a_grid_tiles_the_recording_and_drops_less_than_a_window(n_times, sfreq, window_s):
    recording = counted(n_times, sfreq)
    n = round(window_s * sfreq)
    windows = [cut(recording, onset_s, window_s) for onset_s in grid(recording, window_s)]
    joined = np.concatenate([np.empty((2, 0)), *windows], axis=1)
    np.testing.assert_array_equal(joined, recording.data[:, : joined.shape[1]])
    assert 0 <= n_times - joined.shape[1] < n


def test_a_grid_is_upstreams_reshape():
    recording = counted(36_399, 200.0)
    windows = np.stack([cut(recording, onset_s, 5.0) for onset_s in grid(recording, 5.0)])
    expected = recording.data[:, : 36_399 // 1000 * 1000].reshape(2, -1, 1000).transpose(1, 0, 2)
    np.testing.assert_array_equal(windows, expected)
    assert grid(recording, 5.0)[:3] == [0.0, 5.0, 10.0]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    sfreq=st.sampled_from([128.0, 160.0, 200.0, 250.0]),
    extra=st.integers(0, 40),
    eighths=st.lists(st.integers(0, 80 * 16), min_size=1, max_size=6, unique=True),
)
def test_events_are_cut_and_dropped_as_by_mnes_epochs(sfreq, extra, eighths):
    """Onsets in 128ths of a second: many fall half-way between two samples at 200 and 250 Hz."""
    n_times = int(6 * sfreq) + extra
    onsets = sorted(onset / 128 for onset in eighths)
    recording = counted(n_times, sfreq, [Event(onset, 0.0, "T1") for onset in onsets])
    raw = mne.io.RawArray(recording.data, mne.create_info(["Cz", "Pz"], sfreq, "eeg"), verbose=False)
    kept = [
        onset for onset in onsets if onset < n_times / sfreq
    ]  # MNE drops annotations behind the end by itself
    raw.set_annotations(mne.Annotations(kept, 0.0, ["T1"] * len(kept)))
    ours = [cut(recording, onset, 4.0) for onset in onsets if fits(recording, onset, 4.0)]
    if not kept:
        assert not ours
        return
    events, _ = mne.events_from_annotations(raw, verbose=False)
    epochs = mne.Epochs(
        raw,
        events,
        tmin=0,
        tmax=4 - 1 / sfreq,
        baseline=None,
        preload=True,
        event_repeated="drop",
        on_missing="ignore",
        verbose="error",
    )
    theirs = epochs.get_data(verbose="error")
    assert len(ours) == len(theirs)
    for window, epoch in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(window, epoch)


def test_the_last_window_may_end_with_the_recording_and_not_a_sample_later():
    recording = counted(1000, 200.0)
    assert (
        fits(recording, 1.0, 4.0) and not fits(recording, 1.005, 4.0) and not fits(recording, -0.005, 4.0)
    )
    np.testing.assert_array_equal(cut(recording, 1.0, 4.0)[0], np.arange(200, 1000))


@pytest.mark.parametrize("onset_s", [-0.5, 1.005, 100.0])
def test_a_window_that_does_not_fit_is_never_cut(onset_s):
    with pytest.raises(AssertionError):
        cut(counted(1000, 200.0), onset_s, 4.0)
