"""Steps for windows that a protocol has cut before it processes them: each is then a piece of the recording."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from eegfm.contracts import EegfmError
from eegfm.signal.recording import Recording, refuse_above_nyquist


@dataclass(frozen=True)
class ChebyshevBandPass:
    """Keep low to high Hz by a Chebyshev filter of type II, run forward and backward (`scipy.signal.sosfiltfilt`).

    `low` and `high` lose at most `gpass` dB in one run, `stop_low` and `stop_high` at least `gstop` dB; SciPy chooses
    the order. SciPy's extension of each end by its mirror image is a fraction of what 0.5 Hz needs: on pieces of 2 s
    the ends ring, as in a published protocol.
    """

    stop_low: float
    low: float
    high: float
    stop_high: float
    gpass: float = 1.0
    gstop: float = 40.0
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 < self.stop_low < self.low < self.high < self.stop_high:
            raise EegfmError(f"{self}: frequencies that rise are wanted, as 0.2, 0.5, 40, 48.")

    def __call__(self, recording: Recording) -> Recording:
        refuse_above_nyquist(self, recording, self.stop_high)
        sections = self.sections(recording.sfreq)
        return recording.by_piece(lambda data: scipy.signal.sosfiltfilt(sections, data, axis=1))

    def sections(self, sfreq: float) -> np.ndarray:
        """The filter at a rate, in second-order sections."""
        return scipy.signal.iirdesign(
            (self.low, self.high),
            (self.stop_low, self.stop_high),
            self.gpass,
            self.gstop,
            ftype="cheby2",
            output="sos",
            fs=sfreq,
        )


@dataclass(frozen=True)
class CutSliding:
    """One piece every `hop_s`, `length_s` long, from the first sample of every piece on; tails are dropped."""

    length_s: float
    hop_s: float
    version: ClassVar[int] = 1
    cuts: ClassVar[bool] = True

    def __call__(self, recording: Recording) -> Recording:
        n, hop = round(self.length_s * recording.sfreq), round(self.hop_s * recording.sfreq)
        cut = [
            (recording.data[:, first : first + n], piece.onset_s + (first - start) / recording.sfreq)
            for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
            for first in range(start, end - n + 1, hop)
        ]
        return recording.in_pieces([data for data, _ in cut], [onset for _, onset in cut])
