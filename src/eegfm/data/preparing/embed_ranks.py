"""Embed recordings in several processes at once, one for each GPU, through Lightning's predict loop."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from eegfm.contracts import EegfmError


class Recordings(lightning.LightningModule):
    """Write the given recordings. Failures are ignored here; the caller tries those again and reports why."""

    def __init__(self, write: Callable[[int], None]) -> None:
        super().__init__()
        self.write = write

    def predict_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        with suppress(EegfmError, OSError):
            self.write(int(batch))


def over_ranks(
    write: Callable[[int], None], recordings: Sequence[int], processes: int, *, progress: bool
) -> None:
    """Call `write` once for each recording, in one of several processes. `write` must be picklable.

    If there are GPUs, the current device of each process is its own GPU.
    """
    trainer = lightning.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=processes,
        # they exchange nothing until all are done, so gloo is enough; recordings may differ by hours
        strategy=DDPStrategy(start_method="spawn", process_group_backend="gloo", timeout=timedelta(days=7)),
        plugins=[LightningEnvironment()],  # we start these processes ourselves, also in a SLURM job
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )
    trainer.predict(Recordings(write), DataLoader(list(recordings)), return_predictions=False)  # type: ignore[arg-type]
