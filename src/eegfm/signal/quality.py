"""Check that a recording is EEG in microvolts, before a bad file becomes numbers in a table."""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN, Recording

# Scalp EEG is tens of microvolts. The range must only tell units apart: it is narrower than a factor of a
# thousand, and wide enough for unfiltered recordings.
LOW_UV, HIGH_UV = 1.0, 500.0
# Of a single channel, which may be dead, loose, or of an eye or a muscle. The largest real sample known here is
# 7e5 µV (EEG Eye State); the smallest step of an amplifier is about 0.01 µV.
CHANNEL_LOW_UV, CHANNEL_BEYOND_UV = 0.1, 1e5
BEYOND_UV, STILL_UV = 1e7, 0.01
# one value for so long is suspect; real recordings end with up to 1.1 s of one (a last record that was filled)
STUCK_S, STUCK_PART = 5.0, 0.25


class Measured:
    """What each channel of an unprocessed recording holds, gathered part by part in constant memory."""

    def __init__(self, names: Sequence[str], sfreq: float) -> None:
        self.names, self.sfreq, self.n_times = names, sfreq, 0
        self.lowest, self.highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        self.longest = np.zeros(len(names), dtype=int)  # samples of one value in a row
        self._row = np.zeros(len(names), dtype=int)  # of them, those that end with the last sample
        self._last = np.full(len(names), np.nan)
        self._sums = [(0, 1)] * len(names)  # two sums of the bytes: equal channels have equal ones

    def add(self, data: Float[np.ndarray, "channel time"]) -> None:
        """The next part."""
        n = data.shape[1]
        if not n:
            return
        self.n_times += n
        # both are NaN if any value is
        self.lowest, self.highest = (
            np.minimum(self.lowest, data.min(axis=1)),
            np.maximum(self.highest, data.max(axis=1)),
        )
        for i, row in enumerate(data):
            moves = np.flatnonzero(row[1:] != row[:-1]) + 1
            before = self._row[i] if row[0] == self._last[i] else 0
            edges = np.concatenate([[-before], moves, [n]])
            self.longest[i] = max(self.longest[i], np.diff(edges).max())
            self._row[i], self._last[i] = edges[-1] - edges[-2], row[-1]
            content = np.ascontiguousarray(row).data
            self._sums[i] = zlib.crc32(content, self._sums[i][0]), zlib.adler32(content, self._sums[i][1])

    def fault(self) -> str:
        """Why nothing can be computed of the recording; "" where it can."""
        if not self.n_times:
            return "holds no samples"
        span = self.highest - self.lowest
        broken, beyond = ~np.isfinite(span), np.maximum(self.highest, -self.lowest) > BEYOND_UV
        if broken.any():
            return f"holds NaN or infinite values in {self._these(broken)}"
        if beyond.any():
            most = max(self.highest.max(), -self.lowest.min())
            return f"holds {most:.3g} µV, which no amplifier measures, in {self._these(beyond)}"
        return ""

    def still(self) -> str:
        """Which channels do not move, or less than any electrode does; "" for none."""
        span = self.highest - self.lowest
        flat, still = span == 0, (span > 0) & (span < STILL_UV)
        if flat.any():
            return f"is flat, one value from beginning to end, in {self._these(flat)}"
        if still.any() and not still.all():  # of all channels, `check_amplitude` says more
            return (
                f"moves by {span[still].max():.3g} µV at most, as if volts were taken for microvolts, in "
                f"{self._these(still)}"
            )
        return ""

    def doubts(self) -> tuple[str, ...]:
        """What is suspect of single channels, and may be so in a real recording."""
        found, long_s = [], min(STUCK_S, STUCK_PART * self.n_times / self.sfreq)
        stuck = (self.longest / self.sfreq >= long_s) & (self.longest < self.n_times)
        if stuck.any():
            longest_s = self.longest[stuck].max() / self.sfreq
            found.append(f"one value for {longest_s:.3g} s in {self._these(stuck)}")
        owners: dict[tuple[int, int], list[str]] = {}
        for name, sums, moves in zip(self.names, self._sums, self.highest > self.lowest, strict=True):
            if moves:
                owners.setdefault(sums, []).append(name)
        alike = [" = ".join(names) for names in owners.values() if len(names) > 1]
        if alike:
            found.append(f"the same samples in several channels: {', '.join(alike)}")
        return tuple(found)

    def _these(self, which: np.ndarray) -> str:
        names = [self.names[i] for i in np.flatnonzero(which).tolist()]
        return f"{len(names)} of {len(which)} channels: {', '.join(names)}"


