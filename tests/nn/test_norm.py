"""Input norms: against NumPy, and what they promise about samples and batches (in evaluation: tests/parity)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.nn.norm import BatchNorm, InstanceNorm, Standardise
from tests.nn.tokens import as_a_person, float64, randn, randomise


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_times=st.integers(1, 4), n_channels=st.integers(2, 5))
def test_a_fresh_instance_norm_ignores_gain_and_offset_of_each_dimension(seed, n_times, n_channels):
    with float64():
        x = randn(2, n_times, n_channels, 5, seed=seed)
        x = x / x.std((1, 2), keepdim=True)  # two tokens may lie close together, where eps is not small
        gain, offset = randn(5, seed=seed + 1).abs() + 1, 10 * randn(5, seed=seed + 2)
        norm = InstanceNorm(5)
        torch.testing.assert_close(norm(gain * x + offset), norm(x), rtol=0, atol=1e-4)


def test_batch_norm_is_its_formula_and_keeps_running_statistics():
    with float64():
        norm = randomise(BatchNorm(7))
        x = 5 * randn(3, 4, 6, 7) + 2
        rows = x.reshape(-1, 7)
        scaled = (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm.train()(x), scaled.reshape(x.shape))
        torch.testing.assert_close(norm.running_mean, 0.1 * rows.mean(0))
        expected = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm.eval()(x), expected)


def test_standardise_has_numpys_mean_and_deviation_of_the_split():
    x = 3 * randn(20, 4, 5, 6) + randn(5, 6, seed=1)
    norm = Standardise(5, 6)
    norm.fit(x.split(7))
    everything = x.double().numpy()
    np.testing.assert_allclose(norm.mean, everything.mean((0, 1)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(norm.std, everything.std((0, 1)), rtol=1e-6)
    y = norm(x).double().numpy()
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 1)), 1, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 12), max_size=4), offset=st.sampled_from([0.0, 1e3, -1e6]))
def test_standardise_does_not_care_how_the_split_is_batched(cuts, offset):
    """Also far from zero, where a sum of squares would have lost every digit; and with an empty batch among them."""
    x = randn(12, 2, 3, 4, dtype=torch.float64) + offset
    whole, parts = Standardise(3, 4).double(), Standardise(3, 4).double()
    whole.fit([x])
    parts.fit(torch.tensor_split(x, sorted(cuts)))
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(parts.std, whole.std, rtol=1e-9, atol=0)


def test_standardise_reads_a_stream_once():
    x = randn(6, 2, 3, 4)
    seen = []
    norm = Standardise(3, 4)
    norm.fit(seen.append(i) or batch for i, batch in enumerate(x.split(2)))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("value", [0.0, 0.1, -273.15])
def test_a_constant_dimension_is_centred_and_not_blown_up(value):
    x = randn(30, 2, 3, 4)
    x[..., 1] = value
    norm = Standardise(3, 4)
    norm.fit(x.split(4))
    assert norm(x)[..., 1].abs().max() < 1e-4


def test_standardise_speaks_up_before_it_is_fitted():
    with pytest.raises(EegfmError, match="has not seen the training split"):
        Standardise(3, 4)(randn(2, 2, 3, 4))


def test_standardise_travels_in_the_state_dict():
    x = randn(6, 2, 3, 4)
    fitted, other = Standardise(3, 4), Standardise(3, 4)
    fitted.fit([x])
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other(x), fitted(x))
    other.load_state_dict(Standardise(3, 4).state_dict())
    with pytest.raises(EegfmError, match="has not seen"):
        other(x)


def test_standardise_learns_nothing_by_gradient():
    assert list(Standardise(3, 4).parameters()) == []


def test_a_split_that_cannot_be_fitted_leaves_things_as_they_were():
    x = randn(6, 2, 3, 4)
    norm = Standardise(3, 4)
    norm.fit([x])
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    spoilt = x.clone()
    spoilt[5, 1, 2, 3] = torch.nan
    for batches, sentence in [
        ([], "no sample"),
        ([x[:0]], "no sample"),
        ([x, spoilt], "NaN or infinity"),
        ([x[..., :2]], "was shown \\(6, 2, 3, 2\\)"),
        ([x[0]], "was shown \\(2, 3, 4\\)"),
    ]:
        with as_a_person(), pytest.raises(EegfmError, match=sentence):
            norm.fit(batches)
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
