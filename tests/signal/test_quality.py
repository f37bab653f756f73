"""Each check catches its fault, in a sentence with the file's name, and lets real recordings pass."""

from pathlib import Path

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.montage import montage_of
from eegfm.signal.quality import Measured, check_amplitude, check_recording
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


@pytest.mark.parametrize("part", [slice(1, None), slice(0, 2000), slice(2000, None), slice(900, 1950)])
def test_a_channel_of_one_value_for_long_is_told_and_passes(part):
    """An electrode may come off in a real recording; less than five seconds of one value are not told."""
    recording = eeg()
    recording.data[0, part] = 3.5
    n = len(range(*part.indices(4000)))
    assert check_recording(recording) == (f"one value for {n / 200:.3g} s in 1 of 3 channels: Fz",)
    recording = eeg()
    recording.data[:, -220:] = 0.0  # the last record of PhysioNet's files, 1.1 s
    recording.data[1, 500:1400] = 0.0
    assert check_recording(recording) == ()


def test_two_channels_of_the_same_samples_are_told():
    recording = eeg()
    recording.data[2] = recording.data[0]
    assert check_recording(recording) == ("the same samples in several channels: Fz = Pz",)
    recording.data[2, 17] += 0.1
    assert check_recording(recording) == ()


@pytest.mark.parametrize("value", [1e30, -1e30, 2e7])
def test_one_value_beyond_any_amplifier_is_found(value):
    recording = eeg()
    recording.data[1, 17] = value
    assert "which no amplifier measures, in 1 of 3 channels: Cz" in refusal(check_recording, recording)
    recording.data[1, 17] = 7.2e5  # as in EEG Eye State
    assert check_recording(recording) == ()


def test_a_channel_in_volts_among_microvolts_is_found():
    recording = eeg()
    recording.data[1] *= 1e-6
    message = refusal(check_recording, recording)
    assert "as if volts were taken for microvolts, in 1 of 3 channels: Cz" in message


@pytest.mark.parametrize("cuts", [(), (1,), (37, 1999, 2000, 3999)])
def test_a_recording_is_measured_alike_in_any_parts(cuts):
    recording = eeg()
    recording.data[0, 1000:2600] = -7.0
    recording.data[2] = recording.data[1]
    whole, parts = (Measured(recording.montage.names, 200.0) for _ in range(2))
    whole.add(recording.data)
    for part in np.split(recording.data, cuts, axis=1):
        parts.add(part)
    assert parts.longest.tolist() == whole.longest.tolist() and whole.longest[0] == 1600
    assert parts.doubts() == whole.doubts() and len(whole.doubts()) == 2
    np.testing.assert_array_equal([parts.lowest, parts.highest], [whole.lowest, whole.highest])


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
    recording.data[0] = 1e3 * recording.data[0] + 1e6
    recording.data[1] += 4e4
    (told,) = check_amplitude(recording)
    assert told.startswith("typical values that are not EEG's: Fz 1.") and "Cz" not in told
    offset_volts = eeg(20e-6)
    offset_volts.data[:] += 30.0  # looks like 30 µV to a mean of absolute values
    refusal(check_amplitude, offset_volts)


def test_one_channel_of_a_wrong_unit_is_refused_whatever_the_others_are():
    recording = eeg()
    recording.data[2] *= 1e6
    message = refusal(check_amplitude, recording)
    assert "single channels is no electrode's: Pz 1." in message and "Fz" not in message


def test_a_channel_that_is_nearly_silent_is_told():
    recording = eeg()
    recording.data[0] *= 1e-3
    (told,) = check_amplitude(recording)
    assert "Fz 0.01" in told and "Cz" not in told


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
    assert check_recording(recording, raw_sfreq=(rate,)) == ()
    assert check_amplitude(recording) == ()
