"""Log power spectrum of one second: an encoder that needs no weights.

The periodogram as in scipy.signal.periodogram(window="hann", detrend="constant", scaling="density"), in decibels.

Why a Hann window: EEG falls steeply with frequency, and slow drifts do not close on themselves within a second.
Without a window a drift of 100 µV in the second alone puts 1.2 dB (re 1 µV²/Hz) at 20 Hz, about what cortical
rhythms have there; with it, −53 dB. The price is resolution: a sine at a whole frequency spreads over three bins.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eegfm.contracts import EegfmError
from eegfm.encoders.base import SECOND, SFREQ, as_seconds

# µV²/Hz. −40 dB, below the noise of EEG amplifiers (0.02 µV/√Hz is −34 dB): what is less is a flat channel or the
# stop-band of a filter, and must not become an outlier that owns the mean and the deviation of its frequency.
FLOOR = 1e-4


class Spectrum:
    """Power at 1, 2, …, `high_hz` Hz in dB relative to 1 µV²/Hz.

    The amplitude is the signal here, so the input norm is "standardise" (the training set's mean and deviation per
    channel and frequency); an instance norm would remove the amplitude before the backbone sees it.

    Args:
        high_hz: the last frequency, at most 99. 45 stays clear of the mains (50 and 60 Hz, and the 2 Hz that the window
            spreads them) and ends where the band-power baseline ends.
        input_norm: what a backbone should do with the vectors first. Not used here.
    """

    name = "spectrum"
    sfreq = SFREQ

    def __init__(self, *, high_hz: int = 45, input_norm: str = "standardise") -> None:
        if not 1 <= high_hz < SECOND // 2:
            raise EegfmError(
                f"encoder.high_hz={high_hz}: one second at {SFREQ:g} Hz has frequencies from 1 to "
                f"{SECOND // 2 - 1} Hz. Use encoder.high_hz=45."
            )
        self.width = high_hz
        self.input_norm = input_norm

    def settings(self) -> dict[str, Any]:
        """What changes a vector, for the store's recipe."""
        return {"high_hz": self.width, "window": "hann", "unit": "dB re 1 uV2/Hz", "floor": FLOOR}

    def encode(self, series: Float[Tensor, "series time"]) -> Float[Tensor, "series width"]:
        """Spectra in dB of seconds in µV, on the device of `series`; nothing is below −40 dB.

        Raises:
            EegfmError: the series are not 200 samples long.
        """
        series = as_seconds(series, encoder=self.name)
        window = torch.hann_window(SECOND, periodic=True, device=series.device)
        spectrum = torch.fft.rfft(
            (series - series.mean(dim=1, keepdim=True)) * window
        )  # series frequency; bins of 1 Hz
        # the factor 2: the negative frequencies, which every bin but 0 and 100 Hz stands for as well
        density = 2 * spectrum[:, 1 : self.width + 1].abs().square() / (SFREQ * window.square().sum())
        return 10 * density.clamp_min(FLOOR).log10()
