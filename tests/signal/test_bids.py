"""Data sets of BIDS, written by mne-bids from a real recording, and then changed as people change them."""

import mne
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import open_any
from eegfm.signal.formats.bids import bids_beside, is_bids, open_bids
from tests.one_recording import one_recording, write_bids

pytest.importorskip("mne_bids")


@pytest.fixture
def path(eeg_data, tmp_path):
    raw = one_recording(eeg_data)
    raw.info["bads"] = ["T3"]
    return write_bids(raw, tmp_path, "EDF")


def sidecar(path, suffix, extension=".tsv"):
    return path.with_name(path.name.replace("_eeg.edf", f"_{suffix}{extension}"))


def change(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def refusal(path) -> str:
    with pytest.raises(EegfmError) as caught:
        open_bids(path)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_sidecars_say_types_bad_channels_and_events(path):
    change(sidecar(path, "channels"), "Fp2\tEEG", "Fp2\tEOG")
    change(sidecar(path, "events"), "rest", "eyes open")
    assert is_bids(path.parents[3]) and not is_bids(path.parent)
    found = open_bids(path)
    assert found.kinds["Fp2"] == "eog" and found.kinds["Cz"] == "eeg" and found.kinds["A2-A1"] == "misc"
    assert open_any(path).kinds["Fp2"] == "eeg"
    assert "bad by channels.tsv: T3" in found.notes
    recording = found.recording(["Cz"])
    assert [(e.onset_s, e.description) for e in recording.events] == [
        (1.5, "eyes open"),
        (10.25, "task"),
        (30.0, "1"),
        (45.1, "eyes open"),
    ]
    assert recording.notes == found.notes


def test_every_sidecar_belongs_to_the_recording(path):
    names = {other.name for other in bids_beside(path)}
    for suffix, extension in (("channels", ".tsv"), ("events", ".tsv"), ("eeg", ".json")):
        assert sidecar(path, suffix, extension).name in names
    assert sum("electrodes.tsv" in name or "coordsystem.json" in name for name in names) == 2
    assert set(bids_beside(path)) == set(open_bids(path).beside)


def test_without_a_file_of_events_the_recordings_own_are_taken(path):
    own = open_any(path).recording(["Cz"]).events
    sidecar(path, "events").unlink()
    assert open_bids(path).recording(["Cz"]).events == own


def test_a_unit_of_channels_tsv_that_the_file_contradicts_is_told_and_one_that_it_lacks_is_taken(path):
    cz = open_bids(path).recording(["Cz"]).data
    change(sidecar(path, "channels"), "Cz\tEEG\tµV", "Cz\tEEG\tmV")
    found = open_bids(path)
    assert any("other units than the file" in note and "Cz mV" in note for note in found.notes)
    np.testing.assert_array_equal(found.recording(["Cz"]).data, cz)
    content = bytearray(path.read_bytes())
    n, row = int(content[252:256]), open_any(path).names.index("Cz")
    at = 256 + n * 96 + row * 8  # the unit of that channel
    assert content[at : at + 8].strip() == b"uV"
    content[at : at + 8] = b"furlong "
    path.write_bytes(bytes(content))
    with pytest.raises(EegfmError, match="furlong"):
        open_any(path).check(["Cz"])
    np.testing.assert_allclose(open_bids(path).recording(["Cz"]).data, cz * 1e3, rtol=1e-9)


def test_channels_tsv_of_another_recording_is_refused(path):
    change(sidecar(path, "channels"), "Cz\tEEG", "Cq\tEEG")
    assert "Channel mismatch" in refusal(path)


def test_a_name_that_is_none_of_bids_is_refused(path):
    other = path.with_name("recording.edf")
    path.rename(other)
    assert "is none of BIDS" in refusal(other)


def test_a_cut_file_is_refused_as_outside_of_bids(path):
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cut short" in refusal(path)


def test_derivatives_are_read_with_their_own_sidecars_and_epochs_as_they_are(path, tmp_path):
    raw = open_any(path).raw.load_data(verbose="error").copy()
    folder = tmp_path / "derivatives" / "clean" / "sub-01" / "ses-a" / "eeg"
    folder.mkdir(parents=True)
    clean = folder / "sub-01_ses-a_task-sums_proc-clean_raw.fif"
    raw.save(clean, verbose="error")
    found = open_bids(clean)
    np.testing.assert_allclose(found.recording(["Cz"]).data, raw.get_data(["Cz"]) * 1e6, rtol=1e-6)
    assert [event.description for event in found.recording(["Cz"]).events] == ["rest", "task", "1", "rest"]
    events, codes = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(raw, events, codes, 0, 1, baseline=None, preload=True, verbose="error")
    epochs.save(folder / "sub-01_ses-a_task-sums_epo.fif", verbose="error")
    recording = open_bids(folder / "sub-01_ses-a_task-sums_epo.fif").recording(["Cz"])
    assert [event.description for event in recording.events] == ["rest", "task", "1", "rest"]
    assert len(recording.pieces) == 4


def test_without_the_package_it_is_named(path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mne_bids", None)
    with pytest.raises(EegfmError, match=r"pip install 'eegfm\[bids\]'"):
        open_bids(path)
