"""GDF files, sound and damaged: a real one by hand, made ones by a writer that MNE's reader agrees with."""

import struct
from functools import partial

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.signal.formats.gdf import open_gdf, read_gdf
from eegfm.signal.recording import Piece
from tests.writers_gdf import write_gdf

SFREQ = 250
N = 8 * SFREQ
TIMES = np.arange(N) / SFREQ
NAMES = ("EEG-Fz", "EEG", "EEG", "EOG-left")
DATA = np.array(
    [
        50 * np.sin(2 * np.pi * 10 * TIMES),
        np.where(TIMES == 3.2, 90.0, 0.0),
        40 * np.cos(2 * np.pi * 7 * TIMES),
        800 * np.cos(2 * np.pi * 0.5 * TIMES),
    ]
)
RANGES = (100.0, 100.0, 100.0, 1000.0)
EVENTS = [(0, 32766), (250, 768), (750, 769), (N - 1, 1023)]
CHANNELS = {"EEG-1": "FC1", "EEG-Fz": "Fz", "EEG-0": "FC3"}
ROWS = [2, 0, 1]
HALF_A_DIGIT = 0.51 * 100 / 2048
HEADER = 256 * (len(NAMES) + 1)
TABLE = HEADER + 2 * len(NAMES) * N  # where the events begin
VERSIONS = ["1.25", "2.11", "2.20"]


def write(path, data=DATA, **kwargs):
    write_gdf(path, data, NAMES, **{"range_uv": RANGES, "events": EVENTS, **kwargs})
    return path


def change(path, at, value: bytes):
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def refusal(path, channels=CHANNELS) -> str:
    with pytest.raises(EegfmError) as caught:
        read_gdf(path, channels=channels)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- sound -----------------------------------------------------------------------------------------------------------


