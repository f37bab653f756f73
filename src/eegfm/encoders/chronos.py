"""Chronos, pretrained forecasters of 8 to 710 million parameters (Ansari et al. 2024, arXiv:2403.07815).

Weights: https://huggingface.co/amazon/chronos-t5-large and its four smaller siblings (Apache-2.0). This
module does what a Chronos model does with a series, on the T5 of transformers (Apache-2.0), imported when
the first vector is asked for. The authors' package, chronos-forecasting (Apache-2.0), is not needed: the
tests compare tokens and vectors with it.

A second is divided by its mean absolute value; each sample becomes a token, the number of one of 4,093
equal bins from -15 to 15; an end token follows, and T5's encoder makes 201 vectors of them. STAMP keeps the
end token's vector ("eos") or the mean of the 200 others ("mean"); it does not say which of the two gave its
published numbers. It runs the model in bfloat16 (`precision`). Its division of the signal by 100 cancels
out and is left out.

Unlike the other encoders, Chronos sees the offset of a second; only the amplitude is lost.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import INSTALL, Precision, Pretrained, load_strictly

PACKAGE = "transformers"

TOKENS, SPECIAL, END = 4096, 2, 1  # the vocabulary; how many of it are padding and end; the end token
LIMIT = 15.0  # the outermost bins' centres, in mean absolute values
# T5's names for its only embedding, which a file holds as `shared.weight`
TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


@dataclass(frozen=True)
class Size:
    """The shape of a T5 encoder; the decoder has as many layers, and heads have 64 features."""

    width: int
    ff_width: int
    layers: int
    heads: int


SIZES = {
    "tiny": Size(256, 1024, 4, 4),
    "mini": Size(384, 1536, 4, 8),
    "small": Size(512, 2048, 6, 8),
    "base": Size(768, 3072, 12, 12),
    "large": Size(1024, 4096, 24, 16),
}
# the file's size, and the commit of the repository that added it; no source at hand names the one of tiny
PUBLISHED = {
    "tiny": ("34 MB", "main"),
    "mini": ("82 MB", "560c5469def38533a553e470503378345df0f5dc"),
    "small": ("185 MB", "23077cc3c87b218edf0e965dfd2bc0dacb843358"),
    "base": ("806 MB", "45d3b2421f623c7239897e753976bc883cb522d0"),
    "large": ("2.8 GB", "0e6fc98284a08c24d154768ef9c0abfdb5a52fc8"),
}


class Chronos(Pretrained):
    """Vectors of a second from Chronos-T5's encoder: 256, 384, 512, 768 or 1024 numbers, by `size`.

    Arguments beside those of `Pretrained`:
        size: size of the published model; STAMP uses large.
        pooling: "eos" is the end token's vector, "mean" the mean of the samples' vectors.
    """

    name = "chronos"
    adapters = ("q", "v")
    chunk = 64  # attention over 201 tokens: 40 MB a layer and chunk for each four heads

    def __init__(
        self,
        *,
        size: Literal["tiny", "mini", "small", "base", "large"],
        weights: str | Path,
        pooling: Literal["eos", "mean"] = "eos",
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        one_of("size", size, tuple(PUBLISHED), encoder=self.name)
        one_of("pooling", pooling, ("eos", "mean"), encoder=self.name)
        self.size, self.pooling, self.of = size, pooling, SIZES[size]
        self.width = self.of.width
        self.repository = f"amazon/chronos-t5-{size}"
        bytes_, self.revision = PUBLISHED[size]
        self.about = f"{bytes_}, Apache-2.0"
        super().__init__(
            weights=weights, seed=seed, device=device, precision=precision, input_norm=input_norm
        )

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        return {"model": f"chronos-t5-{self.size}", "pooling": self.pooling}

    def build(self) -> nn.Module:
        """The encoder; a published file is loaded whole, which proves that it is the right one."""
        try:
            from transformers import (  # pyright: ignore[reportMissingImports]
                T5EncoderModel,
                T5ForConditionalGeneration,
            )
        except ImportError as error:
            raise EegfmError(f"encoder=chronos needs transformers ({error}). {INSTALL}") from error
        if self.weights is None:
            return T5EncoderModel(t5_config(self.of, vocabulary=TOKENS)).get_encoder()
        with torch.device("meta"):  # draws no weights that the file would replace
            whole = T5ForConditionalGeneration(t5_config(self.of, vocabulary=TOKENS))
        whole.to_empty(device="cpu")
        load_strictly(
            whole,
            self.weights,
            what=f"Chronos-T5 {self.size} ({self.repository})",
            tied=(*TIED, "lm_head.weight"),
        )
        return whole.get_encoder()

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        states = self.network(input_ids=tokens(series)).last_hidden_state  # series token width
        return states[:, -1] if self.pooling == "eos" else states[:, :-1].mean(dim=1)


def tokens(series: Float[Tensor, "series time"]) -> Int[Tensor, "series time+1"]:
    """Chronos's tokens of series: bins of values divided by their mean absolute value, and the end token.

    A series of zeros is divided by 1.
    """
    scale = series.abs().mean(dim=1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    # computed on the CPU, so that a GPU has the same borders of bins
    centres = torch.linspace(-LIMIT, LIMIT, TOKENS - SPECIAL - 1)
    borders = (centres[1:] + centres[:-1]).div(2).to(series.device)
    # + 1: the published table has another border at -1e20, below every value
    binned = torch.bucketize(series / scale, borders, right=True) + SPECIAL + 1
    end = torch.full((len(series), 1), END, device=series.device)
    return torch.cat([binned, end], dim=1)


def t5_config(of: Size, *, vocabulary: int, **more: Any) -> Any:
    """transformers' config of a published Chronos model; values that are not given are both libraries' defaults.

    `initializer_factor` is T5's 1. Pre-training began at 0.05, but there attention moves an end token by
    only some thousandths, and vectors of random weights would differ by less than a float16 store can hold.
    """
    from transformers import T5Config  # pyright: ignore[reportMissingImports]

    return T5Config(
        vocab_size=vocabulary,
        d_model=of.width,
        d_kv=64,
        d_ff=of.ff_width,
        num_layers=of.layers,
        num_heads=of.heads,
        **more,
    )


def one_of(option: str, value: str, choices: tuple[str, ...], *, encoder: str) -> None:
    """Refuse a value that is not among the choices, and name them."""
    if value not in choices:
        raise EegfmError(
            f"encoder={encoder} has no {option}={value}: choose encoder.{option}={'|'.join(choices)}."
        )
