"""Near copies: one signal under the names of two recordings, with noise, another gain, an offset or a shift between.

A digest finds a window only while every byte is the same. Here a window is recognised by the irregularities of its
power spectrum: at each frequency, is a group of channels stronger or weaker than is usual in this store, and than its
neighbouring frequencies? Neither sign, gain, offset nor a small shift changes these bits, and 1 to 40 Hz of a few
seconds give several hundred of them. To find any shift, bits are taken of halves: five halves of every window, of
which one lies within a sixteenth of a window of each probe's.

The bits only propose: for each probe the likeliest window of all other recordings. The two signals then decide. They
are whitened (each frequency of each channel counts alike, so that slow drifts alone make nothing alike) and correlated
at the best lag, all channels at once.

Measured on MentalArithmetic's recordings of 20 people (`python -m tests.bench copies`): of windows of 5, 2.5 and 1 s,
the likeliest of somebody else correlates by 0.18, 0.37 and 0.51 at most; a copy with half a step or 1 µV of
noise, another gain, the other sign, or any shift is found in 99.5 to 100 % of its windows. `ALIKE` lies between. 4,695
windows take 1.4 s. Between corpora (MentalArithmetic, a person of PhysioNet-MI, EEG Eye State; their ten common
channels at 200 Hz) the likeliest window of another one correlates by 0.17, 0.28 and 0.57 at most, in windows of 5, 2.5
and 1 s: no false alarm, so that one probe is enough. 6,389 windows of 1 s take 3 s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from eegfm.data.store import SampleIndex

PROBES = 1024  # windows, evenly over the store, that are looked for in all other recordings
AT_ONCE = 128  # pairs whose windows are in memory
PLAUSIBLE = 0.2  # agreement of bits (1: all, 0: by chance) from which signals are compared; copies have 0.5 and more
ALIKE = 0.7  # the correlation of whitened signals from which two windows hold one signal
LOW_HZ, HIGH_HZ = 1.0, 40.0
RATE_HZ = 100.0  # windows are brought to about this rate first: nothing above 40 Hz is looked at
GROUPS = 8  # of channels: enough bits, and the mean over some channels is steadier than one
SMOOTH = 9  # frequencies over which the usual course of a spectrum is taken
STARTS = (
    0.0,
    0.125,
    0.25,
    0.375,
    0.5,
)  # of the halves, as parts of a window; probes take the first and the last
NARROW = 24  # frequencies with power, at least: signals of fewer (pure tones, say) are alike by chance
LARGEST_UV = 1e6  # a damaged value: its square must not overflow
FINER = 4  # steps of a lag in a sample
TINY = 1e-12


@dataclass(frozen=True)
class NearCopy:
    """Two recordings that hold one signal: the probe's window, the window that is like it, and how it was found."""

    row: int
    like: int
    correlation: float
    shift_s: float  # the probe's window begins this much later in the common signal
    gain: float  # the probe over the other


