"""Multi-head attention pooling: identities of its mathematics, its maps, and how it starts (values: tests/parity)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.nn.pooling import AttentionPooling, MeanPooling
from tests.nn.tokens import float64, randn, randomise, seeded

MODES = ["weighted_sum", "max", "learned_weights", "all_concat"]
WIDTH, N_HEADS, N_QUERIES = 12, 3, 4


def pooling(query_mode="weighted_sum", **options):
    settings = {"n_heads": N_HEADS, "n_queries": N_QUERIES, "dropout": 0.0, **options}
    return randomise(AttentionPooling(WIDTH, query_mode=query_mode, **settings)).eval()


@settings(max_examples=30, deadline=None)
@given(mode=st.sampled_from([*MODES, "mean"]), order=st.permutations(range(9)))
def test_the_order_of_tokens_does_not_matter(mode, order):
    with float64():
        module = MeanPooling() if mode == "mean" else pooling(mode)
        x = randn(2, 9, WIDTH)
        torch.testing.assert_close(module(x[:, order]), module(x))


@settings(max_examples=20, deadline=None)
@given(mode=st.sampled_from(MODES), order=st.permutations(range(9)))
def test_attention_follows_the_tokens_and_sums_to_one(mode, order):
    with float64():
        module, x = pooling(mode), randn(2, 9, WIDTH)
        _, attention = module(x, return_attention=True)
        assert attention.shape == (2, N_HEADS, 9) and (attention >= 0).all()
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, N_HEADS))
        torch.testing.assert_close(module(x[:, order], return_attention=True)[1], attention[..., order])
        assert torch.equal(module(x, return_attention=True)[0], module(x))


@pytest.mark.parametrize("mode", MODES)
def test_equal_tokens_are_attended_equally_and_pool_to_one_of_them(mode):
    with float64():
        module, token = pooling(mode), randn(2, 1, WIDTH)
        _, attention = module(token.expand(2, 9, WIDTH), return_attention=True)
        torch.testing.assert_close(attention, torch.full((2, N_HEADS, 9), 1 / 9))
        torch.testing.assert_close(module(token.expand(2, 9, WIDTH)), module(token))


@pytest.mark.parametrize("mode", ["weighted_sum", "all_concat"])
def test_the_map_of_several_queries_is_their_mean(mode):
    with float64():
        module, x = pooling(mode), randn(2, 9, WIDTH)
        d = WIDTH // N_HEADS
        _, attention = module(x, return_attention=True)
        for a in range(N_HEADS):
            projected = x @ module.project.weight[a * d : (a + 1) * d].T
            each = [torch.softmax(projected @ query / math.sqrt(d), -1) for query in module.queries[a]]
            torch.testing.assert_close(attention[:, a], torch.stack(each).mean(0))


def test_max_picks_the_query_with_the_most_attention_left():
    """In training a dropped token takes its attention along; the query that lost least is the one."""
    module = pooling("max")
    dropped = torch.softmax(randn(2, N_HEADS, N_QUERIES, 9), -1) * (
        randn(2, N_HEADS, N_QUERIES, 9, seed=1) > -0.5
    )
    weights = module._weights(dropped, randn(2, WIDTH))
    assert torch.equal(weights.argmax(-1), dropped.sum(-1).argmax(-1))
    assert torch.equal(weights.sum(-1), torch.ones(2, N_HEADS)) and set(weights.unique().tolist()) == {
        0.0,
        1.0,
    }


def test_max_is_not_decided_by_rounding():
    """Outside training every query's attention sums to one, in float32 give or take 1e-7: the first query is taken."""
    module = pooling("max", n_queries=8)
    x = randn(64, 320, WIDTH)
    _, attention = module(x, return_attention=True)
    first = pooling("max", n_queries=1)
    with torch.no_grad():
        first.project.weight.copy_(module.project.weight)
        first.queries.copy_(module.queries[:, :1])
    torch.testing.assert_close(attention, first(x, return_attention=True)[1])


@pytest.mark.parametrize("mode", MODES)
def test_dropout_acts_in_training_only(mode):
    noisy, quiet = pooling(mode, dropout=0.5), pooling(mode)
    x = randn(2, 9, WIDTH)
    assert torch.equal(noisy(x), quiet(x))
    with seeded(0):
        first, second = noisy.train()(x), noisy(x)
    assert not torch.equal(first, second)
    _, attention = noisy(x, return_attention=True)
    torch.testing.assert_close(
        attention.sum(-1), torch.ones(2, N_HEADS)
    )  # the map is that before its dropout


def test_queries_and_projections_start_as_in_the_reference():
    """First queries N(0, 0.02²), the others with 0.1 N(0, 1) more; Xavier for each head by itself."""
    width, n_heads, n_queries = 256, 8, 64
    with seeded(0):
        module = AttentionPooling(
            width, n_heads=n_heads, n_queries=n_queries, dropout=0.0, query_mode="learned_weights"
        )
    first, others = module.queries[:, 0], module.queries[:, 1:]
    assert abs(first.std() / 0.02 - 1) < 0.15 and abs(first.mean()) < 0.005
    assert abs(others.std() / math.hypot(0.1, 0.02) - 1) < 0.02 and abs(others.mean()) < 0.005
    for linear, bound in [
        (module.project, math.sqrt(6 / (width + width // n_heads))),
        (module.out_proj, math.sqrt(6 / (width + width))),
        (module.query_weights[0], math.sqrt(6 / (width + width // 2))),
        (module.query_weights[3], math.sqrt(6 / (width // 2 + n_heads * n_queries))),
    ]:
        assert 0.99 * bound < linear.weight.abs().max() <= bound
        assert abs(linear.weight.std() / (bound / math.sqrt(3)) - 1) < 0.02
        assert linear.bias is None or not linear.bias.any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_heads": 5}, "n_heads=5"),
        ({"n_queries": 0}, "at least one query"),
        ({"residual_lambda": 1.5}, "residual_lambda=1.5"),
    ],
)
def test_wrong_numbers_are_refused(options, sentence):
    with pytest.raises(EegfmError, match=sentence):
        AttentionPooling(WIDTH, **{"n_heads": N_HEADS, "n_queries": N_QUERIES, "dropout": 0.0, **options})
