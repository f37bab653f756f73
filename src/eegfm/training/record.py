"""Write down a trained run: scores, figures, `result.json`."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from eegfm.analysis.maps import montages, page
from eegfm.analysis.places import kept, look, maps_places
from eegfm.build import Run
from eegfm.config.identity import chosen
from eegfm.contracts import Montage
from eegfm.drawing import recordings, runs, style
from eegfm.files import write_json
from eegfm.nn.mamba2 import scans_used
from eegfm.runs.curves import read_curves
from eegfm.runs.machine import environment, peak_memory_mb
from eegfm.runs.record import record
from eegfm.runs.reservations import reservations, titled
from eegfm.runs.results import RunResult, write_result
from eegfm.runs.wandb import send
from eegfm.tasks.decision import decide
from eegfm.tasks.errors import Reconstructions
from eegfm.tasks.fitted import FitsInOneGo
from eegfm.tasks.metrics import Predictions
from eegfm.training.cost import forward_flops
from eegfm.training.fit import Outcome

log = logging.getLogger(__name__)


def _places(
    run: Run, folder: Path, title: str, validated: list[str]
) -> tuple[dict[str, Any], dict[str, "Figure"]]:
    """How a model that maps places weighs them at the start and at the end, as facts and as figures."""
    if not maps_places(run.task):
        return {}, {}
    from eegfm.analysis import maps

    spaces = maps.montages(run.data.spec, run.data.benchmark.name)
    judged = [corpus for corpus in spaces if maps.knows_truth(corpus)]
    end = look(run.task, spaces, run.data if judged else None)
    frames = kept(folder)
    # a fit in one go does not change the backbone
    in_one_go = isinstance(run.task, FitsInOneGo)
    start = end if in_one_go else {corpus: one.start for corpus, one in frames.items()}
    subjects = [
        subject.removeprefix(f"{corpus}/")
        for corpus in judged
        for subject in validated
        if corpus in (run.data.benchmark.name, subject.partition("/")[0])
    ]
    drawn = maps.draw(start, end, frames, spaces, run.task.backbone.targets, subjects, title)
    return maps.facts(start, end, spaces, subjects), drawn


def scans_of(task: Any) -> list[str]:
    """How the Mamba-2 layers of a task's backbone were last computed; empty if the backbone is no network."""
    return scans_used(task.backbone) if isinstance(task.backbone, nn.Module) else []


def _flops(run: Run) -> int | None:
    """Operations of one validation window; None of a fit in one go or if the counter fails."""
    if isinstance(run.task, FitsInOneGo):
        return None
    windows = next(rows for rows in run.data.datasets("val").values() if len(rows))
    try:
        return forward_flops(run.task, windows.__getitems__([0]))
    except (RuntimeError, NotImplementedError) as error:
        log.warning("The operations of a forward pass were not counted: %s", error)
        return None


def record_run(
    run: Run,
    folder: Path,
    outcome: Outcome,
    wall_s: float,
    choices: Mapping[str, Any],
    overlap: list[str],
    seen: dict[str, str],
) -> "RunResult":
    """Write predictions, figures and, last, `result.json`, which marks the run as finished."""
    classes, subjects = run.data.benchmark.classes, run.data.subjects
    metrics, by_subject = {}, {}
    for split, found in outcome.predictions.items():
        ids = [subjects[i] for i in found.subject]
        _, metrics[split], by_subject[split] = record(folder, split, found, ids, run.data.spec)
    monitor = run.task.monitor[0]
    facts = run.data.provenance()
    known = reservations(
        facts,
        task=choices["task"],
        started_from=run.started_from,
        overlap=overlap,
        seen=seen,
        tested=len(outcome.predictions["test"].keys),
    )
    title = titled(f"{choices['model']} on {facts.title}", known)
    spatial, maps = _places(run, folder, title, facts.subjects["val"])
    result = RunResult(
        name=folder.name,
        experiment=folder.parent.name,
        model=chosen(choices, "model"),
        encoder=chosen(choices, "encoder"),
        data=chosen(choices, "data"),
        task=choices["task"],
        seed=run.config["seed"],
        classes=list(classes),
        metrics=metrics,
        by_subject=by_subject,
        monitor=monitor,
        monitor_value=metrics["val"][monitor],
        best_epoch=outcome.epoch,
        started_from=run.started_from,
        overlap=overlap,
        seen=seen,
        benchmark=facts,
        parameters=outcome.parameters,
        wall_s=round(wall_s, 2),
        peak_memory_mb=peak_memory_mb(),
        device=outcome.device,
        diagnostics={},  # filled in after the run is finished
        devices=outcome.devices,
        energy_wh=outcome.energy_wh,
        scan=scans_of(run.task),
        adapt=choices.get("adapt"),
        spatial=spatial,
        flops=_flops(run),  # after `scan`: on the CPU a layer may be computed in another way
        **environment(),
    )
    write_json(folder / "leakage.json", {"subjects": facts.subjects, **asdict(facts.leakage)})
    figures = _draw(folder, run, outcome.predictions["test"], result, title, maps)
    for logger in outcome.loggers:
        send(logger, folder, result, figures)
    write_result(folder, result)
    return result


