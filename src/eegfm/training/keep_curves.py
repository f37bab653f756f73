"""The curves of a fit as files: `metrics.csv`, a row an epoch, and `loss.csv`, a row a step.

We write it, whatever the logger, because Lightning's CSV logger deletes the rows of an interrupted run. A
resumed fit drops the rows after its checkpoint and goes on, so the files equal those of an uninterrupted
fit. With several processes only rank 0 writes, and a loss is that of the whole batch.

`metrics.csv` has its sum beside it. That of `loss.csv`, which grows, is in the checkpoint that a fit goes on from.
"""

import csv
import hashlib
import io
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch import Callback
from torch import Tensor

from eegfm.contracts import EegfmError
from eegfm.runs.curves import read_curves
from eegfm.support.checksums import write_with_sum
from eegfm.support.files import sync_to_disk, whole

log = logging.getLogger(__name__)

LOSSES = "loss.csv"  # in a checkpoint: how many rows that file had, and the SHA-256 of them


class KeepCurves(Callback):
    """Writes `metrics.csv` (epoch, step, learning rate, every logged metric) and `loss.csv` (step, training loss)."""

    def __init__(self, folder: Path) -> None:
        self.metrics, self.losses = folder / "metrics.csv", folder / "loss.csv"
        self.rows: list[dict[str, Any]] = []
        self.steps: list[tuple[int, Tensor]] = []
        self.written = 0  # rows in `losses`
        self.sum = hashlib.sha256()  # of these rows
        self.wanted: dict[str, Any] | None = None  # both, as the checkpoint says that the fit goes on from

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.wanted = checkpoint.get(LOSSES)

    # not on_fit_start: there Lightning has not restored the step yet
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.steps = []
        if not trainer.is_global_zero:
            return
        done = trainer.global_step
        self.rows = [row for row in read_curves(self.metrics) if int(row["step"]) <= done] if done else []
        losses = self._before(done) if done else []
        self.written, self.sum = len(losses), hashlib.sha256(_text(losses))
        with whole(self.losses, sync=True) as temporary:
            temporary.write_bytes(_text([("step", "loss"), *losses]))

    def _before(self, done: int) -> list[tuple[str, str]]:
        """The losses of the first `done` steps. Raises EegfmError if they are not those that were written."""
        rows = _whole_rows(self.losses, done)
        if self.wanted is None:
            return rows
        rows = rows[: self.wanted["rows"]]
        if hashlib.sha256(_text(rows)).hexdigest() == self.wanted["sha256"]:
            return rows
        if self.losses.exists():
            raise EegfmError(
                f"{self.losses} is damaged: it does not hold the losses of the first {done:,} steps. Put a good copy "
                "in its place; or delete it, and the run goes on without them."
            )
        log.warning("%s is gone: the losses of the first %s steps are lost.", self.losses, f"{done:,}")
        return []

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
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            write_with_sum(
                self.metrics, _text([names, *([row.get(name, "") for name in names] for row in self.rows)])
            )

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # a killed fit goes on from the checkpoint, perhaps in the middle of an epoch
        self._flush(trainer)
        checkpoint[LOSSES] = {"rows": self.written, "sha256": self.sum.hexdigest()}

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
            text = _text((step, repr(loss)) for step, loss in rows)
            with open(self.losses, "ab") as file:
                file.write(text)
                sync_to_disk(file)  # the checkpoint that follows is there after a power failure
            self.written += len(losses)
            self.sum.update(text)
        self.steps = []


def _whole_rows(path: Path, done: int) -> list[tuple[str, str]]:
    """The losses of the first `done` steps. A row that a kill or a full disk cut short, and all after it, are not."""
    kept, before = [], 0
    for row in read_curves(path):
        step, loss = row.get("step", ""), row.get("loss")
        if loss is None or not step.isdecimal() or not before <= int(step) <= done:
            break
        kept.append((step, loss))
        before = int(step)
    return kept


def _text(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
