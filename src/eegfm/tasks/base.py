"""What every task shares: how its optimiser and schedule are made, its noise, and what its checkpoints carry."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from eegfm.contracts import EegfmError
from eegfm.tasks.weights import PEOPLE_SEEN

OptimizerFactory = Callable[[Iterable[Any]], Optimizer]  # of parameters, or of groups of them
ScheduleFactory = Callable[[Optimizer, int], LRScheduler]


class Task(LightningModule):
    """An objective over a backbone.

    `optimizer` makes the optimiser of the parameters that require a gradient; `schedule` is given that optimiser and
    the number of optimiser steps of the whole fit, and is stepped after each of them. Both are plain attributes:
    nothing goes into `hparams`, since a checkpoint that held an object could not be read with torch's
    `weights_only=True`.

    `decay` says which parameters the optimiser's weight decay acts on: "all", in one group, as in the
    published recipes; or "matrices", those with two or more axes that do not carry a true
    `_no_weight_decay`. The latter spares biases, norms and the scalars of a state-space layer (A_log, D,
    dt_bias).

    `monitor` names the validation metric that chooses a checkpoint, and whether more or less of it is
    better.

    `config_yaml` is the run's configuration as text, as its `config.yaml` has it, "" outside a run; it is saved as the
    checkpoint's "config". `people` says whom the weights were trained and validated on (see
    `eegfm.runs.overlap`), and `data_at_hand` on what data (see `eegfm.runs.same_run`); None outside a run.

    Noise (dropout, masks) depends only on `seed` and on the place in training: torch's generators are
    seeded anew before every training batch, so a resumed fit continues exactly as an uninterrupted one.
    Each of several processes draws its own noise, different from that of a single process.

    Gradients are averaged over processes. Where processes hold unequal shares of a batch, `part` weighs
    each share, so that the average is the gradient of the whole batch.
    """

    monitor: tuple[str, Literal["max", "min"]]
    part = 1.0

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory | None = None,
        decay: Literal["all", "matrices"] = "all",
        seed: int,
    ) -> None:
        super().__init__()
        if decay not in ("all", "matrices"):
            raise EegfmError(f"task.decay={decay}: all or matrices is wanted.")
        self.decay = decay
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.seed = seed
        self.config_yaml = ""
        self.people: dict[str, Any] | None = None
        self.data_at_hand: dict[str, dict[str, Any]] | None = None
        self.sums: dict[str, tuple[Tensor, float]] = {}
        self.begun: dict[str, tuple[Tensor, float]] = {}

    def setup(self, stage: str) -> None:
        if self.decay == "matrices" and stage == "fit" and isinstance(self.trainer.strategy, FSDPStrategy):
            raise EegfmError(
                "task.decay=matrices tells parameters apart by their axes, which FSDP takes from them: each device has "
                "a flat piece. Type task.decay=all, or trainer=ddp."
            )

    def train_windows(self) -> Iterator[Float[Tensor, "batch channel *time"]]:
        """Windows of the training split in microvolts, corpus by corpus, batch by batch.

        Raises EegfmError, at the first, if the fit has no data module of ours.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "corpora"):
            raise EegfmError(
                "task.scale=typical follows from the training windows, and the trainer was given no data module of "
                "ours. Use trainer.fit(task, datamodule=...), or a number of microvolts."
            )
        for corpus in data.corpora.values():
            yield from corpus.train_inputs()

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameter_groups())
        if self.make_schedule is None:
            return optimizer
        total_steps = self.trainer.estimated_stepping_batches
        # Lightning returns -1 for an endless loader and inf for endless epochs
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

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimiser's groups: all parameters that require a gradient, split by `decay`."""
        return self.by_decay(self.parameters())

    def by_decay(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """The parameters that require a gradient: one group, or two where some do not decay."""
        learned = [p for p in parameters if p.requires_grad]
        return [{"params": learned}] if self.decay == "all" else _matrices_apart(learned)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # batch_idx separates the batches of one accumulated step, the rank separates the processes of one step
        place = [self.seed, self.global_step, batch_idx, self.global_rank]
        noise = np.random.SeedSequence(place).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(noise))  # seeds the CPU and every GPU
        self.part = getattr(batch, "part", 1.0)

    def backward(self, loss: Float[Tensor, ""], *args: Any, **kwargs: Any) -> None:
        super().backward(loss if self.part == 1 else loss * self.part, *args, **kwargs)

    def log_training(
        self, values: Mapping[str, Float[Tensor, ""]], n: int, *, on_step: bool = False
    ) -> None:
        """Log a training batch with `log_mean`; a resumed epoch continues from the sums in its checkpoint.

        Lightning neither shows nor saves an epoch's sums. So they are summed here as well, with its
        arithmetic. On resuming, Lightning is given them as one window that holds the sum and others that
        hold zero: no digit changes.
        """
        for name, value in values.items():
            if name in self.begun:
                total, count = self.begun.pop(name)
                self.log_mean({name: total}, 1, on_step=on_step)
                self.log_mean({name: torch.zeros_like(total)}, count - 1, on_step=on_step)
                self.sums[name] = total, count
            total, count = self.sums.get(name, (0.0, 0.0))
            exact = value.detach().to(torch.promote_types(value.dtype, torch.float32))
            self.sums[name] = total + exact * n, count + n
        self.log_mean(values, n, on_step=on_step)

    def on_train_epoch_end(self) -> None:
        self.sums = {}

    def log_mean(
        self, values: Mapping[str, Float[Tensor, ""]], n: int | float, *, on_step: bool = False
    ) -> None:
        """Log means over an epoch's windows and all processes; `n` windows of this batch have these values.

        `n` becomes a float: Lightning 2.6 averages the counts of the processes and would truncate whole
        ones.
        """
        count: Any = float(n)
        self.log_dict(
            dict(values), on_step=on_step, on_epoch=True, prog_bar=on_step, batch_size=count, sync_dist=True
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config_yaml
        if self.people is not None:
            checkpoint[PEOPLE_SEEN] = self.people
        if self.data_at_hand is not None:
            checkpoint["data"] = self.data_at_hand
        loop = self.trainer.fit_loop
        if self.trainer.training and loop.batch_idx + 1 < self.trainer.num_training_batches:
            checkpoint["epoch_sums"] = {name: self._of_all(*held) for name, held in self.sums.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        share = self.trainer.world_size
        self.begun = {
            name: (total.to(self.trainer.strategy.root_device) / share, count / share)
            for name, (total, count) in checkpoint.get("epoch_sums", {}).items()
        }

    def _of_all(self, total: Float[Tensor, ""], count: float) -> tuple[Float[Tensor, ""], float]:
        """The sum and the number of windows, over all processes."""
        both = [total.clone(), torch.tensor(count, device=total.device)]
        total, windows = (self.trainer.strategy.reduce(value, reduce_op="sum") for value in both)
        return total, windows.item()


def _matrices_apart(parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Two groups: parameters that decay as the optimiser says, and parameters that do not."""
    decaying = [p for p in parameters if p.ndim >= 2 and not getattr(p, "_no_weight_decay", False)]
    taken = {id(p) for p in decaying}
    others = [p for p in parameters if id(p) not in taken]
    return [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