def test_a_real_file_reads_as_its_bytes_say(eeg_data):
    """One channel of float32 in mV at 150 Hz, without a table of events."""
    path = eeg_data / "formats" / "test_1ch.gdf"
    content = path.read_bytes()
    assert content[:8] == b"GDF 2.10" and content[256:259] == b"ECG"
    header, n_records, upper, lower, n = struct.unpack_from("<H50xqIIH", content, 184)
    assert (header, upper, lower, n) == (2, 1, 150, 1)
    assert struct.unpack_from("<ii", content, 256 + 216) == (1, 16)
    expected = np.frombuffer(content, "<f4", n_records, 512) * 1e3
    recording = read_gdf(path, channels={"ECG": "Cz"})
    assert recording.sfreq == 150 and recording.events == () and recording.pieces == (Piece(0, 0.0),)
    np.testing.assert_allclose(recording.data[0], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_writer_and_mnes_reader_agree(tmp_path, version):
    raw = mne.io.read_raw_gdf(write(tmp_path / "a.gdf", version=version), preload=True, verbose="error")
    assert raw.ch_names == ["EEG-Fz", "EEG-0", "EEG-1", "EOG-left"] and raw.info["sfreq"] == SFREQ
    tolerance = 0.51 * np.array(RANGES)[:, None] / 2048
    assert (np.abs(raw.get_data() * 1e6 - DATA) < tolerance).all()
    notes = raw.annotations
    assert (
        list(zip((notes.onset * SFREQ).round().astype(int), map(int, notes.description), strict=True))
        == EVENTS
    )


@pytest.mark.parametrize(
    ("version", "unit"), [("1.25", "uV"), ("1.25", "V"), ("2.20", "uV"), ("2.20", "mV"), ("2.20", "V")]
)
def test_a_known_signal_comes_back_in_microvolts_at_its_second(tmp_path, version, unit):
    recording = read_gdf(write(tmp_path / "a.gdf", version=version, unit=unit), channels=CHANNELS)
    assert recording.montage.names == ("FC1", "Fz", "FC3") and recording.sfreq == SFREQ
    np.testing.assert_allclose(recording.data, DATA[ROWS], rtol=0, atol=HALF_A_DIGIT)
    assert [(round(e.onset_s * SFREQ), int(e.description)) for e in recording.events] == EVENTS
    assert recording.pieces == (Piece(0, 0.0),)


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_samples_are_gaps_and_seconds_stay_the_files(tmp_path, version):
    data = DATA.copy()
    for start, end in ((0, 3), (500, 600), (1200, 1201)):
        data[:, start:end] = np.nan
    data[:3, 700:710] = -100.0  # one channel of the file, not wanted here, goes on
    recording = read_gdf(write(tmp_path / "a.gdf", data, version=version), channels=CHANNELS)
    assert recording.pieces == (Piece(0, 3 / SFREQ), Piece(497, 600 / SFREQ), Piece(1097, 1201 / SFREQ))
    kept = np.r_[3:500, 600:1200, 1201:N]
    np.testing.assert_allclose(recording.data, data[ROWS][:, kept], rtol=0, atol=HALF_A_DIGIT)
    assert [(round(e.onset_s * SFREQ), int(e.description)) for e in recording.events] == EVENTS


def test_missing_samples_of_floats_are_nan(tmp_path):
    """A file of float32, made of the other by its bytes: the smallest number is a sample, NaN is none."""
    path = write(tmp_path / "a.gdf", version="2.20")
    values = np.ascontiguousarray(DATA.T, dtype="<f4")
    values[500:600] = np.nan
    values[700:705] = -45  # in all channels, and below what the header calls the smallest
    content = path.read_bytes()
    path.write_bytes(content[:HEADER] + values.tobytes() + content[TABLE:])
    n = len(NAMES)
    change(path, 256 + 220 * n, struct.pack("<i", 16) * n)
    for at, edges in ((104, (-40, 40)), (120, (-40, 40))):  # physical and digital range
        change(path, 256 + at * n, b"".join(struct.pack("<d", edge) * n for edge in edges))
    recording = read_gdf(path, channels=CHANNELS)
    assert recording.pieces == (Piece(0, 0.0), Piece(500, 600 / SFREQ))
    np.testing.assert_allclose(
        recording.data, np.delete(values.T[ROWS], np.s_[500:600], axis=1), rtol=0, atol=1e-4
    )


def test_what_follows_the_events_does_no_harm(tmp_path):
    expected = read_gdf(write(tmp_path / "a.gdf"), channels=CHANNELS)
    recording = read_gdf(write(tmp_path / "a.gdf", behind=b"\0" * 100), channels=CHANNELS)
    np.testing.assert_array_equal(recording.data, expected.data)
    assert recording.events == expected.events


def test_a_file_of_version_2_may_lack_a_table_of_events(tmp_path):
    assert read_gdf(write(tmp_path / "a.gdf", version="2.11", events=None), channels=CHANNELS).events == ()
    assert "cut short" in refusal(write(tmp_path / "b.gdf", version="1.25", events=None))


# ---- damaged ---------------------------------------------------------------------------------------------------------


WHOLE = TABLE + 8 + 6 * len(EVENTS)


@pytest.mark.parametrize("version", ["1.25", "2.20"])
@pytest.mark.parametrize(
    ("left", "wanted"),
    [
        (WHOLE - 1, WHOLE),
        (TABLE + 9, WHOLE),
        (TABLE + 3, TABLE + 8),
        (TABLE - 1, TABLE),
        (HEADER + 5, TABLE),
        (HEADER, TABLE),
    ],
)
@pytest.mark.parametrize("opened", [open_gdf, partial(read_gdf, channels=CHANNELS)], ids=["open", "read"])
def test_a_file_cut_short_is_refused_with_both_sizes(tmp_path, version, left, wanted, opened):
    path = write(tmp_path / "a.gdf", version=version)
    assert path.stat().st_size == WHOLE
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(EegfmError, match=r"Fetch the file again") as error:
        opened(path)
    assert str(error.value).startswith(f"{path} is cut short: {left:,} bytes found, at least {wanted:,}")


def test_a_file_of_version_2_without_a_table_is_refused_where_it_is_cut_short(tmp_path):
    path = write(tmp_path / "a.gdf", version="2.11", events=None)
    path.write_bytes(path.read_bytes()[: TABLE - 2 * len(NAMES)])  # by one sample of every channel
    assert f"{TABLE - 2 * len(NAMES):,} bytes found, at least {TABLE:,}" in refusal(path)


@pytest.mark.parametrize("left", [0, 4, 100, 256, HEADER - 1])
def test_a_file_cut_in_its_header_is_refused(tmp_path, left):
    path = write(tmp_path / "a.gdf")
    path.write_bytes(path.read_bytes()[:left])
    assert "is not a GDF file that can be read" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html>Please log in</html>" * 50, b"GDF 1.25" + b"?" * 4000, bytes(range(256)) * 20],
    ids=["web page", "garbage behind a good start", "garbage"],
)
def test_what_is_no_gdf_is_refused(tmp_path, content):
    path = tmp_path / "a.gdf"
    path.write_bytes(content)
    assert "is not a GDF file that can be read" in refusal(path)


@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_a_file_that_was_not_closed_is_refused(tmp_path, version):
    assert "-1 records" in refusal(
        change(write(tmp_path / "a.gdf", version=version), 236, struct.pack("<q", -1))
    )


@pytest.mark.parametrize(
    ("version", "rate_at"),
    [("1.25", (TABLE + 1, (500).to_bytes(3, "little"))), ("2.20", (TABLE + 4, struct.pack("<f", 500)))],
)
def test_events_counted_at_another_rate_are_refused(tmp_path, version, rate_at):
    """MNE never looks at their rate. Zero is not a rate, and means nothing."""
    path = write(tmp_path / "a.gdf", version=version)
    at, value = rate_at
    assert "counts its events at 500 Hz and its samples at 250 Hz" in refusal(change(path, at, value))
    change(path, at, bytes(len(value)))
    assert len(read_gdf(path, channels=CHANNELS).events) == len(EVENTS)


