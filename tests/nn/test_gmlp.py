"""Gated MLPs: how they start, and what a permutation of channels or seconds does to them."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from eegfm.contracts import EegfmError
from eegfm.nn.gmlp import CrissCrossGatedMLP, GatedMLP, Mix, Stack
from tests.nn.tokens import float64, randn, randomise, seeded

N_TIMES, N_CHANNELS, WIDTH, FF_WIDTH = 3, 5, 8, 12


def criss_cross(combine="concat", **sizes):
    return CrissCrossGatedMLP(N_TIMES, N_CHANNELS, WIDTH, ff_width=FF_WIDTH, dropout=0.0, combine=combine)


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 4, 3)), (1, (2, 4, 5, 3)), (2, (2, 5, 4, 3))])
def test_mix_is_a_linear_layer_over_its_axis(axis, shape):
    with float64():
        mix = randomise(Mix(4, axis=axis))
        x = randn(*shape)
        expected = F.linear(x.transpose(axis, -1), mix.weight, mix.bias).transpose(axis, -1)
        torch.testing.assert_close(mix(x), expected)
        torch.testing.assert_close(
            mix(x.transpose(0, -1).contiguous().transpose(0, -1)), expected
        )  # any strides


def test_mixing_starts_from_weights_of_a_millionth_and_biases_of_one():
    with seeded(0):
        mix = Mix(200, axis=1)
    assert abs(mix.weight.std() / 1e-6 - 1) < 0.02
    assert abs(mix.weight.mean()) < 1e-7
    assert torch.equal(mix.bias, torch.ones(200))


@pytest.mark.parametrize("combine", ["concat", "add", "weighted_add"])
def test_a_fresh_criss_cross_block_does_not_gate(combine):
    """Gates within 1e-4 of one: the block is x + proj_2(u, joined as `combine` says), u the first half of the GELU."""
    with seeded(1):
        block = criss_cross(combine)
    x = randn(2, N_TIMES, N_CHANNELS, WIDTH)
    with torch.no_grad():
        h = F.gelu(block.proj_1(block.norm(x)))
        u, v = h[..., : FF_WIDTH // 2], h[..., FF_WIDTH // 2 :]
        for gate in (block.gate_temporal, block.gate_spatial):
            assert (gate.mix(gate.norm(v)) - 1).abs().max() < 1e-4
            torch.testing.assert_close(gate(u, v), u, rtol=1e-4, atol=1e-6)
        joined = torch.cat([u, u], -1) if combine == "concat" else 2 * u
        torch.testing.assert_close(block(x), x + block.proj_2(joined), rtol=0, atol=1e-4)


def test_a_fresh_block_over_tokens_does_not_gate():
    with seeded(1):
        block = GatedMLP(7, WIDTH, ff_width=FF_WIDTH, dropout=0.0)
    x = randn(2, 7, WIDTH)
    with torch.no_grad():
        u = F.gelu(block.proj_1(block.norm(x)))[..., : FF_WIDTH // 2]
        torch.testing.assert_close(block(x), x + block.proj_2(u), rtol=0, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    combine=st.sampled_from(["concat", "add", "weighted_add"]),
    channels=st.permutations(range(N_CHANNELS)),
    seconds=st.permutations(range(N_TIMES)),
)
def test_renaming_channels_and_seconds_in_weights_and_samples_renames_the_output(
    combine, channels, seconds
):
    """A mix over channels knows nothing of seconds, and the other way round."""
    with float64():
        block = randomise(criss_cross(combine))
        renamed = copy.deepcopy(block)
        with torch.no_grad():
            for mix, order in ((renamed.gate_spatial.mix, channels), (renamed.gate_temporal.mix, seconds)):
                mix.weight.copy_(mix.weight[order][:, order])
                mix.bias.copy_(mix.bias[order])
        x = randn(2, N_TIMES, N_CHANNELS, WIDTH)
        torch.testing.assert_close(
            renamed(x[:, seconds][:, :, channels]), block(x)[:, seconds][:, :, channels]
        )


def test_a_token_hears_its_own_row_and_column_and_nothing_else():
    """Criss-cross: what happens at (t, s) reaches (t, .) and (., s) in one block, and the rest only in two."""
    with float64():
        block = randomise(criss_cross())
        x = randn(1, N_TIMES, N_CHANNELS, WIDTH)
        touched = x.clone()
        touched[0, 1, 2] += randn(WIDTH, seed=1)  # not a constant: the LayerNorm would not see one
        moved = (block(touched) - block(x)).abs().amax(-1)[0] > 1e-9
        expected = torch.zeros(N_TIMES, N_CHANNELS, dtype=torch.bool)
        expected[1, :] = expected[:, 2] = True
        assert torch.equal(moved, expected)
        assert ((block(block(touched)) - block(block(x))).abs().amax(-1) > 1e-9).all()


def test_a_recurrent_stack_is_a_stack_of_equal_blocks():
    with float64():
        once = Stack(lambda: randomise(criss_cross()), 3, recurrent=True)
        thrice = Stack(criss_cross, 3)
        for block in thrice.blocks:
            block.load_state_dict(once.blocks[0].state_dict())
        x = randn(2, N_TIMES, N_CHANNELS, WIDTH)
        torch.testing.assert_close(once(x), thrice(x))
    assert sum(p.numel() for p in thrice.parameters()) == 3 * sum(p.numel() for p in once.parameters())
    assert len({id(block) for block in thrice.blocks}) == 3


def test_dropout_acts_on_the_branch_and_spares_the_residual():
    block = GatedMLP(4, WIDTH, ff_width=FF_WIDTH, dropout=0.99)
    x = randn(1, 4, WIDTH)
    with seeded(0):
        moved = block.train()(x) != x
    assert moved.float().mean() < 0.2


def test_an_odd_hidden_width_is_refused():
    with pytest.raises(EegfmError, match="ff_width=7 must be even"):
        GatedMLP(4, 8, ff_width=7, dropout=0.0)
