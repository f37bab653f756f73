"""Each check catches its fault, in a sentence with the file's name, and lets real recordings pass."""

from pathlib import Path

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.montage import montage_of
from eegfm.signal.quality import check_amplitude, check_recording
from eegfm.signal.recording import Recording


def eeg(size_uv=20.0, *, names=("Fz", "Cz", "Pz"), sfreq=200.0) -> Recording:
    data = size_uv * np.random.default_rng(0).standard_normal((len(names), 4000))
    return Recording(data, sfreq, montage_of(names), path=Path("corpus/a.edf"))


def refusal(check, recording, **kwargs) -> str:
    with pytest.raises(EegfmError) as caught:
        check(recording, **kwargs)
    for part in ("corpus/a.edf", "Fetch the file again", "data.allow_partial=true"):
        assert part in str(caught.value)
    return str(caught.value)


def test_sound_eeg_passes():
    check_recording(eeg())
    check_recording(eeg(sfreq=160.0), raw_sfreq=(160.0, 128.0))
    check_amplitude(eeg())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_found(value):
    recording = eeg()
    recording.data[1, 17] = value
    assert "NaN or infinite values in 1 of 3 channels: Cz" in refusal(check_recording, recording)


def test_a_flat_channel_is_found_at_any_level():
    recording = eeg()
    recording.data[0], recording.data[2] = 0.0, -812.5
    assert (
        "flat" in (message := refusal(check_recording, recording)) and "2 of 3 channels: Fz, Pz" in message
    )


def test_a_channel_that_is_flat_for_most_of_the_time_passes():
    recording = eeg()
    recording.data[0, 1:] = 0
    check_recording(recording)


def test_a_wrong_rate_is_found():
    message = refusal(check_recording, eeg(sfreq=250.0), raw_sfreq=(160.0, 128.0))
    assert "250 Hz" in message and "160 or 128 Hz" in message


def test_an_empty_recording_is_found():
    empty = eeg()
    assert "no samples" in refusal(check_recording, empty.with_data(empty.data[:, :0]))


@pytest.mark.parametrize(
    ("factor", "guess"),
    [
        (1e-6, "volts were taken for microvolts, a factor of 1e6"),
        (1e-3, "millivolts were taken for microvolts"),
        (1e3, "nanovolts were taken for microvolts"),
        (1e6, "scaled by 1e6 once too often"),
    ],
)
def test_a_wrong_unit_is_recognised(factor, guess):
    message = refusal(check_amplitude, eeg(20.0 * factor))
    assert guess in message
    measured = float(message.split("typical value is ")[1].split(" ")[0])
    # the median of |x| of a Gaussian is 0.6745 standard deviations
    assert measured == pytest.approx(0.6745 * 20 * factor, rel=0.05)


def test_the_gate_is_1_to_500_microvolts():
    check_amplitude(eeg(1.1 / 0.6745))
    check_amplitude(eeg(450 / 0.6745))
    refusal(check_amplitude, eeg(0.9 / 0.6745))
    refusal(check_amplitude, eeg(550 / 0.6745))


def test_an_offset_or_one_bad_channel_does_not_hide_or_make_a_fault():
    recording = eeg()
    recording.data[0] = 1e5 * recording.data[0] + 1e6
    recording.data[1] += 4e4
    check_amplitude(recording)
    offset_volts = eeg(20e-6)
    offset_volts.data[:] += 30.0  # looks like 30 µV to a mean of absolute values
    refusal(check_amplitude, offset_volts)


def test_nan_does_not_slip_through_the_gate():
    recording = eeg()
    recording.data[:] = np.nan
    refusal(check_amplitude, recording)


@pytest.mark.parametrize(
    ("name", "prefix", "suffix", "rate"),
    [
        ("mental_arithmetic_eegmat/Subject31_1.edf", "EEG ", "", 500.0),
        ("eegmmidb/S001/S001R06.edf", "", "..", 160.0),
    ],
)
def test_real_recordings_pass(eeg_data, name, prefix, suffix, rate):
    channels = {f"{prefix}{place}{suffix}": place for place in ("Fz", "C3", "C4", "O1")}
    recording = read_edf(eeg_data / name, channels=channels)
    check_recording(recording, raw_sfreq=(rate,))
    check_amplitude(recording)
