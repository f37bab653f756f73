"""STAMP with its encoder inside: the encoder is frozen except for low-rank adapters, trained with STAMP.

LoRA (Hu et al. 2021, arXiv:2106.09685) by peft (Apache-2.0), with the places, rank, scale and dropout of
the STAMP reference (github.com/autonlab/STAMP, MIT; read, not copied): beside the queries and values of
every layer.

Differs: the adapters learn. The reference recomputes activations in the re-entrant way; its inputs there
need no gradient, so its adapters receive none, and it trained STAMP over a frozen encoder with dropout. We
recompute chunks of series in the other way, and any encoder that is a network can take MOMENT's place.
"""

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.adapters import inject, merge


class StampLora(nn.Module):
    """Embed raw windows: each (channel, second) passes the adapted encoder, then all pass a `Stamp`.

    `encoder` is a `contracts.Trains`. `stamp` makes the backbone from the spec of the tokens. `rank`,
    `alpha` and `lora_dropout` are the adapters'. alpha / rank times an adapter's output is added; that
    output starts at zero, so an untrained model embeds as the frozen encoder does. In training the
    encoder's own dropout acts as well, as in the reference.

    `chunk` series at a time pass the encoder, and their activations are recomputed in the backward pass
    instead of kept: less memory, a third more work. None keeps them.

    Raises EegfmError if the samples are not raw windows of whole seconds at the encoder's rate, if the encoder is no
    network, and if peft is not installed.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        encoder: Any,
        stamp: Callable[[SampleSpec], Any],
        rank: int = 64,
        alpha: float = 32.0,
        lora_dropout: float = 0.05,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if len(spec.shape) != 2:
            raise EegfmError(
                f"StampLora has its encoder inside and reads raw windows, (channel, time); these samples have shape "
                f"{tuple(spec.shape)}. Type encoder=raw."
            )
        if not hasattr(encoder, "vectors") or not encoder.adapters:
            name = getattr(encoder, "name", encoder)
            raise EegfmError(
                f"model.encoder is {name}, which has no linear layers that adapters could go beside. "
                "Type encoder@model.encoder=moment or encoder@model.encoder=ttm."
            )
        n_channels, n_times = spec.shape
        self.second = round(encoder.sfreq)
        if spec.sfreq != encoder.sfreq or n_times % self.second:
            raise EegfmError(
                f"{encoder.name} reads seconds of {self.second} samples at {encoder.sfreq:g} Hz; these windows have "
                f"{n_times} samples at {spec.sfreq:g} Hz. Choose another length (data.window_s) or another model."
            )
        if rank < 1 or not 0 <= lora_dropout < 1 or (chunk is not None and chunk < 1):
            raise EegfmError(
                f"rank={rank} and chunk={chunk} must be positive (chunk=null: all at once), and "
                f"lora_dropout={lora_dropout} at least 0 and below 1."
            )
        self.chunk = chunk
        self.vectors = encoder.vectors
        # `vectors` computes with this object, which therefore moves, trains and is saved with this module
        network = inject(
            encoder.network, "lora", places=encoder.adapters, rank=rank, alpha=alpha, dropout=lora_dropout
        )
        # an encoder arrives in eval mode, and Lightning keeps the modes that it finds
        self.encoder: nn.Module = network.train()
        shape = (n_channels, n_times // self.second, encoder.width)
        self.stamp = stamp(SampleSpec(spec.montage, shape, spec.sfreq, spec.classes))
        self.width: int = self.stamp.width

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """A vector per window in µV. `coords` are not used."""
        return self.stamp.embed(self.tokens(x), coords)

    def attention(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch head token"]:
        """The attention of each pooling head to each token: see `Stamp.attention`."""
        return self.stamp.attention(self.tokens(x), coords)

    def fit_input(self, batches: Any) -> None:
        """Show the training split to the `Stamp`, as tokens of the encoder in its present state."""
        with torch.no_grad():
            self.stamp.fit_input(self.tokens(x) for x in batches)

    def tokens(
        self, x: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel second embedding"]:
        """The vectors that a store of this encoder would hold, with a gradient."""
        series = rearrange(x, "b c (s t) -> (b c s) t", t=self.second)
        if self.chunk is None:
            vectors = self.vectors(series)
        else:
            again = (
                torch.is_grad_enabled()
            )  # not re-entrant, so that parameters get a gradient even if the input has none
            vectors = torch.cat(
                [
                    checkpoint(self.vectors, part, use_reentrant=False) if again else self.vectors(part)
                    for part in series.split(self.chunk)
                ]
            )
        return rearrange(vectors, "(b c s) e -> b c s e", b=x.shape[0], c=x.shape[1])

    def merge(self) -> None:
        """Fold the adapters into the weights beside them: the same vectors up to rounding, without the extra work."""
        merge(self.encoder)
