"""The criss-cross transformer: what it is blind to, and which half of the features goes where."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.nn.transformer import CrissCrossLayer, CrissCrossTransformer, token_transformer
from tests.nn.tokens import float64, randn, randomise, seeded

N_TIMES, N_CHANNELS, WIDTH = 3, 5, 8
OPTIONS = {"n_heads": 4, "ff_width": 12, "dropout": 0.0}


@settings(max_examples=20, deadline=None)
@given(
    norm_first=st.booleans(),
    channels=st.permutations(range(N_CHANNELS)),
    seconds=st.permutations(range(N_TIMES)),
)
def test_without_positions_it_follows_any_order_of_channels_and_seconds(norm_first, channels, seconds):
    with float64():
        model = randomise(CrissCrossTransformer(WIDTH, depth=2, norm_first=norm_first, **OPTIONS))
        x = randn(2, N_TIMES, N_CHANNELS, WIDTH)
        torch.testing.assert_close(
            model(x[:, seconds][:, :, channels]), model(x)[:, seconds][:, :, channels]
        )


def test_the_first_half_attends_over_channels_and_the_second_over_time():
    with float64():
        layer = randomise(CrissCrossLayer(WIDTH, **OPTIONS))
        x = randn(1, N_TIMES, N_CHANNELS, WIDTH)
        for features, reached in [
            (slice(0, WIDTH // 2), (1, slice(None))),
            (slice(WIDTH // 2, None), (slice(None), 2)),
        ]:
            touched = x.clone()
            touched[0, 1, 2, features] += 1.0
            moved = (layer._attend(touched) - layer._attend(x)).abs().amax(-1)[0] > 1e-9
            expected = torch.zeros(N_TIMES, N_CHANNELS, dtype=torch.bool)
            expected[reached] = True
            assert torch.equal(moved, expected)


def test_layers_of_the_criss_cross_transformer_start_apart():
    with seeded(0):
        first, second = CrissCrossTransformer(WIDTH, depth=2, **OPTIONS).layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize(("width", "n_heads"), [(8, 3), (8, 1), (9, 2), (12, 8)])
def test_heads_that_do_not_fit_are_refused(width, n_heads):
    with pytest.raises(EegfmError, match="heads must be even and divide the width"):
        CrissCrossLayer(width, **{**OPTIONS, "n_heads": n_heads})


def test_heads_of_the_token_transformer_must_divide_the_width():
    with pytest.raises(EegfmError, match="Choose a divisor"):
        token_transformer(8, depth=1, **{**OPTIONS, "n_heads": 3})
