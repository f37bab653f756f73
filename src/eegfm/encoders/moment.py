"""MOMENT, a masked autoencoder of time series (Goswami et al. 2024, arXiv:2402.03885): the encoder of STAMP's paper.

Weights: https://huggingface.co/AutonLab/MOMENT-1-small, MOMENT-1-base, MOMENT-1-large (MIT). The published
package, momentfm (MIT), pins NumPy 1.25 and transformers 4.33, so this module does what its embedding does,
on the T5 encoder of transformers (Apache-2.0, imported when the first vector is asked for). Parameters have
the published names, and the tests compare vectors with momentfm where it is installed.

A second is 25 patches of 8 samples. momentfm reads 512 samples: zeros to the right of the 200, and a mask
that excludes the padded patches from the scaling, the attention and the mean. Masked patches change
nothing, and positions count from the left, so by default the padding is not computed at all (`trim`).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import INSTALL, SECOND, Precision, Pretrained, load_strictly

PACKAGE = "transformers"

PATCH, CONTEXT = 8, 512
PATCHES = SECOND // PATCH
POSITIONS = 5000  # rows of the published table of positions
VOCABULARY = 32128  # T5's word embeddings are in the published files, and no series ever reads them
# Microvolts per unit, as in STAMP. The model scales a second by its deviation + EPS anyway, so this changes only
# 1e-4 of the amplitude.
UNIT = 100.0
EPS = 1e-5


@dataclass(frozen=True)
class Size:
    """A published model: its T5 encoder, and the place, size and licence of its file."""

    width: int
    ff_width: int
    layers: int
    heads: int
    repository: str
    revision: str  # the commit that other projects pin for the file
    about: str


SIZES = {
    "small": Size(
        512, 1024, 8, 6, "AutonLab/MOMENT-1-small", "411e288267f82cce86296dbe4d6c8bc533cc162f", "152 MB, MIT"
    ),
    "base": Size(
        768, 2048, 12, 12, "AutonLab/MOMENT-1-base", "5e44b0ea26376a176360f87831124e018f876d96", "454 MB, MIT"
    ),
    "large": Size(
        1024, 2816, 24, 16, "AutonLab/MOMENT-1-large", "ca58581bc7bea2ebed4e80dc0a3e4b8b609c6ecc", "1.4 GB, MIT"
    ),
}  # fmt: skip


class Moment(Pretrained):
    """The mean of MOMENT's tokens over the 25 patches of a second: 512, 768 or 1024 numbers by `size`.

    Arguments beside those of `Pretrained`:
        size: size of the published model; STAMP's main table has large.
        trim: False computes the padded patches too, as momentfm does: slower, and equal vectors up to rounding.
    """

    name = "moment"
    adapters = ("q", "v")  # in every self-attention, as in STAMP's LoRA variant
    chunk = 256

    def __init__(
        self,
        *,
        size: Literal["small", "base", "large"],
        weights: str | Path,
        trim: bool = True,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        if size not in SIZES:
            raise EegfmError(
                f"encoder.size={size}: {', '.join(SIZES)} are published. Use encoder.size=small."
            )
        self.size, self.trim, self.of = size, trim, SIZES[size]
        self.width, self.about = self.of.width, self.of.about
        self.repository, self.revision = self.of.repository, self.of.revision
        super().__init__(
            weights=weights, seed=seed, device=device, precision=precision, input_norm=input_norm
        )

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        padded = {} if self.trim else {"padded": CONTEXT}  # changes the last bits
        return {"model": f"moment-1-{self.size}", "input": f"uV / {UNIT:g}", "pooling": "mean", **padded}

    def build(self) -> nn.Module:
        """MOMENT without its pre-training head and without T5's word embeddings."""
        if self.weights is None:
            network = MomentNetwork(
                self.of, vocabulary=2
            )  # the fewest that T5's config takes without a warning
        else:
            with torch.device(
                "meta"
            ):  # saves half a minute, for large, of drawing weights that the file replaces
                network = MomentNetwork(self.of, vocabulary=VOCABULARY)
            network.to_empty(device="cpu")
            load_strictly(network, self.weights, what=f"MOMENT-1-{self.size} ({self.repository})")
        del network.head, network.encoder.embed_tokens
        return network

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        patches = scaled(series / UNIT).unflatten(1, (PATCHES, PATCH))
        if self.trim:
            return self.network(patches)
        padded = nn.functional.pad(patches, (0, 0, 0, CONTEXT // PATCH - PATCHES))
        observed = torch.arange(CONTEXT // PATCH, device=series.device) < PATCHES
        return self.network(padded, observed.expand(len(series), -1))


def scaled(series: Float[Tensor, "series time"]) -> Float[Tensor, "series time"]:
    """Each series minus its mean, divided by its deviation: MOMENT's reversible instance norm, before padding."""
    centred = series - series.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + EPS)


class MomentNetwork(nn.Module):
    """The whole published model, with its names: patch embedding, T5 encoder, pre-training head."""

    def __init__(self, size: Size, *, vocabulary: int) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(size.width)
        self.encoder = _t5_encoder(size, vocabulary)
        self.head = nn.ModuleDict({"linear": nn.Linear(size.width, PATCH)})

    def forward(
        self,
        patches: Float[Tensor, "series patch 8"],
        observed: Bool[Tensor, "series patch"] | None = None,
    ) -> Float[Tensor, "series width"]:
        """The mean token of each series over its observed patches; with None, all are observed."""
        if observed is None:
            return self.encoder(inputs_embeds=self.patch_embedding(patches)).last_hidden_state.mean(dim=1)
        keep = observed.unsqueeze(-1).to(patches.dtype)
        embedded = self.patch_embedding(patches, keep)
        tokens = self.encoder(inputs_embeds=embedded, attention_mask=observed.long()).last_hidden_state
        return (keep * tokens).sum(dim=1) / keep.sum(dim=1)


class PatchEmbedding(nn.Module):
    """A linear embedding of patches plus positions; patches not to `keep` become the mask's embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value_embedding = nn.Linear(PATCH, width, bias=False)
        nn.init.orthogonal_(self.value_embedding.weight, gain=1.41)  # as momentfm
        self.mask_embedding = nn.Parameter(torch.zeros(width))
        self.position_embedding = nn.Module()
        self.position_embedding.register_buffer("pe", sinusoids(POSITIONS, width))
        self.dropout = nn.Dropout(0.1)  # as momentfm; like T5's, active in training alone

    def forward(
        self,
        patches: Float[Tensor, "series patch 8"],
        keep: Float[Tensor, "series patch 1"] | None = None,
    ) -> Float[Tensor, "series patch width"]:
        embedded = self.value_embedding(patches)
        if keep is not None:
            embedded = keep * embedded + (1 - keep) * self.mask_embedding
        return self.dropout(embedded + self.position_embedding.get_buffer("pe")[:, : patches.shape[1]])


def sinusoids(n: int, width: int) -> Float[Tensor, "1 position width"]:
    """The sinusoidal positions of Vaswani et al. 2017: sines at even places, cosines at odd ones."""
    angle = torch.arange(n)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[None]


def _t5_encoder(size: Size, vocabulary: int) -> Any:
    """The encoder of FLAN-T5, whose sizes MOMENT has; values that are not given are T5's defaults."""
    try:
        from transformers import T5Config, T5EncoderModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EegfmError(f"encoder=moment needs transformers ({error}). {INSTALL}") from error
    config = T5Config(
        vocab_size=vocabulary,
        d_model=size.width,
        d_kv=64,
        d_ff=size.ff_width,
        num_layers=size.layers,
        num_heads=size.heads,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).get_encoder()