def _draw(
    folder: Path,
    run: Run,
    test: "Predictions | Reconstructions",
    result: "RunResult",
    title: str,
    maps: Mapping[str, "Figure"],
) -> dict[str, Path]:

    if isinstance(test, Predictions):
        drawn = figures_of_classes(folder, test, result, title)
    else:
        drawn = figures_of_windows(folder, run, test, result, title)
    saved = {
        name: style.save(figure, folder / "figures" / f"{name}.png")
        for name, figure in {**drawn, **maps}.items()
    }
    if result.spatial:
        shown = {name: saved[name] for name in maps}
        (folder / "spatial.html").write_text(page(title, result.spatial, shown), encoding="utf-8")
    return saved


def figures_of_classes(
    folder: Path, test: "Predictions", result: "RunResult", title: str
) -> dict[str, "Figure"]:

    drawn = {
        "confusion_matrix": runs.confusion_matrix(
            test.label, decide(test.probability), result.classes, title=f"{title}, test"
        ),
        "by_subject": runs.by_subject(
            result.by_subject["test"],
            "balanced_accuracy",
            n_classes=len(result.classes),
            overall=result.metrics["test"]["balanced_accuracy"],
            title=f"{title}, test",
        ),
    }
    history = read_curves(folder / "metrics.csv")
    if history:
        drawn["learning_curve"] = runs.learning_curve(history, chosen_epoch=result.best_epoch, title=title)
    return drawn


def figures_of_windows(
    folder: Path, run: Run, test: "Reconstructions", result: "RunResult", title: str
) -> dict[str, "Figure"]:
    """Three validation windows, input and output; the error over the scalp; the terms of the loss."""
    task, drawn = run.task.eval(), {}
    spec, montage, sfreq = run.data.spec, run.data.spec.montage, run.data.spec.sfreq
    own = montages(spec, "")  # by corpus, if corpora keep their own
    for corpus, rows in run.data.datasets("val").items():
        n = len(rows)
        batch = rows.__getitems__(np.linspace(0, n - 1, min(3, n)).round().astype(int).tolist())
        batch = batch._replace(x=batch.x.to(task.device), coords=batch.coords.to(task.device))
        with torch.no_grad():
            seen = task.see(batch, training=False)
        uv = [(x * seen.size).float().cpu().numpy() for x in (seen.true, seen.given, seen.pred)]
        hidden = None if seen.hidden is None else seen.hidden.cpu().numpy()
        drawn[f"reconstruction_{corpus}" if corpus else "reconstruction"] = recordings.reconstruction(
            *uv,
            hidden=hidden,
            names=own.get(corpus, montage).names,
            sfreq=sfreq,
            keys=batch.key,
            title=f"{title}, validation" + f", {corpus}" * bool(corpus),
        )
    parts = {
        "all": "error of all samples",
        "hidden": "of hidden samples",
        "interpolation": "of straight lines there",
        "persistence": "of holding the last sample",
    }
    if "persistence" in test.square:
        parts["all"] = "error of the future"
    maps = {label: test.by_channel(part) for part, label in parts.items() if part in test.square}
    # a channel has no error if its corpora have no test window
    known = np.isfinite(test.by_channel())
    tested = Montage(
        tuple(np.array(montage.names)[known].tolist()),
        montage.coords[known],
        None if montage.ends is None else montage.ends[known],
    )
    drawn["error_by_channel"] = recordings.scalp_maps(
        {label: values[known] for label, values in maps.items()},
        tested,
        unit="RMSE, µV",
        title=f"{title}, test",
    )
    history = read_curves(folder / "metrics.csv")
    if history:
        drawn["loss_terms"] = runs.loss_terms(
            history, list(task.criterion.weights), chosen_epoch=result.best_epoch, title=title
        )
    return drawn
