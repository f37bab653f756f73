"""What the tests and benchmarks of the scan share: inputs of the kind that a layer makes."""

import torch
from torch.nn import functional as F

from tests.nn.tokens import randn


def scan_inputs(batch=2, time=16, heads=4, size=3, groups=2, state=5, *, seed=0, dtype=torch.float64):
    """x, dt, A, B, C, D and a first state, all of them leaves that ask for a gradient."""
    shapes = [(batch, time, heads, size), (batch, time, heads), (heads,), (batch, time, groups, state)]
    shapes += [(batch, time, groups, state), (heads,), (batch, heads, size, state)]
    x, dt, A, B, C, D, first = (
        randn(*shape, seed=100 * seed + i, dtype=dtype) for i, shape in enumerate(shapes)
    )
    inputs = (x, F.softplus(dt - 1), -torch.exp(A), B, C, D, first)
    return [v.detach().requires_grad_() for v in inputs]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, in units of the largest number expected."""
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp(min=1e-30))
