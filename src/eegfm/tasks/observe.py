"""A look at what is being learned while it is: every n epochs of a pre-training, a probe on labelled windows.

EEGM2's and SAMBA's 'observation'. Nothing is chosen by it and no weight moves; its numbers go beside the others.
"""

from typing import Any

import lightning.pytorch as lightning
import numpy as np
from lightning.pytorch import Callback

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.scaling import Scale
from eegfm.tasks.features import Features
from eegfm.tasks.heads import HEADS
from eegfm.tasks.metrics import scores
from eegfm.tasks.probe import HeadName, labels_of, stratified, table


class Observe(Callback):
    """After validation, every `every` epochs, log "observe/<metric>" of a probe; 0 is never.

    The probe is fitted on at most `at_most` windows of the training split and scored on as many of the validation
    split, both stratified; `layer` and `head` as for `eegfm.tasks.probe.Probe`. The test split is not looked at.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        every: int = 0,
        layer: str | None = None,
        head: HeadName = "logistic",
        at_most: int = 2000,
        scale: Scale = None,
        seed: int,
    ) -> None:
        if every and len(spec.classes) < 2:
            raise EegfmError(
                "task.observe.every is set, and these data have no labels to probe for. Set it to 0."
            )
        if head not in HEADS:
            raise EegfmError(f"task.observe.head={head}: wanted one of {', '.join(HEADS)}.")
        self.every, self.layer, self.head, self.at_most = every, layer, head, at_most
        self.n_classes, self.seed = len(spec.classes), seed
        self.scale: Scale = scale

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # what was logged once stays in the trainer: an epoch without a probe must not repeat another's
        for name in [name for name in trainer.callback_metrics if name.startswith("observe/")]:
            del trainer.callback_metrics[name]

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or (trainer.current_epoch + 1) % self.every:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        features = Features(pl_module.backbone, layer=self.layer, scale=self.scale)
        found: list[np.ndarray] = []
        for split in ("train", "val"):
            rows = data.dataset(split)
            part = stratified(labels_of(rows), self.at_most, self.seed)
            found += [table(features, rows, part, data.batch_size, pl_module.device), labels_of(rows)[part]]
        head = HEADS[self.head](self.n_classes, seed=self.seed)
        head.fit(*found)
        probed = scores(head.probabilities(found[2]), found[3], self.n_classes)
        pl_module.log_dict({f"observe/{name}": value for name, value in probed.items()})
