"""A training under a search: its validation metric goes to the trial after every epoch, and may end it there."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import lightning.pytorch as lightning
from lightning.pytorch import Callback

from eegfm.contracts import EegfmError
from eegfm.runs.curves import read_curves
from eegfm.runs.status import Pruned
from eegfm.search.written import Trials

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Prune(Callback):
    """Reports `monitor` of every epoch to a trial, and stops the fit at the end of one where the pruner says so.

    Not optuna-integration's callback: that wants the trial's own object, which is in the process that searches, and
    would know nothing of the epochs of a fit that was interrupted.
    """

    def __init__(
        self,
        trials: Trials,
        number: int,
        pruner: "BasePruner",
        folder: Path,
        monitor: tuple[str, Literal["max", "min"]],
    ) -> None:
        self.trials, self.number = trials, number
        self.pruner, self.metrics = pruner, folder / "metrics.csv"
        self.monitor, self.reason = f"val/{monitor[0]}", ""
        better = "maximize" if monitor[1] == "max" else "minimize"
        wanted = trials.study.direction.name.lower()
        if wanted != better:
            raise EegfmError(
                f"The search wants to {wanted} the validation {monitor[0]}, which this task "
                f"has to {better}. Type search.direction={better}"
            )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for epoch, value in epochs_of(self.metrics, self.monitor).items():  # of a fit that goes on
            if epoch < trainer.current_epoch and trainer.is_global_zero:
                self._tell(epoch, value)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        if trainer.is_global_zero and value is not None:
            self._tell(trainer.current_epoch, float(value))
            trial = self.trials.get(self.number)
            last = trainer.current_epoch + 1 == trainer.max_epochs
            if not last and not trial.state.is_finished() and self.pruner.prune(self.trials.study, trial):
                self.reason = (
                    f"given up in epoch {trainer.current_epoch + 1}: {self.monitor} {float(value):.4g}"
                )
        self.reason = trainer.strategy.broadcast(self.reason)
        if self.reason:
            trainer.should_stop = True  # not an exception: the epoch is finished and saved first

    def leave(self) -> None:
        """End a run whose fit was stopped. Raises Pruned."""
        if self.reason:
            raise Pruned(self.reason)

    def _tell(self, epoch: int, value: float) -> None:
        trial = self.trials.get(self.number)
        # it is finished where the search has given up waiting for this run
        if not trial.state.is_finished() and epoch not in trial.intermediate_values:
            self.trials.report(self.number, epoch, value)


def epochs_of(metrics: Path, monitor: str) -> dict[int, float]:
    """The values of a metric by epoch, from a run's `metrics.csv`."""
    return {int(row["epoch"]): float(row[monitor]) for row in read_curves(metrics) if row.get(monitor)}
