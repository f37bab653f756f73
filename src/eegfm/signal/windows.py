"""From a recording to windows. A window is named by its onset in seconds from the recording's first sample."""

import numpy as np
from jaxtyping import Float

from eegfm.signal.recording import Recording


def grid(recording: Recording, window_s: float) -> list[float]:
    """Onsets of windows that follow one another without gap from the first sample on; the tail is dropped."""
    n = round(window_s * recording.sfreq)
    return [i * n / recording.sfreq for i in range(recording.n_times // n)]


def fits(recording: Recording, onset_s: float, window_s: float) -> bool:
    """Whether a window lies within the recording to its last sample: what MNE's Epochs keeps."""
    start, n = _span(recording, onset_s, window_s)
    return start >= 0 and start + n <= recording.n_times


def cut(recording: Recording, onset_s: float, window_s: float) -> Float[np.ndarray, "channel time"]:
    """The window's samples in microvolts, as a view; it must fit (benchmarks decide what becomes of one that does not).

    The first sample is the nearest to the onset, half a sample going to the even one, as in MNE.
    """
    start, n = _span(recording, onset_s, window_s)
    assert fits(recording, onset_s, window_s), f"{recording.path}: no window of {window_s} s at {onset_s} s"
    return recording.data[:, start : start + n]


def _span(recording: Recording, onset_s: float, window_s: float) -> tuple[int, int]:
    return round(onset_s * recording.sfreq), round(window_s * recording.sfreq)
