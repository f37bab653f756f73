"""Finish a run that was trained: outputs, scores, figures and, last, `result.json`."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from eegfm.analysis import maps
from eegfm.analysis.places import look, maps_places, read_frames
from eegfm.build import Run
from eegfm.config.identity import chosen, identity_hash, model_name
from eegfm.nn.mamba2 import scans_used
from eegfm.runs.alarms import alarms_of
from eegfm.runs.machine import environment, peak_memory_mb
from eegfm.runs.outputs import write_and_score
from eegfm.runs.overlap import facts_beside
from eegfm.runs.place import CHECKPOINTS
from eegfm.runs.predictions import OF_TEST, OF_VALIDATION
from eegfm.runs.reservations import reservations, titled
from eegfm.runs.results import RunResult, sums_of_files, write_result
from eegfm.runs.wandb import send
from eegfm.runs.wholes import wholes_of
from eegfm.support.checksums import sums_of
from eegfm.support.files import write_json
from eegfm.tasks.fitted import FitsInOneGo
from eegfm.training.cost import forward_flops
from eegfm.training.figures import draw_and_save
from eegfm.training.fit import Outcome

log = logging.getLogger(__name__)


def _places(
    run: Run, folder: Path, title: str, validated: list[str]
) -> tuple[dict[str, Any], dict[str, Figure]]:
    """How a model that maps places weighs them at the start and at the end, as facts and as figures."""
    if not maps_places(run.task):
        return {}, {}
    spaces = maps.montages(run.data.spec, run.data.benchmark.name)
    judged = [corpus for corpus in spaces if maps.knows_truth(corpus)]
    end = look(run.task, spaces, run.data if judged else None)
    frames = read_frames(folder)
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


def finish_run(
    run: Run,
    folder: Path,
    outcome: Outcome,
    wall_s: float,
    choices: Mapping[str, Any],
    people: dict[str, Any],
    overlap: list[str],
    seen: dict[str, str],
) -> RunResult:
    """Write predictions, figures and, last, `result.json`, which marks the run as finished."""
    classes, subjects = run.data.benchmark.classes, run.data.subjects
    metrics, by_subject = {}, {}
    for split, found in outcome.predictions.items():
        ids = [subjects[i] for i in found.subject]
        _, metrics[split], by_subject[split] = write_and_score(folder, split, found, ids, run.data.spec)
    monitor = run.task.monitor[0]
    facts = run.facts_as_written(facts_beside(run.data, people["people"]))
    known = reservations(
        facts,
        task=choices["task"],
        started_from=run.started_from,
        overlap=overlap,
        unknown=not people["whole"],
        seen=seen,
        tested=len(outcome.predictions["test"].keys),
    )
    title = titled(f"{model_name(run.config, choices)} on {facts.title}", known)
    spatial, of_places = _places(run, folder, title, facts.subjects["val"])
    result = RunResult(
        name=folder.name,
        experiment=folder.parent.name,
        model=model_name(run.config, choices),
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
        started_from=run.started_as_written(),
        row=identity_hash(run.config, without_seed=True),
        overlap=overlap,
        people=people,
        seen=seen,
        threshold=outcome.threshold,
        benchmark=facts,
        parameters=outcome.parameters,
        wall_s=round(wall_s, 2),
        peak_memory_mb=peak_memory_mb(),
        device=outcome.device,
        diagnostics={},  # filled in after the run is finished
        devices=outcome.devices,
        energy_wh=outcome.energy_wh,
        checkpoints=sums_of(folder / CHECKPOINTS),
        files={},  # filled in below, when the figures are drawn
        events=alarms_of(
            folder / OF_TEST,
            folder / OF_VALIDATION,
            run.data.benchmark.alarm if classes else "",
            run.data.benchmark.window_s if classes else 0.0,
        ),
        wholes=wholes_of(folder / OF_TEST, folder / OF_VALIDATION),
        scan=scans_of(run.task),
        adapt=choices.get("adapt"),
        spatial=spatial,
        flops=_flops(run),  # after `scan`: on the CPU a layer may be computed in another way
        **environment(),
    )
    write_json(folder / "leakage.json", {"subjects": facts.subjects, **asdict(facts.leakage)})
    figures = draw_and_save(folder, run, outcome.predictions["test"], result, title, of_places)
    for logger in outcome.loggers:
        send(logger, folder, result, figures)
    result = replace(result, files=sums_of_files(folder))
    write_result(folder, result)
    return result
