"""From MNE to microvolts: names, order, units, and the clock of events."""

from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.recording import Event, Recording

SFREQ = 100.0


def raw_of(names=("Fz", "Cz", "Pz"), *, first_samp=0, meas_date=None, seconds=10) -> mne.io.RawArray:
    """Row i holds i + 1 µV plus a ramp, in volts as MNE has it."""
    times = np.arange(int(seconds * SFREQ)) / SFREQ
    data = np.stack([(row + 1 + times) * 1e-6 for row in range(len(names))])
    raw = mne.io.RawArray(
        data, mne.create_info(list(names), SFREQ, "eeg"), first_samp=first_samp, verbose=False
    )
    return raw.set_meas_date(meas_date)


def test_volts_become_microvolts():
    recording = Recording.from_mne(raw_of())
    np.testing.assert_allclose(recording.data[:, 0], [1, 2, 3], rtol=1e-12)
    assert recording.data.dtype == np.float64 and recording.sfreq == SFREQ and recording.duration_s == 10


def test_rows_come_in_the_order_asked_for_under_our_names():
    raw = raw_of(("EEG Fz-REF", "EEG Cz-REF", "EEG Pz-REF"))
    recording = Recording.from_mne(raw, channels={"EEG Pz-REF": "Pz", "EEG Fz-REF": "Fz"})
    assert recording.montage.names == ("Pz", "Fz")
    np.testing.assert_allclose(recording.data[:, 0], [3, 1], rtol=1e-12)


def test_a_sequence_of_names_picks_and_orders():
    recording = Recording.from_mne(raw_of(), channels=("Cz", "Fz"))
    assert recording.montage.names == ("Cz", "Fz")
    np.testing.assert_allclose(recording.data[:, 0], [2, 1], rtol=1e-12)


def test_a_channel_whose_name_is_a_type_of_channel_is_still_one_channel():
    """MNE would take the name "eeg" for all EEG channels."""
    recording = Recording.from_mne(raw_of(("Fz", "eeg", "Pz")), channels={"eeg": "Cz"})
    np.testing.assert_allclose(recording.data[:, 0], [2], rtol=1e-12)


def test_a_channel_marked_bad_is_kept():
    raw = raw_of()
    raw.info["bads"] = ["Cz"]
    assert Recording.from_mne(raw, channels=("Fz", "Cz")).data.shape == (2, 1000)


def test_a_missing_channel_is_named_with_the_file_and_what_is_there(tmp_path):
    with pytest.raises(EegfmError) as caught:
        Recording.from_mne(raw_of(), channels=("Cz", "Oz", "O1"), path=tmp_path / "a.edf")
    for part in (str(tmp_path / "a.edf"), "2 of 3 channels: Oz, O1", "Fz, Cz, Pz", "allow_partial"):
        assert part in str(caught.value)


@pytest.mark.parametrize("meas_date", [None, datetime(2020, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("first_samp", [0, 250])
def test_events_count_from_the_first_sample(meas_date, first_samp):
    """Also where MNE's clock starts elsewhere: a measurement that began before the file, or a cropped recording."""
    raw = raw_of(first_samp=first_samp, meas_date=meas_date)
    raw.set_annotations(
        mne.Annotations([2.0, 4.5], [1.0, 0.0], ["T1", "T2"])
    )  # no date: from the first sample
    assert Recording.from_mne(raw).events == (Event(2.0, 1.0, "T1"), Event(4.5, 0.0, "T2"))
    cropped = Recording.from_mne(raw.copy().crop(1.5))
    assert [event.onset_s for event in cropped.events] == pytest.approx([0.5, 3.0], abs=1e-9)
    np.testing.assert_allclose(cropped.data[0, 50], 1 + 2.0, rtol=1e-12)  # the ramp says what second it was
