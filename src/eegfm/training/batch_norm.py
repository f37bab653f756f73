"""Settle the running statistics of batch norms before each validation.

In evaluation a batch norm scales by running averages of what it has seen while training. They lag behind: with the
momentum of 0.01 that braindecode's models have, 26 % of the initial values is left after 135 steps, and an EEGNet of
microvolts by 100 is then scaled by a variance 150 times too large. So the statistics are taken anew, as plain averages
over training windows in random batches, from the weights as they are; training itself is not changed by it.
"""

from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch import Callback
from torch.nn.modules.batchnorm import _BatchNorm

from eegfm.tasks.classify import Classify

WINDOWS = 8192  # at most; the split, if it has fewer
ORDER = 2**31  # an epoch that no training reaches: its batches are drawn anew, and alike every time


class SettleBatchNorm(Callback):
    """Take the statistics of every batch norm that trains from training windows, whenever a fit validates.

    Batches have the size of the training's, since what a batch norm subtracts in training are means of such batches.
    Layers in eval mode (a frozen backbone's) keep theirs.
    """

    def __init__(self) -> None:
        self.layers: list[_BatchNorm] = []
        self.loader: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.layers = [
            layer
            for layer in pl_module.modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.training
        ]

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self.layers or trainer.state.fn != "fit" or not isinstance(pl_module, Classify):
            return
        if self.loader is None:
            data: Any = trainer
            kept = data.train_dataloader  # its workers, if it has any, are in the middle of an epoch
            self.loader = data.datamodule.train_dataloader() if getattr(kept, "num_workers", 0) else kept
        order = self.loader.sampler
        order.set_epoch(ORDER)
        settle(pl_module, self.layers, self.loader, WINDOWS)
        order.set_epoch(trainer.current_epoch)
        if trainer.world_size > 1:
            for layer in self.layers:
                for statistic in (layer.running_mean, layer.running_var):
                    assert statistic is not None
                    statistic.copy_(trainer.strategy.reduce(statistic.clone(), reduce_op="mean"))


@torch.no_grad()
def settle(task: Classify, layers: list[_BatchNorm], batches: Any, n_windows: int) -> None:
    """Set the layers' running mean and variance to their averages over the first `n_windows` of the batches."""
    momenta = [layer.momentum for layer in layers]
    mode = task.training
    task.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over the batches
        layer.train()
    seen = 0
    try:
        for batch in batches:
            if len(batch.label) < 2:  # has no variance
                continue
            task(batch.x.to(task.device), batch.coords.to(task.device))
            seen += len(batch.label)
            if seen >= n_windows:
                break
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        task.train(mode)
