"""A copy of a recording under another name is found through noise, gain, offset and shift; other recordings are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegfm.data.preparing.pipeline import prepare
from eegfm.data.verifying.near_copies import at_best_lag, probe_rows
from eegfm.data.verifying.verify import verify
from tests import corpus
from tests.corpus import TINY

SFREQ = 250.0
rng = np.random.default_rng(0)


def background(seed: int, seconds: float = corpus.SECONDS + 2) -> np.ndarray:
    """Noise of four channels whose power falls as 1/f, with an alpha rhythm in common: 20 µV, nothing repeated."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SFREQ)
    hz = np.fft.rfftfreq(n, 1 / SFREQ)
    noise = np.fft.rfft(rng.standard_normal((5, n))) / np.sqrt(np.maximum(hz, 0.5))
    alpha = np.fft.irfft(np.where(abs(hz - 10) < 1, np.fft.rfft(rng.standard_normal(n)), 0), n)
    signal = np.fft.irfft(noise[:4] + 0.5 * noise[4], n)
    return 20 * (signal / signal.std(axis=1, keepdims=True) + 0.7 * alpha / alpha.std())


def check(folder: Path, signals: dict[str, np.ndarray], benchmark=TINY):
    raw = folder / "raw"
    raw.mkdir()
    for source in corpus.sources(raw):
        corpus.write_edf(source.path, signals[source.recording])
    prepare(benchmark, raw, folder / "cache", progress=False)
    checks = verify(benchmark, raw, folder / "cache", progress=False)
    return next(check for check in checks if check.name == "near copies")


def recordings() -> dict[str, np.ndarray]:
    n = round(corpus.SECONDS * SFREQ)
    return {source.recording: background(i)[:, :n] for i, source in enumerate(corpus.sources(Path()))}


def test_other_recordings_are_no_copies(tmp_path):
    assert check(tmp_path, recordings()).verdict == "ok"


def test_pure_tones_are_not_judged(tmp_path):
    """The tiny corpus is five sines a channel: they are alike by chance, and say nothing of whose they are."""
    found = check(tmp_path, {s.recording: corpus.signal(s) for s in corpus.sources(Path())})
    assert found.verdict == "ok"


@pytest.mark.parametrize(
    "change, shift_s",
    [
        (lambda x: x + rng.uniform(-0.05, 0.05, x.shape), 0.0),  # half a step of 0.1 µV
        (lambda x: x + rng.normal(0, 1, x.shape), 0.0),
        (lambda x: 1.7 * x, 0.0),
        (lambda x: 30 - x, 0.0),
        (lambda x: x + 0.01, 0.012),  # a shift of three samples
        (lambda x: 1.3 * x, 0.28),
        (lambda x: x + rng.normal(0, 1, x.shape), 0.74),
        (lambda x: 0.5 * x, 1.0),  # half a window
        (lambda x: -x, 1.52),
    ],
)
def test_a_copy_of_a_training_recording_in_the_test_split_is_found_and_named(tmp_path, change, shift_s):
    n, first = round(corpus.SECONDS * SFREQ), round(shift_s * SFREQ)
    signals = recordings()
    whole = background(100)
    signals["S02_1"], signals["S05_0"] = whole[:, :n], change(whole[:, first : first + n])
    found = check(tmp_path, signals)
    assert found.verdict == "off"
    assert "S02_1" in found.found and "S05_0" in found.found
    assert not any(name in found.found for name in ("S01", "S03", "S04"))
    assert "data.allow_partial=true" in found.remedy


def test_the_gain_and_the_shift_are_told(tmp_path):
    n = round(corpus.SECONDS * SFREQ)
    signals, whole = recordings(), background(100)
    signals["S02_1"], signals["S05_0"] = whole[:, :n], 2 * whole[:, 50 : 50 + n]
    found = check(tmp_path, signals).found
    # the copy begins 0.2 s later and is twice as large; which of the two is named first is not fixed
    shift, gain = (float(found.split(word)[1].split()[0]) for word in ("shift ", "gain "))
    assert (shift, gain) == (pytest.approx(-0.2), pytest.approx(0.5, abs=0.02)) or (
        (shift, gain) == (pytest.approx(0.2), pytest.approx(2, abs=0.08))
    )


def test_a_copy_within_one_split_and_person_is_a_warning_and_a_declared_one_is_none(tmp_path):
    signals = recordings()
    signals["S02_1"] = 1.5 * signals["S02_0"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert check(tmp_path / "a", signals).verdict == "warning"
    declared = replace(TINY, duplicates=(("S02_0", "S02_1"),))
    assert check(tmp_path / "b", signals, declared).verdict == "ok"


@pytest.mark.parametrize("lag", [-40, -3, 0, 1, 25, 50])
def test_the_best_lag_is_that_of_a_plain_search(lag):
    """Every lag of up to half a window, by the definition of a correlation."""
    signal = background(3)[:, :300]
    a, b = signal[:, 100 + lag : 200 + lag].astype(np.float32), 0.5 * signal[:, 100:200].astype(np.float32)
    n = 100

    def correlation(k: int) -> float:
        x, y = (a[:, k:], b[:, : n - k]) if k >= 0 else (a[:, : n + k], b[:, -k:])
        return abs((x * y).sum()) / np.sqrt((x**2).sum() * (y**2).sum())

    best = max(range(-50, 51), key=correlation)
    found, at, gain = at_best_lag(a, b)
    # a quarter of a sample beside the best one may overlap by a sample more: energy of one of 50 at most
    assert abs(at - best) <= 0.25 and best == -lag
    assert found == pytest.approx(correlation(best), abs=0.01)
    assert gain == pytest.approx(2, rel=0.01)


def test_half_a_sample_is_no_matter():
    """White noise up to 0.4 of the rate, shifted by half a sample through its spectrum."""
    n = 512
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((3, n)))
    hz = np.fft.rfftfreq(n)
    spectrum[:, hz > 0.4] = 0
    whole, half = (np.fft.irfft(spectrum * np.exp(-2j * np.pi * hz * s), n)[:, 100:300] for s in (0.0, 0.5))
    correlation, lag, gain = at_best_lag(half.astype(np.float32), whole.astype(np.float32))
    assert lag == 0.5 and correlation > 0.99 and gain == pytest.approx(1, abs=0.01)


def test_probes_are_of_every_recording_and_lie_evenly_over_it(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for source in corpus.sources(raw):
        corpus.write_edf(source.path, corpus.signal(source))
    index = prepare(TINY, raw, tmp_path / "cache", progress=False).index
    rows = probe_rows(index, 20)
    assert len(rows) == 20 and len(set(index.recording[rows].tolist())) == 10
    assert set(index.onset_s[rows].tolist()) == {0.0, 10.0}  # the first and the last window of each