def check_recording(recording: Recording, *, raw_sfreq: Sequence[float] = ()) -> tuple[str, ...]:
    """What is suspect of single channels of an unprocessed recording (see `Measured.doubts`).

    `raw_sfreq` holds the rates that the corpus is known to have; empty accepts any. Raises EegfmError if the recording
    is empty, of a wrong rate, not finite, beyond any amplifier, or flat in a channel.
    """
    if raw_sfreq and not np.isclose(recording.sfreq, raw_sfreq, rtol=1e-6, atol=0).any():
        known = " or ".join(f"{rate:g}" for rate in raw_sfreq)
        raise EegfmError(
            f"{_name(recording)} is sampled at {recording.sfreq:g} Hz; the corpus has {known} Hz. "
            f"It is another edition or was resampled. {FETCH_AGAIN}"
        )
    measured = Measured(recording.montage.names, recording.sfreq)
    measured.add(recording.data)
    fault = measured.fault() or measured.still()
    if fault:
        raise EegfmError(f"{_name(recording)} {fault}. {FETCH_AGAIN}")
    return measured.doubts()


def check_amplitude(recording: Recording) -> tuple[str, ...]:
    """Which channels of a processed recording do not have the amplitude of EEG, as a sentence or none.

    The measure is the median distance of a channel from its own median: an offset and single artefacts do not change
    it; a wrong unit does. Raises EegfmError if the median over channels is not that of EEG in microvolts, which a
    drifting or dead channel does not change, or if a channel's is not that of anything an electrode can measure.
    """
    # two thousand samples reveal a unit, and medians of all would cost as much as a filter
    data = recording.data[:, :: max(1, recording.n_times // 2000)]
    centre = np.median(data, axis=1, keepdims=True)
    sizes = np.median(np.abs(data - centre), axis=1)
    size = float(np.median(sizes))
    if LOW_UV <= size <= HIGH_UV:  # false for NaN as well
        own = [*zip(recording.montage.names, sizes.tolist(), strict=True)]
        beyond = [f"{name} {size:.3g} µV" for name, size in own if not size <= CHANNEL_BEYOND_UV]
        if beyond:
            raise EegfmError(
                f"{_name(recording)}: the typical value of single channels is no electrode's: {', '.join(beyond)}; the "
                f"median over channels is {size:.3g} µV. Check their unit in the file's header. {FETCH_AGAIN}"
            )
        odd = [f"{name} {size:.3g} µV" for name, size in own if not CHANNEL_LOW_UV <= size <= HIGH_UV]
        return (f"typical values that are not EEG's: {', '.join(odd)}",) if odd else ()
    for factor, guess in (
        (1e6, "volts were taken for microvolts, a factor of 1e6"),
        (1e3, "millivolts were taken for microvolts, a factor of 1e3"),
        (1e-3, "nanovolts were taken for microvolts, a factor of 1e3"),
        (1e-6, "microvolts were taken for volts and scaled by 1e6 once too often"),
    ):
        if LOW_UV <= size * factor <= HIGH_UV:
            reason = f"It looks as if {guess}: check the unit in the file's header."
            break
    else:
        reason = "It is no EEG, or its unit is wrong."
    raise EegfmError(
        f"{_name(recording)}: the typical value is {size:.3g} µV from its channel's median; EEG lies between "
        f"{LOW_UV:g} and {HIGH_UV:g} µV. {reason} {FETCH_AGAIN}"
    )


def _name(recording: Recording) -> str:
    return str(recording.path or "This recording")
