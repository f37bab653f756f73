"""The figures of a finished run: of a classifier, of one that gives windows back, and of places that a model maps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from eegfm.analysis import maps
from eegfm.build import Run
from eegfm.contracts import Montage
from eegfm.drawing import alarms, recordings, runs, style
from eegfm.runs.alarms import a_day, watched
from eegfm.runs.curves import read_curves
from eegfm.runs.predictions import OF_TEST, read_predictions
from eegfm.runs.results import RunResult
from eegfm.support.files import file_name
from eegfm.tasks.decision import decide
from eegfm.tasks.errors import Reconstructions
from eegfm.tasks.metrics import Predictions


def draw_and_save(
    folder: Path,
    run: Run,
    test: Predictions | Reconstructions,
    result: RunResult,
    title: str,
    of_places: Mapping[str, Figure],
) -> dict[str, Path]:
    """Draw the figures of a run on the test split, and save them with those `of_places`: paths by name."""
    if isinstance(test, Predictions):
        drawn = figures_of_classes(folder, test, result, title)
    else:
        drawn = figures_of_windows(folder, run, test, result, title)
    saved = {
        name: style.save(figure, folder / "figures" / f"{file_name(name)}.png")
        for name, figure in {**drawn, **of_places}.items()
    }
    if result.spatial:
        shown = {name: saved[name] for name in of_places}
        (folder / "spatial.html").write_text(maps.page(title, result.spatial, shown), encoding="utf-8")
    return saved


def figures_of_classes(folder: Path, test: Predictions, result: RunResult, title: str) -> dict[str, Figure]:

    drawn = alarms_drawn(folder, result, title) | {
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


def alarms_drawn(folder: Path, result: RunResult, title: str) -> dict[str, Figure]:
    """A day of the person with the most events, and the curve over thresholds, where events are to be found."""
    events = result.events
    if not events:
        return {}
    known = watched(read_predictions(folder / OF_TEST), events["alarm"], events["window_s"])
    person = max(events["by_person"], key=lambda one: events["by_person"][one]["events"])
    hour, probability, marked, raised = a_day(
        [one for one in known.values() if one.person == person], events["threshold"]
    )
    return {
        "alarms": alarms.day(
            hour,
            probability,
            marked=marked,
            alarms=raised,
            threshold=events["threshold"],
            alarm=events["alarm"],
            title=f"{title}, {person}: a day of recordings, end to end",
        ),
        "alarm_curve": alarms.curve(events, title=f"{title}, test, by SzCORE"),
    }


def figures_of_windows(
    folder: Path, run: Run, test: Reconstructions, result: RunResult, title: str
) -> dict[str, Figure]:
    """Three validation windows, input and output; the error over the scalp; the terms of the loss."""
    task, drawn = run.task.eval(), {}
    spec, montage, sfreq = run.data.spec, run.data.spec.montage, run.data.spec.sfreq
    for corpus, rows in run.data.datasets("val").items():
        n = len(rows)
        batch = rows.__getitems__(np.linspace(0, n - 1, min(3, n)).round().astype(int).tolist())
        batch = batch._replace(x=batch.x.to(task.device), coords=batch.coords.to(task.device))
        with torch.no_grad():
            passed = task.forward_pass(batch, training=False)
        uv = [(x * passed.size).float().cpu().numpy() for x in (passed.true, passed.given, passed.pred)]
        hidden = None if passed.hidden is None else passed.hidden.cpu().numpy()
        drawn[f"reconstruction_{corpus}" if corpus else "reconstruction"] = recordings.reconstruction(
            *uv,
            hidden=hidden,
            names=spec.montage_of[corpus].names,
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
    errors = {label: test.by_channel(part) for part, label in parts.items() if part in test.square}
    # a channel has no error if its corpora have no test window
    known = np.isfinite(test.by_channel())
    tested = Montage(
        tuple(np.array(montage.names)[known].tolist()),
        montage.coords[known],
        None if montage.ends is None else montage.ends[known],
    )
    drawn["error_by_channel"] = recordings.scalp_maps(
        {label: values[known] for label, values in errors.items()},
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
