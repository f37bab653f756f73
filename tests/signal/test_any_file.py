"""FIF, EEGLAB, BDF and files of epochs through the door of people's own files, written by MNE and read again."""

from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.signal.formats.any_file import beside, open_any

SFREQ = 250.0
NAMES = ["Fz", "Cz", "VEOG", "STI 014", "Temp"]
KINDS = ["eeg", "eeg", "eog", "stim", "misc"]
RNG = np.random.default_rng(0)
UV = 20 * RNG.standard_normal((2, 2500))
CODES = {250: 3, 500: 7, 501: 7, 1250: 3}  # the second of two samples of one code is no event


def made(*, codes=None, start: datetime | None = datetime(2020, 1, 1, tzinfo=UTC)) -> mne.io.RawArray:
    stim = np.zeros(2500)
    for at, code in (CODES if codes is None else codes).items():
        stim[at] = code
    data = np.vstack([UV * 1e-6, 5e-5 * RNG.standard_normal((1, 2500)), stim, np.full(2500, 36.6)])
    raw = mne.io.RawArray(data, mne.create_info(NAMES, SFREQ, KINDS), verbose="error")
    raw.set_meas_date(start)
    raw.set_annotations(mne.Annotations([2.0, 4.5], [1.0, 0.0], ["rest", "blink"]))
    return raw


def saved(folder, raw, name="a_raw.fif", **options):
    raw.save(folder / name, verbose="error", fmt="double", overwrite=True, **options)
    return folder / name


def refusal(path, work=open_any) -> str:
    with pytest.raises(EegfmError) as caught:
        work(path)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_annotations_and_the_codes_of_the_stim_channel_are_events(tmp_path):
    found = open_any(saved(tmp_path, made()))
    recording = found.recording(["Cz", "Fz"])
    np.testing.assert_allclose(recording.data, UV[::-1], rtol=0, atol=1e-9)
    assert [(e.onset_s, e.duration_s, e.description) for e in recording.events] == [
        (1.0, 0.0, "3"),
        (2.0, 1.0, "rest"),
        (2.0, 0.0, "7"),
        (4.5, 0.0, "blink"),
        (5.0, 0.0, "3"),
    ]
    assert found.kinds == dict(zip(NAMES, KINDS, strict=True))
    for name, said in {"STI 014": "is a channel of triggers", "Temp": "is no voltage"}.items():
        with pytest.raises(EegfmError, match=f"{name} {said}"):
            found.check([name])


@pytest.mark.parametrize("start", [None, datetime(2020, 1, 1, tzinfo=UTC)])
def test_a_file_that_was_cropped_counts_from_its_own_first_sample(tmp_path, start):
    """MNE keeps the number of the first sample, and adds its second to every annotation."""
    path = saved(tmp_path, made(start=start).crop(0.6, 9.0))
    assert mne.io.read_raw_fif(path, verbose="error").first_samp == 150
    recording = open_any(path).recording(["Fz"])
    np.testing.assert_allclose(recording.data[0], UV[0, 150 : 150 + recording.n_times], rtol=0, atol=1e-9)
    assert [(e.onset_s, e.description) for e in recording.events] == [
        (0.4, "3"),
        (1.4, "rest"),
        (1.4, "7"),
        (3.9, "blink"),
        (4.4, "3"),
    ]


def test_a_unit_that_a_person_states_takes_the_place_of_the_volts_that_a_file_says(tmp_path):
    raw = made()
    raw.apply_function(lambda values: values * 1e3, picks=["Fz", "Cz"])  # millivolts, called volts
    found = open_any(saved(tmp_path, raw))
    np.testing.assert_allclose(found.recording(["Fz"]).data[0], UV[0] * 1e3, rtol=1e-9)
    stated = found.in_units({"*": "mV"})
    np.testing.assert_allclose(stated.recording(["Fz", "Cz"]).data, UV, rtol=1e-9)
    np.testing.assert_allclose(stated.take(["Fz"], 10, 20)[0], UV[0, 10:20], rtol=1e-9)
    assert stated.in_units({"Temp": "uV"}).faults["Temp"] == [] and found.faults["Temp"]


