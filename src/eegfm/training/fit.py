"""Train a run by gradient steps, or fit it in one go."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from eegfm.analysis.maps import knows_truth, montages
from eegfm.analysis.places import KeepPlaces, maps_places
from eegfm.build import Run
from eegfm.config.identity import chosen, model_name
from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.runs.same_run import data_at_hand, refuse_other_data
from eegfm.runs.wandb import begin, wandb_of
from eegfm.search.study import callbacks_of
from eegfm.support.checksums import refuse_changed
from eegfm.tasks.bounded import refuse_bomb
from eegfm.tasks.errors import Reconstructions
from eegfm.tasks.fitted import FitsInOneGo, write_fitted
from eegfm.tasks.metrics import Predictions
from eegfm.tasks.weights import read_checkpoint
from eegfm.training.batch_norm import SettleBatchNorm
from eegfm.training.checkpoints import WholeCheckpoints
from eegfm.training.cost import energy_j
from eegfm.training.keep_curves import KeepCurves
from eegfm.training.preemption import Asked, KeepProgress, SaveAndLeave
from eegfm.training.processes import cluster, rank, together
from eegfm.training.progress import progress
from eegfm.training.selection import checkpoint_callbacks, chooses
from eegfm.training.threshold import keep_threshold, threshold_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fit gives back.

    `predictions` of the chosen weights are those of "val" and "test". `epoch`, counted from 0, is the one whose weights
    were chosen; None of a fit in one go. `parameters` holds two numbers, "trainable" and "total". `devices` worked
    together, `device` names the first, and `energy_wh` is what their GPUs took, None if unknown. `loggers` await the
    result of the run. `threshold` is what `training.threshold.worth` says, empty where one half decides.
    """

    predictions: dict[str, Predictions | Reconstructions]
    epoch: int | None
    parameters: dict[str, int]
    device: str
    devices: int
    energy_wh: float | None
    loggers: list[Any]
    threshold: dict[str, float] = field(default_factory=dict)


def fit(
    run: Run,
    folder: Path,
    choices: Mapping[str, Any],
    asked: Asked,
    search: Mapping[str, Any] | None = None,
) -> Outcome:
    """Fit a run's task on its data, which are set up for it, and predict; the weights are kept in the folder."""
    if isinstance(run.task, FitsInOneGo):
        return fit_in_one_go(run, folder, choices)
    return train_by_gradient(run, folder, choices, asked, search)


