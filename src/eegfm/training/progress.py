"""Progress of a fit: a bar on a terminal, a line per epoch if the output goes to a file."""

import logging
from typing import TextIO

import lightning.pytorch as lightning
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import RichProgressBar

log = logging.getLogger(__name__)


def progress(stream: TextIO) -> list[Callback]:
    """The callback that suits the stream."""
    return [RichProgressBar(leave=False)] if stream.isatty() else [EpochLines()]


class EpochLines(Callback):
    """One line per epoch, for logs."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        values = trainer.callback_metrics
        best = trainer.checkpoint_callback
        shown = (
            "train/loss_epoch",
            "val/loss",
            "val/balanced_accuracy",
            "val/rmse_uv",
            "val/hidden_rmse_uv",
        )
        names = dict.fromkeys((*shown, getattr(best, "monitor", None)))
        text = "  ".join(
            f"{name.removesuffix('_epoch')} {float(values[name]):.4f}" for name in names if name in values
        )
        log.info("epoch %d/%s  %s", trainer.current_epoch + 1, trainer.max_epochs, text)
