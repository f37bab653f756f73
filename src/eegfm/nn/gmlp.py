"""Gated MLPs (Liu et al. 2021, arXiv:2105.08050) over tokens and, criss-cross, over a (time, channel) grid (STAMP).

Written from the formulas of STAMP, arXiv:2511.10848. The gate of a token is a linear mix of the other tokens along an
axis; it starts at one (weights near 0, bias 1), so a fresh block does not yet mix anything.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

Combine = Literal["concat", "add", "weighted_add"]


class Mix(nn.Module):
    """Mix positions along one axis: y[m] = sum_j weight[m, j] x[j] + bias[m], the same for all other axes.

    Starts as y = 1: weight from N(0, 1e-6²), bias 1.
    """

    def __init__(self, length: int, *, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.weight = nn.Parameter(torch.empty(length, length))
        self.bias = nn.Parameter(torch.ones(length))
        nn.init.normal_(self.weight, std=1e-6)

    def forward(self, x: Float[Tensor, "*grid width"]) -> Float[Tensor, "*grid width"]:
        flat = x.flatten(0, self.axis - 1).flatten(2)  # before axis rest
        # one batched product that includes the bias and moves no axis: about twice as fast as Linear on a transpose
        return torch.baddbmm(self.bias[:, None], self.weight.expand(flat.shape[0], -1, -1), flat).view(
            x.shape
        )


class SpatialGate(nn.Module):
    """Spatial gating unit: u times a mix of the normalised v along one axis. No activation on the gate."""

    def __init__(self, length: int, features: int, *, axis: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.mix = Mix(length, axis=axis)

    def forward(
        self, u: Float[Tensor, "*grid feature"], v: Float[Tensor, "*grid feature"]
    ) -> Float[Tensor, "*grid feature"]:
        return u * self.mix(self.norm(v))


class GatedMLP(nn.Module):
    """gMLP block on a sequence: LayerNorm, expand, GELU, gate along the tokens, contract, dropout, residual."""

    def __init__(self, n_tokens: int, width: int, *, ff_width: int, dropout: float) -> None:
        super().__init__()
        _check_even(ff_width)
        self.norm = nn.LayerNorm(width)
        self.proj_1 = nn.Linear(width, ff_width)
        self.gate = SpatialGate(n_tokens, ff_width // 2, axis=1)
        self.proj_2 = nn.Linear(ff_width // 2, width)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        u, v = self.activation(self.proj_1(self.norm(x))).chunk(2, dim=-1)
        return x + self.dropout(self.proj_2(self.gate(u, v)))


class CrissCrossGatedMLP(nn.Module):
    """gMLP block on a grid, gated along time and along channels side by side (STAMP's CC-GMLP).

    Both gates read the same halves u and v. `combine` joins the two results: "concat" along the features (time first),
    "add", or "weighted_add" with a learned scalar for each.
    """

    def __init__(
        self,
        n_times: int,
        n_channels: int,
        width: int,
        *,
        ff_width: int,
        dropout: float,
        combine: Combine = "concat",
    ) -> None:
        super().__init__()
        check_option("combine", combine, get_args(Combine))
        _check_even(ff_width)
        self.combine = combine
        half = ff_width // 2
        self.norm = nn.LayerNorm(width)
        self.proj_1 = nn.Linear(width, ff_width)
        self.gate_temporal = SpatialGate(n_times, half, axis=1)
        self.gate_spatial = SpatialGate(n_channels, half, axis=2)
        self.proj_2 = nn.Linear(ff_width if combine == "concat" else half, width)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        if combine == "weighted_add":
            self.temporal_weight = nn.Parameter(torch.ones(1))
            self.spatial_weight = nn.Parameter(torch.ones(1))

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        u, v = self.activation(self.proj_1(self.norm(x))).chunk(2, dim=-1)
        temporal, spatial = self.gate_temporal(u, v), self.gate_spatial(u, v)
        if self.combine == "concat":
            gated = torch.cat((temporal, spatial), dim=-1)
        elif self.combine == "add":
            gated = temporal + spatial
        else:
            gated = self.temporal_weight * temporal + self.spatial_weight * spatial
        return x + self.dropout(self.proj_2(gated))


class Stack(nn.Module):
    """`depth` blocks in a row; with `recurrent`, one block `depth` times, with one set of parameters."""

    def __init__(self, block: Callable[[], nn.Module], depth: int, *, recurrent: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block() for _ in range(min(depth, 1) if recurrent else depth))
        self.repeats = depth if recurrent else 1

    def forward(self, x: Float[Tensor, "*grid width"]) -> Float[Tensor, "*grid width"]:
        for _ in range(self.repeats):
            for block in self.blocks:
                x = block(x)
        return x


def _check_even(ff_width: int) -> None:
    if ff_width < 2 or ff_width % 2:
        raise EegfmError(
            f"ff_width={ff_width} must be even and positive: a gated MLP splits it into halves."
        )
