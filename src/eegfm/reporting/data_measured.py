"""Measure a data set for its page: spectra and amplitudes of training windows."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import welch

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.data.module import EEGDataModule

MEASURED = 200  # training windows a class for spectra and amplitudes; more hardly change the quartiles
AT_A_TIME = 32  # windows in memory
SEGMENT_S = 2.0  # of Welch's method: a resolution of 0.5 Hz if a window is that long


@dataclass(frozen=True, eq=False)
class Measured:
    """Training windows drawn by chance, and the measurements on them.

    `rows` holds the drawn rows of each class; the page shows the first of them as traces. `power` holds, by class, the
    Welch spectrum of each window in µV²/Hz, as its median over channels. `offset_uv` is the median of a channel in a
    window, and `spread_uv` the median distance from it.
    """

    rows: list[np.ndarray]
    hz: Float[np.ndarray, " frequency"]
    power: list[Float[np.ndarray, "window frequency"]]
    spread_uv: Float[np.ndarray, "window channel"]
    offset_uv: Float[np.ndarray, "window channel"]


def measure(data: EEGDataModule, seed: int) -> Measured:
    """Draw training windows of every class with a seed, and measure them."""
    store, benchmark = data.open(), data.benchmark
    train = data.index.rows("train")
    rows = [
        np.random.default_rng([seed, label]).permutation(train[data.index.label[train] == label])[:MEASURED]
        for label in range(len(benchmark.kinds))
    ]
    hz = frequencies(benchmark.sfreq, segment_of(benchmark))
    power, spread, offset = [], [], []
    for chosen in rows:
        spectra = [np.empty((0, len(hz)))]
        for start in range(0, len(chosen), AT_A_TIME):
            x = store.read(chosen[start : start + AT_A_TIME]).astype(np.float64)
            spectra.append(np.median(spectrum(x, benchmark.sfreq, segment_of(benchmark)), axis=1))
            centre = np.median(x, axis=-1, keepdims=True)
            spread.append(np.median(np.abs(x - centre), axis=-1))
            offset.append(centre[..., 0])
        power.append(np.concatenate(spectra))
    return Measured(rows, hz, power, np.concatenate(spread), np.concatenate(offset))


def frequencies(sfreq: float, segment: int) -> Float[np.ndarray, " frequency"]:
    """The frequencies of `spectrum` in Hz, without 0 (the mean was removed) and half the rate (power counts half)."""
    return np.fft.rfftfreq(segment, 1 / sfreq)[1 : (segment + 1) // 2]


def spectrum(
    x: Float[np.ndarray, "window channel time"], sfreq: float, segment: int
) -> Float[np.ndarray, "window channel frequency"]:
    """Power spectral density in µV²/Hz by Welch's method, with Hann windows and segments that overlap by half."""
    power = welch(x, sfreq, nperseg=segment, detrend="constant", axis=-1)[1]
    return power[..., 1 : (segment + 1) // 2]


def segment_of(benchmark: BenchmarkSpec) -> int:
    """Samples in a segment of Welch's method."""
    return min(benchmark.n_times, round(SEGMENT_S * benchmark.sfreq))
