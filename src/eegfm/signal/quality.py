"""Check that a recording is EEG in microvolts, before a bad file becomes numbers in a table."""

from collections.abc import Sequence

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN, Recording

# Scalp EEG is tens of microvolts. The range must only tell units apart: it is narrower than a factor of a
# thousand, and wide enough for unfiltered recordings.
LOW_UV, HIGH_UV = 1.0, 500.0


def check_recording(recording: Recording, *, raw_sfreq: Sequence[float] = ()) -> None:
    """Raise EegfmError if an unprocessed recording is empty, of a wrong rate, not finite, or flat in a channel.

    `raw_sfreq` holds the rates that the corpus is known to have; empty accepts any.
    """
    if raw_sfreq and not np.isclose(recording.sfreq, raw_sfreq, rtol=1e-6, atol=0).any():
        known = " or ".join(f"{rate:g}" for rate in raw_sfreq)
        raise EegfmError(
            f"{_name(recording)} is sampled at {recording.sfreq:g} Hz; the corpus has {known} Hz. "
            f"It is another edition or was resampled. {FETCH_AGAIN}"
        )
    if recording.n_times == 0:
        raise EegfmError(f"{_name(recording)} holds no samples. {FETCH_AGAIN}")
    highest, lowest = (
        recording.data.max(axis=1),
        recording.data.min(axis=1),
    )  # both are NaN if any value is
    broken = np.asarray(~np.isfinite(highest - lowest))
    if broken.any():
        raise EegfmError(
            f"{_name(recording)} holds NaN or infinite values in {_rows(recording, broken)}. {FETCH_AGAIN}"
        )
    flat = highest == lowest
    if flat.any():
        raise EegfmError(
            f"{_name(recording)} is flat, one value from beginning to end, in {_rows(recording, flat)}. {FETCH_AGAIN}"
        )


def check_amplitude(recording: Recording) -> None:
    """Raise EegfmError if a processed recording does not have the amplitude of EEG in microvolts.

    The measure is the median over channels of the median distance of a channel from its own median: a
    drifting or dead channel, an offset and single artefacts do not change it; a wrong unit does.
    """
    # two thousand samples reveal a unit, and medians of all would cost as much as a filter
    data = recording.data[:, :: max(1, recording.n_times // 2000)]
    centre = np.median(data, axis=1, keepdims=True)
    size = float(np.median(np.median(np.abs(data - centre), axis=1)))
    if LOW_UV <= size <= HIGH_UV:  # false for NaN as well
        return
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


def _rows(recording: Recording, which: np.ndarray) -> str:
    names = [recording.montage.names[i] for i in np.flatnonzero(which)]
    return f"{len(names)} of {len(which)} channels: {', '.join(names)}"
