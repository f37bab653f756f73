"""The terms of a reconstruction loss: Parseval's theorem, what each is blind to, and what hidden samples change."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import stft as scipy_stft
from torch.nn import functional as F

from eegfm.contracts import EegfmError
from eegfm.nn.losses import FLOOR, STFT_SIZES, TERMS, WeightedSum, l1, mse, spectral, spectral_ortho, stft
from eegfm.nn.scaling import size_of

from .tokens import randn

SHAPE = (3, 4, 640)


def pair(seed=0, shape=SHAPE):
    return randn(*shape, seed=seed), randn(*shape, seed=seed + 1)


def test_l1_and_mse_are_those_of_torch():
    pred, true = pair()
    torch.testing.assert_close(l1(pred, true), F.l1_loss(pred, true))
    torch.testing.assert_close(mse(pred, true), F.mse_loss(pred, true))


@given(n_times=st.integers(1, 65), seed=st.integers(0, 2**32))
def test_parseval_is_exact_once_each_frequency_is_counted_twice_that_has_a_twin(n_times, seed):
    pred, true = (
        torch.from_numpy(np.random.default_rng([seed, i]).normal(size=(1, 1, n_times))) for i in (0, 1)
    )
    power = torch.fft.rfft(pred - true).abs().square()[0, 0]
    alone = power[0] + (power[-1] if n_times % 2 == 0 else 0)  # frequencies without a twin
    expected = (n_times**2 * mse(pred, true) + alone) / 2 / len(power)
    torch.testing.assert_close(spectral(pred, true), expected)
    torch.testing.assert_close(spectral_ortho(pred, true) * n_times, expected)


def test_stft_against_scipy():
    pred, true = (x.double() for x in pair(shape=(1, 2, 640)))
    expected = []
    for size in STFT_SIZES:
        power = []
        for x in (pred, true):
            padded = np.pad(x.numpy(), ((0, 0), (0, 0), (size // 2, size // 2)), mode="reflect")
            window = np.hanning(size + 1)[:-1]  # periodic
            found = scipy_stft(
                padded, window=window, nperseg=size, noverlap=size // 2, boundary=None, padded=False
            )[2]
            power.append(np.abs(found * window.sum()) ** 2)
        floor = FLOOR * power[1].mean(axis=(-2, -1), keepdims=True)
        expected.append(np.abs(np.log((power[0] + floor) / (power[1] + floor))).mean() / 2)
    assert float(stft(pred, true)) == pytest.approx(np.mean(expected), rel=1e-9)


def test_stft_sees_the_spectrum_and_not_the_phase():
    """A rhythm turned by half a cycle is far off in time and the same in the spectrum; a lost weak rhythm is not."""
    t = torch.arange(1280) / 200
    slow = torch.sin(2 * torch.pi * 10 * t)[None, None]
    turned, fast = -slow, slow + 0.1 * torch.sin(2 * torch.pi * 35 * t)
    assert stft(turned, slow) < 1e-4 < 0.1 < stft(slow, fast)
    assert mse(turned, slow) > 100 * mse(slow, fast)


def test_stft_has_no_unit():
    pred, true = pair()
    torch.testing.assert_close(stft(50 * pred, 50 * true), stft(pred, true), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_zero_at_the_truth_and_its_gradient_finite_there_and_at_silence(name):
    true = randn(2, 3, 640)
    true[0, 0] = 0
    for start in (true, torch.zeros_like(true)):
        pred = start.clone().requires_grad_()
        found = TERMS[name](pred, true, None)
        found.backward()
        assert torch.isfinite(found) and torch.isfinite(pred.grad).all()
    assert float(TERMS[name](true, true, None)) == 0
    assert float(TERMS[name](true + 0.1, true, None)) > 0


@pytest.mark.parametrize("name", TERMS)
def test_a_term_on_hidden_samples_does_not_see_the_visible_ones(name):
    pred, true = pair()
    hidden = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) < 0.5
    elsewhere = torch.where(hidden, pred, 100 * randn(*SHAPE, seed=9))
    term = TERMS[name]
    torch.testing.assert_close(term(elsewhere, true, hidden), term(pred, true, hidden), rtol=1e-4, atol=0)
    assert not torch.isclose(term(elsewhere, true, None), term(pred, true, None), rtol=0.1)
    moved = torch.where(hidden, pred + 1, pred)
    assert not torch.isclose(term(moved, true, hidden), term(pred, true, hidden), rtol=1e-3)


def test_l1_and_mse_on_hidden_samples_are_means_over_them():
    pred, true = pair()
    hidden = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) < 0.3
    torch.testing.assert_close(l1(pred, true, hidden), (pred - true).abs()[hidden].mean())
    torch.testing.assert_close(mse(pred, true, hidden), (pred - true).square()[hidden].mean())


@pytest.mark.parametrize("name", TERMS)
def test_half_precision_is_close(name):
    pred, true = pair()
    rough = TERMS[name](pred.bfloat16(), true.bfloat16(), None)
    torch.testing.assert_close(rough.float(), TERMS[name](pred, true, None), rtol=0.03, atol=0)


def test_the_sum_is_weighted_and_the_terms_are_not():
    pred, true = pair()
    total, terms = WeightedSum({"l1": 0.5, "mse": 2.0, "spectral": 0.0})(pred, true)
    assert set(terms) == {"l1", "mse"}
    torch.testing.assert_close(total, 0.5 * l1(pred, true) + 2 * mse(pred, true))
    torch.testing.assert_close(terms["mse"], mse(pred, true))


@pytest.mark.parametrize("weights", [{}, {"l1": 0.0}, {"l2": 1.0}, {"l1": 1.0, "mse": -1.0}])
def test_weights_that_name_no_loss_are_refused(weights):
    with pytest.raises(EegfmError, match="l1, mse, spectral, spectral_ortho, stft"):
        WeightedSum(weights)


def test_stft_of_too_short_windows_is_refused():
    with pytest.raises(EegfmError, match=r"task\.loss\.stft=0"):
        stft(*pair(shape=(1, 1, 20)))


def test_the_quantile_scale_is_that_of_the_published_loader():
    """NumPy's 0.95 quantile of |x| of each channel of each window, plus 1e-8; a constant is a constant."""
    x = 20 * randn(4, 3, 257)
    expected = np.quantile(np.abs(x.numpy()), 0.95, axis=-1, keepdims=True) + 1e-8
    np.testing.assert_allclose(size_of(x, "quantile"), expected, rtol=1e-6)
    assert (size_of(x, 100.0) == 100).all() and (size_of(x, None) == 1).all()
    assert (torch.zeros(1, 1, 8) / size_of(torch.zeros(1, 1, 8), "quantile") == 0).all()
    with pytest.raises(EegfmError, match="scale=0"):
        size_of(x, 0.0)
    with pytest.raises(EegfmError, match="encoder=raw"):
        size_of(randn(1, 2, 3, 4), "quantile")
