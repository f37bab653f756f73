"""CBraMod's criss-cross transformer (arXiv:2412.07236), as used in STAMP's ablations. Written from its formulas."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError


def criss_cross(
    x: Float[Tensor, "batch time channel width"],
    spatial_attn: nn.MultiheadAttention,
    temporal_attn: nn.MultiheadAttention,
) -> Float[Tensor, "batch time channel width"]:
    """Attend over a moment's channels with the first half of the features, over a channel's moments with the second.

    Both attentions are batch_first and have half the width.
    """
    n_batch, n_times, n_channels, _ = x.shape
    first, second = x.chunk(2, dim=-1)
    rows = first.flatten(0, 1)  # (batch time) channel width/2
    columns = second.transpose(1, 2).flatten(0, 1)  # (batch channel) time width/2
    spatial = spatial_attn(rows, rows, rows, need_weights=False)[0].unflatten(0, (n_batch, n_times))
    temporal = temporal_attn(columns, columns, columns, need_weights=False)[0]
    temporal = temporal.unflatten(0, (n_batch, n_channels)).transpose(1, 2)
    return torch.cat((spatial, temporal), dim=-1)


class CrissCrossLayer(nn.Module):
    """Attend over channels with the first half of the features and over time with the second, then a feed-forward.

    Each half has its own multi-head attention with `n_heads / 2` heads. `norm_first` norms the input of
    each of the two parts; otherwise (the reference's default) the sum after it is normed. ReLU; dropout
    also on the attention.
    """

    def __init__(
        self, width: int, *, n_heads: int, ff_width: int, dropout: float, norm_first: bool = False
    ) -> None:
        super().__init__()
        if n_heads % 2 or n_heads < 2 or width % n_heads:
            raise EegfmError(
                f"A criss-cross transformer gives half of width={width} to half of mixer_heads={n_heads}: "
                "the heads must be even and divide the width."
            )
        self.norm_first = norm_first
        self.spatial_attn = nn.MultiheadAttention(
            width // 2, n_heads // 2, dropout=dropout, batch_first=True
        )
        self.temporal_attn = nn.MultiheadAttention(
            width // 2, n_heads // 2, dropout=dropout, batch_first=True
        )
        self.linear1 = nn.Linear(width, ff_width)
        self.linear2 = nn.Linear(ff_width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        if self.norm_first:
            x = x + self._attend(self.norm1(x))
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x))
        return self.norm2(x + self._feed(x))

    def _attend(self, x: Tensor) -> Tensor:
        return self.dropout(criss_cross(x, self.spatial_attn, self.temporal_attn))

    def _feed(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class CrissCrossTransformer(nn.Module):
    """`depth` criss-cross layers, each with its own random weights, then a LayerNorm unless `final_norm` is off."""

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        n_heads: int,
        ff_width: int,
        dropout: float,
        norm_first: bool = False,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrissCrossLayer(
                width, n_heads=n_heads, ff_width=ff_width, dropout=dropout, norm_first=norm_first
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch time channel width"]
    ) -> Float[Tensor, "batch time channel width"]:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def token_transformer(
    width: int,
    *,
    depth: int,
    n_heads: int,
    ff_width: int,
    dropout: float,
    norm_first: bool = False,
    final_norm: bool = True,
) -> nn.TransformerEncoder:
    """torch's encoder over (batch, token, width), with ReLU; all layers start with equal weights, as in torch."""
    if n_heads < 1 or width % n_heads:
        raise EegfmError(
            f"width={width} cannot be shared by mixer_heads={n_heads}. Choose a divisor of the width."
        )
    layer = nn.TransformerEncoderLayer(
        width, n_heads, ff_width, dropout, activation=F.relu, batch_first=True, norm_first=norm_first
    )
    norm = nn.LayerNorm(width) if final_norm else None
    return nn.TransformerEncoder(layer, depth, norm, enable_nested_tensor=False)
