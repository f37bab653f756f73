"""FACED: the stored windows against SciPy and NumPy alone, the labels of its 28 clips, and its pickles."""

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from eegfm.benchmarks.faced import CHANNELS, CLASSES, faced
from eegfm.benchmarks.spec import Source
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from tests.corpora.faced import LABELS


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    """[clip, channel, 7500]: random walks in microvolts, which begin and end at different levels."""
    steps = np.random.default_rng(0).standard_normal((28, 32, 7500))
    return steps.cumsum(-1)


def source_of(root: Path, subject="sub085") -> Source:
    return next(source for source in faced().sources(root) if source.subject == subject)


def fourier(data: np.ndarray) -> np.ndarray:
    """7500 samples -> 6000 by cutting the spectrum of one period at 100 Hz, where both halves of it fold together."""
    spectrum = np.fft.rfft(data)[..., :3001]
    spectrum[..., 3000] = 2 * spectrum[..., 3000].real
    return np.fft.irfft(spectrum, 6000) * 6000 / 7500


def polyphase(data: np.ndarray) -> np.ndarray:
    return scipy.signal.resample_poly(data, 4, 5, axis=-1, padtype="reflect")


@pytest.mark.parametrize(("variant", "oracle"), [("published", fourier), ("repaired", polyphase)])
def test_windows_are_those_of_an_independent_computation(tmp_path, walk, variant, oracle):
    source = source_of(tmp_path)
    source.path.write_bytes(pickle.dumps(walk))
    benchmark = faced(variant=variant)
    windows, index = process(benchmark, source, benchmark.steps)
    assert windows.shape == (84, 32, 2000) and windows.dtype == np.float32
    # (28, 32, 6000) -> 28 clips of three parts: the reference's reshape to (28, 32, 30, 200), cut along its third axis
    wanted = oracle(walk).reshape(28, 32, 3, 2000).swapaxes(1, 2).reshape(84, 32, 2000)
    np.testing.assert_allclose(windows, wanted, rtol=0, atol=1e-4)
    assert index.label.tolist() == [label for label in LABELS for _ in range(3)]
    assert index.onset_s.tolist() == [10.0 * i for i in range(84)]
    assert set(index.subject) == {"sub085"} and set(index.split) == {"val"}


def test_published_windows_ring_at_the_ends_of_a_clip_and_not_in_its_middle(tmp_path):
    """A ramp of 100 µV over a clip: its first and last windows are off at one end each, the middle one hardly."""
    ramp = np.broadcast_to(np.linspace(-50, 50, 7500), (28, 32, 7500))
    source = source_of(tmp_path)
    source.path.write_bytes(pickle.dumps(np.ascontiguousarray(ramp, dtype=np.float32)))
    wanted = np.interp(np.arange(6000) / 200, np.arange(7500) / 250, ramp[0, 0]).reshape(3, 2000)
    off = {}
    for variant in ("published", "repaired"):
        benchmark = faced(variant=variant)
        windows = process(benchmark, source, benchmark.steps)[0]
        off[variant] = np.abs(windows[:3] - wanted[:, None]).max(axis=(1, 2))
    assert off["published"][0] > 2 and off["published"][2] > 2 and off["published"][1] < 0.1
    assert off["repaired"].max() < 0.1


def test_labels_are_the_nine_emotions_of_the_28_clips():
    emotions = (
        (
            "anger disgust fear sadness neutral amusement inspiration joy tenderness"  # in the order of the clips
        ).split()
    )
    assert list(CLASSES) == emotions
    assert Counter(CLASSES[label] for label in LABELS) == {
        name: 4 if name == "neutral" else 3 for name in emotions
    }


def test_counts_of_the_protocol_are_the_published_ones():
    """123 subjects x 28 clips x 3 windows; 80, 20 and 23 subjects."""
    census = faced().census
    assert census.windows == 123 * 28 * 3 == 10_332 and census.recordings == 123
    assert census.per_split == {"train": 6_720, "val": 1_680, "test": 1_932}
    for split, others, neutral in (("train", 720, 960), ("val", 180, 240), ("test", 207, 276)):
        assert census.per_class[split] == (others,) * 4 + (neutral,) + (others,) * 4
    sources = faced().sources(Path("raw"))
    assert [source.path.name for source in sources] == [f"sub{i:03d}.pkl" for i in range(123)]
    # as the reference cuts its sorted listing
    assert [source.split for source in sources] == ["train"] * 80 + ["val"] * 20 + ["test"] * 23


def test_channels_are_those_that_torcheeg_documents_and_all_are_places():
    documented = (
        "FP1 FP2 FZ F3 F4 F7 F8 FC1 FC2 FC5 FC6 CZ C3 C4 T7 T8 CP1 CP2 CP5 CP6 PZ P3 P4 P7 P8 PO3 PO4 OZ O1 O2 "
        "A2 A1"
    )
    assert list(CHANNELS) == documented.split()
    coords = faced().montage.coords
    assert np.isfinite(coords).all()
    assert coords[CHANNELS.index("A2")][0] > 0 > coords[CHANNELS.index("A1")][0]  # right, left


class Harm:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_nothing_in_a_file_is_run(tmp_path):
    source = source_of(tmp_path)
    source.path.write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    with pytest.raises(EegfmError, match="nothing in a file is run"):
        faced().read(source)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((27, 32, 7500), np.int8), r"\(27, 32, 7500\)"),
        (np.zeros((28, 30, 7500), np.int8), r"\(28, 30, 7500\)"),
        (np.zeros((28, 32, 6000), np.int8), r"\(28, 32, 6000\)"),
        (np.zeros((28, 32, 7500), "S1"), "wanted is an array of numbers"),
        ({"data": np.zeros(3)}, "holds dict"),
    ],
)
def test_a_file_that_is_not_as_the_corpus_has_it_is_refused_by_name(tmp_path, content, words):
    source = source_of(tmp_path)
    source.path.write_bytes(pickle.dumps(content))
    with pytest.raises(EegfmError, match=words) as refusal:
        faced().read(source)
    assert str(source.path) in str(refusal.value)


def test_volts_are_not_taken_for_microvolts(tmp_path, walk):
    """The files name no unit."""
    source = source_of(tmp_path)
    source.path.write_bytes(pickle.dumps((walk * 1e-6).astype(np.float32)))
    with pytest.raises(EegfmError, match="volts were taken for microvolts"):
        process(faced(), source, faced().steps)
