"""Reconstruction: a backbone learns to return windows, whole or partly hidden by a mask. Needs no labels.

Two honest settings. As published by EEGM2 (github.com/Jiazhen-Hong/EEGM2, read and not copied): no mask, L1
plus the unnormalised spectral term; through full-resolution skip connections such a network can copy its
input. Repaired: a mask, and a term that does hold spectral information. A run's config says which setting
it has, and both are tested.

Differs from the references: the mask of a window that is not for training depends on its name alone, so
that every model and every epoch is judged on the same hidden samples; errors are in microvolts; the task is
seeded and resumes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from lightning.pytorch import Callback
from torch import Generator, Tensor, nn

from eegfm.contracts import EEGBatch, EegfmError, Reconstructs, SampleSpec
from eegfm.nn.losses import WeightedSum, apart
from eegfm.nn.masks import Mask, hide, interpolate
from eegfm.nn.scaling import Scale, fit_unit, give_unit, size_of, unit_of
from eegfm.tasks.base import OptimizerFactory, ScheduleFactory, Task
from eegfm.tasks.contrast import Halves
from eegfm.tasks.errors import Errors, Reconstructions, rows_of
from eegfm.tasks.observe import Observe

MaskFactory = Callable[[SampleSpec], Mask]
ContrastFactory = Callable[[nn.Module, SampleSpec], Halves]


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """A batch before and after the model, in the model's unit, which is `size` microvolts.

    `given` is the input, `hidden` is None where there is no mask.
    """

    true: Float[Tensor, "batch channel time"]
    given: Float[Tensor, "batch channel time"]
    pred: Float[Tensor, "batch channel time"]
    size: Float[Tensor, "#batch #channel 1"]
    hidden: Bool[Tensor, "batch channel time"] | None


class Reconstruct(Task):
    """Train `backbone` to give windows back.

    `scale` divides windows in microvolts (see `eegfm.nn.scaling`); "typical" is fitted on the training windows when
    a fit starts, and kept among the backbone's tensors. `mask` makes the mask of a data
    set (see `eegfm.nn.masks`), None for none. `loss` names terms of `eegfm.nn.losses` with their weights;
    with `loss_on` "masked" they look at hidden samples alone. `contrast` makes a loss beside them that needs no
    reconstruction (see `eegfm.tasks.contrast`); it sees whole windows. `observe` (arguments of `Observe`) asks for a
    probe every n epochs.

    Logs "train/loss" of each step and epoch and "train/<term>" of each epoch, the contrast as a term. With a mask, a
    term that is a mean over samples is also logged for hidden and for visible samples ("train/l1_hidden",
    "train/l1_visible"). For "val" and "test" the same is logged once per epoch, with all of
    `Reconstructions.metrics`, which holds the error of straight lines over hidden samples, and for a mix
    also values by corpus ("val/loss/tuab"). After `validate` or `test`, and after each validation of a fit,
    `outputs` holds the errors of that split, window by window (only this process's, if there are several).

    Raises:
        EegfmError: samples are no raw windows, the backbone has no forward pass, a term is unknown, or
            loss_on="masked" has no mask.
    """

    def __init__(
        self,
        backbone: Reconstructs,
        spec: SampleSpec,
        *,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None = None,
        loss: Mapping[str, float],
        mask: MaskFactory | None = None,
        loss_on: Literal["all", "masked"] = "all",
        scale: Scale = None,
        contrast: ContrastFactory | None = None,
        observe: Mapping[str, Any] | None = None,
        decay: Literal["all", "matrices"] = "matrices",
        seed: int,
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule, decay=decay, seed=seed)
        if len(spec.shape) != 2:
            raise EegfmError(
                f"To reconstruct takes raw windows (channel, time); got samples of {spec.shape}. Type encoder=raw."
            )
        if not isinstance(backbone, nn.Module) or type(backbone).forward is nn.Module.forward:
            raise EegfmError(
                f"{type(backbone).__name__} gives no windows back. Choose a model that does, or task=classify."
            )
        if loss_on == "masked" and mask is None:
            raise EegfmError(
                "task.loss_on=masked, and there is no mask. Type task.loss_on=all, or set task.mask."
            )
        self.backbone = backbone
        self.monitor = ("loss", "min")
        self.scale: Scale = scale
        give_unit(backbone, scale)
        self.loss_on = loss_on
        self.criterion = WeightedSum(loss)
        self.mask = None if mask is None else mask(spec)
        self.contrast = None if contrast is None else contrast(backbone, spec)
        self.errors = Errors(spec.shape, masked=mask is not None, rows=rows_of(spec))
        self.observe = Observe(spec, scale=scale, seed=seed, **(observe or {}))
        self.outputs: Reconstructions | None = None
        self._keys: list[str] = []

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        """Reconstruct windows, from microvolts to microvolts; nothing is hidden."""
        size = size_of(x, unit_of(self.scale, self.backbone))
        return self.backbone(x / size, coords) * size

    def forward_pass(self, batch: EEGBatch, *, training: bool) -> ForwardPass:
        """Scale, mask and reconstruct a batch. Training draws the mask from torch's noise, else names fix it."""
        size = size_of(batch.x, unit_of(self.scale, self.backbone))
        true = batch.x / size
        hidden = None
        if self.mask is not None:
            hidden = self.mask(true) if training else _by_name(self.mask, true, batch.key)
        given = true if hidden is None else hide(true, hidden)
        return ForwardPass(true, given, self._given_back(given, batch.coords), size, hidden)

    def on_fit_start(self) -> None:
        # a checkpoint is restored before this hook, and has the unit
        fit_unit(self.backbone, self.train_windows())

    def training_step(self, batch: EEGBatch, batch_idx: int) -> Float[Tensor, ""]:
        loss, terms, _ = self._loss(batch, training=True)
        self.log_training({"train/loss": loss}, len(batch.x), on_step=True)
        self.log_training({f"train/{name}": value.detach() for name, value in terms.items()}, len(batch.x))
        return loss

    def validation_step(self, batch: EEGBatch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: EEGBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def configure_callbacks(self) -> list[Callback]:
        return [self.observe] if self.observe.every else []

    def on_validation_epoch_start(self) -> None:
        self._start()

    def on_test_epoch_start(self) -> None:
        self._start()

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def _given_back(
        self, given: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        pred = self.backbone(given, coords)
        if pred.shape != given.shape:
            raise EegfmError(
                f"{type(self.backbone).__name__} was given windows of {tuple(given.shape)} and gave back "
                f"{tuple(pred.shape)}: it cannot reconstruct them."
            )
        return pred.to(given.dtype)  # errors and spectra need more than half precision

    def _loss(
        self, batch: EEGBatch, *, training: bool
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]], ForwardPass]:
        passed = self.forward_pass(batch, training=training)
        where = passed.hidden if self.loss_on == "masked" else None
        loss, terms = self.criterion(passed.pred, passed.true, where)
        if self.contrast is not None:
            terms["contrast"] = self.contrast(passed.true, batch.coords)
            loss = loss + self.contrast.weight * terms["contrast"]
        if passed.hidden is not None:
            terms |= apart(passed.pred, passed.true, passed.hidden, terms)
        return loss, terms, passed

    def _start(self) -> None:
        self.errors.reset()
        self._keys = []

    def _evaluate(self, batch: EEGBatch, split: str) -> None:
        loss, terms, passed = self._loss(batch, training=False)
        self._gather(loss, passed, batch)
        self._keys += batch.key
        self.log_mean({f"{split}/{name}": value for name, value in terms.items()}, len(batch.x))

    def _gather(self, loss: Float[Tensor, ""], passed: ForwardPass, batch: EEGBatch) -> None:
        drawn = None if passed.hidden is None else interpolate(passed.true, passed.hidden)
        self.errors.update(
            loss, passed.pred, passed.true, passed.size, batch.subject, passed.hidden, drawn, batch.corpus
        )

    def _finish(self, split: str) -> None:
        self.outputs = self.errors.reconstructions(self._keys)
        found = self.errors.compute()  # over all processes, so all log the same values
        self.log_dict({f"{split}/{name}": value.float() for name, value in found.items()}, sync_dist=True)


def _by_name(
    mask: Mask, x: Float[Tensor, "batch channel time"], keys: list[str]
) -> Bool[Tensor, "batch channel time"]:
    """The mask of every window, which depends on its name and not on the rest of the batch."""
    found = []
    for window, key in zip(x.split(1), keys, strict=True):
        seed = (
            int.from_bytes(
                hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
            )
            >> 1
        )
        found.append(mask(window, Generator().manual_seed(seed)))
    return torch.cat(found)
