"""Gated MLPs: how they start, and what dropout spares. What they compute: tests/parity/test_stamp.py."""

import pytest
import torch
from torch.nn import functional as F

from eegfm.contracts import EegfmError
from eegfm.nn.gmlp import CrissCrossGatedMLP, GatedMLP, Mix
from tests.nn.tokens import randn, seeded

N_TIMES, N_CHANNELS, WIDTH, FF_WIDTH = 3, 5, 8, 12


def criss_cross(combine="concat", **sizes):
    return CrissCrossGatedMLP(N_TIMES, N_CHANNELS, WIDTH, ff_width=FF_WIDTH, dropout=0.0, combine=combine)


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


def test_dropout_acts_on_the_branch_and_spares_the_residual():
    block = GatedMLP(4, WIDTH, ff_width=FF_WIDTH, dropout=0.99)
    x = randn(1, 4, WIDTH)
    with seeded(0):
        moved = block.train()(x) != x
    assert moved.float().mean() < 0.2


def test_an_odd_hidden_width_is_refused():
    with pytest.raises(EegfmError, match="ff_width=7 must be even"):
        GatedMLP(4, 8, ff_width=7, dropout=0.0)
