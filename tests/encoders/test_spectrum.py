import numpy as np
import pytest
import scipy.signal
import torch

from eegfm.contracts import EegfmError
from eegfm.encoders.spectrum import FLOOR, Spectrum


def eeg_like(n: int, *, seed: int) -> np.ndarray:
    """Coloured noise on an offset, in µV."""
    rng = np.random.default_rng(seed)
    return 4 * rng.standard_normal((n, 200)).cumsum(1) + 100 * rng.standard_normal((n, 1))


def sine(frequency: float, amplitude: float, phase: float = 0.3) -> torch.Tensor:
    return amplitude * torch.sin(2 * torch.pi * frequency * torch.arange(200) / 200 + phase)[None]


def power(decibels: torch.Tensor) -> torch.Tensor:
    return 10 ** (decibels.double() / 10)


@pytest.mark.parametrize("high_hz", [1, 45, 99])
def test_it_is_scipys_periodogram_in_decibels(high_hz):
    series = eeg_like(20, seed=0)
    frequencies, density = scipy.signal.periodogram(
        series, fs=200, window="hann", detrend="constant", scaling="density"
    )
    encoder = Spectrum(high_hz=high_hz)
    np.testing.assert_array_equal(frequencies[1 : high_hz + 1], np.arange(1, encoder.width + 1))
    expected = 10 * np.log10(np.maximum(density[:, 1 : high_hz + 1], FLOOR))
    vectors = encoder.encode(torch.from_numpy(series)).numpy()
    np.testing.assert_allclose(vectors, expected, atol=2e-3)  # dB; float32 against float64


@pytest.mark.parametrize("frequency", [2, 10, 37, 97])
def test_a_sine_has_half_its_squared_amplitude_as_power(frequency):
    """Parseval: 20 µV are 200 µV², over the three bins of 1 Hz that the window spreads them."""
    density = power(Spectrum(high_hz=99).encode(sine(frequency, 20.0)))[0]
    around = density[frequency - 2 : frequency + 1]  # bin k stands at k − 1
    assert around.sum().item() == pytest.approx(200.0, rel=1e-3)
    assert (density.sum() - around.sum()).item() < 99 * 1.01 * FLOOR
    assert density.argmax().item() == frequency - 1


def test_ten_times_the_amplitude_is_twenty_decibels_more():
    series = torch.from_numpy(eeg_like(5, seed=1))
    louder = Spectrum().encode(10 * series)
    torch.testing.assert_close(louder, Spectrum().encode(series) + 20, rtol=0, atol=1e-3)


def test_an_offset_changes_nothing():
    series = torch.from_numpy(eeg_like(5, seed=2))
    torch.testing.assert_close(
        Spectrum().encode(series + 300), Spectrum().encode(series), rtol=0, atol=1e-2
    )


def test_a_drift_stays_out_of_the_beta_band():
    """Why there is a window: without one, 100 µV of drift put 1.2 dB at 20 Hz."""
    drift = torch.linspace(0, 100, 201)[None, :200]
    without = scipy.signal.periodogram(drift.numpy(), fs=200, window="boxcar")[1][0, 20]
    assert 10 * np.log10(without) == pytest.approx(1.2, abs=0.1)
    assert Spectrum().encode(drift)[0, 19] < -39.9


def test_a_flat_second_lies_on_the_floor():
    assert Spectrum().encode(torch.full((1, 200), 7.0)).tolist() == [pytest.approx([-40.0] * 45)]


@pytest.mark.parametrize("high_hz", [0, 100, 250])
def test_frequencies_that_are_not_there_are_refused(high_hz):
    with pytest.raises(EegfmError, match=f"high_hz={high_hz}.*from 1 to 99 Hz"):
        Spectrum(high_hz=high_hz)


def test_the_recipe_tells_two_widths_apart():
    assert Spectrum(high_hz=45).settings() != Spectrum(high_hz=40).settings()
    assert Spectrum(input_norm="none").settings() == Spectrum().settings()
