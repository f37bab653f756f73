"""TinyTimeMixer R2, a pretrained forecaster of 0.8 million parameters (Ekambaram et al. 2024, arXiv:2401.03955).

Weights: https://huggingface.co/ibm-granite/granite-timeseries-ttm-r2 (Apache-2.0, 3.2 MB). Code: granite-tsfm
(Apache-2.0), imported when the first vector is asked for: training from a prepared store needs the weight file,
which the recipe names, but not the package.

STAMP does not use this model; a second becomes its input the way STAMP feeds TSPulse: 200 samples, zeros to the right
up to the context of 512, and a mask. In TinyTimeMixer the mask makes the scaler take mean and deviation over the 200
samples alone. It does not hide the padding: a padded zero becomes −mean/deviation, and the patches are mixed. So the
mean is removed before padding. Then the padding is 0 for the model, the same in every series, and a vector does not
depend on the offset of its second (nor, because of the scaler, on its amplitude).
"""

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import SECOND, SFREQ, as_seconds

PACKAGE = "tsfm_public"
INSTALL = (
    "In a checkout: make setup-tsfm. Elsewhere: pip install 'eegfm[tsfm]', then "
    "pip install --no-deps granite-tsfm==0.3.11"
)
WEIGHTS = "https://huggingface.co/ibm-granite/granite-timeseries-ttm-r2/resolve/main/model.safetensors"

PATCH, CONTEXT, WIDTH = 64, 512, 192
# The published model; all else is the default of granite-tsfm. The tests hold it against the published config.json.
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
# Patches that hold samples (the last of the four has 8). The other four see only what the mixing brings them, and
# vary a fifth as much from series to series.
TOKENS = -(-SECOND // PATCH)
CHUNK = 1024  # series at once: bounds the memory; more is not faster on one CPU thread


class Ttm:
    """The mean of TinyTimeMixer's tokens over the four patches that hold samples, before its decoder: 192 numbers.

    The mean rather than the tokens side by side: it is what MOMENT, one of the encoders of STAMP, does with its
    patches, and 768 numbers for 200 samples would be no summary.

    Args:
        weights: folder with model.safetensors, or "random" for weights drawn from `seed` (a control for what the
            pretraining brings, and for tests).
        seed: of weights="random".
        device: "auto" is a GPU where there is one, else the CPU; else a name for torch.device.
        input_norm: what a backbone should do with the vectors first. Not used here; STAMP's is "instance".

    Raises:
        EegfmError: no weights in the folder.
    """

    name = "ttm"
    sfreq = SFREQ
    width = WIDTH

    def __init__(
        self, *, weights: str | Path, seed: int = 0, device: str = "auto", input_norm: str = "instance"
    ) -> None:
        self.weights = None if weights == "random" else Path(weights) / "model.safetensors"
        self.seed = seed
        self.device = device
        self.input_norm = input_norm
        if self.weights is None:
            self.source = f"random, seed {seed}"
        elif self.weights.is_file():
            self.source = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        else:
            raise EegfmError(
                f"encoder=ttm: there is no {self.weights}.\n"
                "Download model.safetensors (3.2 MB, Apache-2.0, no login) from\n"
                "  https://huggingface.co/ibm-granite/granite-timeseries-ttm-r2/tree/main\n"
                f"and put it into {self.weights.parent}, or name another folder: encoder.weights=<folder>. "
                "As a control, encoder.weights=random does without."
            )

    def settings(self) -> dict[str, Any]:
        """What changes a vector, for the store's recipe: above all the SHA-256 of the weight file."""
        return {
            "model": "ttm-r2-512-96",
            "weights": self.source,
            "input": "mean removed",
            "pooling": f"mean of {TOKENS}",
        }

    def encode(self, series: Float[Tensor, "series time"]) -> Float[Tensor, "series width"]:
        """Vectors of seconds in µV, on the device of `series`.

        Raises:
            EegfmError: the series are not 200 samples long, granite-tsfm is not installed, or the weights are those
                of another model.
        """
        series = as_seconds(series, encoder=self.name)
        backbone = self.backbone
        device = next(backbone.parameters()).device
        vectors = torch.empty(len(series), WIDTH, device=series.device)
        # the result is made outside, so that it is an ordinary tensor that gradients of a backbone may be computed from
        with torch.inference_mode():
            for start in range(0, len(series), CHUNK):
                chunk = series[start : start + CHUNK].to(device)
                tokens = backbone(**padded(chunk)).last_hidden_state  # series 1 patch width
                vectors[start : start + CHUNK] = tokens[:, 0, :TOKENS].mean(dim=1)
        return vectors

    @cached_property
    def backbone(self) -> nn.Module:
        """TinyTimeMixer without decoder and head, on its device, for evaluation."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return self.forecaster().get_submodule("backbone").eval().requires_grad_(False).to(device)

    def forecaster(self) -> nn.Module:
        """The whole published model with its weights; loading all of it shows that the file is the right one."""
        config, model_class = _tsfm()
        with torch.random.fork_rng(devices=[]):  # building draws weights even where a file replaces them
            torch.default_generator.manual_seed(self.seed)  # torch.manual_seed would seed the GPUs as well
            model = model_class(config(**ARCHITECTURE))
        if self.weights is not None:
            _load(model, self.weights)
        return model


def padded(series: Float[Tensor, "series 200"]) -> dict[str, Tensor]:
    """The model's input: each second without its mean, zeros up to the context, and the mask that is 1 on its samples.

    Both are [series, 512, 1].
    """
    centred = series - series.mean(dim=1, keepdim=True)
    values = nn.functional.pad(centred, (0, CONTEXT - SECOND)).unsqueeze(-1)
    observed = (torch.arange(CONTEXT, device=series.device) < SECOND).to(values.dtype)
    return {"past_values": values, "past_observed_mask": observed[:, None].expand_as(values)}


def _tsfm() -> tuple[Any, Any]:
    """granite-tsfm's config and model class, imported with the root logger left as it was.

    Its import calls logging.basicConfig(level=INFO), which would print every library's messages from then on.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        from tsfm_public.models.tinytimemixer import (  # pyright: ignore[reportMissingImports]
            TinyTimeMixerConfig,
            TinyTimeMixerForPrediction,
        )
    except ImportError as error:
        raise EegfmError(
            f"encoder=ttm needs granite-tsfm ({error}). {INSTALL} "
            "(without --no-deps its pins exclude current torch)."
        ) from error
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return TinyTimeMixerConfig, TinyTimeMixerForPrediction


def _load(model: nn.Module, file: Path) -> None:
    """All tensors of the file into the model, none left over on either side."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(file), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise EegfmError(
            f"{file} does not hold the weights of TinyTimeMixer R2 with context 512 and horizon 96 (main branch of "
            f"ibm-granite/granite-timeseries-ttm-r2). Download it again from there.\n{error}"
        ) from error
