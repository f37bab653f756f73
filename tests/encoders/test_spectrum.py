import numpy as np
import pytest
import scipy.signal
import torch

from eegfm.contracts import EegfmError
from eegfm.encoders.spectrum import FLOOR, Spectrum, sine_tapers


def eeg_like(n: int, *, seed: int, second: int = 200) -> np.ndarray:
    """Coloured noise on an offset, in µV."""
    rng = np.random.default_rng(seed)
    return 4 * rng.standard_normal((n, second)).cumsum(1) + 100 * rng.standard_normal((n, 1))


def sine(frequency: float, amplitude: float, phase: float = 0.3) -> torch.Tensor:
    return amplitude * torch.sin(2 * torch.pi * frequency * torch.arange(200) / 200 + phase)[None]


def power(decibels: torch.Tensor) -> torch.Tensor:
    return 10 ** (decibels.double() / 10)


@pytest.mark.parametrize(("high_hz", "second"), [(1, 200), (45, 200), (99, 200), (45, 128)])
@pytest.mark.parametrize("tapers", [1, 3, 7])
def test_it_is_the_mean_of_scipys_periodograms_in_decibels(high_hz, second, tapers):
    series = eeg_like(20, seed=0, second=second)
    density = np.zeros((20, second // 2 + 1))
    for order in range(1, tapers + 1):
        taper = np.sin(np.pi * order * np.arange(1, second + 1) / (second + 1))
        frequencies, one = scipy.signal.periodogram(
            series, fs=second, window=taper, detrend="constant", scaling="density"
        )
        density += one / tapers
    encoder = Spectrum(high_hz=high_hz, tapers=tapers, sfreq=second)
    np.testing.assert_array_equal(frequencies[1 : high_hz + 1], np.arange(1, encoder.width + 1))
    expected = 10 * np.log10(np.maximum(density[:, 1 : high_hz + 1], FLOOR))
    vectors = encoder.encode(torch.from_numpy(series)).numpy()
    np.testing.assert_allclose(vectors, expected, atol=2e-3)  # dB; float32 against float64


def test_the_tapers_are_orthonormal():
    tapers = sine_tapers(5)
    torch.testing.assert_close(tapers @ tapers.T, torch.eye(5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("frequency", [5, 10, 37, 94])
def test_a_sine_has_half_its_squared_amplitude_as_power(frequency):
    """Parseval: 20 µV are 200 µV², nearly all within 2 Hz of the sine."""
    density = power(Spectrum(high_hz=99).encode(sine(frequency, 20.0)))[0]
    around = density[frequency - 3 : frequency + 2]  # bin k stands at k − 1
    assert density.sum().item() == pytest.approx(200.0, rel=0.03)
    assert around.sum().item() > 0.97 * density.sum().item()


def test_three_tapers_steady_the_logarithm_of_noise():
    """White noise: the decibels of a chi-square variable of 2 and of 6 degrees of freedom."""
    noise = torch.randn(4000, 200, generator=torch.Generator().manual_seed(0)) * 10
    assert Spectrum(tapers=1).encode(noise)[:, 9].std().item() == pytest.approx(5.57, abs=0.2)
    assert Spectrum(tapers=3).encode(noise)[:, 9].std().item() == pytest.approx(2.73, abs=0.2)


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
    """Why there are tapers: without, 100 µV of drift put 1.2 dB at 20 Hz."""
    drift = torch.linspace(0, 100, 201)[None, :200]
    without = scipy.signal.periodogram(drift.numpy(), fs=200, window="boxcar")[1][0, 20]
    assert 10 * np.log10(without) == pytest.approx(1.2, abs=0.1)
    assert Spectrum().encode(drift)[0, 19] < -25


def test_a_flat_second_lies_on_the_floor():
    assert Spectrum().encode(torch.full((1, 200), 7.0)).tolist() == [pytest.approx([-40.0] * 45)]


@pytest.mark.parametrize("high_hz", [0, 100, 250])
def test_frequencies_that_are_not_there_are_refused(high_hz):
    with pytest.raises(EegfmError, match=f"high_hz={high_hz}.*from 1 to 99 Hz"):
        Spectrum(high_hz=high_hz)


def test_a_number_of_tapers_that_cannot_be_is_refused():
    with pytest.raises(EegfmError, match="tapers=0: 1 to 10"):
        Spectrum(tapers=0)


def test_the_recipe_tells_two_widths_apart():
    assert Spectrum(tapers=3).settings() != Spectrum(tapers=4).settings()
    assert Spectrum(high_hz=45).settings() != Spectrum(high_hz=40).settings()
    assert Spectrum(input_norm="none").settings() == Spectrum().settings()
