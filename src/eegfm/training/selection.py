"""Keep two epochs: the best on validation, for the test, and the last, to resume from (or for the test).

A classifier's best epoch is that of the lowest validation loss, in which classes weigh alike: a proper score, which
asks for order and for probabilities on the right side. AUROC asks for order alone, and from the first epoch on it kept
networks whose logits differed in the fourth decimal (loss 0.693, balanced accuracy 0.500). `selection.by=metric` is the
published rule, by AUROC or Cohen's kappa.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from eegfm.contracts import EegfmError
from eegfm.tasks.classify import Classify


def chooses(task: Any, selection: Mapping[str, Any]) -> tuple[str, Literal["max", "min"]]:
    """The validation metric that chooses the epoch of a task, and its better end."""
    by = selection["by"]
    if by not in ("loss", "metric"):
        raise EegfmError(f"selection.by={by}: one of these is wanted: loss, metric.")
    return ("loss", "min") if by == "loss" and isinstance(task, Classify) else task.monitor


def checkpoint_callbacks(
    folder: Path,
    *,
    monitor: str,
    mode: Literal["max", "min"],
    rule: Mapping[str, Any],
    every: int | None = None,
) -> list[Callback]:
    """The callbacks that write `best.ckpt` and `last.ckpt`; `rule` holds the arguments of `BestEpoch`.

    `last.ckpt` is also written within an epoch, once in `every` steps.

    The best comes first: the last checkpoint then knows the best of its own epoch, and a resumed fit
    compares equally. Lightning's own `save_last` does not suffice: it writes only when the best one
    changes.
    """
    last = Kept(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    found = [BestEpoch(folder, monitor=monitor, mode=mode, **rule), last]
    if every:
        found.append(
            WithinEpoch(folder, filename="last", every_n_train_steps=every, enable_version_counter=False)
        )
    return found


class Kept(ModelCheckpoint):
    """A checkpoint of a run folder, which may be moved or mounted elsewhere between two processes of a run."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning's own forgets the best score where the folder has another path than before
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})
        self.current_score = state_dict.get("current_score")  # which it saves, and does not take up


class WithinEpoch(Kept):
    """Write once in some steps, but not after an epoch's last: a resumed fit would skip the validation."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        if trainer.fit_loop.batch_idx + 1 < trainer.num_training_batches:
            super().on_train_batch_end(trainer, pl_module, *args, **kwargs)


class BestEpoch(Kept):
    """Keep `best.ckpt`, the epoch of the best validation metric.

    A new best must exceed the old by more than `min_delta`, and epochs before `first_epoch` never count, unless the
    training ends before it: then its last epoch does. STAMP's reference uses 1e-3 and 1 (its condition is epoch > 0);
    the defaults compare plainly and count every epoch.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: str,
        mode: Literal["max", "min"],
        min_delta: float = 0.0,
        first_epoch: int = 0,
    ) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.min_delta, self.first_epoch = min_delta, first_epoch
        self._epoch = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._epoch = trainer.current_epoch
        super().on_train_epoch_end(trainer, pl_module)

    def check_monitor_top_k(self, trainer: lightning.Trainer, current: Tensor | None = None) -> bool:
        steps = float(trainer.estimated_stepping_batches) * trainer.accumulate_grad_batches
        n_epochs = (
            math.ceil(steps / max(1, trainer.num_training_batches)) if math.isfinite(steps) else math.inf
        )
        if self._epoch < min(self.first_epoch, n_epochs - 1):
            return False
        if current is not None and self.best_model_score is not None:
            gain = (
                current - self.best_model_score if self.mode == "max" else self.best_model_score - current
            )
            return bool(gain > self.min_delta)
        return super().check_monitor_top_k(trainer, current)
