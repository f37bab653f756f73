"""Chronos-2, a forecaster of several series at once with 120 million parameters (Ansari et al. 2025, arXiv:2510.15821).

Weights: https://huggingface.co/amazon/chronos-2 (Apache-2.0). Code: the authors' package chronos-forecasting
(Apache-2.0), imported when the first vector is asked for; a vector is what its `Chronos2Pipeline.embed` documents, of
one series. STAMP does not use this model.

A second loses its mean and deviation, is drawn in by arcsinh, and becomes 13 patches of 16 samples, of which the first
holds 8 unobserved ones and says so; a register token and an empty patch of the future follow. Layers attend over the 15
of a series and, in turn, over the series of a group. Here every second is a group of its own, so that its vector does
not depend on what else is in the batch.
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
# of the published config.json
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
# Series that go through together: attention over the series of a batch grows with its square, of which a mask leaves
# the diagonal. At 256 that is 4 % of the work, and a GPU is busy with their 3,840 tokens.
TOGETHER = 256


class Chronos2(Pretrained):
    """What Chronos-2 makes of a second: 768 numbers.

    Arguments beside those of `Pretrained`:
        pooling: "reg" the vector of the register token, "mean" the mean of the patches' vectors.
    """

    name = "chronos_2"
    repository = "amazon/chronos-2"
    revision = (
        "29ec3766d36d6f73f0696f85560a422f50e8498c"  # as https://huggingface.co/light-curve/chronos2 pins it
    )
    about = "478 MB, Apache-2.0"
    # over time alone: where a series attends only to itself, its query has no gradient
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
        """What changes a vector beside the weights."""
        return {"model": "chronos-2", "pooling": self.pooling}

    def build(self) -> nn.Module:
        """The published model without its forecasts."""
        model = self.forecaster()
        del model.output_patch_embedding
        return model

    def forecaster(self) -> nn.Module:
        """The whole published model with its weights; loading all of it shows that the file is the right one."""
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
        """Seconds through the network, with a gradient where its weights have one."""
        return torch.cat([self._vectors(part) for part in series.split(TOGETHER)])

    def _vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        groups = torch.arange(len(series), device=series.device)
        states = self.network.encode(series, group_ids=groups)[0][0]  # type: ignore[operator]  # series token width
        return states[:, -2] if self.pooling == "reg" else states[:, :-2].mean(dim=1)
