"""What U-Nets along time are made of: convolutions that may be causal and remember, the way up, and the classic net.

A causal network goes through a recording piece by piece. Its layers take what they need of the past from a `Carry` and
leave there what the next piece will need.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Carry:
    """The memory of a stream during one piece: what every layer kept of the last piece, and keeps for the next.

    Layers come by in the same order every time, so that the memory is a tuple. None is an empty past.
    """

    def __init__(self, past: Sequence[Any] | None) -> None:
        self._past: Iterator[Any] | None = None if past is None else iter(past)
        self._kept: list[Any] = []

    def take(self) -> Any:
        """What this layer kept of the last piece; None at the beginning."""
        return None if self._past is None else next(self._past)

    def keep(self, value: Any) -> None:
        self._kept.append(value)

    @property
    def kept(self) -> tuple[Any, ...]:
        return tuple(self._kept)


class Conv(nn.Conv1d):
    """A convolution along time that keeps the length: centred, or with `causal` over the past alone.

    `kernel_size` is odd. The parameters are those of torch's layer, which the centred one is.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, causal: bool) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=0 if causal else kernel_size // 2)
        self.n_past = kernel_size - 1 if causal else 0

    def forward(
        self, input: Float[Tensor, "batch channel time"], carry: Carry | None = None
    ) -> Float[Tensor, "batch feature time"]:
        if not self.n_past:
            return super().forward(input)
        past = None if carry is None else carry.take()
        if past is None:
            past = input.new_zeros(*input.shape[:2], self.n_past)
        seen = torch.cat([past, input], dim=-1)
        if carry is not None:
            # cloned, or a few samples would hold on to the whole piece
            carry.keep(seen[..., seen.shape[-1] - self.n_past :].clone())
        return super().forward(seen)


def lift(
    h: Float[Tensor, "batch channel coarse"], n_times: int, *, hold: bool
) -> Float[Tensor, "batch channel fine"]:
    """Twice as many moments of time, `n_times` of them: linear between neighbours, or each held twice.

    Linear interpolation reaches into the future; holding does not look beyond the moment itself.
    """
    if hold:
        return h.repeat_interleave(2, dim=-1)[..., :n_times]
    return F.interpolate(h, size=n_times, mode="linear", align_corners=False)


class ConvUNet(nn.Module):
    """The classic U-Net (Ronneberger et al. 2015, arXiv:1505.04597) along time: four halvings, 64 to 1024 features.

    Two convolutions over three samples with ReLU at every level, max pooling down, transposed convolutions up. Windows
    of a multiple of 16 samples come back with the shape they had.
    """

    WIDTHS = (64, 128, 256, 512)
    MIDDLE = 1024

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_double(a, b) for a, b in pairwise((n_channels, *self.WIDTHS)))
        self.pool = nn.MaxPool1d(2, 2)
        self.bottleneck = _double(self.WIDTHS[-1], self.MIDDLE)
        outputs = (self.MIDDLE, *self.WIDTHS[::-1])
        self.rise = nn.ModuleList(nn.ConvTranspose1d(a, b, 2, stride=2) for a, b in pairwise(outputs))
        self.up = nn.ModuleList(_double(a, b) for a, b in pairwise(outputs))
        self.final_conv = nn.Conv1d(self.WIDTHS[0], n_channels, 1)

    def forward(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch channel time"]:
        skips, h = self._down(x)
        h = self.bottleneck(h)
        for rise, up in zip(self.rise, self.up, strict=True):
            h = up(torch.cat([skips.pop(), rise(h)], dim=1))
        return self.final_conv(h)

    def encode(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch feature sixteenth"]:
        """What the bottleneck makes of the windows."""
        return self.bottleneck(self._down(x)[1])

    def _down(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = self.pool(skips[-1])
        return skips, x


def _double(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv1d(n_in, n_out, 3, padding=1), nn.ReLU()),
        *(nn.Conv1d(n_out, n_out, 3, padding=1), nn.ReLU()),
    )
