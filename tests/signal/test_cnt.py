"""Neuroscan CNT files, sound and damaged: a real one by hand, made ones by a writer that MNE's reader agrees with."""

import struct

import mne
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.cnt import read_cnt
from tests.writers_cnt import UV_PER_DIGIT, write_cnt

SFREQ = 250
SECONDS = 8
TIMES = np.arange(SECONDS * SFREQ) / SFREQ
PULSE_S = 3.2
NAMES = ("FZ", "VEO", "CZ")
DATA = np.array(
    [
        50 * np.sin(2 * np.pi * 10 * TIMES),
        400 * np.cos(2 * np.pi * 0.5 * TIMES),
        np.where(TIMES == PULSE_S, 180.0, 0.0),
    ]
)
CHANNELS = {"CZ": "Cz", "FZ": "Fz"}
HALF_A_DIGIT = 0.51 * UV_PER_DIGIT


def write(path, **kwargs):
    write_cnt(path, DATA, NAMES, **{"sfreq": SFREQ, **kwargs})
    return path


def change(path, at, value: bytes):
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def refusal(path, **kwargs) -> str:
    with pytest.raises(EegfmError) as caught:
        read_cnt(path, **{"channels": CHANNELS, "data_format": "int32", **kwargs})
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- sound -----------------------------------------------------------------------------------------------------------


def test_a_real_file_reads_as_its_bytes_say(eeg_data):
    """Labels, digits, baselines and scales straight from the bytes of a file that Neuroscan's software wrote.

    The file has 16-bit samples, says that it has none (number of samples: 0), and holds more behind its events.
    """
    path = eeg_data / "formats" / "scan41_short.cnt"
    content = path.read_bytes()
    assert content.startswith(b"Version 3.0") and struct.unpack_from("<i", content, 864) == (0,)
    (n,), (rate,), (events_at,) = (
        struct.unpack_from(layout, content, at) for layout, at in (("<H", 370), ("<H", 376), ("<i", 886))
    )
    assert (n, rate) == (128, 400) and events_at + 9 + 6 * 19 < len(content)
    heads = [content[900 + 75 * i : 975 + 75 * i] for i in range(n)]
    labels = [head[:10].split(b"\0")[0].decode() for head in heads]
    zero, sensitivity, calibration = (
        np.array([struct.unpack_from(layout, head, at)[0] for head in heads])
        for layout, at in (("<h", 47), ("<f", 59), ("<f", 71))
    )
    digits = np.frombuffer(content[900 + 75 * n : events_at], "<i2").reshape(-1, n)
    expected = (digits - zero) * sensitivity * calibration / 204.8
    recording = read_cnt(path, channels={"58": "Pz", "1": "Cz", "57": "Oz"}, data_format="int16")
    assert recording.sfreq == rate and recording.montage.names == ("Pz", "Cz", "Oz")
    rows = [labels.index(label) for label in ("58", "1", "57")]
    np.testing.assert_allclose(recording.data, expected[:, rows].T, rtol=0, atol=1e-9)
    assert 1 < np.median(np.abs(recording.data)) < 100  # µV
    assert [event.description for event in recording.events] == ["7", "7", "109", "7", "109", "0"]


@pytest.mark.parametrize("block", [1, 40])
@pytest.mark.parametrize("bits", [16, 32])
def test_what_the_writer_writes_mne_reads(tmp_path, bits, block):
    """The writer's own check, without our reader: every value, name and event, by MNE finding the width out itself."""
    path = write(
        tmp_path / "a.cnt",
        bits=bits,
        block=block,
        uv_per_digit=(0.03, 0.05, 0.02),
        baselines=(-20, 0, 7),
        events=((0, 3), (500, 12), (1999, 250)),
        behind=b"impedances and so on",
    )
    raw = mne.io.read_raw_cnt(path, verbose="error")
    assert raw.ch_names == list(NAMES) and raw.info["sfreq"] == SFREQ and raw.n_times == len(TIMES)
    assert (np.abs(raw.get_data() * 1e6 - DATA) < 0.51 * np.array([[0.03], [0.05], [0.02]])).all()
    assert raw.annotations.onset.tolist() == [0.0, 2.0, 1999 / SFREQ]
    assert raw.annotations.description.tolist() == ["3", "12", "250"]
    assert raw.info["meas_date"].strftime("%Y-%m-%d") == "2018-08-04"


@pytest.mark.parametrize("block", [1, 40])
@pytest.mark.parametrize("bits", [16, 32])
def test_a_known_signal_comes_back_in_microvolts_at_its_second(tmp_path, bits, block):
    path = write(tmp_path / "a.cnt", bits=bits, block=block, events=((500, 12),))
    recording = read_cnt(path, channels=CHANNELS, data_format=f"int{bits}")
    assert recording.montage.names == ("Cz", "Fz") and recording.sfreq == SFREQ
    np.testing.assert_allclose(recording.data, DATA[[2, 0]], atol=HALF_A_DIGIT)
    assert recording.data[0].argmax() == PULSE_S * SFREQ
    assert [(e.onset_s, e.duration_s, e.description) for e in recording.events] == [(2.0, 0.0, "12")]
    assert recording.path == path


