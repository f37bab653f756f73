"""Windows of a recording as a preparation makes them: the same samples at the same seconds."""

from pathlib import Path

import mne
import numpy as np
import pytest

from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
from eegfm.benchmarks.spec import Source
from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.benchmarks.tuab import tuab
from eegfm.benchmarks.tuh import ELECTRODES
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from eegfm.signal.formats.any_file import open_any, open_raw
from eegfm.signal.intake import Intake
from eegfm.signal.montage import montage_of
from eegfm.signal.steps import Resample, WrapEnds
from tests.stream_runs import write_recording
from tests.writers_gap import GAP_S, write_with_gap

TUAB = tuab()
PLAIN = Intake(CHANNELS, (), 200.0, 800)


def intake_of(benchmark) -> Intake:
    return Intake(benchmark.channels, benchmark.steps, benchmark.sfreq, benchmark.n_times)


def stacked(windows) -> np.ndarray:
    return np.concatenate([*windows.batches(7)])


@pytest.mark.parametrize(
    ("benchmark", "names", "sfreq"),
    [(MENTAL_ARITHMETIC, "EEG {}", 500), (TUAB, "EEG {}-REF", 256)],
    ids=["resampled", "filtered and bipolar"],
)
def test_windows_are_those_of_the_store_to_the_last_bit(benchmark, names, sfreq, tmp_path):
    electrodes = benchmark.channels if benchmark is MENTAL_ARITHMETIC else ELECTRODES
    path = write_recording(tmp_path / "a.edf", [names.format(name) for name in electrodes], sfreq, 63)
    recording = "Subject00_1" if benchmark is MENTAL_ARITHMETIC else "train-normal-a"
    source = Source("Subject00", recording, "train", path)
    stored, index = process(benchmark, source, benchmark.steps)
    windows = intake_of(benchmark).windows(open_any(path))
    assert len(windows) > 5
    np.testing.assert_array_equal(windows.second, index.onset_s)
    np.testing.assert_array_equal(stacked(windows), stored)
    # the same from MNE's own object
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    np.testing.assert_allclose(
        stacked(intake_of(benchmark).windows(open_raw(raw))), stored, rtol=0, atol=1e-4
    )


def test_steps_that_are_for_windows_at_the_ends_are_left_out(tmp_path):
    path = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 20)
    wrapped = Intake(CHANNELS, (WrapEnds(2.0),), 200.0, 800)
    assert wrapped.steps == ()
    assert wrapped.windows(open_any(path)).second.tolist() == [0, 4, 8, 12, 16]


def test_windows_lie_a_hop_apart_and_may_overlap_or_leave_time_out(tmp_path):
    path = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 13)
    assert PLAIN.windows(open_any(path)).second.tolist() == [0, 4, 8]
    half = PLAIN.windows(open_any(path), 0.5)
    assert half.second.tolist() == [i / 2 for i in range(19)]
    np.testing.assert_array_equal(stacked(half)[2][:, :100], stacked(half)[1][:, 100:200])
    assert PLAIN.windows(open_any(path), 9).second.tolist() == [0, 9]
    for wrong in (0, -1, True, "soon", 0.001):
        with pytest.raises(EegfmError, match=r"hop_s=.*: the seconds .* 0\.005 or more"):
            PLAIN.windows(open_any(path), wrong)


def test_no_window_crosses_a_gap_and_seconds_are_those_of_the_file(tmp_path):
    data = 20 * np.random.default_rng(0).standard_normal((len(CHANNELS), 200 * 20))
    path = write_with_gap(tmp_path / "a.edf", data, CHANNELS, first_s=9)
    windows = PLAIN.windows(open_any(path))
    assert windows.second.tolist() == [0, 4, GAP_S + 9, GAP_S + 13]
    np.testing.assert_allclose(stacked(windows)[2], data[:, 1800:2600], atol=0.01)
    short = write_with_gap(tmp_path / "b.edf", data, CHANNELS, first_s=3)
    windows = PLAIN.windows(open_any(short))
    assert windows.second.tolist() == [GAP_S + 3 + 4 * i for i in range(4)]
    assert windows.remarks == ("left out, since a window is longer: 3 s at 0 s",)


