"""The curves of a fit as files: `metrics.csv`, a row an epoch, and `loss.csv`, a row a step.

We write it, whatever the logger, because Lightning's CSV logger deletes the rows of an interrupted run. A
resumed fit drops the rows after its checkpoint and goes on, so the files equal those of an uninterrupted
fit. With several processes only rank 0 writes, and a loss is that of the whole batch.
"""

import csv
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch import Callback
from torch import Tensor

from eegfm.runs.curves import read_curves
from eegfm.support.files import sync_to_disk, whole


class KeepCurves(Callback):
    """Writes `metrics.csv` (epoch, step, learning rate, every logged metric) and `loss.csv` (step, training loss)."""

    def __init__(self, folder: Path) -> None:
        self.metrics, self.losses = folder / "metrics.csv", folder / "loss.csv"
        self.rows: list[dict[str, Any]] = []
        self.steps: list[tuple[int, Tensor]] = []

    # not on_fit_start: there Lightning has not restored the step yet
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.steps = []
        if not trainer.is_global_zero:
            return
        done = trainer.global_step
        self.rows = [row for row in read_curves(self.metrics) if int(row["step"]) <= done] if done else []
        _write(self.losses, ["step", "loss"], _whole_rows(self.losses, done) if done else [])

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        # kept as a tensor: reading it here would make a GPU wait
        self.steps.append((trainer.global_step, loss * getattr(pl_module, "part", 1.0)))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._flush(trainer)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        values = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if not name.endswith("_step")
        }
        self.rows.append(
            {"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": rate, **values}
        )
        if trainer.is_global_zero:
            _write(self.metrics, list(dict.fromkeys(name for row in self.rows for name in row)), self.rows)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # a killed fit goes on from the checkpoint, perhaps in the middle of an epoch
        self._flush(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        # one of several processes must not wait for the others here: they may be well. What it leaves out comes again
        if trainer.world_size == 1:
            with suppress(
                OSError, RuntimeError
            ):  # a full disk, a lost GPU: the error at hand is the one to tell
                self._flush(trainer)

    def _flush(self, trainer: lightning.Trainer) -> None:
        if not self.steps:
            return
        losses = torch.stack([loss for _, loss in self.steps])
        if trainer.world_size > 1:
            losses = trainer.strategy.reduce(losses, reduce_op="mean")
        if trainer.is_global_zero:
            rows = zip((step for step, _ in self.steps), losses.tolist(), strict=True)
            with open(self.losses, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows((step, repr(loss)) for step, loss in rows)
                sync_to_disk(file)  # the checkpoint that follows is there after a power failure
        self.steps = []


def _whole_rows(path: Path, done: int) -> list[dict[str, Any]]:
    """The losses of the first `done` steps. A row that a kill or a full disk cut short, and all after it, are not."""
    kept, before = [], 0
    for row in read_curves(path):
        step = int(row["step"])
        if row["loss"] is None or not before <= step <= done:
            break
        kept.append(row)
        before = step
    return kept


def _write(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    with whole(path, sync=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
