"""From a recording to windows. A window is named by its onset in seconds of the file, whatever was cut out before."""

import numpy as np
from jaxtyping import Float

from eegfm.signal.recording import Recording


def grid(recording: Recording, window_s: float) -> list[float]:
    """Onsets of windows without a gap between them, in every piece from its first sample on; tails are dropped."""
    n = round(window_s * recording.sfreq)
    return [
        piece.onset_s + i * n / recording.sfreq
        for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
        for i in range((end - start) // n)
    ]


def fits(recording: Recording, onset_s: float, window_s: float) -> bool:
    """Whether a window lies within one piece to its last sample: in a continuous file, what MNE's Epochs keeps."""
    return _span(recording, onset_s, window_s) is not None


def cut(recording: Recording, onset_s: float, window_s: float) -> Float[np.ndarray, "channel time"]:
    """The window's samples in microvolts, as a view; it must fit (benchmarks decide what becomes of one that does not).

    The first sample is the nearest to the onset, half a sample going to the even one, as in MNE. Of pieces that overlap
    in the file, the one that begins last before the window is cut.
    """
    span = _span(recording, onset_s, window_s)
    assert span is not None, f"{recording.path}: no window of {window_s} s at {onset_s} s"
    return recording.data[:, span[0] : span[1]]


def _span(recording: Recording, onset_s: float, window_s: float) -> tuple[int, int] | None:
    """First column and column behind the last, or None where the window does not fit."""
    n = round(window_s * recording.sfreq)
    best = None
    for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True):
        first = start + round((onset_s - piece.onset_s) * recording.sfreq)
        if start <= first and first + n <= end and (best is None or piece.onset_s >= best[0]):
            best = (piece.onset_s, first)
    return None if best is None else (best[1], best[1] + n)
