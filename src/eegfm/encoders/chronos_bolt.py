"""Chronos-Bolt, the patched successor of Chronos (Ansari et al., November 2024): 9 to 205 million parameters.

Weights: https://huggingface.co/amazon/chronos-bolt-base and its three smaller siblings (Apache-2.0). Code:
the authors' package chronos-forecasting (Apache-2.0), imported when the first vector is asked for; a vector
is the documented output of its `ChronosBoltPipeline.embed` for one series. STAMP does not use this model.

A second loses its mean and deviation and becomes 13 patches of 16 samples; the first patch holds 8
unobserved samples and marks them so. A register token follows, and T5's encoder makes 14 vectors of them,
where Chronos-T5 has 201.
"""

from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import INSTALL, Precision, Pretrained, load_strictly
from eegfm.encoders.chronos import SIZES, TIED, one_of, t5_config

PACKAGE = "chronos"
# as in Chronos-T5; no source at hand names the commit of mini
PUBLISHED = {
    "tiny": ("35 MB", "f6ff2d2ba9168d498c015bc8dd07e3b395b31b3f"),
    "mini": ("85 MB", "main"),
    "small": ("191 MB", "e1d692ab8fbbbee11dde1703589156e608a0520f"),
    "base": ("821 MB", "d8f50529a89cc8576e4f8e7985574465c83905d0"),
}
# from the published config.json, the same for every size
ARCHITECTURE: dict[str, Any] = {
    "context_length": 2048,
    "prediction_length": 64,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "use_reg_token": True,
}


class ChronosBolt(Pretrained):
    """Vectors of a second from Chronos-Bolt's encoder: 256, 384, 512 or 768 numbers, by `size`.

    Arguments beside those of `Pretrained`:
        size: size of the published model.
        pooling: "reg" is the register token's vector, "mean" the mean of the patches' vectors.
    """

    name = "chronos_bolt"
    adapters = ("q", "v")
    chunk = 256

    def __init__(
        self,
        *,
        size: Literal["tiny", "mini", "small", "base"],
        weights: str | Path,
        pooling: Literal["reg", "mean"] = "reg",
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        one_of("size", size, tuple(PUBLISHED), encoder=self.name)
        one_of("pooling", pooling, ("reg", "mean"), encoder=self.name)
        self.size, self.pooling, self.of = size, pooling, SIZES[size]
        self.width = self.of.width
        self.repository = f"amazon/chronos-bolt-{size}"
        bytes_, self.revision = PUBLISHED[size]
        self.about = f"{bytes_}, Apache-2.0"
        super().__init__(
            weights=weights, seed=seed, device=device, precision=precision, input_norm=input_norm
        )

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        return {"model": f"chronos-bolt-{self.size}", "pooling": self.pooling}

    def build(self) -> nn.Module:
        """The published model without its decoder and its forecasting part."""
        model = self.forecaster()
        del model.decoder, model.output_patch_embedding
        return model

    def forecaster(self) -> nn.Module:
        """The whole published model with its weights; loading all of it proves that the file is the right one."""
        try:
            from chronos.chronos_bolt import (  # pyright: ignore[reportMissingImports]
                ChronosBoltModelForForecasting,
            )
        except ImportError as error:
            raise EegfmError(
                f"encoder=chronos_bolt needs chronos-forecasting ({error}). {INSTALL}"
            ) from error
        config = t5_config(self.of, vocabulary=2, chronos_config=ARCHITECTURE)
        model = ChronosBoltModelForForecasting(config)
        if self.weights is not None:
            load_strictly(
                model,
                self.weights,
                what=f"Chronos-Bolt {self.size} ({self.repository})",
                tied=TIED,
            )
        return model

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        states = self.network.encode(series)[0]  # type: ignore[operator]  # series patch width
        return states[:, -1] if self.pooling == "reg" else states[:, :-1].mean(dim=1)
