"""BrainVision files, sound and wrong in one way each, against the digits that were written."""

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import beside, head_of, open_any
from tests.writers_brainvision import write_brainvision

SFREQ = 250.0
RNG = np.random.default_rng(0)
DIGITS = RNG.integers(-2000, 2000, (2, 1000))
UV = DIGITS * 0.1


def refusal(path) -> str:
    with pytest.raises(EegfmError) as caught:
        open_any(path).recording(["Fz", "Cz"])
    return str(caught.value)


@pytest.mark.parametrize("vectorized", [False, True])
def test_digits_come_back_in_microvolts_with_markers_at_their_samples(tmp_path, vectorized):
    marks = [("Stimulus", "S  1", 126), ("Response", "R  2", 251), ("Comment", "asleep\\1 deeply", 501)]
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, marks=marks, vectorized=vectorized)
    found = open_any(path)
    recording = found.recording(["Cz", "Fz"])
    np.testing.assert_allclose(recording.data, UV[::-1], rtol=0, atol=1e-9)
    assert recording.sfreq == SFREQ and len(recording.pieces) == 1
    assert [(e.onset_s, e.description) for e in recording.events] == [
        (0.5, "Stimulus/S  1"),
        (1.0, "Response/R  2"),
        (2.0, "asleep, deeply"),
    ]
    assert found.beside == beside(path) == (tmp_path / "a.eeg", tmp_path / "a.vmrk")


def test_units_are_by_channel_whatever_their_spelling(tmp_path):
    """MNE takes "microvolt" and the Greek letter for volts, and their channels for no EEG."""
    names = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]
    units = ["mV", "\u03bcV", "microvolt", "", None, "nV"]
    digits = RNG.integers(-2000, 2000, (6, 500))
    path = write_brainvision(tmp_path / "a.vhdr", digits, names=names, units=units)
    found = open_any(path)
    expected = digits * 0.1 * np.array([1e3, 1, 1, 1, 1, 1e-3])[:, None]
    np.testing.assert_allclose(found.recording(names).data, expected, rtol=1e-12)
    assert set(found.kinds.values()) == {"eeg"}


def test_a_header_in_latin_1_has_microvolts(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, encoding="latin-1")
    np.testing.assert_allclose(open_any(path).recording(["Fz", "Cz"]).data, UV, rtol=0, atol=1e-9)


def test_a_unit_that_is_no_voltage_is_refused_unless_a_person_says_what_it_is(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, units=["µV", "µS"])
    said = refusal(path)
    assert "Cz has the unit 'µS'" in said and "Fz" not in said
    found = open_any(path).in_units({"Cz": "mV"})
    np.testing.assert_allclose(found.recording(["Fz", "Cz"]).data, UV * [[1], [1e3]], rtol=1e-12)
    np.testing.assert_allclose(open_any(path).in_units({"*": 0.5}).recording(["Cz"]).data, UV[1:] / 2)
    with pytest.raises(EegfmError, match=r"'µX', which is to be the unit of Fz, is none"):
        open_any(path).in_units({"*": "µX"})
    with pytest.raises(EegfmError, match=r"has no Oz. It has Fz, Cz"):
        open_any(path).in_units({"Oz": "mV"})


def test_a_new_segment_begins_a_piece_at_its_sample(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, marks=[("New Segment", "", 401)])
    recording = open_any(path).recording(["Fz"])
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (400, 1.6)]


def test_samples_that_were_cut_are_refused(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, points=True)
    data = tmp_path / "a.eeg"
    whole = data.read_bytes()
    data.write_bytes(whole[:-400])
    assert f"cut short: {len(whole) - 400:,} bytes found, {len(whole):,} wanted" in refusal(path)
    data.write_bytes(whole + whole[:4])
    assert "longer than its header says" in refusal(path)


def test_samples_that_were_cut_are_refused_where_the_header_says_no_length(tmp_path):
    """MNE reads what is left, and leaves the markers behind the end out."""
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, marks=[("Stimulus", "S  1", 900)])
    data = tmp_path / "a.eeg"
    whole = data.read_bytes()
    data.write_bytes(whole[:-3])
    assert "a multiple of 4 wanted" in refusal(path)
    data.write_bytes(whole[: len(whole) // 2])
    assert "has a marker at 3.60 s, and there are samples up to 2.00 s" in refusal(path)
    path = write_brainvision(tmp_path / "b.vhdr", DIGITS[:, :0])
    assert "b.eeg, the samples of" in refusal(path) and "holds no sample" in refusal(path)


@pytest.mark.parametrize("lost", [".eeg", ".vmrk"])
def test_a_file_that_the_header_names_must_be_there(tmp_path, lost):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS)
    path.with_suffix(lost).unlink()
    said = refusal(path)
    assert f"in a{lost}, which is not beside it" in said and "renamed" in said
    assert path.with_suffix(lost) in beside(path)


def test_renamed_files_are_told_with_the_name_that_is_there(tmp_path):
    path = write_brainvision(tmp_path / "new.vhdr", DIGITS, data="old.eeg")
    assert "in old.eeg, which is not beside it. new.eeg is there." in refusal(path)
    path = write_brainvision(tmp_path / "new.vhdr", DIGITS, markers="old.vmrk")
    assert "its markers are in old.vmrk" in refusal(path)


def test_samples_and_markers_are_opened_by_the_header_that_names_them(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS)
    other = write_brainvision(tmp_path / "b.vhdr", DIGITS)
    other.with_suffix(".eeg").rename(tmp_path / "c.eeg")
    other.write_text(other.read_text(encoding="utf-8").replace("b.eeg", "c.eeg"), encoding="utf-8")
    assert head_of(tmp_path / "a.eeg") == head_of(tmp_path / "a.vmrk") == head_of(path) == path
    assert head_of(tmp_path / "c.eeg") == other
    path.unlink()
    with pytest.raises(EegfmError, match=r"no \.vhdr beside it names it"):
        open_any(tmp_path / "a.eeg")


def test_places_of_an_idealised_head_were_measured_by_nobody(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS, coordinates=["1,45,90", "0,0,0"])
    found = open_any(path)
    assert not found.places and found.kinds == {"Fz": "eeg", "Cz": "eeg"}
    with pytest.raises(EegfmError, match="has no place of 2 of 2 channels"):
        found.measured({"Fz": "Fz", "Cz": "Cz"})
    path = write_brainvision(tmp_path / "b.vhdr", DIGITS, coordinates=["95,45,90", "92,0,0"])
    found = open_any(path).measured({"Cz": "Cz", "Fz": "Fz"})
    assert found.names == ("Cz", "Fz")
    np.testing.assert_allclose(
        found.coords, [[0, 0, 0.092], [0, 0.095 / 2**0.5, 0.095 / 2**0.5]], atol=1e-9
    )


@pytest.mark.parametrize(
    "text", [b"", b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n", b"\x00\xff"]
)
def test_what_is_no_header_is_refused(tmp_path, text):
    path = tmp_path / "a.vhdr"
    path.write_bytes(text)
    assert "not a header of BrainVision" in refusal(path)


def test_a_header_that_does_not_describe_all_its_channels_is_refused(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", DIGITS)
    path.write_text(path.read_text(encoding="utf-8").replace("NumberOfChannels=2", "NumberOfChannels=3"))
    assert "does not describe its channel 3" in refusal(path)
