"""`python -m eegfm.train model=stamp data=mental_arithmetic data.raw=<folder>`: prepare, train, test, report.

The run folder is named by the resolved config. The same command finds it again: it goes on from the last epoch where
the run was interrupted, and says so where it is finished.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eegfm.build import PRETRAIN, Run, build, door, named, pretraining

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eegfm.results import RunResult
    from eegfm.tasks.errors import Reconstructions
    from eegfm.tasks.metrics import Predictions

log = logging.getLogger(__name__)


@door("train")
def main(config: DictConfig) -> float | None:
    """Train one run; returns the chosen epoch's validation metric, for sweepers."""
    runtime = HydraConfig.get().runtime
    return train(config, Path(runtime.output_dir), runtime.choices)


def train(config: DictConfig, folder: Path, choices: Mapping[str, Any]) -> float | None:
    """Everything from a composed config, and the options chosen for it by group, to a finished run folder."""
    from omegaconf import OmegaConf

    from eegfm.results import read_result
    from eegfm.summary import show

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on a GPU
    if (folder / "result.json").exists():
        result = read_result(folder)
        show(result, folder, f"This run is finished already; delete {folder} to train it anew.")
        return result.monitor_value
    import lightning.pytorch as lightning

    # a note of torch's to Lightning's authors, printed at every loop
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    # what Lightning says at INFO is on our summary or of no use
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    weights = _pretrained(config, choices) if config.weights == PRETRAIN else config.weights
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    run = build(config, weights)
    run.data.prepare_data()
    run.data.setup("fit")
    OmegaConf.save(OmegaConf.create(run.config), folder / "config.yaml")
    started = time.monotonic()
    if isinstance(run.task, lightning.LightningModule):
        outcome = _train_by_gradient(run, folder, choices)
    else:
        outcome = _fit_in_one_go(run)
    result = _write(run, folder, outcome, time.monotonic() - started, choices)
    show(result, folder)
    return result.monitor_value


def _pretrained(config: DictConfig, choices: Mapping[str, Any]) -> Path:
    """The folder of the finished run that weights=pretrain means; it is trained now where no one has."""
    from eegfm.data.parts import only_one

    before, its_choices = pretraining(config, choices)
    folder = Path(config.paths.runs) / named(before, its_choices)
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder):  # runs of a sweep that start from the same weights
        if not (folder / "result.json").exists():
            # what is wrong with the run that follows is said before the hours of this one
            build(config, None)
            log.info("Pre-training first, in %s.", folder)
            train(before, folder, its_choices)
    log.info("Starting from the pre-training in %s.", folder)
    return folder


def _train_by_gradient(run: Run, folder: Path, choices: Mapping[str, Any]) -> dict[str, Any]:
    from eegfm.contracts import EegfmError
    from eegfm.tasks.history import History
    from eegfm.tasks.progress import progress
    from eegfm.tasks.selection import keep

    task, data = run.task, run.data
    task.config_yaml = (folder / "config.yaml").read_text(encoding="utf-8")
    metric, mode = task.monitor
    checkpoints = folder / "checkpoints"
    selection = dict(run.config["selection"])
    kept = selection.pop("keep")
    trainer = run.make_trainer(
        logger=_logger(run, folder, choices),
        callbacks=[
            *progress(sys.stdout),
            History(folder),
            *keep(checkpoints, monitor=f"val/{metric}", mode=mode, rule=selection),
        ],
        default_root_dir=folder,
        enable_progress_bar=sys.stdout.isatty(),
    )
    last = checkpoints / "last.ckpt"
    if last.exists():
        log.info("Going on from %s.", last)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    except SystemExit:  # how Lightning ends at Ctrl-C
        log.warning(
            "Interrupted in epoch %d. The same command goes on from there.", trainer.current_epoch + 1
        )
        raise
    chosen = checkpoints / f"{kept}.ckpt"
    if not chosen.exists():
        raise EegfmError(
            f"No epoch was kept in {checkpoints}: none came after selection.first_epoch={selection['first_epoch']} "
            "with a validation metric that is a number. Train longer, or set selection.first_epoch=0."
        )
    predictions = {}
    for split, evaluate in (("val", trainer.validate), ("test", trainer.test)):
        evaluate(task, datamodule=data, ckpt_path=chosen, weights_only=True, verbose=False)
        predictions[split] = task.outputs
    return {
        "predictions": predictions,
        "epoch": _epoch_of(chosen),
        "parameters": {
            "trainable": sum(p.numel() for p in task.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in task.parameters()),
        },
        "device": str(trainer.strategy.root_device),
        "loggers": trainer.loggers,
    }