@pytest.mark.parametrize("said", [0, -732, 17, 10**9])
def test_a_nonsensical_number_of_samples_does_no_harm(tmp_path, said):
    """0 is in the real file above, -732 is reported of others; MNE by itself then finds no width, or another length."""
    recording = read_cnt(write(tmp_path / "a.cnt", n_samples=said), channels=CHANNELS, data_format="int32")
    np.testing.assert_allclose(recording.data, DATA[[2, 0]], atol=HALF_A_DIGIT)


# ---- damaged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [20, 899, 900 + 75 * 3 + 5000, -1, -20, -20 - 9])
def test_a_file_cut_short_is_refused_with_both_sizes(tmp_path, left):
    """It is cut in the header, in the samples, in the events, or between samples and events."""
    path = write(tmp_path / "a.cnt", events=((500, 12),))
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    message = refusal(path)
    assert f"is cut short: {path.stat().st_size:,} bytes found, at least" in message
    assert "Fetch the file again" in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html>Please log in</html>" * 50,
        b"EEP V2.0" + bytes(2000),
        b"RIFF" + bytes(2000),
        bytes(range(256)) * 20,
    ],
    ids=["empty", "web page", "ANT, EEP 2", "ANT, RIFF", "garbage"],
)
def test_what_is_no_neuroscan_file_is_refused(tmp_path, content):
    path = tmp_path / "a.cnt"
    path.write_bytes(content)
    message = refusal(path)
    assert "is not a Neuroscan CNT file; it begins with" in message and "Fetch the file again" in message


@pytest.mark.parametrize(("at", "what"), [(370, "0 channels at 250 Hz"), (376, "3 channels at 0 Hz")])
def test_a_header_without_channels_or_rate_is_refused(tmp_path, at, what):
    assert f"has a damaged header: {what}" in refusal(change(write(tmp_path / "a.cnt"), at, bytes(2)))


def test_a_header_that_points_into_the_samples_is_refused(tmp_path):
    """Where a table of events should be there are samples: the recording would end early."""
    path = write(tmp_path / "a.cnt")
    change(path, 886, struct.pack("<I", 900 + 75 * 3 + 12 * 1000))
    assert "has no table of events at byte 13,125, where its header says" in refusal(path)
    change(path, 886, struct.pack("<I", 300))
    assert "has no table of events at byte 300" in refusal(path)


def test_samples_of_the_other_width_are_refused(tmp_path):
    """Read at the wrong width they would be noise of half or twice the length."""
    narrow = write(tmp_path / "a.cnt", bits=16)
    assert "holds 16-bit samples; 32-bit ones were expected" in refusal(narrow)
    wide = write(tmp_path / "b.cnt", bits=32)
    assert "holds 32-bit samples; 16-bit ones were expected" in refusal(wide, data_format="int16")


def test_samples_that_do_not_come_out_even_are_refused(tmp_path):
    """One channel more in the header than in the samples; and 16-bit samples of an odd number, without a count."""
    path = write(tmp_path / "a.cnt")
    change(path, 370, struct.pack("<H", 4))
    assert "for each of its 4 channels" in refusal(path)
    odd = tmp_path / "b.cnt"
    write_cnt(odd, DATA[:, :-1], NAMES, sfreq=SFREQ, bits=16, n_samples=0)
    assert "does not hold the same number of 32-bit samples" in refusal(odd)


def test_a_block_that_is_not_whole_is_refused(tmp_path):
    """MNE would take events for samples, or stop at the end of the file."""
    path = write(tmp_path / "a.cnt", block=40)
    change(path, 894, struct.pack("<i", 4 * 48))
    assert "does not hold the same number" in refusal(path)


def test_whatever_mne_stumbles_over_is_named_with_its_cause(tmp_path):
    path = change(
        write(tmp_path / "a.cnt"), 894, struct.pack("<i", 3)
    )  # a block of three quarters of a sample
    with pytest.raises(EegfmError, match="cannot be read as Neuroscan CNT") as caught:
        read_cnt(path, channels=CHANNELS, data_format="int32")
    assert str(path) in str(caught.value) and caught.value.__cause__ is not None


def test_a_file_too_long_for_the_format_is_refused(tmp_path):
    """A hole of two gigabytes; it takes no room on the disk."""
    path = write(tmp_path / "a.cnt")
    with open(path, "r+b") as file:
        file.truncate(2_000_000_000)
    assert "has 2,000,000,000 bytes" in refusal(path)


def test_a_missing_channel_is_named(tmp_path):
    message = refusal(write(tmp_path / "a.cnt"), channels={"FZ": "Fz", "OZ": "Oz"})
    assert "lacks 1 of 2 channels: OZ. It has FZ, VEO, CZ" in message


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_cnt(tmp_path / "a.cnt", channels=CHANNELS, data_format="int32")
