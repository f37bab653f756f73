"""Report the validation metric of a trial after every epoch; the pruner may then stop the run."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import lightning.pytorch as lightning
from lightning.pytorch import Callback

from eegfm.contracts import EegfmError
from eegfm.runs.curves import read_curves
from eegfm.runs.status import Pruned
from eegfm.search.storage import Trials

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Prune(Callback):
    """Report `monitor` to a trial after every epoch, and stop the fit after an epoch if the pruner says so.

    optuna-integration's callback cannot be used: it needs the trial object of the searching process, and it does not
    report the epochs before an interruption.
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
        direction = trials.study.direction.name.lower()
        if direction != better:
            raise EegfmError(
                f"The search would {direction} the validation {monitor[0]}, which this task "
                f"has to {better}. Type search.direction={better}"
            )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for epoch, value in epochs_of(self.metrics, self.monitor).items():  # of a resumed fit
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
            trainer.should_stop = True  # not an exception, so the epoch is finished and saved first

    def leave(self) -> None:
        """Raise Pruned if the fit was stopped, to end the run."""
        if self.reason:
            raise Pruned(self.reason)

    def _tell(self, epoch: int, value: float) -> None:
        trial = self.trials.get(self.number)
        # the trial is already finished if the search has given up this run
        if not trial.state.is_finished() and epoch not in trial.intermediate_values:
            self.trials.report(self.number, epoch, value)


def epochs_of(metrics: Path, monitor: str) -> dict[int, float]:
    """The values of a metric by epoch, from a run's `metrics.csv`."""
    return {int(row["epoch"]): float(row[monitor]) for row in read_curves(metrics) if row.get(monitor)}
