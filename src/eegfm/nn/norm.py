"""Norms of a model's input tokens, before anything is learned from them.

Tokens are (batch, time, channel, embedding), as an encoder made them. STAMP (arXiv:2511.10848) uses the
instance norm, its ablations the batch norm or none; `Standardise` is our own, for embeddings whose
differences between samples matter, which an instance norm would remove.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError


class InstanceNorm(nn.InstanceNorm1d):
    """Centre and scale each embedding dimension over a sample's tokens, then apply a learned scale and shift.

    Biased variance, eps 1e-5, the same in training and evaluation. Not defined for a single token.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__(embedding, affine=True)

    def forward(
        self, input: Float[Tensor, "batch time channel embedding"]
    ) -> Float[Tensor, "batch time channel embedding"]:
        tokens = input.flatten(1, 2)
        return super().forward(tokens.transpose(1, 2)).transpose(1, 2).reshape(input.shape)


class BatchNorm(nn.BatchNorm1d):
    """Centre and scale each embedding dimension over all tokens of a batch (running statistics in evaluation)."""

    def forward(
        self, input: Float[Tensor, "batch time channel embedding"]
    ) -> Float[Tensor, "batch time channel embedding"]:
        return super().forward(input.flatten(0, 2)).view(input.shape)


class Standardise(nn.Module):
    """Centre and scale by the training split: one mean and one deviation for every (channel, embedding dimension).

    Nothing is learned by gradient. `fit` must have seen the training split once before the first forward pass; the
    statistics then travel in the state dict. A dimension that is constant over the split is centred and not scaled.
    """

    mean: Tensor
    std: Tensor
    fitted: Tensor

    def __init__(self, n_channels: int, embedding: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_channels, embedding))
        self.register_buffer("std", torch.ones(n_channels, embedding))
        self.register_buffer("fitted", torch.tensor(False))
        # the last value of `fitted`: reading a buffer at every step would wait for the GPU
        self._ready = False

    @torch.no_grad()
    def fit(self, batches: Iterable[Float[Tensor, "_ time channel embedding"]]) -> None:
        """Take mean and (biased) deviation over all samples and seconds, in one pass and in float64.

        Raises EegfmError if there is no batch, if one does not have this module's channels and embedding dimensions, or
        if it holds a NaN or infinity. The module is then unchanged.
        """
        # square is the summed squared distance from the mean
        count, mean, square = 0, torch.zeros(()), torch.zeros(())
        for x in batches:
            if x.ndim != 4 or x.shape[2:] != self.mean.shape:
                raise EegfmError(
                    f"Standardise was made for (batch, time, {', '.join(map(str, self.mean.shape))}) and was shown "
                    f"{tuple(x.shape)}. Fit it on the data set whose spec it was built from."
                )
            x = x.detach().double()
            n = x.shape[0] * x.shape[1]
            if n == 0:
                continue
            here = x.mean((0, 1))
            spread = (x - here).square_().sum((0, 1))
            if not torch.isfinite(spread).all():
                raise EegfmError(
                    "Standardise met NaN or infinity in the training split. Prepare that store anew, or see which "
                    "samples hold them: a single one would spoil the statistics of all."
                )
            # Chan, Golub & LeVeque (1983): merging (count, mean, square) pairs, stable where sums of squares are not
            away = here - mean.to(here)
            total = count + n
            mean = mean.to(here) + away * (n / total)
            square = square.to(here) + spread + away.square() * (count * n / total)
            count = total
        if count == 0:
            raise EegfmError("Standardise was shown no sample to fit on. Is the training split empty?")
        std = (square / count).sqrt()
        quiet = std <= 1e-6 * mean.abs()  # within float32's rounding of a constant
        self.mean.copy_(mean)
        self.std.copy_(torch.where(quiet, torch.ones_like(std), std))
        self.fitted.fill_(True)
        self._ready = True

    def forward(
        self, x: Float[Tensor, "batch time channel embedding"]
    ) -> Float[Tensor, "batch time channel embedding"]:
        if not self._ready:
            self._ready = bool(self.fitted)
            if not self._ready:
                raise EegfmError(
                    "Standardise has not seen the training split. Train through a task, which fits it, call "
                    "fit_input(batches) on the backbone, or load a trained state; or choose input_norm=instance."
                )
        return (x - self.mean) / self.std

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ready = bool(self.fitted)  # now: a program that is exported cannot ask