def train_by_gradient(
    run: Run,
    folder: Path,
    choices: Mapping[str, Any],
    asked: Asked,
    search: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train from the last checkpoint in the folder, or from the start; what `search` says may end it (`Pruned`)."""
    task, data = run.task, run.data
    metric, mode = task.monitor
    chooser, better = chooses(task, run.config["selection"])
    checkpoints = folder / "checkpoints"
    selection = dict(run.config["selection"])
    kept, _ = selection.pop("keep"), selection.pop("by")
    last = checkpoints / "last.ckpt"
    if last.exists():
        for path in sorted(checkpoints.glob("*.ckpt")):  # the best one as well, before hours go by
            refuse_changed(path)
            refuse_bomb(path)
        began_on = read_checkpoint(last).get("data")
        if began_on is not None:
            refuse_other_data(folder, began_on, data_at_hand(data))
        log.info("Going on from %s.", last)
    pruning = callbacks_of(search or {}, folder, task.monitor)
    trainer = run.make_trainer(
        logger=False if rank() else begin_logger(run, folder, choices),
        plugins=[*cluster(), WholeCheckpoints()],
        callbacks=[
            *progress(sys.stdout),
            KeepCurves(folder),
            *_keeping_places(run, folder),
            SettleBatchNorm(),
            KeepProgress(folder),
            *chosen_callbacks(run.config, monitor=f"val/{metric}", mode=mode),
            SaveAndLeave(asked, last),  # after the callbacks that have to see the batch
            *pruning,
            *checkpoint_callbacks(
                checkpoints, monitor=f"val/{chooser}", mode=better, rule=selection, every=save_steps(run)
            ),
        ],
        default_root_dir=folder,
        enable_progress_bar=sys.stdout.isatty(),
    )
    # the other processes train from these weights, which exist by now
    config = {**run.config, "weights": run.started_from.get("weights"), "diagnostics": False}
    before_j = _energy_j(trainer)
    with together(trainer, config, folder, choices):
        try:
            trainer.fit(task, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit as stop:
            if stop.code == 1:  # how Lightning ends at Ctrl-C
                epoch = trainer.current_epoch + 1
                log.warning("Interrupted in epoch %d. The same command goes on from there.", epoch)
            raise
        for one in pruning:
            one.leave()
        chosen = checkpoints / f"{kept}.ckpt"
        if not chosen.exists():
            raise EegfmError(
                f"No epoch was kept in {checkpoints}: none came after selection.first_epoch={selection['first_epoch']} "
                f"with a validation {chooser} that is a number. Train longer, or set selection.first_epoch=0."
            )
        # the curves end with the training: the scores of the chosen weights below go into the summary
        loggers, trainer.loggers = trainer.loggers, []
        predictions = {}
        threshold = {}
        if (kept_in := threshold_of(task)) is not None:
            trainer.validate(task, datamodule=data, ckpt_path=chosen, weights_only=True, verbose=False)
            threshold = keep_threshold(kept_in, task.outputs, chosen, writes=not rank())
            trainer.strategy.barrier()
        for split, evaluate in (("val", trainer.validate), ("test", trainer.test)):
            evaluate(task, datamodule=data, ckpt_path=chosen, weights_only=True, verbose=False)
            predictions[split] = task.outputs
    after_j = _energy_j(trainer)
    energy_wh = None if before_j is None or after_j is None else round((after_j - before_j) / 3600, 3)
    return Outcome(
        predictions=predictions,
        epoch=_epoch_of(chosen),
        parameters={
            "trainable": sum(p.numel() for p in task.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in task.parameters()),
        },
        device=str(trainer.strategy.root_device),
        devices=trainer.world_size,
        energy_wh=energy_wh,
        loggers=loggers,
        threshold=threshold,
    )


def _energy_j(trainer: Any) -> float | None:
    """The energy counters of all GPUs of a fit together; None if some are in other machines."""
    on_gpus = trainer.strategy.root_device.type == "cuda" and trainer.num_nodes == 1
    return energy_j(trainer.device_ids) if on_gpus else None


def save_steps(run: Run) -> int | None:
    """Steps between two savings within an epoch; None if there are none."""
    steps = run.config["save_steps"]
    if steps is not None and steps < 1:
        raise EegfmError(f"save_steps={steps}: a number of steps above 0 is wanted.")
    return steps


def _keeping_places(run: Run, folder: Path) -> list[Any]:
    """The callbacks that record the spatial matrix through a fit, if the model has one."""
    if not maps_places(run.task):
        return []

    spaces = montages(run.data.spec, run.data.benchmark.name)
    return [KeepPlaces(folder, spaces, judge=any(map(knows_truth, spaces)))]


def chosen_callbacks(config: Mapping[str, Any], *, monitor: str, mode: str) -> list[Any]:
    """Callbacks that `callbacks=...` adds to ours. Partial ones get the metric that chooses the epoch."""
    nodes = OmegaConf.create({**config["callbacks"]})
    made = [make(node, f"callbacks.{name}") for name, node in nodes.items()]
    return [one(monitor=monitor, mode=mode) if isinstance(one, partial) else one for one in made]


def fit_in_one_go(run: Run, folder: Path, choices: Mapping[str, Any]) -> Outcome:
    """Fit without gradient steps; what the fit has found is kept in the folder."""
    logger = begin_logger(run, folder, choices)
    run.task.fit(run.data)
    predictions = {"val": run.task.predict(run.data, "val")}
    run.data.setup("test")
    predictions["test"] = run.task.predict(run.data, "test")
    write_fitted(run.task, folder)
    return Outcome(
        predictions=predictions,
        epoch=None,
        parameters=run.task.parameters,
        device=str(getattr(run.task, "device", "cpu")),
        devices=1,
        energy_wh=None,
        loggers=[logger] if logger else [],
    )


def _epoch_of(checkpoint: Path) -> int:
    return int(read_checkpoint(checkpoint)["epoch"])


def begin_logger(run: Run, folder: Path, choices: Mapping[str, Any]) -> Any:
    """The W&B logger that the config asks for, or False: metrics.csv is written whatever the logger is."""
    logger = wandb_of(
        run.config,
        folder,
        job_type=choices["task"],
        tags=[
            model_name(run.config, choices),
            *(chosen(choices, key) for key in ("encoder", "data")),
            run.data.benchmark.protocol,
        ],
    )
    if logger:
        groups = ("model", "encoder", "data", "task", "adapt")
        options = {key: chosen(choices, key) for key in groups if choices.get(key)}  # panels group by these
        options["model"] = model_name(run.config, choices)
        logger.experiment.config.update(
            {
                **run.written,
                "option": options,
                "provenance": asdict(run.facts_as_written(run.data.provenance())),
            },
            allow_val_change=True,
        )

        begin(logger, folder)
    return logger
