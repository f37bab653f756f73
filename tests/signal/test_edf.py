"""EDF files, sound and damaged. Written and read by edfio, a reader that shares no line with MNE's."""

from datetime import time

import edfio
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import channel_names, read_edf

SFREQ = 200
SECONDS = 8
TIMES = np.arange(SECONDS * SFREQ) / SFREQ
PULSE_S = 3.25
FZ = 50 * np.sin(2 * np.pi * 10 * TIMES)
CZ = np.where(TIMES == PULSE_S, 180.0, 0.0)
RANGE_UV = 200.0
STEP_UV = 2 * RANGE_UV / 65535  # one digit of the file


def write(path, *, unit="uV", per_uv=1.0, rates=(SFREQ, SFREQ)):
    signals = [
        edfio.EdfSignal(
            data[:: SFREQ // rate] * per_uv,
            rate,
            label=label,
            physical_dimension=unit,
            physical_range=(-RANGE_UV * per_uv, RANGE_UV * per_uv),
        )
        for data, label, rate in zip((FZ, CZ), ("EEG Fz", "EEG Cz"), rates, strict=True)
    ]
    edf = edfio.Edf(
        signals,
        annotations=[edfio.EdfAnnotation(2.5, 1.0, "T1")],
        starttime=time(0),
        data_record_duration=1.0,
    )
    edf.write(path)
    return path


def change(path, at, value: bytes):
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def refusal(path, **kwargs) -> str:
    with pytest.raises(EegfmError) as caught:
        read_edf(path, channels=kwargs.pop("channels", {"EEG Fz": "Fz", "EEG Cz": "Cz"}), **kwargs)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("unit", "per_uv"), [("uV", 1.0), ("mV", 1e-3), ("V", 1e-6)])
def test_a_known_signal_comes_back_in_microvolts_at_its_second(tmp_path, unit, per_uv):
    recording = read_edf(
        write(tmp_path / "a.edf", unit=unit, per_uv=per_uv), channels={"EEG Cz": "Cz", "EEG Fz": "Fz"}
    )
    assert recording.montage.names == ("Cz", "Fz") and recording.sfreq == SFREQ
    np.testing.assert_allclose(recording.data, [CZ, FZ], atol=0.51 * STEP_UV)
    assert recording.data[0].argmax() == PULSE_S * SFREQ
    assert [(e.onset_s, e.duration_s, e.description) for e in recording.events] == [(2.5, 1.0, "T1")]


@pytest.mark.parametrize("name", ["mental_arithmetic_eegmat/Subject02_2.edf", "eegmmidb/S001/S001R04.edf"])
def test_real_files_read_as_by_edfio(eeg_data, name):
    """Values, units, names and annotations of real recordings, by a second reader."""
    path = eeg_data / name
    edf = edfio.read_edf(path)
    places = ("Fz", "Cz") if "Subject" in name else ("Fz..", "Cz..")
    labels = [f"EEG {place}" if "Subject" in name else place for place in places]
    recording = read_edf(path, channels=dict(zip(labels, ("Fz", "Cz"), strict=True)))
    assert all(signal.physical_dimension.lower() == "uv" for signal in edf.signals[:19])
    expected = [edf.get_signal(label).data for label in labels]
    np.testing.assert_allclose(recording.data, expected, rtol=0, atol=1e-9)
    assert recording.sfreq == edf.get_signal(labels[0]).sampling_frequency
    assert [(e.onset_s, e.description) for e in recording.events] == [
        (a.onset, a.text) for a in edf.annotations
    ]


@pytest.mark.parametrize("lost", [1, 2 * SFREQ, 3000])
def test_a_file_cut_short_is_refused_with_both_sizes(tmp_path, lost):
    path = write(tmp_path / "a.edf")
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    message = refusal(path)
    assert "cut short" in message and f"{len(whole) - lost:,} bytes found, {len(whole):,} wanted" in message
    assert "Fetch the file again" in message


def test_a_file_with_more_than_its_header_says_is_refused(tmp_path):
    path = write(tmp_path / "a.edf")
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert "longer than its header says" in refusal(path)


def test_bytes_behind_the_end_pass_where_they_are_known_and_only_so_many(tmp_path):
    path = write(tmp_path / "a.edf")
    expected = read_edf(path, channels={"EEG Fz": "Fz"}, padding=256).data  # they need not be there
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(256))
    np.testing.assert_array_equal(read_edf(path, channels={"EEG Fz": "Fz"}, padding=256).data, expected)
    assert channel_names(path, padding=256)[:2] == ("EEG Fz", "EEG Cz")
    path.write_bytes(whole + bytes(128))
    assert "longer than its header says" in refusal(path, channels={"EEG Fz": "Fz"}, padding=256)