def test_what_a_recording_lacks_is_a_sentence(tmp_path):
    short = write_recording(tmp_path / "short.edf", [*CHANNELS], 200, 3)
    with pytest.raises(
        EegfmError, match=r"stretch without a gap is 3 s after its steps, and a window .* 4 s"
    ):
        PLAIN.windows(open_any(short))
    other = write_recording(tmp_path / "other.edf", [*CHANNELS], 250, 20)
    with pytest.raises(EegfmError, match=r"is at 250 Hz, and the model reads 200 Hz\. Resample the file"):
        PLAIN.windows(open_any(other))
    assert len(Intake(CHANNELS, (Resample(200.0),), 200.0, 800).windows(open_any(other))) == 5
    fewer = write_recording(tmp_path / "fewer.edf", [*CHANNELS[1:]], 200, 20)
    with pytest.raises(EegfmError, match=rf"lacks 1 of the 19 channels of this run: {CHANNELS[0]}\."):
        PLAIN.windows(open_any(fewer))


def test_a_wrong_unit_and_a_flat_channel_are_remarks_and_no_numbers_are_refused(tmp_path):
    loud = write_recording(tmp_path / "loud.edf", [*CHANNELS], 200, 8, gain=100.0)
    (said,) = PLAIN.windows(open_any(loud)).remarks
    assert "EEG lies between 1 and 500 µV" in said and "allow_partial" not in said
    info = mne.create_info([*CHANNELS], 200.0, "eeg")
    data = 2e-5 * np.random.default_rng(0).standard_normal((len(CHANNELS), 2000))
    data[3] = 0
    (said, *_) = PLAIN.windows(open_raw(mne.io.RawArray(data, info, verbose="error"))).remarks
    assert f"is flat, one value from beginning to end, in 1 of 19 channels: {CHANNELS[3]}" in said
    data[4, 7] = np.nan
    with pytest.raises(EegfmError, match="the recording holds NaN or infinite values in 1 of 19 channels"):
        PLAIN.windows(open_raw(mne.io.RawArray(data, info, verbose="error")))


def test_a_model_of_any_montage_takes_the_runs_channels_where_it_can_and_else_all(tmp_path):
    any_montage = Intake(CHANNELS, (), 200.0, 800, any_montage=True)
    own = write_recording(tmp_path / "own.edf", [*CHANNELS[::-1], "POz", "ECG"], 200, 8)
    assert any_montage.windows(open_any(own)).montage.names == CHANNELS
    other = write_recording(tmp_path / "other.edf", ["EEG POz-REF", "ECG", "AF7", "Fp1"], 200, 8)
    windows = any_montage.windows(open_any(other))
    assert windows.montage.names == ("POz", "AF7", "Fp1")
    assert windows.data.shape[0] == 3 and np.isfinite(windows.montage.coords).all()


def test_rows_of_a_mix_are_chosen_after_the_steps(tmp_path):
    path = write_recording(tmp_path / "a.edf", [*CHANNELS], 200, 8)
    some = Intake(CHANNELS, (), 200.0, 800, rows=[5, 2]).windows(open_any(path))
    assert some.montage.names == (CHANNELS[5], CHANNELS[2])
    np.testing.assert_array_equal(some.data, PLAIN.windows(open_any(path)).data[[5, 2]])


def test_a_recording_that_was_digitised_under_other_names_is_read_by_place(tmp_path):
    info = mne.create_info([f"E{i}" for i in range(len(CHANNELS))], 200.0, "eeg")
    moved = {f"E{i}": place + 0.002 for i, place in enumerate(montage_of(CHANNELS).coords)}
    montage = mne.channels.make_dig_montage(moved, coord_frame="head")
    data = 2e-5 * np.random.default_rng(0).standard_normal((len(CHANNELS), 2000))
    raw = mne.io.RawArray(data, info, verbose="error").set_montage(montage)
    path = Path(tmp_path / "digitised_raw.fif")
    raw.save(path, verbose="error")
    windows = PLAIN.windows(open_any(path))
    assert windows.channels == {f"E{i}": name for i, name in enumerate(CHANNELS)}
