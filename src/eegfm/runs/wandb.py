"""Send a finished run to W&B, beside its curves: a row for dashboards, its test subjects, its figures.

The run folder stays complete: W&B is never the only copy, and a failure of W&B never fails a run.
`wandb_of` begins the W&B run, Lightning sends the curves, `reporting.wandb_page` lays it out.
"""

import logging
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.runs.curves import read_curves
from eegfm.runs.intervals import intervals
from eegfm.runs.predictions import PredictionTable, read_predictions
from eegfm.runs.reservations import reservations_of
from eegfm.runs.results import SUBJECT_FACTS, RunResult, json_values
from eegfm.support.files import readable, write_text
from eegfm.tasks.decision import decide

log = logging.getLogger(__name__)

PREDICTIONS = "predictions_test.csv"
OPEN = "wandb_open"  # in a run folder while a process logs to W&B
SUBJECTS, CONFUSION = "test_subjects", "confusion"  # the names of the table and the chart at W&B


def begin(logger: Any, folder: Path) -> None:
    """Log the epochs that a killed process did not deliver, as `metrics.csv` has them.

    W&B writes offline runs in blocks of 32 KiB: a killed process loses its last, or only, block. What has
    arrived is not logged again (see `eegfm.runs.wandb_log`).
    """
    mark, others = folder / OPEN, ("step", "lr", "train/loss")  # the last is train/loss_epoch
    for row in read_curves(folder / "metrics.csv") if mark.exists() else []:
        values = {name: float(value) for name, value in row.items() if value and name not in others}
        logger.log_metrics(values, int(row["step"]) - 1)  # as Lightning counts them
    mark.touch()


def end(folder: Path) -> None:
    """Mark the log as complete: its process has ended W&B's run itself."""
    (folder / OPEN).unlink(missing_ok=True)


def send(logger: Any, folder: Path, result: "RunResult", figures: Mapping[str, Path]) -> None:
    """Send a finished run's summary, tables and figures to its W&B run, and end the W&B run."""
    run, path = logger.experiment, folder / PREDICTIONS
    try:
        test = read_predictions(path) if path.exists() else None
        run.log(tables(result, test))
        send_figures(logger, figures, summary(result, intervals([test]) if test else {}))
    except Exception as error:  # no error of W&B may lose the training
        log.warning(
            "W&B did not take everything (%s: %s). The run folder has it.", type(error).__name__, error
        )
        run.finish(exit_code=1)
    end(folder)


def summary(result: "RunResult", interval: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """One flat row: scores of the chosen epoch with their interval over test subjects, cost, marks, origin.

    Undefined values are left out. `val/auroc` belongs to the weights that were tested, not to the last
    epoch.
    """
    facts = result.benchmark
    row: dict[str, Any] = {
        f"{split}/{name}": value for split, found in result.metrics.items() for name, value in found.items()
    }
    for name, (low, high) in interval.items():
        row |= {f"test/{name}_low": low, f"test/{name}_high": high}
    row |= {
        "chosen_epoch": result.best_epoch,
        f"chosen_by/{result.monitor}": result.monitor_value,
        **{f"parameters/{name}": n for name, n in result.parameters.items()},
        "flops": result.flops,
        "wall_s": result.wall_s,
        "devices": result.devices,
        "energy_wh": result.energy_wh,
        **{f"peak_memory_mb/{name}": mb for name, mb in result.peak_memory_mb.items()},
        "n_test_subjects": len(result.by_subject["test"]),
        "complete": facts.complete,
        "simulated": facts.simulated,
        "imported": bool(facts.imported),
        "published_split": not facts.split and not facts.own,
        "published_steps": facts.published_steps,
        "marks": ", ".join(one.mark for one in reservations_of(result)),
        "overlap": len(result.overlap),
        "seen": ", ".join(result.seen),
        "fingerprint": facts.fingerprint,
        "content": facts.content,
        "protocol": facts.protocol,
        "commit": result.git["commit"],
        "uncommitted": result.git["dirty"],
        "device": result.device,
        "finished_at": result.finished_at,
    }
    return {name: value for name, value in json_values(row).items() if value is not None}


def tables(result: "RunResult", test: PredictionTable | None) -> dict[str, Any]:
    """A table of every test subject; for a classifier also an interactive confusion matrix."""
    import wandb

    metrics = [
        name
        for name in result.metrics["test"]
        if any(name in row for row in result.by_subject["test"].values())
    ]
    rows: list[Any] = [
        [subject, row[SUBJECT_FACTS[0]], *(_number(row.get(name)) for name in metrics)]
        for subject, row in result.by_subject["test"].items()
    ]
    found: dict[str, Any] = {SUBJECTS: wandb.Table(["subject", "windows", *metrics], rows)}
    if test:
        found[CONFUSION] = wandb.plot.confusion_matrix(
            y_true=test.labels.tolist(),
            preds=decide(test.probabilities).tolist(),
            class_names=list(test.classes),
            title="test windows",
        )
    return found


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def wandb_of(config: Mapping[str, Any], folder: Path, **more: Any) -> Any:
    """Begin the one W&B run of a run folder and return its logger, if the config asks for W&B; else False.

    Resumed training and later evaluations go on in the same W&B run, offline as further fragments of it.

    Raises:
        EegfmError: W&B does not begin a run; the sentence gives its reason.
    """
    node = config.get("logger") or {}
    if "_target_" not in node:
        return False
    from wandb.errors import Error

    logger = make(OmegaConf.create({k: v for k, v in node.items() if k != "name"}), "logger")(
        save_dir=folder,
        id=_wandb_id(folder),
        resume="allow",
        name=folder.name,
        group=folder.parent.name,
        **more,
    )
    try:
        logger.experiment  # noqa: B018  it begins the run
    except Error as error:
        raise EegfmError(
            f"W&B did not begin a run: {error}. Type wandb login, or logger.offline=true (it wants neither key nor "
            "network, and eegfm sync sends it later)."
        ) from error
    return logger


def _wandb_id(folder: Path) -> str:
    """The id that a run folder has at W&B, kept in its file `wandb_id`.

    It is drawn at random, not made of the folder's name: two people of one project get the same name from
    the same command, and so does a run that was deleted here and trained anew.
    """
    path = folder / "wandb_id"
    kept = readable(path).read_text(encoding="utf-8").strip() if path.exists() else ""
    if not kept:
        kept = secrets.token_hex(4)
        write_text(path, kept)
    return kept


def send_figures(logger: Any, figures: Mapping[str, Path], row: Mapping[str, Any] | None = None) -> None:
    """Log the figures under their names, and finish: the next run of a sweep uses this process.

    `row` becomes the run's summary. It is set after all logging, because W&B makes a summary of its own
    from the log.
    """
    for name, path in figures.items():
        logger.log_image(key=name, images=[str(path)])
    logger.experiment.summary.update(row or {})
    logger.finalize("success")
    logger.experiment.finish()
