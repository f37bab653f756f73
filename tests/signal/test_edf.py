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


# ---- units and scales of single channels -----------------------------------------------------------------------------


def one_unit(path, unit: bytes):
    """A sound file, but for the unit of its second channel."""
    return change(write(path), 256 + 3 * (16 + 80) + 8, unit.ljust(8))  # of three signals


@pytest.mark.parametrize(
    ("unit", "in_uv"),
    [
        (b"uV", 1),
        (b"UV", 1),
        ("µV".encode("latin-1"), 1),
        ("µV".encode(), 1),
        ("μV".encode(), 1),
        (b"\x83\xcaV", 1),
        (b"uVolts", 1),
        (b"microvol", 1),
        (b"uV\0\0", 1),
        (b"nV", 1e-3),
        (b"mV", 1e3),
        (b"mv", 1e3),
        (b"V", 1e6),
        (b"Volts", 1e6),
    ],
)
def test_each_channel_has_its_own_unit(tmp_path, unit, in_uv):
    recording = read_edf(one_unit(tmp_path / "a.edf", unit), channels={"EEG Fz": "Fz", "EEG Cz": "Cz"})
    np.testing.assert_allclose(recording.data[0], FZ, atol=0.51 * STEP_UV)
    np.testing.assert_allclose(recording.data[1], CZ * in_uv, rtol=1e-9, atol=0.51 * STEP_UV * in_uv)


@pytest.mark.parametrize("unit", [b"", b"MV", b"mmHg", b"uV/cm", b"Ohm", b"dimless"])
def test_a_unit_that_says_nothing_of_microvolts_is_refused_by_channel(tmp_path, unit):
    """And a channel that is not wanted may have any."""
    path = one_unit(tmp_path / "a.edf", unit)
    message = refusal(path)
    assert "EEG Cz has " in message and "EEG Fz" not in message and "Write the true unit" in message
    assert (repr(unit.decode()) if unit else "no unit") in message
    np.testing.assert_allclose(read_edf(path, channels={"EEG Fz": "Fz"}).data, [FZ], atol=0.51 * STEP_UV)


@pytest.mark.parametrize(("field", "what"), [(0, "physical"), (16, "digital")])
def test_a_channel_without_a_scale_is_refused(tmp_path, field, what):
    path = write(tmp_path / "a.edf")
    for at in (field, field + 8):
        change(path, 256 + 3 * (16 + 80 + 8 + at) + 8, b"5       ")
    message = refusal(path)
    assert f"EEG Cz has no scale: its {what} minimum and maximum are both 5" in message
    assert read_edf(path, channels={"EEG Fz": "Fz"}).n_times == len(TIMES)


# ---- when records begin, and events ----------------------------------------------------------------------------------


def with_records(path, annotations: list[bytes], *, says=b"EDF+C"):
    """The same signals with these annotations, a string of bytes for each record."""
    head = bytearray(write(path).read_bytes())
    header_bytes, wide = int(head[184:192]), 120
    old = len(head[header_bytes:]) // SECONDS - 4 * SFREQ
    head[192:236] = says.ljust(44)
    at = 256 + 3 * 216 + 2 * 8
    head[at : at + 8] = str(wide // 2).encode().ljust(8)
    content = bytes(head[:header_bytes])
    for i, text in enumerate(annotations):
        start = header_bytes + i * (4 * SFREQ + old)
        content += bytes(head[start : start + 4 * SFREQ]) + text.ljust(wide, b"\0")
    path.write_bytes(content)
    return path


def keeping(onsets) -> list[bytes]:
    return [b"" if onset is None else f"+{onset}\x14\x14\0".encode() for onset in onsets]


CHANNELS = {"EEG Fz": "Fz", "EEG Cz": "Cz"}
APART = [0, 1, 2, 3, 104, 105, 106, 107]


@pytest.mark.parametrize("says", [b"EDF+C", b"", b"edf+d", b"EDF+D"])
def test_records_begin_when_they_say_whatever_the_header_says(tmp_path, says):
    annotations = keeping(APART)
    annotations[5] += b"+106.5\x151\x14T1\x14\0"
    recording = read_edf(with_records(tmp_path / "a.edf", annotations, says=says), channels=CHANNELS)
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (4 * SFREQ, 104.0)]
    np.testing.assert_allclose(recording.data, [FZ, CZ], atol=0.51 * STEP_UV)
    assert [(e.onset_s, e.duration_s, e.description) for e in recording.events] == [(106.5, 1.0, "T1")]


def test_a_file_that_says_it_has_gaps_and_has_none_is_read(tmp_path):
    path = with_records(tmp_path / "a.edf", keeping(range(8)), says=b"EDF+D")
    recording = read_edf(path, channels=CHANNELS)
    assert len(recording.pieces) == 1 and recording.n_times == len(TIMES)


def test_seconds_count_from_the_first_record(tmp_path):
    """Which may begin a fraction of a second behind the time in the header, by the format."""
    annotations = keeping(0.25 + i for i in range(8))
    annotations[2] += b"+2.75\x14T1\x14\0"
    recording = read_edf(with_records(tmp_path / "a.edf", annotations), channels=CHANNELS)
    assert [piece.onset_s for piece in recording.pieces] == [0.0] and recording.events[0].onset_s == 2.5