def _fit_in_one_go(run: Run) -> dict[str, Any]:
    run.task.fit(run.data)
    predictions = {"val": run.task.predict(run.data, "val")}
    run.data.setup("test")
    predictions["test"] = run.task.predict(run.data, "test")
    return {
        "predictions": predictions,
        "epoch": None,
        "parameters": run.task.parameters,
        "device": str(getattr(run.task, "device", "cpu")),
        "loggers": [],
    }


def _scans(task: Any) -> list[str]:
    """How the Mamba-2 layers of a task's model were computed last; a task that fits in one go holds its model."""
    from torch import nn

    from eegfm.nn.mamba2 import scans_used

    model = task if isinstance(task, nn.Module) else task.backbone
    return scans_used(model) if isinstance(model, nn.Module) else []


def _epoch_of(checkpoint: Path) -> int:
    import torch

    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"])


def _logger(run: Run, folder: Path, choices: Mapping[str, Any]) -> Any:
    """The W&B logger that the config asks for, or False: metrics.csv is written whatever the logger is."""
    node = run.config["logger"]
    if "_target_" not in node:
        return False
    from omegaconf import OmegaConf

    from eegfm.build import make

    config = run.config
    logger = make(OmegaConf.create({k: v for k, v in node.items() if k != "name"}), "logger")(
        save_dir=folder,
        id=f"{folder.parent.name}-{folder.name}"[:120],  # one run across interruptions
        resume="allow",
        name=folder.name,
        group=folder.parent.name,
        job_type=choices["task"],
        tags=[choices[key] for key in ("model", "encoder", "data")] + [run.data.benchmark.protocol],
    )
    logger.experiment.config.update({**config, "provenance": run.data.provenance()}, allow_val_change=True)
    return logger


def _write(
    run: Run, folder: Path, outcome: dict[str, Any], wall_s: float, choices: Mapping[str, Any]
) -> "RunResult":
    """Predictions, figures and `result.json`; the last makes the run a finished one."""
    from eegfm.data.store import write_json
    from eegfm.results import (
        BenchmarkFacts,
        RunResult,
        environment,
        peak_memory_mb,
        record,
        write_result,
    )

    classes, subjects = run.data.benchmark.classes, run.data.subjects
    metrics, by_subject = {}, {}
    for split, found in outcome["predictions"].items():
        ids = [subjects[i] for i in found.subject]
        _, metrics[split], by_subject[split] = record(folder, split, found, ids, run.data.spec)
    monitor = run.task.monitor[0]
    result = RunResult(
        name=folder.name,
        experiment=folder.parent.name,
        model=choices["model"],
        encoder=choices["encoder"],
        data=choices["data"],
        task=choices["task"],
        seed=run.config["seed"],
        classes=list(classes),
        metrics=metrics,
        by_subject=by_subject,
        monitor=monitor,
        monitor_value=metrics["val"][monitor],
        best_epoch=outcome["epoch"],
        started_from=run.started_from,
        benchmark=BenchmarkFacts(**run.data.provenance()),
        parameters=outcome["parameters"],
        wall_s=round(wall_s, 2),
        peak_memory_mb=peak_memory_mb(),
        device=outcome["device"],
        scan=_scans(run.task),
        adapt=choices.get("adapt"),
        **environment(),
    )
    write_json(folder / "leakage.json", {"subjects": result.benchmark.subjects, **result.benchmark.leakage})
    figures = _draw(folder, run, outcome["predictions"]["test"], result)
    for logger in outcome["loggers"]:
        logger.log_metrics({f"test/{name}": value for name, value in metrics["test"].items()})
        for name, path in figures.items():
            logger.log_image(key=name, images=[str(path)])
        logger.finalize("success")
        logger.experiment.finish()  # the next run of a sweep lives in this process
    write_result(folder, result)
    return result


