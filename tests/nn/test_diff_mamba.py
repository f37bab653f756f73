"""Grouped differential Mamba equals the loop of separate layers; its lambda and norm do what they say."""

import math

import pytest
import torch
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.diff_mamba import DiffMamba
from tests.nn.differential import pair, stacked

N_HEADS = 8


def randn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(11)


def far(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest number."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max())


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n_times", [2, 31, 200])
def test_grouped_equals_the_loop_forward_and_backward(n_times):
    loop, grouped = pair()
    x, weigh = randn(2, n_times, 128), randn(2, n_times, 128, seed=4)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    ys = [module(u) for module, u in zip((loop, grouped), inputs, strict=True)]
    assert far(ys[1], ys[0]) < 1e-13
    for y in ys:
        (y * weigh).sum().backward()
    assert far(inputs[1].grad, inputs[0].grad) < 1e-12
    wanted, found = stacked(gradients(loop), N_HEADS), gradients(grouped)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        assert far(found[name], gradient) < 1e-11, name


@pytest.mark.parametrize("sizes", [{"d_state": 4, "d_conv": 4, "expand": 2}, {"d_state": 32, "expand": 1}])
def test_grouped_equals_the_loop_at_other_sizes(sizes):
    loop, grouped = pair(32, **sizes)
    x = randn(2, 50, 32)
    assert far(grouped(x), loop(x)) < 1e-13


def test_published_lambda_starts_where_two_equal_teams_cancel():
    layer = DiffMamba(32, lam="published", norm="published").double()
    with torch.no_grad():  # the second team says what the first says
        for name, p in layer.networks.named_parameters():
            half = p.shape[0] // 2
            if name.startswith("conv1d"):
                x, B, C = p.split((512, 64, 64))
                for part in (x, B, C):
                    part[part.shape[0] // 2 :] = part[: part.shape[0] // 2]
            elif "lam" not in name:
                p[half:] = p[:half]
    assert layer.networks(randn(2, 20, 32)).abs().max() < 1e-14


def test_lambda_of_diff_mamba_follows_its_schedule():
    for depth, init in ((1, 0.2), (2, 0.8 - 0.6 * math.exp(-0.3)), (40, 0.8)):
        layer = DiffMamba(32, lam="diff_mamba", depth=depth)
        lam = layer.networks.out_proj.lambdas()
        assert layer.networks.out_proj.lambda_init == pytest.approx(init, abs=1e-4)
        assert ((lam > init - 1e-3) & (lam < init + 1)).all()
        assert layer.shrink == pytest.approx(1 - init, abs=1e-4)
        assert (lam == lam[:, :1]).all()  # a scalar a head
        torch.testing.assert_close(
            lam[:, 0],
            torch.sigmoid(layer.networks.out_proj.lambda_q.sum(1)) + layer.networks.out_proj.lambda_init,
        )


def test_norm_by_token_makes_the_layer_causal_and_the_published_one_does_not():
    x = randn(1, 40, 32)
    changed = x.clone()
    changed[:, 30:] += 1.0
    for norm, causal in (("per_token", True), ("published", False)):
        layer = DiffMamba(32, norm=norm).double()
        same = torch.equal(layer(changed)[:, :30], layer(x)[:, :30])
        assert same == causal, norm
        cut = far(layer(x[:, :20]), layer(x)[:, :20]) < 1e-12
        assert cut == causal, norm


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(EegfmError, match="does not divide 40"):
        DiffMamba(40)