@pytest.mark.parametrize("blank", [(0,), (3,), (7,), (0, 1, 7), range(8)])
def test_a_record_that_does_not_say_when_it_begins_follows_the_one_before_it(tmp_path, blank):
    annotations = keeping(None if i in blank else i for i in range(8))
    if 2 not in blank:
        annotations[2] += b"+2.5\x151\x14T1\x14\0"
    recording = read_edf(with_records(tmp_path / "a.edf", annotations), channels=CHANNELS)
    assert [piece.onset_s for piece in recording.pieces] == [0.0]
    assert [event.onset_s for event in recording.events] == ([] if 2 in blank else [2.5])


@pytest.mark.parametrize(
    ("onsets", "says", "why"),
    [
        ([0, 1, 2, None, 104, 105, 106, 107], b"EDF+C", "records 4 to 4 do not say when they begin"),
        ([None] * 8, b"EDF+D", "no record says when it begins"),
        ([None, *APART[1:]], b"EDF+D", "its first 1 records do not say when they begin"),
        ([0, 1, 2, 3, 2, 3, 4, 5], b"EDF+D", "goes back in time: its record 5 begins at 2 s"),
    ],
)
def test_gaps_that_lie_nobody_knows_where_are_refused(tmp_path, onsets, says, why):
    assert why in refusal(with_records(tmp_path / "a.edf", keeping(onsets), says=says))


def test_a_file_without_annotations_that_says_it_has_gaps_is_refused(tmp_path):
    signal = edfio.EdfSignal(FZ, SFREQ, label="Fz", physical_dimension="uV", physical_range=(-200, 200))
    edfio.Edf([signal]).write(tmp_path / "a.edf")
    assert "it has no annotations" in refusal(change(tmp_path / "a.edf", 192, b"EDF+D"), channels=["Fz"])


def test_texts_of_events_as_people_write_them(tmp_path):
    """Line breaks, Latin-1, UTF-8, several texts of one onset, one of a single channel; damage is told."""
    annotations = keeping(range(8))
    annotations[2] += b"+2.5\x151\x14T1\nnote\x14\0"
    annotations[3] += b"+3.5\x14\xe4rger\x14\xc3\xa4rger\x14\0+3.75\x14T1@@EEG Fz\x14\0"
    annotations[4] += b"+4.25\x14T2\x14\0damaged\0"
    recording = read_edf(with_records(tmp_path / "a.edf", annotations), channels=CHANNELS)
    assert [(event.onset_s, event.duration_s, event.description) for event in recording.events] == [
        (2.5, 1.0, "T1\nnote"),
        (3.5, 0.0, "ärger"),
        (3.5, 0.0, "ärger"),
        (3.75, 0.0, "T1"),
        (4.25, 0.0, "T2"),
    ]
    assert recording.notes == ("1 annotations of the file are damaged and left out",)


def test_an_event_before_the_first_sample_stays_where_it_is(tmp_path):
    """MNE moves it to 0 s, where it would be a trial."""
    annotations = keeping(range(8))
    annotations[0] += b"-0.5\x151\x14T1\x14\0"
    recording = read_edf(with_records(tmp_path / "a.edf", annotations), channels=CHANNELS)
    assert [(event.onset_s, event.duration_s) for event in recording.events] == [(-0.5, 1.0)]


# ---- BDF -------------------------------------------------------------------------------------------------------------


def write_bdf(path, *, rates=(SFREQ, SFREQ), unit="uV"):
    signals = [
        edfio.BdfSignal(
            data[:: SFREQ // rate], rate, label=label, physical_dimension=unit, physical_range=(-200, 200)
        )
        for data, rate, label in zip((FZ, CZ), rates, ("Fz", "Cz"), strict=True)
    ]
    edfio.Bdf(signals, annotations=[edfio.EdfAnnotation(2.5, 1.0, "T1")], data_record_duration=1.0).write(
        path
    )
    return path


def test_a_bdf_file_is_read_and_checked_as_edf_is(tmp_path):
    path = write_bdf(tmp_path / "a.bdf")
    recording = read_edf(path, channels=["Fz", "Cz"])
    np.testing.assert_allclose(recording.data, [FZ, CZ], atol=1e-4)
    assert [(event.onset_s, event.description) for event in recording.events] == [(2.5, "T1")]
    path.write_bytes(path.read_bytes()[:-3000])
    assert "cut short" in refusal(path, channels=["Fz"])
    slow = write_bdf(tmp_path / "b.bdf", rates=(SFREQ, SFREQ // 2))
    assert "Cz is sampled at 100 Hz, other channels at 200 Hz" in refusal(slow, channels=["Fz", "Cz"])
    assert "Cz has no unit" in refusal(write_bdf(tmp_path / "c.bdf", unit=""), channels=["Cz"])


def test_a_gap_of_a_bdf_file_is_kept(tmp_path):
    path = write_bdf(tmp_path / "a.bdf")
    content = path.read_bytes()
    for second in range(4, SECONDS):
        old = f"+{second}\x14\x14".encode()
        assert content.count(old) == 1
        at = content.index(old)
        content = content[:at] + f"+{3600 + second}\x14\x14".encode() + content[at + len(old) + 3 :]
    path.write_bytes(content.replace(b"BDF+C", b"BDF+D"))
    recording = read_edf(path, channels=["Fz", "Cz"])
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (4 * SFREQ, 3604.0)]


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
