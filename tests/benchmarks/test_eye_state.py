"""EEG Eye State: the real file against its own text, glitches by eye, what one person is good for."""

from functools import partial

import mne
import numpy as np
import pytest

from eegfm.benchmarks.eye_state import CHANNELS, EYE_STATE, FILE
from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
from eegfm.benchmarks.physionet_mi import PHYSIONET_MI
from eegfm.contracts import EegfmError
from eegfm.data.mix import Mix
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.verifying.verify import verify
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Despike
from tests import corpora
from tests.corpora.eye_state import text

GLITCHES = (898, 10386, 11509, 13179)  # rows of the file, by eye


def by_hand(path) -> np.ndarray:
    """The numbers after @DATA, [row, column]."""
    return np.array([line.split(",") for line in path.read_text().split("@DATA")[1].split()], dtype=float)


def test_the_real_file_is_read_as_it_stands(eeg_data):
    (source,) = EYE_STATE.sources(eeg_data)
    recording, table = EYE_STATE.read(source), by_hand(source.path)
    assert table.shape == (14_980, 15)
    np.testing.assert_array_equal(recording.data, table[:, :14].T)
    closed = np.zeros(len(table))
    for event in recording.events:
        first, n = round(event.onset_s * 128), round(event.duration_s * 128)
        closed[first : first + n] = event.description == "eyes closed"
    np.testing.assert_array_equal(closed, table[:, 14])
    assert len(recording.events) == 24 and recording.montage.names == CHANNELS


def test_stored_windows_are_plain_mne_over_the_file_without_its_four_glitches(eeg_data):
    (source,) = EYE_STATE.sources(eeg_data)
    windows, index = process(EYE_STATE, source, EYE_STATE.steps)
    data = by_hand(source.path)[:, :14].T
    for row in GLITCHES:
        assert np.abs(data[:, row] - np.median(data, axis=1)).max() > 4_000
        data[:, row] = (data[:, row - 1] + data[:, row + 1]) / 2
    raw = mne.io.RawArray(data * 1e-6, mne.create_info(list(CHANNELS), 128.0, "eeg"), verbose="error")
    raw.filter(0.5, None, verbose="error").resample(200, verbose="error")
    expected = raw.get_data(units="uV")[:, : 29 * 800].reshape(14, 29, 800).transpose(1, 0, 2)
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-3)
    assert set(index.split.tolist()) == {"train"} and not index.label.any()
    assert np.abs(windows).max() < 350  # blinks stay, and nothing larger


def test_the_store_counts_the_glitches_and_passes_its_verification(eeg_data, tmp_path):
    store = prepare(EYE_STATE, eeg_data, tmp_path, progress=False)
    assert store.complete
    (recording,) = store.manifest.recordings
    assert recording["notes"] == ["4 of 14,980 moments beyond 500 µV drawn over"]
    assert {check.verdict for check in verify(EYE_STATE, eeg_data, tmp_path, progress=False)} == {"ok"}


@pytest.mark.parametrize("at", [0, 5, 99])
def test_despiking_draws_a_straight_line_over_all_channels_and_touches_nothing_else(at):
    rng = np.random.default_rng(0)
    data = 4000 + 20 * rng.standard_normal((3, 100))
    broken = data.copy()
    broken[1, at] -= 900
    montage = EYE_STATE.montage
    montage = type(montage)(montage.names[:3], montage.coords[:3])
    found = Despike(500.0)(Recording(broken, 128.0, montage))
    line = data[:, at - 1] if at == 99 else data[:, 1] if at == 0 else (data[:, 4] + data[:, 6]) / 2
    np.testing.assert_allclose(found.data[:, at], line)
    np.testing.assert_array_equal(np.delete(found.data, at, 1), np.delete(data, at, 1))
    assert found.notes == ("1 of 100 moments beyond 500 µV drawn over",)
    assert Despike(500.0)(Recording(data, 128.0, montage)).notes == ()
    with pytest.raises(EegfmError, match="a limit above 0"):
        Despike(0.0)


def test_a_damaged_file_is_a_sentence(tmp_path):
    (source,) = EYE_STATE.sources(tmp_path)
    rows = np.zeros((14, 4))
    text(tmp_path / FILE, rows[1:], rows[0] > 0, CHANNELS[1:])
    with pytest.raises(EegfmError, match=r"lacks 1 of 15 columns: AF3\. It has F7"):
        EYE_STATE.read(source)
    source.path.write_text(source.path.read_text()[:-9])
    with pytest.raises(EegfmError, match=r"State\.arff cannot be read as an ARFF file"):
        EYE_STATE.read(source)
    source.path.write_text("")
    with pytest.raises(EegfmError, match=r"State\.arff cannot be read as an ARFF file"):
        EYE_STATE.read(source)


def test_alone_it_cannot_be_trained_on_and_says_where_it_can(tmp_path):
    (tmp_path / "raw").mkdir()
    small = corpora.corpora()["eye_state"]
    small.write(tmp_path / "raw", small.table)
    places = {"raw": tmp_path / "raw", "cache": tmp_path / "cache", "seed": 0, "progress": False}
    data = EEGDataModule(benchmark=EYE_STATE, **places, allow_partial=True)
    data.prepare_data()
    with pytest.raises(EegfmError, match=r"val split .*data=mix data/corpora=\[\.\.\.,eye_state\]"):
        data.setup("fit")
    alone = Mix(
        corpora={"eye_state": partial(EEGDataModule, benchmark=EYE_STATE, **places, allow_partial=True)},
        seed=0,
    )
    alone.prepare_data()
    with pytest.raises(EegfmError, match="none of these corpora has a window of the val split"):
        alone.setup("fit")


@pytest.mark.slow
def test_three_real_headsets_in_one_mix(eeg_data, tmp_path):
    """19, 64 and 14 channels; the one subject of each of the last two is a training subject."""
    raw = {
        "mental_arithmetic": (MENTAL_ARITHMETIC, tmp_path / "few"),
        "physionet_mi": (PHYSIONET_MI, eeg_data / "eegmmidb"),
        "eye_state": (EYE_STATE, eeg_data),
    }
    (tmp_path / "few").mkdir()
    for subject in (2, 28, 32):
        name = f"Subject{subject:02d}_2.edf"
        (tmp_path / "few" / name).symlink_to(eeg_data / "mental_arithmetic_eegmat" / name)
    options = {"cache": tmp_path / "cache", "seed": 0, "progress": False, "allow_partial": True}
    corpora_ = {
        name: partial(EEGDataModule, benchmark=benchmark, raw=place, **options)
        for name, (benchmark, place) in raw.items()
    }
    data = Mix(corpora=corpora_, seed=0, channels="own", batch_size=16)
    data.prepare_data()
    data.setup("fit")
    assert data.spec.shape == (64, 800)  # the cap has all places of the others
    assert [len(montage.names) for montage in data.spec.montages] == [19, 64, 14]
    seen = {}
    for batch in data.train_dataloader():
        montage = data.channels.montages[batch.corpus]  # without A2-A1, which is no place
        assert batch.x.shape[1:] == (len(montage.names), data.corpora[batch.corpus].benchmark.n_times)
        np.testing.assert_allclose(batch.coords, montage.coords, atol=1e-6)
        seen[batch.corpus] = seen.get(batch.corpus, 0) + len(batch.x)
    assert seen == {"mental_arithmetic": 12, "physionet_mi": 90, "eye_state": 29}
    assert {batch.corpus for batch in data.val_dataloader()} == {"mental_arithmetic"}
