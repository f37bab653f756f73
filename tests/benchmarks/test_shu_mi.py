"""SHU-MI: the stored windows against SciPy and NumPy alone, on MAT files of both kinds."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.signal

from eegfm.benchmarks.shu_mi import CHANNELS, CLASSES, shu_mi
from eegfm.benchmarks.spec import Source
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from tests.corpora.shu_mi import write_v5, write_v73


def walk(n_trials: int, seed: int = 0) -> np.ndarray:
    """[trial, channel, 1000]: random walks in microvolts, which begin and end at different levels."""
    steps = np.random.default_rng(seed).standard_normal((n_trials, 32, 1000))
    return 5 * steps.cumsum(-1)


def source_of(root, recording="sub-017_ses-03") -> Source:
    return next(source for source in shu_mi().sources(root) if source.recording == recording)


def processed(root, data, labels, *, variant, writer=write_v5):
    source = source_of(root)
    writer(source.path, data, labels)
    benchmark = shu_mi(variant=variant)
    return process(benchmark, source, benchmark.steps)


def fourier(data: np.ndarray) -> np.ndarray:
    """1000 samples -> 800 by cutting the spectrum of one period at 100 Hz, where both halves of it fold together."""
    spectrum = np.fft.rfft(data)[..., :401]
    spectrum[..., 400] = 2 * spectrum[..., 400].real
    return np.fft.irfft(spectrum, 800) * 800 / 1000


def polyphase(data: np.ndarray) -> np.ndarray:
    return scipy.signal.resample_poly(data, 4, 5, axis=-1, padtype="reflect")


@pytest.mark.parametrize("writer", [write_v5, write_v73], ids=["v7", "v7.3"])
@pytest.mark.parametrize(("variant", "oracle"), [("published", fourier), ("repaired", polyphase)])
def test_windows_are_those_of_an_independent_computation(tmp_path, variant, oracle, writer):
    data, labels = walk(4), [2, 1, 1, 2]
    windows, index = processed(tmp_path, data, labels, variant=variant, writer=writer)
    assert windows.shape == (4, 32, 800) and windows.dtype == np.float32
    np.testing.assert_allclose(windows, oracle(data), rtol=0, atol=1e-4)
    assert index.label.tolist() == [1, 0, 0, 1]
    assert index.onset_s.tolist() == [0, 4, 8, 12]
    assert (
        set(index.subject) == {"sub-017"}
        and set(index.session) == {"ses-03"}
        and set(index.split) == {"val"}
    )


def test_published_ends_ring_where_the_levels_differ_and_repaired_ones_do_not(
    tmp_path,
):
    """A ramp of 100 µV: resampled, it should be the same ramp. This is the whole difference of the two versions."""
    ramp = np.broadcast_to(np.linspace(-50, 50, 1000), (2, 32, 1000))
    wanted = np.interp(np.arange(800) / 200, np.arange(1000) / 250, ramp[0, 0])
    off = {
        variant: np.abs(processed(tmp_path, ramp, [1, 2], variant=variant)[0] - wanted).max(axis=(0, 1))
        for variant in ("published", "repaired")
    }
    assert off["published"].max() > 5 and off["published"][5:-5].max() > 0.5
    assert off["repaired"].max() < 0.1


def test_one_version_of_a_file_or_the_other_gives_the_same_bytes(tmp_path):
    """Their axes are stored in reverse of one another; a session of one trial keeps its axis in both."""
    for n in (1, 3):
        one, other = (
            processed(tmp_path, walk(n), [1] * n, variant="published", writer=writer)[0]
            for writer in (write_v5, write_v73)
        )
        assert len(one) == n
        np.testing.assert_array_equal(one, other)


def test_float32_and_labels_in_a_column_are_read(tmp_path):
    source = source_of(tmp_path)
    data = walk(3).astype(np.float32)
    scipy.io.savemat(
        source.path, {"data": data, "labels": np.array([[1], [2], [2]], dtype=np.uint8), "extra": "x"}
    )
    recording = shu_mi().read(source)
    np.testing.assert_array_equal(recording.data, np.concatenate(data.astype(float), axis=1))
    assert [event.description for event in recording.events] == [CLASSES[0], CLASSES[1], CLASSES[1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"data": walk(2)}, "no variable labels"),
        ({"eeg": walk(2), "labels": [[1, 2]]}, "no variable data"),
        ({"data": walk(2)[:, :31], "labels": [[1, 2]]}, r"\(2, 31, 1000\)"),
        ({"data": walk(2)[:, :, :999], "labels": [[1, 2]]}, r"\(2, 32, 999\)"),
        ({"data": walk(2).transpose(2, 1, 0), "labels": [[1, 2]]}, r"\(1000, 32, 2\)"),
        ({"data": walk(2)[0], "labels": [[1]]}, r"\(32, 1000\)"),
        ({"data": "text", "labels": [[1]]}, "wanted are numbers"),
        ({"data": walk(2), "labels": [[1, 2, 1]]}, r"\(1, 3\)"),
        ({"data": walk(2), "labels": [[0, 1]]}, "1 .left. or a 2 .right."),
        ({"data": walk(0), "labels": np.zeros((1, 0))}, "no samples"),
        ({"data": np.where(np.arange(1000) == 5, np.nan, walk(2)), "labels": [[1, 2]]}, "NaN"),
        ({"data": walk(2) * 1e-6, "labels": [[1, 2]]}, "volts were taken for microvolts"),
    ],
)
def test_a_file_that_is_not_as_the_corpus_has_it_is_refused_by_name(tmp_path, content, words):
    source = source_of(tmp_path)
    scipy.io.savemat(source.path, content)
    with pytest.raises(EegfmError, match=words) as refusal:
        process(shu_mi(), source, shu_mi().steps)
    assert str(source.path) in str(refusal.value)


def test_the_folder_of_the_archive_is_found(tmp_path):
    (tmp_path / "mat_files").mkdir()
    assert {source.path.parent for source in shu_mi().sources(tmp_path)} == {tmp_path / "mat_files"}


def test_recordings_and_splits_are_the_protocols():
    benchmark = shu_mi()
    sources = benchmark.sources(Path("raw"))
    names = [source.path.name for source in sources]
    assert names == sorted(names) and len(names) == benchmark.census.recordings == 125
    # as the reference cuts its sorted listing
    assert [source.split for source in sources] == ["train"] * 75 + ["val"] * 25 + ["test"] * 25
    assert benchmark.census.windows == 11_988 <= 125 * 100


def test_channels_are_those_that_moabb_quotes_from_the_corpus():
    """moabb.datasets.Ma2022, "from BIDS channels.tsv"."""
    moabb = (
        "FP1 FP2 FZ F3 F4 F7 F8 FC1 FC2 FC5 FC6 CZ C3 C4 T3 T4 A1 A2 CP1 CP2 CP5 CP6 PZ P3 P4 T5 T6 PO3 PO4 OZ O1 "
        "O2"
    )
    assert [name.upper() for name in CHANNELS] == moabb.split()
    assert np.isfinite(shu_mi().montage.coords).all()