class NearCopies:
    """Looks for probes of a store in its windows, which come by in chunks.

    Args:
        index: of the store.
        probes: rows of the probes, see `probe_rows`.
        windows: their samples in microvolts.
        sfreq: in Hz.
    """

    def __init__(
        self,
        index: SampleIndex,
        probes: Int[np.ndarray, " probe"],
        windows: Float[np.ndarray, "probe channel time"],
        sfreq: float,
    ) -> None:
        self._recording = np.unique(index.recording, return_inverse=True)[1]
        self._digest, self._rows, self._sfreq = index.digest, probes, sfreq
        signals, self._rate = slower(windows, sfreq)
        spectra = [log_spectra(signals, self._rate, start) for start in STARTS]
        self._usual = np.median(np.concatenate(spectra), axis=0)
        self._amplitude = usual_amplitude(signals, self._rate)
        bits = [self._bits(spectra[0]), self._bits(spectra[-1])]
        self._bits_of_probes = np.concatenate(bits)
        self._owner = np.tile(np.arange(len(probes)), 2)
        self._best = np.full(len(self._owner), -np.inf, dtype=np.float32)
        self.likeliest = np.full(len(self._owner), -1)

    def _bits(
        self, spectra: Float[np.ndarray, "window group frequency"]
    ) -> Float[np.ndarray, "window bit"]:
        above = spectra - self._usual
        width = min(SMOOTH, above.shape[-1])
        padded = np.pad(above, ((0, 0), (0, 0), (width // 2, width - 1 - width // 2)), mode="edge")
        course = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1).mean(axis=-1)
        bits = np.where(above > course, 1, -1).astype(np.float32)
        return bits.reshape(len(bits), bits.shape[1] * bits.shape[2])

    def add(
        self, rows: Int[np.ndarray, " window"], windows: Float[np.ndarray, "window channel time"]
    ) -> None:
        """Look for the probes in the next chunk."""
        signals, rate = slower(windows, self._sfreq)
        same = self._recording[self._rows[self._owner]][:, None] == self._recording[rows]
        for start in STARTS:
            agree = self._bits_of_probes @ self._bits(log_spectra(signals, rate, start)).T
            agree[same] = -np.inf
            best = agree.argmax(axis=1)
            value = agree[np.arange(len(agree)), best]
            better = value > self._best
            self._best[better], self.likeliest[better] = value[better], rows[best[better]]

    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """Probe and likeliest window, as rows of the store, each pair once, if their bits agree enough.

        None in signals of few frequencies; windows of the same bytes are left to the digests.
        """
        if np.median(np.isfinite(self._amplitude).sum(axis=1)) < NARROW:
            return np.empty((0, 2), dtype=np.int64)
        found = self._best >= PLAUSIBLE * self._bits_of_probes.shape[1]
        pairs = np.unique(np.stack([self._rows[self._owner[found]], self.likeliest[found]], axis=1), axis=0)
        return pairs[self._digest[pairs[:, 0]] != self._digest[pairs[:, 1]]]

    def found(self, read: Callable[[np.ndarray], np.ndarray]) -> Iterator[NearCopy]:
        """The pairs whose signals are alike; `read` gives the samples of rows in microvolts."""
        pairs = self.pairs()
        for start in range(0, len(pairs), AT_ONCE):
            chunk = pairs[start : start + AT_ONCE]
            signals = [whitened(slower(read(rows), self._sfreq)[0], self._amplitude) for rows in chunk.T]
            for (row, like), a, b in zip(chunk.tolist(), *signals, strict=True):
                correlation, lag, gain = at_best_lag(a, b)
                if correlation >= ALIKE:
                    yield NearCopy(row, like, correlation, -lag / self._rate, gain)


def probe_rows(index: SampleIndex, n: int = PROBES) -> Int[np.ndarray, " probe"]:
    """Rows of about `n` windows: as many of every recording, evenly over it, at least one."""
    order = np.lexsort((index.onset_s, index.recording))
    _, starts, counts = np.unique(index.recording[order], return_index=True, return_counts=True)
    each = max(1, n // max(1, len(starts)))
    picked = [
        start + np.unique(np.linspace(0, count - 1, min(each, count)).round().astype(int))
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.sort(order[np.concatenate(picked)]) if picked else np.empty(0, dtype=np.int64)


def slower(
    windows: Float[np.ndarray, "window channel time"], sfreq: float
) -> tuple[Float[np.ndarray, "window channel time"], float]:
    """Windows at about `RATE_HZ` without their means, through their spectra; and the rate."""
    n_times = windows.shape[-1]
    kept = min(n_times, 2 * round(n_times * RATE_HZ / sfreq / 2))
    windows = np.clip(windows, -LARGEST_UV, LARGEST_UV).astype(np.float32)
    centred = windows - windows.mean(axis=-1, keepdims=True)
    if kept >= n_times:
        return centred, sfreq
    spectrum = np.fft.rfft(centred)[..., : kept // 2 + 1] * np.float32(kept / n_times)
    return np.fft.irfft(spectrum, kept).astype(np.float32), sfreq * kept / n_times


def band(n_times: int, sfreq: float) -> np.ndarray:
    """Which frequencies of a real spectrum are looked at."""
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    return (hz >= LOW_HZ) & (hz <= min(HIGH_HZ, 0.45 * sfreq))


def log_spectra(
    signals: Float[np.ndarray, "window channel time"], sfreq: float, start: float
) -> Float[np.ndarray, "window group frequency"]:
    """Log power of half of every window, from `start` (a part of the window) on; the mean of each group of channels."""
    n_times = signals.shape[-1]
    first = round(start * n_times)
    half = signals[..., first : first + n_times // 2]
    n_times = half.shape[-1]
    taper = np.hanning(n_times + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft((half - half.mean(axis=-1, keepdims=True)) * taper)[..., band(n_times, sfreq)]
    log = np.log(np.abs(spectrum) ** 2 + TINY)
    groups = np.array_split(np.arange(log.shape[1]), min(GROUPS, log.shape[1]))
    return np.stack([log[:, group].mean(axis=1) for group in groups], axis=1)


def usual_amplitude(
    signals: Float[np.ndarray, "window channel time"], sfreq: float
) -> Float[np.ndarray, "channel frequency"]:
    """The amplitude of each frequency of each channel over all windows; infinite where nothing is looked at."""
    taper = np.hanning(signals.shape[-1] + 1)[:-1].astype(np.float32)
    tapered = np.abs(np.fft.rfft(signals * taper)).mean(axis=0)
    used = band(signals.shape[-1], sfreq)
    # rounding, and the edges of a window, fill frequencies that hold nothing
    loud = tapered > 1e-2 * tapered[:, used].max(axis=1, keepdims=True, initial=TINY)
    # without a taper, as the signals are: where their edges are louder than they, they count less
    return np.where(used & loud, np.sqrt((np.abs(np.fft.rfft(signals)) ** 2).mean(axis=0)), np.inf)


def whitened(
    signals: Float[np.ndarray, "window channel time"], amplitude: Float[np.ndarray, "channel frequency"]
) -> Float[np.ndarray, "window channel time"]:
    """Signals in which each frequency of each channel counts alike."""
    return np.fft.irfft(np.fft.rfft(signals) / amplitude, signals.shape[-1]).astype(np.float32)


def at_best_lag(
    first: Float[np.ndarray, "channel time"], second: Float[np.ndarray, "channel time"]
) -> tuple[float, float, float]:
    """Correlation (its size), lag in samples and gain at the lag where `first[t + lag]` is most like `second[t]`.

    All channels have one lag and one gain. The lag is at most half a window, in steps of a quarter of a sample: 40 Hz
    at 100 samples a second is no longer alike half a sample away.
    """
    n_times = first.shape[-1]
    spectrum = (np.fft.rfft(first, 2 * n_times) * np.fft.rfft(second, 2 * n_times).conj()).sum(axis=0)
    products = FINER * np.fft.irfft(spectrum, 2 * n_times * FINER)
    steps = np.arange(-FINER * (n_times // 2), FINER * (n_times // 2) + 1)
    lags = np.round(steps / FINER).astype(int)
    start, stop = np.maximum(0, lags), np.minimum(n_times, n_times + lags)
    energies = [np.concatenate([[0.0], np.cumsum((signal**2).sum(axis=0))]) for signal in (first, second)]
    mine = energies[0][stop] - energies[0][start]
    theirs = energies[1][stop - lags] - energies[1][start - lags]
    correlation = np.abs(products[steps]) / np.sqrt(mine * theirs + TINY)
    i = int(np.argmax(correlation))
    return float(correlation[i]), float(steps[i]) / FINER, float(products[steps[i]] / (theirs[i] + TINY))