def test_a_file_in_parts_is_one_recording_and_each_part_must_be_there(tmp_path):
    raw = mne.io.RawArray(
        np.tile(UV, (1, 150)) * 1e-6, mne.create_info(["Fz", "Cz"], SFREQ, "eeg"), verbose="error"
    )
    path = saved(tmp_path, raw, split_size="2MB", buffer_size_sec=1)
    names = [f"a_raw-{i}.fif" for i in range(1, 6)]
    found = open_any(path)
    assert [other.name for other in found.beside] == [other.name for other in beside(path)] == names
    np.testing.assert_allclose(found.recording(["Fz"]).data[0], np.tile(UV[0], 150), rtol=0, atol=1e-9)
    assert "is a part of a_raw.fif" in refusal(tmp_path / "a_raw-2.fif")
    (tmp_path / "a_raw-2.fif").rename(tmp_path / "elsewhere.fif")
    assert "its next part is not there" in refusal(path)
    assert [other.name for other in beside(path)] == names[:1]


def test_a_fif_file_that_was_cut_is_refused_wherever_the_cut_is(tmp_path):
    """Between two buffers MNE reads it as a shorter recording."""
    path = saved(tmp_path, made(), buffer_size_sec=1)
    whole = path.read_bytes()
    buffers = [i for i in range(0, len(whole) - 16, 2) if whole[i : i + 16] == _head_of_buffer(whole)]
    assert len(buffers) == 10
    for length in (buffers[5], buffers[5] + 100, buffers[9], len(whole) - 1, len(whole) - 16):
        path.write_bytes(whole[:length])
        assert "cut short or damaged" in refusal(path) or "cannot be read as FIF" in refusal(path)


def _head_of_buffer(whole: bytes) -> bytes:
    """Kind 300, doubles, the bytes of a second of five channels, next one at once."""
    return b"".join(number.to_bytes(4, "big") for number in (300, 5, 5 * 250 * 8, 0))


def test_samples_that_were_never_recorded_and_joined_files_are_gaps(tmp_path):
    skipped = made()
    skipped.set_annotations(mne.Annotations([1.0], [2.0], ["BAD_ACQ_SKIP"]))
    recording = open_any(saved(tmp_path, skipped)).recording(["Fz"])
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (250, 3.0)]
    np.testing.assert_allclose(recording.data[0], np.delete(UV[0], slice(250, 750)), rtol=0, atol=1e-9)
    joined = mne.concatenate_raws([made(codes={}), made(codes={})], verbose="error")
    recording = open_any(saved(tmp_path, joined, "b_raw.fif")).recording(["Fz"])
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (2500, 10.0)]


def test_places_are_those_that_a_file_has_and_are_held_against_a_head(tmp_path):
    raw = made()
    raw.set_montage(
        mne.channels.make_dig_montage({"Fz": (0, 0.09, 0.06), "Cz": (0, 0, 0.11)}, coord_frame="head")
    )
    found = open_any(saved(tmp_path, raw))
    assert set(found.places) == {"Fz", "Cz"}
    montage = found.measured({"Cz": "Cz", "Fz": "F"})
    assert montage.names == ("Cz", "F")
    np.testing.assert_allclose(montage.coords, [[0, 0, 0.11], [0, 0.09, 0.06]], atol=1e-7)
    recording = found.recording({"Cz": "Cz", "Fz": "F"}, montage)  # F is no name of a place
    assert recording.montage is montage
    assert "has no place of 1 of 2 channels: VEOG" in refusal(
        found.path, lambda _: found.measured({"Cz": "Cz", "VEOG": "E"})
    )
    for channel in raw.info["chs"][:2]:
        channel["loc"][:3] *= 1000
    found = open_any(saved(tmp_path, raw, "b_raw.fif"))
    assert "where metres are wanted" in refusal(found.path, lambda _: found.measured({"Cz": "Cz"}))


