"""TSPulse, a pretrained model of 1 million parameters (Ekambaram et al. 2025, arXiv:2505.13033): its register tokens.

Weights: https://huggingface.co/ibm-granite/granite-timeseries-tspulse-r1, in the variant for search and
imputation that STAMP uses (Apache-2.0, 4.3 MB). Code: granite-tsfm (Apache-2.0), imported when the first
vector is asked for.

A second becomes the model's input as in STAMP: divided by 100, 200 samples, zeros to the right up to the
context of 512, and a mask. In TSPulse the mask does hide the padding: the model's own mask token replaces
it, the scaler takes mean and deviation over the 200 samples, and the spectrum is that of the scaled second
and the tokens. So a vector does not depend on the offset of its second, nor on its amplitude unless that is
below 3.2 µV: in units of 100 µV, a variance under 0.001 counts as 0.001, which is why the division stays.

The last ten patches of the decoder's output are registers of 24 numbers, trained to describe the spectrum
of the whole: the 240 numbers that granite-tsfm's `get_embeddings` returns by default and STAMP stores.
"""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.encoders.base import SECOND, Precision, Pretrained, load_strictly
from eegfm.encoders.ttm import INSTALL, root_logger_kept
from eegfm.support.files import sha256_of

PACKAGE = "tsfm_public"
UNIT = 100.0  # microvolts, as in STAMP
CONTEXT, REGISTERS, TOKEN = 512, 10, 24
# For random weights. The published config.json is not at hand: width, tokens, scaling and the decoder's two layers
# are as others report them; the eight layers, the three of the registers' head and the absence of a spectral head
# give the file its published length, 4,305,624 bytes. Published weights use the config.json beside them.
ARCHITECTURE: dict[str, Any] = {
    "context_length": CONTEXT,
    "patch_length": 8,
    "patch_stride": 8,
    "d_model": TOKEN,
    "decoder_d_model": TOKEN,
    "num_layers": 8,
    "decoder_num_layers": 2,
    "register_mixer_layers": 3,
    "patch_register_tokens": REGISTERS,
    "fuse_fft": True,
    "fft_weight": 0,
    "fft_original_signal_loss_weight": 0,
    "minimum_scale": 1e-3,
}
# overrides the config: the mask is ours, and series have one channel (as in STAMP)
ALWAYS: dict[str, Any] = {"num_input_channels": 1, "mask_type": "user"}


class Tspulse(Pretrained):
    """The register tokens of TSPulse's decoder: 240 numbers. Arguments are those of `Pretrained`.

    The weights' config.json lies beside them: some options, such as which end of the spectrum is dropped,
    change a vector but no shape. With random weights the registers are about 1.6, and a second moves them
    by some 0.005: a float16 store rounds by 7 % of that.
    """

    name = "tspulse"
    width = REGISTERS * TOKEN
    repository = "ibm-granite/granite-timeseries-tspulse-r1"
    # the commit that other projects pin for the branch tspulse-hybrid-dualhead-512-p8-r1
    revision = "b12164578f7b893ada0028c00d292ba10383d25a"
    about = "4.3 MB, Apache-2.0; and the config.json beside it"
    adapters = ("fc1", "fc2")  # in the mixers: TSPulse has no attention over patches
    chunk = 256

    def __init__(
        self,
        *,
        weights: str | Path,
        seed: int = 0,
        device: str = "auto",
        precision: Precision = "float32",
        input_norm: str = "instance",
    ) -> None:
        super().__init__(
            weights=weights, seed=seed, device=device, precision=precision, input_norm=input_norm
        )
        self.config: Path | None = None
        if self.weights is not None:
            self.config = self.weights.with_name("config.json")
            if not self.config.is_file():
                raise EegfmError(
                    f"encoder=tspulse: {self.weights} is there, but no config.json beside it. Download that too from\n"
                    f"  https://huggingface.co/{self.repository}/tree/{self.revision}"
                )

    def facts(self) -> dict[str, Any]:
        """The facts, beside the weights, that change a vector."""
        config = {} if self.config is None else {"config": sha256_of(self.config)[:16]}
        return {
            "model": "tspulse-r1",
            "input": f"uV / {UNIT:g}",
            "pooling": "registers of the decoder",
            **config,
        }

    def build(self) -> nn.Module:
        """TSPulse up to the registers of its decoder."""
        whole = self.reconstructor()
        return Registers(whole.get_submodule("backbone"), whole.get_submodule("decoder_with_head.decoder"))

    def vectors(self, series: Float[Tensor, "series 200"]) -> Float[Tensor, "series 240"]:
        """Vectors of seconds, with a gradient if the network's weights have one."""
        return self.network(nn.functional.pad(series / UNIT, (0, CONTEXT - SECOND)).unsqueeze(-1))

    def reconstructor(self) -> nn.Module:
        """The whole published model with its weights; loading all of it proves that the file is the right one."""
        try:
            with root_logger_kept():
                from tsfm_public.models.tspulse import (  # pyright: ignore[reportMissingImports]
                    TSPulseConfig,
                    TSPulseForReconstruction,
                )
        except ImportError as error:
            raise EegfmError(
                f"encoder=tspulse needs granite-tsfm ({error}). {INSTALL} "
                "(without --no-deps its pins exclude current torch)."
            ) from error
        what = f"TSPulse r1 ({self.repository}, branch tspulse-hybrid-dualhead-512-p8-r1)"
        if self.config is None:
            return TSPulseForReconstruction(TSPulseConfig(**ARCHITECTURE, **ALWAYS))
        given = json.loads(self.config.read_text(encoding="utf-8"))
        for option in ("context_length", "patch_register_tokens", "decoder_d_model"):
            if given.get(option) != ARCHITECTURE[option]:
                raise EegfmError(
                    f"{self.config} has {option}={given.get(option)}, {what} {ARCHITECTURE[option]}. "
                    "Download both files again from there."
                )
        assert self.weights is not None
        model = TSPulseForReconstruction(TSPulseConfig.from_dict(given | ALWAYS))
        load_strictly(model, self.weights, what=what)
        return model


class Registers(nn.Module):
    """Backbone and decoder of TSPulse, without the heads that reconstruct."""

    def __init__(self, backbone: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder

    def forward(self, padded: Float[Tensor, "series 512 1"]) -> Float[Tensor, "series 240"]:
        """The registers of padded seconds, whose first 200 samples are observed."""
        observed = (torch.arange(CONTEXT, device=padded.device) < SECOND)[:, None].expand_as(padded)
        states = self.backbone(padded, past_observed_mask=observed, return_dict=True).last_hidden_state
        decoded = self.decoder(states)[0]  # series 1 patch width
        return decoded[:, 0, -REGISTERS:].flatten(1)