@pytest.mark.parametrize("position", [0, N + 1, 2**32 - 1])
def test_events_outside_of_the_samples_are_refused(tmp_path, position):
    """MNE drops them, or wraps them round."""
    path = change(write(tmp_path / "a.gdf"), TABLE + 8, struct.pack("<I", position))
    assert "events outside of its 2,000 samples" in refusal(path)


def test_a_table_of_no_known_kind_is_refused(tmp_path):
    assert "no table of events" in refusal(change(write(tmp_path / "a.gdf"), TABLE, b"\x07"))


def test_a_wrong_number_of_records_is_noticed(tmp_path):
    path = write(tmp_path / "a.gdf")
    assert "cut short" in refusal(change(path, 236, struct.pack("<q", N + 5)))
    assert "no table of events" in refusal(change(path, 236, struct.pack("<q", N // 2)))


def test_a_missing_channel_is_named(tmp_path):
    message = refusal(write(tmp_path / "a.gdf"), {"EEG-Fz": "Fz", "EEG-2": "FCz"})
    assert "lacks 1 of 2 channels: EEG-2. It has EEG-Fz, EEG-0, EEG-1, EOG-left" in message


def with_unit(path, version: str, channel: int, unit: bytes):
    wide, at = (8, 96) if version == "1.25" else (2, 102)
    return change(
        write(path, version=version), 256 + at * len(NAMES) + wide * channel, unit.ljust(wide, b" ")
    )


@pytest.mark.parametrize(
    ("version", "unit", "in_uv"),
    [("1.25", b"UV", 1), ("1.25", "µV".encode(), 1), ("1.25", b"mV", 1e3), ("1.25", b"V", 1e6)]
    + [
        ("2.20", struct.pack("<H", code), in_uv) for code, in_uv in ((4256, 1e6), (4274, 1e3), (4276, 1e-3))
    ],
)
def test_each_channel_has_its_own_unit(tmp_path, version, unit, in_uv):
    path = with_unit(tmp_path / "a.gdf", version, 0, unit)
    recording = read_gdf(path, channels=CHANNELS)
    wanted = DATA[ROWS] * np.array([[1.0], [in_uv], [1.0]])
    np.testing.assert_allclose(recording.data, wanted, rtol=1e-9, atol=HALF_A_DIGIT * max(in_uv, 1))
    np.testing.assert_allclose(recording.data[[0, 2]], DATA[[2, 1]], atol=HALF_A_DIGIT)


@pytest.mark.parametrize(
    ("version", "unit", "named"),
    [
        ("1.25", b"Ohm", "the unit 'Ohm'"),
        ("1.25", b"", "no unit"),
        ("2.20", struct.pack("<H", 6048), "the unit 'code 6048'"),
    ],
)
def test_a_unit_that_is_no_voltage_is_refused_where_it_is_wanted(tmp_path, version, unit, named):
    """MNE would take it for volts."""
    path = with_unit(tmp_path / "a.gdf", version, 3, unit)
    assert read_gdf(path, channels=CHANNELS).n_times == N
    assert f"EOG-left has {named}" in refusal(path, {"EOG-left": "Fp1"})


def test_a_channel_without_a_scale_is_refused(tmp_path):
    path = write(tmp_path / "a.gdf")
    for at in (120, 128):
        change(path, 256 + at * len(NAMES), struct.pack("<q", 7))
    assert "EEG-Fz has no scale" in refusal(path)


def test_channels_of_two_rates_are_refused(tmp_path):
    """The same bytes as records of one and a half samples: 5 numbers, 2 for the first channel and 1 for each other."""
    path = write(tmp_path / "a.gdf", event_rate=500)
    change(path, 256 + 216 * len(NAMES), struct.pack("<i", 2))
    change(path, 236, struct.pack("<q", 2 * len(NAMES) * N // 10))
    assert "EEG-1 is sampled at 250 Hz, other channels at 500 Hz, EEG-0 is" in refusal(path)


def test_nothing_but_missing_samples_is_refused(tmp_path):
    assert "nothing but missing samples" in refusal(write(tmp_path / "a.gdf", np.full_like(DATA, np.nan)))


def test_whatever_mne_stumbles_over_is_named_with_its_cause(tmp_path):
    """MNE 1.13 cannot read the table of events of versions 1.90 to 1.93 with NumPy 2."""
    path = write(tmp_path / "a.gdf", version="1.92")
    with pytest.raises(EegfmError, match="cannot be read as GDF") as caught:
        read_gdf(path, channels=CHANNELS)
    assert caught.value.__cause__ is not None and str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_gdf(tmp_path / "a.gdf", channels=CHANNELS)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_no_flipped_byte_of_a_header_or_table_ends_in_anything_but_a_sentence(tmp_path, data):
    version = data.draw(st.sampled_from(VERSIONS))
    path = write(tmp_path / "a.gdf", version=version)
    size = path.stat().st_size
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, HEADER - 1), st.integers(TABLE, size - 1)))
        change(path, at, bytes([data.draw(st.integers(0, 255))]))
    try:
        recording = read_gdf(path, channels=CHANNELS)
    except EegfmError as error:
        assert str(path) in str(error)
    else:
        assert recording.data.shape[0] == 3 and recording.n_times <= N