@pytest.mark.parametrize("inside", [True, False])
def test_eeglab_is_microvolts_with_its_events_and_boundaries(tmp_path, inside):
    path = eeglab(tmp_path / "a.set", inside=inside)
    found = open_any(path)
    assert found.beside == beside(path) == (() if inside else (tmp_path / "a.fdt",))
    recording = found.recording(["Cz", "Fz"])
    np.testing.assert_allclose(recording.data, UV[::-1], rtol=1e-6)
    assert [(e.onset_s, e.description) for e in recording.events] == [
        (1.0, "S 1"),
        (2.002, "boundary"),
        (3.0, "2"),
    ]
    # behind sample 501, counted from 1: the 501 samples before it are of the first piece
    assert [(piece.start, piece.onset_s) for piece in recording.pieces] == [(0, 0.0), (501, 2.004)]
    assert found.kinds == {"Fz": "eeg", "Cz": "eeg", "VEOG": "eog"}
    np.testing.assert_allclose(found.in_units({"*": "mV"}).take(["Fz"], 0, 5), UV[:1, :5] * 1e3, rtol=1e-6)
    if not inside:
        data = tmp_path / "a.fdt"
        whole = data.read_bytes()
        assert open_any(data).path == path
        for content, said in (
            (whole[:-5000], "cut short"),
            (whole + whole[:12], "longer than its header says"),
        ):
            data.write_bytes(content)
            assert said in refusal(data, lambda _: open_any(path))
        data.unlink()
        assert "keeps its samples in a.fdt, which is not beside it" in refusal(path)


def test_eeglab_in_matlabs_newest_format_needs_a_package_and_says_which(tmp_path, monkeypatch):
    path = tmp_path / "a.set"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(500))
    monkeypatch.setattr("eegfm.signal.formats.eeglab.find_spec", lambda name: None)
    assert "pip install pymatreader" in refusal(path)
    path.write_bytes(b"no file of MATLAB")
    assert "cannot be read as EEGLAB" in refusal(path)


