"""What every task shares: how its optimiser and schedule are made, its noise, and what its checkpoints carry."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from eegfm.contracts import EegfmError

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
ScheduleFactory = Callable[[Optimizer, int], LRScheduler]


class Task(LightningModule):
    """An objective over a backbone.

    `optimizer` makes the optimiser of the parameters that require a gradient, in one group; `schedule` is given that
    optimiser and the number of optimiser steps of the whole fit, and is stepped after each of them. Both are plain
    attributes: nothing goes into `hparams`, since a checkpoint that held an object could not be read with torch's
    `weights_only=True`.

    `config_yaml` is the run's resolved configuration as text, "" outside a run; it is saved as the checkpoint's
    "config".

    Noise (dropout, masks) is a function of `seed` and of the place in training alone: torch's generators are seeded
    anew before every training batch, so a resumed fit continues exactly as an uninterrupted one.
    """

    def __init__(
        self, *, optimizer: OptimizerFactory, schedule: ScheduleFactory | None = None, seed: int
    ) -> None:
        super().__init__()
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.seed = seed
        self.config_yaml = ""

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer([p for p in self.parameters() if p.requires_grad])
        if self.make_schedule is None:
            return optimizer
        total_steps = self.trainer.estimated_stepping_batches
        # Lightning says -1 of an endless loader and inf of endless epochs
        if not 0 < total_steps < float("inf"):
            raise EegfmError(
                "The schedule needs to know the number of training steps, and this fit has no end. "
                "Set trainer.max_epochs or trainer.max_steps."
            )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": self.make_schedule(optimizer, int(total_steps)),
                "interval": "step",
            },
        }

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # batch_idx tells apart the batches of one accumulated step; the rank, the processes of one step
        place = [self.seed, self.global_step, batch_idx, self.global_rank]
        noise = np.random.SeedSequence(place).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(noise))  # of the CPU and every GPU

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config_yaml
