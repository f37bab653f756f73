"""Forecasting: the end of a window is hidden, and a backbone predicts it. Needs no labels.

SAMBA's code holds two forecasting heads and no training that uses them (github.com/Jiazhen-Hong/SAMBA, no
licence: facts alone); the future is the last int(0.3 T) samples there. Both heads are here. The default
needs neither: a backbone that reconstructs windows, whatever their montage, sees zeros in place of the
future, and its output there is the forecast.

Differs from the references: their head is made at the first forward pass, after the optimiser, which
therefore lacks it, and its Mamba-2 cannot take 14, 16 or 22 channels; the size that a window is divided by
is computed from its past, because otherwise it would reveal the future; three baselines without a model are
scored beside the model.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EEGBatch, EegfmError, Reconstructs, SampleSpec
from eegfm.nn.mamba2 import Mamba2
from eegfm.nn.masks import hide
from eegfm.nn.options import check_option
from eegfm.nn.scaling import Scale, size_of, unit_of
from eegfm.tasks.base import OptimizerFactory, ScheduleFactory
from eegfm.tasks.errors import Errors, rows_of
from eegfm.tasks.reconstruct import ForwardPass, Reconstruct

HeadName = Literal["convolution", "mamba"]
# answers without a model: hold the last sample; the mean of the past; zero
BESIDE = ("persistence", "mean", "zero")
HEADDIM = 64  # mamba_ssm's


class Forecast(Reconstruct):
    """Train `backbone` to predict the last int(ratio * T) samples of a window, one at least, from the others.

    `head` None hides the future from the backbone and takes its output there. "convolution" and "mamba"
    receive the backbone's output for the past alone and stretch it over the future by linear interpolation;
    they are tied to a number of channels. Everything else is as in `Reconstruct`, without a mask: the loss
    and every error concern the future alone. The errors of `BESIDE` are logged as well
    ("val/persistence_rmse_uv"). An r2 of 0 is that of the mean of the future itself, which nobody knows.

    Raises:
        EegfmError: as in `Reconstruct`; a ratio that leaves no past; a head for several montages.
    """

    def __init__(
        self,
        backbone: Reconstructs,
        spec: SampleSpec,
        *,
        ratio: float = 0.3,
        head: HeadName | None = None,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None = None,
        loss: Mapping[str, float],
        scale: Scale = None,
        observe: Mapping[str, Any] | None = None,
        decay: Literal["all", "matrices"] = "matrices",
        seed: int,
    ) -> None:
        super().__init__(
            backbone,
            spec,
            optimizer=optimizer,
            schedule=schedule,
            loss=loss,
            scale=scale,
            observe=observe,
            decay=decay,
            seed=seed,
        )
        if not 0 < ratio < 1:
            raise EegfmError(
                f"task.ratio={ratio}: the part of a window that is its future, above 0 and below 1."
            )
        self.ratio = ratio
        n_channels, n_times = spec.shape
        shape = (n_channels, n_times - self.past(n_times))
        self.errors = Errors(shape, masked=False, beside=BESIDE, rows=rows_of(spec))
        self.head: nn.Module | None = None
        if head is not None:
            check_option("task.head", head, get_args(HeadName))
            if spec.montages:
                raise EegfmError(
                    f"task.head={head} is tied to one number of channels, and the corpora of this mix keep their own. "
                    "Type task.head=null, or data.channels=common."
                )
            # made now, not at the first forward pass, so that the optimiser gets it
            self.head = Convolution(n_channels) if head == "convolution" else Mamba(n_channels)

    def past(self, n_times: int) -> int:
        """How many of `n_times` samples are the past. Raises EegfmError if none are."""
        past = n_times - max(1, int(self.ratio * n_times))
        if past < 1:
            raise EegfmError(
                f"A window of {n_times} samples has no past beside a future of {n_times - past}. Longer windows are "
                "wanted, or a smaller task.ratio."
            )
        return past

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel future"]:
        """Predict the future of windows, in microvolts. Only the length of the future in `x` is used."""
        past = self.past(x.shape[-1])
        size = size_of(x[..., :past], unit_of(self.scale, self.backbone))
        return self._foretold(x / size, coords, past)[..., past:] * size

    def forward_pass(self, batch: EEGBatch, *, training: bool) -> ForwardPass:
        """Whole windows, with the future hidden. With a head, the past of the output is that of the input."""
        past = self.past(batch.x.shape[-1])
        size = size_of(batch.x[..., :past], unit_of(self.scale, self.backbone))
        true = batch.x / size
        hidden = (torch.arange(true.shape[-1], device=true.device) >= past).expand(true.shape)
        return ForwardPass(true, hide(true, hidden), self._foretold(true, batch.coords, past), size, hidden)

    def _foretold(
        self, true: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"], past: int
    ) -> Float[Tensor, "batch channel time"]:
        given, n_future = true[..., :past], true.shape[-1] - past
        if self.head is None:
            return self._given_back(F.pad(given, (0, n_future)), coords)
        future = self.head(self._given_back(given, coords), n_future)
        return torch.cat([given, future.to(true.dtype)], dim=-1)

    def _loss(
        self, batch: EEGBatch, *, training: bool
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]], ForwardPass]:
        passed = self.forward_pass(batch, training=training)
        past = self.past(passed.true.shape[-1])
        return *self.criterion(passed.pred[..., past:], passed.true[..., past:]), passed

    def _gather(self, loss: Float[Tensor, ""], passed: ForwardPass, batch: EEGBatch) -> None:
        past = self.past(passed.true.shape[-1])
        before, true = passed.true[..., :past], passed.true[..., past:]
        beside = (before[..., -1:], before.mean(-1, keepdim=True), torch.zeros_like(true[..., :1]))
        self.errors.update(
            loss,
            passed.pred[..., past:],
            true,
            passed.size,
            batch.subject,
            corpus=batch.corpus,
            beside=beside,
        )


class Convolution(nn.Module):
    """SAMBA's first head: two convolutions of the past, stretched linearly over the future."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_channels, n_channels, 3, padding=1), nn.ReLU(), nn.Conv1d(n_channels, n_channels, 1)
        )

    def forward(
        self, h: Float[Tensor, "batch channel past"], n_future: int
    ) -> Float[Tensor, "batch channel future"]:
        return _stretched(self.layers(h), n_future)


class Mamba(nn.Module):
    """SAMBA's second head, which replaces its first: channels mixed, then x + Mamba2(x), then stretched.

    The published head has 64 features, which fails where 64 does not divide twice the channels; we then
    take the largest divisor below 64.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        headdim = max(n for n in range(1, HEADDIM + 1) if 2 * n_channels % n == 0)
        self.mix = nn.Conv1d(n_channels, n_channels, 1)
        self.mamba = Mamba2(n_channels, d_state=16, d_conv=4, expand=2, headdim=headdim)

    def forward(
        self, h: Float[Tensor, "batch channel past"], n_future: int
    ) -> Float[Tensor, "batch channel future"]:
        h = self.mix(h).transpose(1, 2)  # batch past channel
        return _stretched((h + self.mamba(h)).transpose(1, 2), n_future)


def _stretched(
    h: Float[Tensor, "batch channel past"], n_future: int
) -> Float[Tensor, "batch channel future"]:
    return F.interpolate(h, size=n_future, mode="linear", align_corners=False)
