"""Mamba-2's gated norm and its convolution with SiLU; on a CPU they go through as many numbers as its cache holds."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CACHED = 2**18  # numbers that are gone through at once on a CPU, so that they stay in its cache


class GatedNorm(nn.Module):
    """RMS norm of y times SiLU(z), each of `n_groups` stretches of the features by itself, and a learned scale."""

    def __init__(self, width: int, *, n_groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.n_groups = n_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(
        self, y: Float[Tensor, "*batch feature"], z: Float[Tensor, "*batch feature"]
    ) -> Float[Tensor, "*batch feature"]:
        if y.device.type == "cpu" and not torch.compiler.is_compiling():
            return _GatedNorm.apply(y, z, self.weight, self.n_groups, self.eps)
        dtype = torch.promote_types(y.dtype, torch.float32)
        gated = (y.to(dtype) * F.silu(z.to(dtype))).unflatten(-1, (self.n_groups, -1))
        return (F.rms_norm(gated, gated.shape[-1:], eps=self.eps).flatten(-2) * self.weight).to(y.dtype)


class _GatedNorm(torch.autograd.Function):
    """GatedNorm on a CPU, a few rows at a time: memory is read and written once each way, not once an operation.

    Keeps its inputs and a number a group.
    """

    @staticmethod
    def forward(ctx: Any, y, z, weight, n_groups, eps) -> Tensor:
        out = torch.empty_like(y)
        wide = torch.promote_types(y.dtype, torch.float32)
        factor = torch.empty(y.numel() // y.shape[-1], n_groups, 1, dtype=wide)
        for y_, z_, out_, factor_ in _rows(y, z, out, factor.view(*y.shape[:-1], n_groups)):
            gated = F.silu(z_.to(wide)).mul_(y_).unflatten(-1, (n_groups, -1))
            torch.rsqrt(gated.square().mean(-1).add_(eps), out=factor_)
            out_.copy_(gated.mul_(factor_[..., None]).flatten(1).mul_(weight))
        ctx.save_for_backward(y, z, weight, factor)
        ctx.n_groups = n_groups
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Any, ...]:
        y, z, weight, factor = ctx.saved_tensors
        dy, dz, dweight = torch.empty_like(y), torch.empty_like(y), torch.zeros_like(weight)
        n_groups, wide = ctx.n_groups, factor.dtype
        factor = factor.view(*y.shape[:-1], n_groups)
        for y_, z_, dout_, dy_, dz_, factor_ in _rows(y, z, dout.contiguous(), dy, dz, factor):
            y_, z_, dout_ = y_.to(wide), z_.to(wide), dout_.to(wide)
            gate = torch.sigmoid(z_)
            silu = z_ * gate
            normed = (y_ * silu).unflatten(-1, (n_groups, -1)).mul_(factor_[..., None])
            weighed = dout_ * normed.flatten(1)
            dweight += weighed.sum(0)
            along = weighed.mul_(weight).unflatten(-1, (n_groups, -1)).mean(-1, keepdim=True)
            dgated = (dout_ * weight).unflatten(-1, (n_groups, -1))
            dgated = dgated.addcmul_(normed, along, value=-1).mul_(factor_[..., None]).flatten(1)
            torch.mul(dgated, silu, out=dy_) if dy_.dtype == wide else dy_.copy_(dgated * silu)
            # SiLU's slope: gate (1 + z (1 - gate))
            slope = gate.addcmul_(silu, 1 - gate)
            dz_.copy_(slope.mul_(dgated).mul_(y_))
        return dy, dz, dweight, None, None


def _rows(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Their rows in step, as many at once as `CACHED` allows of the first."""
    n = max(1, CACHED // tensors[0].shape[-1])
    return zip(*(tensor.flatten(0, -2).split(n) for tensor in tensors), strict=True)


class ConvSiLU(torch.autograd.Function):
    """SiLU of a causal depthwise convolution, time before features: out[t] = SiLU(b + sum_j w_j past[t + j]).

    Two to four multiplications a number are not worth turning the tensor round for torch's convolution, and its
    gradient meets SiLU's in the other order of axes: together 3.5 times as slow on a CPU. Keeps its input alone.
    """

    @staticmethod
    def forward(ctx: Any, past, weight, bias) -> Tensor:
        ctx.save_for_backward(past, weight, bias)
        n_past = weight.shape[-1] - 1
        out = torch.empty_like(past[:, n_past:])
        for start, stop in _stretches(out):
            F.silu(
                convolve(past[:, start : stop + n_past], weight, bias, out=out[:, start:stop]),
                inplace=True,
            )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, ...]:
        past, weight, bias = ctx.saved_tensors
        n_past = weight.shape[-1] - 1
        dpast, dweight, dbias = torch.zeros_like(past), torch.zeros_like(weight), torch.zeros_like(bias)
        for start, stop in _stretches(dout):
            here = past[:, start : stop + n_past]
            d = torch.ops.aten.silu_backward(dout[:, start:stop], convolve(here, weight, bias))
            for j in range(weight.shape[-1]):
                dpast[:, start + j : stop + j].addcmul_(d, weight[:, 0, j])
                dweight[:, 0, j] += (d * here[:, j : j + stop - start]).sum((0, 1))
            dbias += d.sum((0, 1))
        return dpast, dweight, dbias


def _stretches(x: Tensor) -> Iterable[tuple[int, int]]:
    """Stretches of time, starts and ends, that hold `CACHED` numbers of x each on a CPU; else all of it."""
    n = max(1, CACHED // (x.shape[0] * x.shape[2])) if x.device.type == "cpu" else x.shape[1]
    return [(start, min(start + n, x.shape[1])) for start in range(0, x.shape[1], max(1, n))]


def convolve(past: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    width = weight.shape[-1]
    time = past.shape[1] - width + 1
    out = torch.addcmul(bias, past[:, :time], weight[:, 0, 0], out=out)
    for j in range(1, width):
        out.addcmul_(past[:, j : j + time], weight[:, 0, j])
    return out