def eeglab(path, *, inside: bool, trials: int = 1):
    """A file as EEGLAB saves it, by SciPy."""
    from scipy.io import savemat

    data = np.vstack([UV, UV[:1]]).astype(np.float32)
    n_times = data.shape[1] // trials
    cut = data.reshape(3, trials, n_times).transpose(0, 2, 1)  # channel time trial
    eeg = {
        "setname": "a", "nbchan": 3.0, "trials": float(trials), "pnts": float(n_times), "srate": SFREQ,
        "xmin": 0.0 if trials == 1 else -0.2, "xmax": (n_times - 1) / SFREQ - (0.2 if trials > 1 else 0),
        "chanlocs": np.array(
            [("Fz", "EEG"), ("Cz", "unheard-of"), ("VEOG", "EOG")], dtype=[("labels", "O"), ("type", "O")]
        ),
        "icawinv": [], "icasphere": [], "icaweights": [], "icachansind": [], "chaninfo": {"shrink": []},
    }  # fmt: skip
    if trials == 1:
        events = [("S 1", 251.0, 1.0), ("boundary", 501.5, 0.0), (2.0, 751.0, 1.0)]
        eeg["event"] = np.array(events, dtype=[("type", "O"), ("latency", "O"), ("duration", "O")])
        eeg["epoch"] = []
    else:
        names = ["go", "stop"] * (trials // 2)
        events = [(name, i * n_times + 51.0, i + 1.0) for i, name in enumerate(names)]
        eeg["event"] = np.array(events, dtype=[("type", "O"), ("latency", "O"), ("epoch", "O")])
        epochs = [(float(i + 1), 0.0, name) for i, name in enumerate(names)]
        eeg["epoch"] = np.array(epochs, dtype=[("event", "O"), ("eventlatency", "O"), ("eventtype", "O")])
    if inside:
        eeg["data"] = data if trials == 1 else cut
    else:
        eeg["data"] = path.with_suffix(".fdt").name
        cut.ravel(order="F").tofile(path.with_suffix(".fdt"))
    savemat(path, {"EEG": eeg}, appendmat=False)
    return path


@pytest.mark.parametrize("inside", [True, False])
def test_epochs_of_eeglab_are_pieces_each_with_its_event(tmp_path, inside):
    path = eeglab(tmp_path / "a.set", inside=inside, trials=10)
    found = open_any(path)
    recording = found.recording(["Fz", "Cz"])
    np.testing.assert_allclose(recording.data, UV, rtol=1e-6)
    assert [piece.start for piece in recording.pieces] == [*range(0, 2500, 250)]
    assert [(round(e.onset_s, 6), e.description) for e in recording.events[:3]] == [
        (0.2, "go"),
        (1.2, "stop"),
        (2.2, "go"),
    ]
    assert found.format == "EEGLAB epochs" and found.notes[-1] == "10 epochs of 1 s, one behind the other"
    assert found.beside == (() if inside else (tmp_path / "a.fdt",))


def test_epochs_of_mne_are_pieces_each_with_its_event(tmp_path):
    raw = made()
    events = np.array([[500, 0, 1], [1000, 0, 2], [1500, 0, 1]])
    epochs = mne.Epochs(
        raw, events, {"go": 1, "stop": 2}, -0.2, 0.4, baseline=None, preload=True, verbose="error"
    )
    epochs.save(tmp_path / "a-epo.fif", fmt="double", verbose="error")
    recording = open_any(tmp_path / "a-epo.fif").recording(["Fz"])
    n = len(epochs.times)
    expected = np.concatenate([UV[0, at - 50 : at - 50 + n] for at in (500, 1000, 1500)])
    np.testing.assert_allclose(recording.data[0], expected, rtol=0, atol=1e-6)
    assert [piece.start for piece in recording.pieces] == [0, n, 2 * n]
    assert [(round(e.onset_s * SFREQ), e.description) for e in recording.events] == [
        (50, "go"),
        (n + 50, "stop"),
        (2 * n + 50, "go"),
    ]


def test_the_status_of_a_bdf_gives_its_triggers_alone(tmp_path):
    """BioSemi's channel has 24 bits: above the 16 of triggers lie its own, which rise at the start."""
    raw = made()
    path = tmp_path / "a.bdf"
    status = np.full(2500, 2**19 + 2**20)
    for at, code in CODES.items():
        status[at] += code
    status[100:] += 2**16  # the beginning of an epoch
    write_bdf(path, np.vstack([UV * 32, status]).round().astype(int), ["Fz", "Cz", "Status"])
    found = open_any(path)
    assert found.kinds["Status"] == "stim" and raw.ch_names
    recording = found.recording(["Fz"])
    np.testing.assert_allclose(
        recording.data[0], UV[0], rtol=0, atol=1.01 / 32
    )  # half a digit, and half of one in its range
    assert [(e.onset_s, e.description) for e in recording.events] == [(1.0, "3"), (2.0, "7"), (5.0, "3")]


def write_bdf(path, digits, names):
    n, per_record = len(names), 250
    units = ["uV"] * (n - 1) + ["Boolean"]
    top = 2**23
    fields = [("", 80), ("", 80), ("01.01.01", 8), ("00.00.00", 8), (256 * (n + 1), 8), ("24BIT", 44)]
    fields += [(digits.shape[1] // per_record, 8), (1, 8), (n, 4)]
    each = [(name, 16) for name in names] + [("", 80)] * n + [(unit, 8) for unit in units]
    each += [(-top // 32, 8)] * (n - 1) + [(-top, 8)] + [(top // 32, 8)] * (n - 1) + [(top - 1, 8)]
    each += [(-top, 8)] * n + [(top - 1, 8)] * n + [("", 80)] * n + [(per_record, 8)] * n + [("", 32)] * n
    head = b"\xffBIOSEMI" + "".join(str(text).ljust(width) for text, width in fields + each).encode(
        "latin-1"
    )
    records = digits.reshape(n, -1, per_record).swapaxes(0, 1).ravel().astype("<i4")
    path.write_bytes(head + records.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


@pytest.mark.parametrize(
    "name", ["a_raw.fif", "a.set", "a.edf", "a.bdf", "a.gdf", "a.cnt", "a.vhdr", "a.xyz", "a.eeg"]
)
@pytest.mark.parametrize("content", [b"", b"text\n", bytes(5000)])
def test_what_is_no_recording_is_refused_with_its_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert len(refusal(tmp_path / name)) < 600
