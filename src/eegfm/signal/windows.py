"""Cut a recording into windows. A window's name is its onset in seconds of the file, even after earlier cuts."""

import numpy as np
from jaxtyping import Float

from eegfm.signal.recording import Recording


def grid(recording: Recording, window_s: float, hop_s: float | None = None) -> list[float]:
    """Onsets of windows in every piece, from its first sample on; tails are dropped.

    The windows are adjacent, or begin every `hop_s` seconds.
    """
    n = round(window_s * recording.sfreq)
    hop = n if hop_s is None else round(hop_s * recording.sfreq)
    return [
        piece.onset_s + first / recording.sfreq
        for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
        for first in range(0, end - start - n + 1, hop)
    ]


def fits(recording: Recording, onset_s: float, window_s: float) -> bool:
    """Whether a piece holds the whole window; in a continuous file, MNE's Epochs keeps the same windows."""
    return _span(recording, onset_s, window_s) is not None


def cut(recording: Recording, onset_s: float, window_s: float) -> Float[np.ndarray, "channel time"]:
    """The window's samples in microvolts, as a view. It must fit; benchmarks decide about windows that do not.

    The first sample is the one nearest to the onset; half samples round to even, as in MNE. If pieces
    overlap in the file, the window is cut from the piece that begins last before it.
    """
    span = _span(recording, onset_s, window_s)
    assert span is not None, f"{recording.path}: no window of {window_s} s at {onset_s} s"
    return recording.data[:, span[0] : span[1]]


def _span(recording: Recording, onset_s: float, window_s: float) -> tuple[int, int] | None:
    """The first column and the column after the last, or None if the window does not fit."""
    n = round(window_s * recording.sfreq)
    best = None
    for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True):
        first = start + round((onset_s - piece.onset_s) * recording.sfreq)
        if start <= first and first + n <= end and (best is None or piece.onset_s >= best[0]):
            best = (piece.onset_s, first)
    return None if best is None else (best[1], best[1] + n)
