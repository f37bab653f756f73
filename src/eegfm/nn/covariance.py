"""Log-covariance: how features go together over time, as a vector for a linear classifier.

Mean and standard deviation of every feature see only what has most power in it. The covariance keeps what
is small beside it, and its logarithm makes ratios of power differences, so that a linear classifier finds
the power of any mixture of features nearly as well as that of a feature. It is the tangent space at the
identity with the log-Euclidean metric (Arsigny et al. 2007, doi:10.1137/050637996), as pyriemann has it.
What generalises it is a covariance of learned features, one of which a deep Riemannian network trains; a
linear layer before this pooling is one.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

AT_MOST = 32  # features of which a covariance is taken
SHRINKAGE = 0.1  # share of the mean variance's identity: a window of few moments has an inverse
TINY = 1e-10  # of the variances' unit, so that a flat window has a logarithm


def log_covariance(h: Float[Tensor, "batch feature time"]) -> Float[Tensor, "batch pair"]:
    """The logarithm of the shrunk covariance over time: its upper triangle, row by row, off-diagonals by sqrt(2).

    More than `AT_MOST` features are first reduced to as many by `mixture`. The covariance divides by the number of
    moments, and is (1 - `SHRINKAGE`) S + `SHRINKAGE` tr(S) / n I: it is defined for windows shorter than n. The
    vector's length is the Frobenius norm of the logarithm. At least float32.
    """
    with torch.autocast(h.device.type, enabled=False):  # eigenvalues need at least these bits
        return _log_covariance(h.to(torch.promote_types(h.dtype, torch.float32)))


def n_pairs(n_features: int) -> int:
    """The length of `log_covariance` of so many features: 528 from 32 features on."""
    n = min(n_features, AT_MOST)
    return n * (n + 1) // 2


def mixture(n_features: int) -> Float[Tensor, "mixed feature"]:
    """The first `AT_MOST` rows of the orthonormal cosine transform (DCT-II): mixtures fixed by a formula, none learned.

    Every feature is in every mixture, so that none is lost by its place; mixtures are at right angles.
    """
    place = math.pi * (torch.arange(n_features, dtype=torch.float64) + 0.5) / n_features
    rows = torch.cos(torch.arange(AT_MOST, dtype=torch.float64)[:, None] * place)
    rows[0] *= math.sqrt(0.5)
    return rows * math.sqrt(2 / n_features)


def _log_covariance(h: Tensor) -> Tensor:
    if h.shape[1] > AT_MOST:
        h = mixture(h.shape[1]).to(h) @ h
    n = h.shape[1]
    h = h - h.mean(-1, keepdim=True)
    covariance = h @ h.transpose(1, 2) / h.shape[-1]
    mean = covariance.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None]
    one = torch.eye(n, dtype=h.dtype, device=h.device)
    found = _Logarithm.apply((1 - SHRINKAGE) * covariance + (SHRINKAGE * mean + TINY) * one)
    row, column = torch.triu_indices(n, n, device=h.device)
    weight = torch.where(row == column, 1.0, math.sqrt(2)).to(h)
    return found[:, row, column] * weight


class _Logarithm(torch.autograd.Function):
    """The logarithm of symmetric positive definite matrices.

    torch's gradient of an eigendecomposition divides by differences of eigenvalues, and those of a window of fewer
    moments than features are equal; the logarithm itself has a gradient there (Daleckii and Krein's formula).
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        value, vector = torch.linalg.eigh(matrix)
        value = value.clamp(min=TINY)
        ctx.save_for_backward(value, vector)
        return (vector * value.log()[:, None, :]) @ vector.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        value, vector = ctx.saved_tensors
        low = torch.minimum(value[:, :, None], value[:, None, :])
        high = torch.maximum(value[:, :, None], value[:, None, :])
        ratio = (high - low) / low
        # log(b) - log(a) over b - a is log1p((b - a)/a)/(b - a), and 1/a where they are equal
        near = ratio < 1e-3
        slope = torch.where(
            near, 1 - ratio / 2 + ratio.square() / 3, ratio.log1p() / torch.where(near, 1, ratio)
        )
        inner = vector.transpose(1, 2) @ ((grads[0] + grads[0].transpose(1, 2)) / 2) @ vector
        return vector @ (slope / low * inner) @ vector.transpose(1, 2)
