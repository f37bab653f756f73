"""TinyTimeMixer R2, a pretrained forecaster of 0.8 million parameters (Ekambaram et al. 2024, arXiv:2401.03955).

Weights: https://huggingface.co/ibm-granite/granite-timeseries-ttm-r2 (Apache-2.0, 3.2 MB). Code: granite-tsfm
(Apache-2.0), imported when the first vector is asked for: training from a prepared store needs the weight file,
which the recipe names, but not the package.

STAMP does not use this model; a second becomes its input the way STAMP feeds TSPulse: 200 samples, zeros to
the right up to the context of 512, and a mask. In TinyTimeMixer the mask makes the scaler take mean and
deviation over the 200 samples alone. It does not hide the padding: a padded zero becomes −mean/deviation,
and the patches are mixed. So the mean is removed before padding. The model then sees padding of 0, the same
in every series, and a vector does not depend on the offset of its second (nor, because of the scaler, on
its amplitude).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders import base
from eegfm.encoders.base import SECOND, Pretrained, load_strictly

PACKAGE = "tsfm_public"
INSTALL = f"{base.INSTALL}, then pip install --no-deps granite-tsfm==0.3.11"

PATCH, CONTEXT, WIDTH = 64, 512, 192
# The published model; other values are granite-tsfm's defaults. A test compares it with the published config.json.
ARCHITECTURE: dict[str, Any] = {
    "context_length": CONTEXT,
    "patch_length": PATCH,
    "patch_stride": PATCH,
    "prediction_length": 96,
    "d_model": WIDTH,
    "num_layers": 2,
    "adaptive_patching_levels": 3,
    "decoder_d_model": 128,
    "decoder_num_layers": 2,
    "scaling": "std",
}
# Patches that hold samples (the last of the four has 8). The other four see samples only through the mixing, and
# vary a fifth as much from series to series.
TOKENS = -(-SECOND // PATCH)


class Ttm(Pretrained):
    """The mean of TinyTimeMixer's tokens over the four patches that hold samples, before its decoder: 192 numbers.

    We take the mean instead of all tokens side by side: MOMENT, one of STAMP's encoders, averages its
    patches too, and 768 numbers for 200 samples would be no summary. Arguments are those of `Pretrained`.
    """

    name = "ttm"
    width = WIDTH
    repository, revision = "ibm-granite/granite-timeseries-ttm-r2", "main"
    about = "3.2 MB, Apache-2.0"
    adapters = ("fc1", "fc2")  # in the mixers: TinyTimeMixer has no attention

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        return {"model": "ttm-r2-512-96", "input": "mean removed", "pooling": f"mean of {TOKENS}"}

    def build(self) -> nn.Module:
        """TinyTimeMixer without decoder and head."""
        return self.forecaster().get_submodule("backbone")

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series 192"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        tokens = self.network(**padded(series)).last_hidden_state  # series 1 patch width
        return tokens[:, 0, :TOKENS].mean(dim=1)

    def forecaster(self) -> nn.Module:
        """The whole published model with its weights; loading all of it proves that the file is the right one."""
        config, model_class = _tsfm()
        model = model_class(config(**ARCHITECTURE))
        if self.weights is not None:
            load_strictly(
                model,
                self.weights,
                what="TinyTimeMixer R2 with context 512 and horizon 96 (main branch of "
                "ibm-granite/granite-timeseries-ttm-r2)",
            )
        return model


def padded(series: Float[Tensor, "series 200"]) -> dict[str, Tensor]:
    """The model's input: each second minus its mean, zeros up to the context, and a mask of 1 on its samples.

    Both are [series, 512, 1].
    """
    centred = series - series.mean(dim=1, keepdim=True)
    values = nn.functional.pad(centred, (0, CONTEXT - SECOND)).unsqueeze(-1)
    observed = (torch.arange(CONTEXT, device=series.device) < SECOND).to(values.dtype)
    return {"past_values": values, "past_observed_mask": observed[:, None].expand_as(values)}


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Leave the root logger as it was.

    granite-tsfm's import calls logging.basicConfig(level=INFO), which would print every library's messages from then
    on.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _tsfm() -> tuple[Any, Any]:
    """granite-tsfm's config and model class."""
    try:
        with root_logger_kept():
            from tsfm_public.models.tinytimemixer import (  # pyright: ignore[reportMissingImports]
                TinyTimeMixerConfig,
                TinyTimeMixerForPrediction,
            )
    except ImportError as error:
        raise EegfmError(
            f"encoder=ttm needs granite-tsfm ({error}). {INSTALL} "
            "(without --no-deps its pins exclude current torch)."
        ) from error
    return TinyTimeMixerConfig, TinyTimeMixerForPrediction
