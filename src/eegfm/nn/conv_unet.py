"""The classic U-Net of convolutions, along time."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvUNet(nn.Module):
    """The classic U-Net (Ronneberger et al. 2015, arXiv:1505.04597) along time: four halvings, 64 to 1024 features.

    Every level has two convolutions over three samples with ReLU, max pooling down, and transposed
    convolutions up. The output of windows of a multiple of 16 samples has their shape.
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
        """The output of the bottleneck."""
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
