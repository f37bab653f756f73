"""Positions of tokens on a (time, channel) grid, added to the tokens: STAMP, arXiv:2511.10848.

The paper's PE-N, PE-S and PE-T are the tables "token", "spatial" and "temporal"; PE-NST is all three. A table belongs
to one montage and one number of seconds: it knows rows, not electrodes. `GridConv` is the reference's asymmetric
conditional encoding (ACPE), whose released code cannot run; here it does what that code intends.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

Table = Literal["token", "spatial", "temporal"]
TABLES: tuple[Table, ...] = ("token", "spatial", "temporal")


def check_tables(tables: Sequence[str]) -> None:
    """Raise EegfmError unless `tables` is a list of different table names."""
    if isinstance(tables, str):
        raise EegfmError(f"positions={tables!r} is a word; write it as a list: positions=[{tables}].")
    for table in tables:
        check_option("positions", table, TABLES)
    if len(set(tables)) != len(tables):
        raise EegfmError(f"positions={list(tables)} names a table twice. Name each once.")


class LearnedPositions(nn.Module):
    """Add a learned vector for each token, each channel, each second, or any of these; drawn from N(0, 1)."""

    token: nn.Parameter | None
    spatial: nn.Parameter | None
    temporal: nn.Parameter | None

    def __init__(
        self, n_times: int, n_channels: int, width: int, *, tables: Sequence[Table] = TABLES
    ) -> None:
        super().__init__()
        check_tables(tables)
        self.grid = (n_times, n_channels)
        rows = {"token": n_times * n_channels, "spatial": n_channels, "temporal": n_times}
        for name in TABLES:
            self.register_parameter(
                name, nn.Parameter(torch.randn(rows[name], width)) if name in tables else None
            )

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        parts = []
        if self.token is not None:
            parts.append(self.token.unflatten(0, self.grid))  # row t * n_channels + s
        if self.spatial is not None:
            parts.append(self.spatial)
        if self.temporal is not None:
            parts.append(self.temporal[:, None])
        # summed before the batch is added: one pass over the tokens instead of three
        return x + sum(parts[1:], parts[0]) if parts else x


def sinusoids(length: int, width: int) -> Float[Tensor, "length width"]:
    """Sine (even dimensions) and cosine (odd) of position times exp(-2i ln(length) / width).

    The base is the table's own length, not the customary 10000, as in the STAMP reference. Float64.
    """
    even = torch.arange(0, width, 2, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * torch.exp(
        -even * (math.log(length) / width)
    )
    table = torch.empty(length, width, dtype=torch.float64)
    table[:, 0::2] = angle.sin()
    table[:, 1::2] = angle[:, : width // 2].cos()  # an odd width has one sine more than cosines
    return table


class SinusoidalPositions(nn.Module):
    """Add fixed sinusoids for each token, each channel, each second, or any of these."""

    table: Tensor

    def __init__(
        self, n_times: int, n_channels: int, width: int, *, tables: Sequence[Table] = TABLES
    ) -> None:
        super().__init__()
        check_tables(tables)
        table = torch.zeros(n_times, n_channels, width, dtype=torch.float64)
        if "token" in tables:
            table = table + sinusoids(n_times * n_channels, width).unflatten(0, (n_times, n_channels))
        if "spatial" in tables:
            table = table + sinusoids(n_channels, width)
        if "temporal" in tables:
            table = table + sinusoids(n_times, width)[:, None]
        self.register_buffer("table", table.to(torch.get_default_dtype()), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        return x + self.table


class GridConv(nn.Module):
    """Add a depthwise convolution of the tokens over the (channel, time) grid (ACPE).

    `kernel` is (channels, seconds), zero-padded so that the grid keeps its size; `mix` sends the result through a
    linear layer over the width before it is added.
    """

    def __init__(self, width: int, *, kernel: Sequence[int], mix: bool = False) -> None:
        super().__init__()
        if len(kernel) != 2 or min(kernel) < 1:
            raise EegfmError(f"acpe_kernel={list(kernel)} must be two positive sizes: [channels, seconds].")
        self.conv = nn.Conv2d(width, width, (kernel[0], kernel[1]), padding="same", groups=width)
        self.mix = nn.Linear(width, width) if mix else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        local = self.conv(x.transpose(1, 3)).transpose(1, 3)  # conv on batch width channel time
        return x + self.mix(local)