def _draw(
    folder: Path, run: Run, test: "Predictions | Reconstructions", result: "RunResult"
) -> dict[str, Path]:
    from eegfm import figures
    from eegfm.tasks.metrics import Predictions

    facts = result.benchmark
    kind = (
        " SIMULATED" * facts.simulated
        + " IMPORTED" * bool(facts.imported)
        + " PARTIAL" * (not facts.complete)
    )
    title = f"{result.model} on {facts.title}{kind}"
    if isinstance(test, Predictions):
        drawn = _of_classes(folder, test, result, title)
    else:
        drawn = _of_windows(folder, run, test, result, title)
    return {
        name: figures.save(figure, folder / "figures" / f"{name}.png") for name, figure in drawn.items()
    }


def _of_classes(folder: Path, test: "Predictions", result: "RunResult", title: str) -> dict[str, "Figure"]:
    from eegfm import figures
    from eegfm.tasks.history import read_history
    from eegfm.tasks.metrics import decide

    drawn = {
        "confusion_matrix": figures.confusion_matrix(
            test.label, decide(test.probability), result.classes, title=f"{title}, test"
        ),
        "by_subject": figures.by_subject(
            result.by_subject["test"],
            "balanced_accuracy",
            n_classes=len(result.classes),
            overall=result.metrics["test"]["balanced_accuracy"],
            title=f"{title}, test",
        ),
    }
    history = read_history(folder / "metrics.csv")
    if history:
        drawn["learning_curve"] = figures.learning_curve(
            history, chosen_epoch=result.best_epoch, title=f"{result.model} on {result.benchmark.title}"
        )
    return drawn


def _of_windows(
    folder: Path, run: Run, test: "Reconstructions", result: "RunResult", title: str
) -> dict[str, "Figure"]:
    """Three validation windows as they went in and came back, the error over the scalp, the terms of the loss."""
    import numpy as np
    import torch

    from eegfm import figures
    from eegfm.tasks.history import read_history

    task, drawn = run.task.eval(), {}
    montage, sfreq = run.data.spec.montage, run.data.spec.sfreq
    for corpus, rows in run.data.datasets("val").items():
        n = len(rows)
        batch = rows.__getitems__(np.linspace(0, n - 1, min(3, n)).round().astype(int).tolist())
        batch = batch._replace(x=batch.x.to(task.device), coords=batch.coords.to(task.device))
        with torch.no_grad():
            seen = task.see(batch, training=False)
        uv = [(x * seen.size).float().cpu().numpy() for x in (seen.true, seen.given, seen.pred)]
        hidden = None if seen.hidden is None else seen.hidden.cpu().numpy()
        drawn[f"reconstruction_{corpus}" if corpus else "reconstruction"] = figures.reconstruction(
            *uv,
            hidden=hidden,
            names=montage.names,
            sfreq=sfreq,
            keys=batch.key,
            title=f"{title}, validation" + f", {corpus}" * bool(corpus),
        )
    parts = {
        "all": "error of all samples",
        "hidden": "of hidden samples",
        "interpolation": "of straight lines there",
    }
    maps = {label: test.by_channel(part) for part, label in parts.items() if part in test.square}
    drawn["error_by_channel"] = figures.scalp_maps(maps, montage, unit="RMSE, µV", title=f"{title}, test")
    history = read_history(folder / "metrics.csv")
    if history:
        drawn["loss_terms"] = figures.loss_terms(
            history, list(task.criterion.weights), chosen_epoch=result.best_epoch, title=title
        )
    return drawn


if __name__ == "__main__":
    main()
