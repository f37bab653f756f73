"""Signal processing as a list of small facts: each step is a frozen dataclass, Recording -> Recording.

A step's fields are what a reader must know to repeat it; they and its `version` go into the store's fingerprint. The
work is MNE's; nothing here filters by hand. Every step is the method of MNE's Raw with its defaults: filters are linear
FIR (firwin, Hamming), zero-phase in one pass, over the whole recording with its ends reflected.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import mne
import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.recording import Recording


class Step(Protocol):
    """One visible operation. `version` rises when the same fields come to mean other bytes."""

    version: ClassVar[int]

    def __call__(self, recording: Recording) -> Recording: ...


@dataclass(frozen=True)
class Resample:
    """Change the rate by MNE's FFT method with its automatic padding, as `raw.resample(sfreq)` does."""

    sfreq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        # as MNE's Raw: nothing to do, no byte changes
        if np.isclose(self.sfreq, recording.sfreq, rtol=1e-6, atol=0):
            return recording
        data = mne.filter.resample(
            recording.data,
            up=self.sfreq,
            down=recording.sfreq,
            method="fft",
            npad="auto",  # pyright: ignore[reportArgumentType] -- MNE: int or "auto"
            pad="auto",
            verbose=False,
        )
        return recording.with_data(data, self.sfreq)


@dataclass(frozen=True)
class BandPass:
    """Keep low to high Hz, as `raw.filter(low, high)` does; None leaves that side open (a high-pass, a low-pass).

    The numbers are the edges of the pass-band, not the half-amplitude points: those (-6 dB) lie half a transition
    outside, which is min(max(low / 4, 2), low) Hz wide below and min(max(high / 4, 2), Nyquist - high) above. So
    `low=0.3` is -6 dB at 0.15 Hz and its kernel is 11 s long.
    """

    low: float | None
    high: float | None
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise EegfmError(
                "BandPass(low=None, high=None) does nothing: give one edge, or leave the step out."
            )
        if self.low is not None and self.high is not None and not self.low < self.high:
            # MNE would make a band-stop of it without a word
            raise EegfmError(f"BandPass(low={self.low:g}, high={self.high:g}): low must be below high.")

    def __call__(self, recording: Recording) -> Recording:
        _refuse_above_nyquist(self, recording, self.high or self.low)
        return recording.with_data(
            mne.filter.filter_data(recording.data, recording.sfreq, self.low, self.high, verbose=False)
        )


@dataclass(frozen=True)
class Notch:
    """Remove the mains at `freq` Hz, not its harmonics, as `raw.notch_filter(freq)` does.

    Half the amplitude (-6 dB) is left at freq ± (freq / 400 + 0.25) Hz: 59.60 and 60.40 Hz for 60 Hz. (MNE's log says
    59.10 and 60.90; measured, they are not.)
    """

    freq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        _refuse_above_nyquist(self, recording, self.freq)
        return recording.with_data(
            mne.filter.notch_filter(recording.data, recording.sfreq, self.freq, verbose=False)
        )


@dataclass(frozen=True)
class AverageReference:
    """Subtract the mean over all rows from each, as `raw.set_eeg_reference("average")` does."""

    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        return recording.with_data(recording.data - recording.data.mean(axis=0))


def _refuse_above_nyquist(step: Step, recording: Recording, freq: float | None) -> None:
    if freq is not None and freq >= recording.sfreq / 2:
        raise EegfmError(
            f"{recording.path or 'This recording'}: {step} is not possible at {recording.sfreq:g} Hz, where "
            f"{recording.sfreq / 2:g} Hz is the highest frequency there is. Put the steps right (data.steps)."
        )
