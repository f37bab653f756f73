"""Chronos-2, a forecaster of several series at once with 120 million parameters (Ansari et al. 2025, arXiv:2510.15821).

Weights: https://huggingface.co/amazon/chronos-2 (Apache-2.0). Code: the authors' package
chronos-forecasting (Apache-2.0), imported when the first vector is asked for; a vector is the documented
output of its `Chronos2Pipeline.embed` for one series. STAMP does not use this model.

A second loses its mean and deviation, is compressed by arcsinh, and becomes 13 patches of 16 samples; the
first patch holds 8 unobserved samples and marks them so. A register token and an empty patch of the future
follow. Layers attend over these 15 tokens of a series and, in turn, over the series of a group. Here every
second is its own group, so that its vector does not depend on the rest of the batch.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import INSTALL, Precision, Pretrained, load_strictly
from eegfm.encoders.chronos import Size, one_of

PACKAGE = "chronos"
SIZE = Size(width=768, ff_width=3072, layers=12, heads=12)
# from the published config.json
ARCHITECTURE: dict[str, Any] = {
    "context_length": 8192,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "output_patch_size": 16,
    "max_output_patches": 64,
    "quantiles": [0.01, *(round(0.05 * i, 2) for i in range(1, 20)), 0.99],
    "time_encoding_scale": 8192,
    "use_arcsinh": True,
    "use_reg_token": True,
}
# Series in one pass. Attention over a batch's series grows with its square, though a mask leaves only the
# diagonal. At 256 that is 4 % of the work, and their 3,840 tokens keep a GPU busy.
TOGETHER = 256


class Chronos2(Pretrained):
    """Vectors of a second from Chronos-2: 768 numbers.

    Arguments beside those of `Pretrained`:
        pooling: "reg" is the register token's vector, "mean" the mean of the patches' vectors.
    """

    name = "chronos_2"
    repository = "amazon/chronos-2"
    revision = (
        "29ec3766d36d6f73f0696f85560a422f50e8498c"  # as https://huggingface.co/light-curve/chronos2 pins it
    )
    about = "478 MB, Apache-2.0"
    # only attention over time: where a series attends to itself alone, its query has no gradient
    adapters = ("layer.0.self_attention.q", "layer.0.self_attention.v")
    chunk = TOGETHER

    def __init__(
        self,
        *,
        weights: str | Path,
        pooling: Literal["reg", "mean"] = "reg",
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        one_of("pooling", pooling, ("reg", "mean"), encoder=self.name)
        self.pooling, self.of = pooling, SIZE
        self.width = self.of.width
        super().__init__(
            weights=weights, seed=seed, device=device, precision=precision, input_norm=input_norm
        )

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        return {"model": "chronos-2", "pooling": self.pooling}

    def build(self) -> nn.Module:
        """The published model without its forecasting part."""
        model = self.forecaster()
        del model.output_patch_embedding
        return model

    def forecaster(self) -> nn.Module:
        """The whole published model with its weights; loading all of it proves that the file is the right one."""
        try:
            from chronos.chronos2.config import (  # pyright: ignore[reportMissingImports]
                Chronos2CoreConfig,
            )
            from chronos.chronos2.model import Chronos2Model  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise EegfmError(f"encoder=chronos_2 needs chronos-forecasting ({error}). {INSTALL}") from error
        model = Chronos2Model(
            Chronos2CoreConfig(
                d_model=self.of.width,
                d_kv=64,
                d_ff=self.of.ff_width,
                num_layers=self.of.layers,
                num_heads=self.of.heads,
                initializer_factor=1.0,  # as for the other two: see `chronos.t5_config`
                chronos_config=dict(ARCHITECTURE),
            )
        )
        if self.weights is not None:
            load_strictly(model, self.weights, what=f"Chronos-2 ({self.repository})")
        return model

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        return torch.cat([self._vectors(part) for part in series.split(TOGETHER)])

    def _vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        groups = torch.arange(len(series), device=series.device)
        states = self.network.encode(series, group_ids=groups)[0][0]  # type: ignore[operator]  # series token width
        return states[:, -2] if self.pooling == "reg" else states[:, :-2].mean(dim=1)
