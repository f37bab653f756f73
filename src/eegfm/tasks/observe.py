"""Probe labelled windows every n epochs of a pre-training, to see what has been learned so far.

EEGM2 and SAMBA call this 'observation'. It chooses nothing and moves no weight; its scores are logged
beside the others.
"""

from typing import Any

import lightning.pytorch as lightning
import numpy as np
from lightning.pytorch import Callback

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.scaling import Scale
from eegfm.tasks.features import Features, Pooling
from eegfm.tasks.heads import HEADS
from eegfm.tasks.metrics import scores
from eegfm.tasks.probe import HeadName, stratified, table


class Observe(Callback):
    """Log "observe/<metric>" of a probe after the validation of every `every`-th epoch; 0 means never.

    The probe is fitted on at most `at_most` windows of the training split and scored on as many of the
    validation split, both stratified; `layer`, `pooling` and `head` are as in `eegfm.tasks.probe.Probe`. For a mix,
    `corpus` names the corpus that supplies windows and labels. The test split is not touched.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        every: int = 0,
        corpus: str | None = None,
        layer: str | None = None,
        pooling: Pooling = "statistics",
        head: HeadName = "logistic",
        at_most: int = 2000,
        scale: Scale = None,
        seed: int,
    ) -> None:
        if every and corpus is None and len(spec.classes) < 2:
            raise EegfmError(
                "task.observe.every is set, and these data have no labels to probe for. Set it to 0"
                + (", or name a corpus that has some: task.observe.corpus=<name>" if spec.corpora else ".")
            )
        if every and corpus is not None and corpus not in spec.corpora:
            raise EegfmError(
                f"task.observe.corpus={corpus}: wanted one of a mix's ({', '.join(spec.corpora) or 'this is none'})."
            )
        if head not in HEADS:
            raise EegfmError(f"task.observe.head={head}: wanted one of {', '.join(HEADS)}.")
        self.every, self.corpus, self.layer, self.head, self.at_most = (
            every,
            corpus or "",
            layer,
            head,
            at_most,
        )
        self.seed = seed
        self.scale: Scale = scale
        self.pooling: Pooling = pooling

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if len(self._classes(trainer)) < 2:  # a mix's corpus gives its classes only now
            raise EegfmError(
                f"task.observe.corpus={self.corpus}: its windows have no labels to probe for. Name another, or set "
                "task.observe.every=0"
            )

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        # logged values stay in the trainer: an epoch without a probe must not repeat those of another
        for name in [name for name in trainer.callback_metrics if name.startswith("observe/")]:
            del trainer.callback_metrics[name]

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or (trainer.current_epoch + 1) % self.every:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        features = Features(pl_module.backbone, layer=self.layer, pooling=self.pooling, scale=self.scale)
        found: list[np.ndarray] = []
        n_classes = len(self._classes(trainer))
        for split in ("train", "val"):
            rows = data.datasets(split)[self.corpus]
            part = stratified(rows.labels, self.at_most, self.seed)
            found += [table(features, rows, part, data.batch_size, pl_module.device), rows.labels[part]]
        head = HEADS[self.head](n_classes, seed=self.seed)
        head.fit(*found)
        probed = scores(head.probabilities(found[2]), found[3], n_classes)
        pl_module.log_dict({f"observe/{name}": value for name, value in probed.items()})

    def _classes(self, trainer: Any) -> tuple[str, ...]:
        return trainer.datamodule.corpora[self.corpus].spec.classes