def test_a_name_that_comes_twice_is_numbered(tmp_path):
    """As in CHB-MIT, whose files hold T8-P8 twice; the header still says what it says."""
    path = tmp_path / "a.edf"
    rows = [("T8-P8", SFREQ), ("-", SFREQ), ("T8-P8", SFREQ // 2), ("-", SFREQ)]
    signals = [
        edfio.EdfSignal(
            (i + 1) * FZ[:: SFREQ // rate], rate, label=name, physical_range=(-RANGE_UV, RANGE_UV)
        )
        for i, (name, rate) in enumerate(rows)
    ]
    for signal in signals:
        signal.physical_dimension = "uV"
    edfio.Edf(signals, data_record_duration=1.0).write(path)
    assert channel_names(path) == ("T8-P8", "-", "T8-P8", "-")
    recording = read_edf(path, channels={"T8-P8-0": "T8-P8"})
    np.testing.assert_allclose(recording.data, [FZ], atol=0.51 * STEP_UV)
    assert "T8-P8-1 is sampled at 100 Hz" in refusal(path, channels={"T8-P8-1": "T8-P8"})
    assert "lacks 1 of 1 channels: T8-P8." in refusal(path, channels=["T8-P8"])


def test_a_recording_that_was_not_closed_is_read_when_its_records_are_whole(tmp_path):
    """The number of records -1 means: not known. EDF allows it while a recording is being made."""
    path = write(tmp_path / "a.edf")
    expected = read_edf(path, channels={"EEG Fz": "Fz"}).data
    change(path, 236, b"-1      ")
    np.testing.assert_array_equal(read_edf(path, channels={"EEG Fz": "Fz"}).data, expected)
    path.write_bytes(path.read_bytes()[:-10])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html>Please log in</html>" * 50,
        b"0       " + b"?" * 400,
        bytes(range(256)) * 20,
    ],
    ids=["empty", "web page", "garbage behind a good start", "garbage"],
)
def test_what_is_no_edf_is_refused(tmp_path, content):
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    message = refusal(path)
    assert "is not an EDF file" in message and "Fetch the file again" in message


def test_whatever_mne_stumbles_over_is_named_with_its_cause(tmp_path):
    path = write(tmp_path / "a.edf")
    change(path, 256 + 3 * (16 + 80 + 8), b"nonsense")  # the physical minimum of the first of three signals
    with pytest.raises(EegfmError, match="cannot be read as EDF") as caught:
        read_edf(path, channels={"EEG Fz": "Fz"})
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is not None and str(caught.value.__cause__) in str(caught.value)


def test_a_discontinuous_file_is_refused(tmp_path):
    """MNE joins the pieces and says nothing."""
    assert "EDF+D" in refusal(change(write(tmp_path / "a.edf"), 192, b"EDF+D"))


def test_a_missing_channel_is_named(tmp_path):
    message = refusal(write(tmp_path / "a.edf"), channels={"EEG Fz": "Fz", "EEG Oz": "Oz"})
    assert "lacks 1 of 2 channels: EEG Oz. It has EEG Fz, EEG Cz" in message


def test_channel_names_are_the_headers_in_its_order(tmp_path):
    path = write(tmp_path / "a.edf")
    assert channel_names(path) == ("EEG Fz", "EEG Cz", "EDF Annotations")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EegfmError, match=r"a\.edf is cut short"):
        channel_names(path)
    path.write_bytes(b"BCI2000V= 1.1")
    with pytest.raises(EegfmError, match="not an EDF file"):
        channel_names(path)


def test_channels_of_two_rates_are_refused_and_others_do_not_matter(tmp_path):
    """MNE resamples a slower channel without a word; one that is not wanted may be as slow as it likes."""
    path = write(tmp_path / "a.edf", rates=(SFREQ, SFREQ // 2))
    assert "EEG Cz is sampled at 100 Hz" in refusal(path)
    recording = read_edf(path, channels={"EEG Fz": "Fz"})
    np.testing.assert_allclose(recording.data[0], FZ, atol=0.51 * STEP_UV)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_edf(tmp_path / "a.edf", channels={"EEG Fz": "Fz"})
