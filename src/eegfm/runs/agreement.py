"""Whether the two files of a run's scores agree: `result.json` is held against what its predictions give.

Metrics are computed again from `predictions_<split>.csv` (or errors from `reconstruction_<split>.csv`), of whole splits
and of every subject, by numpy alone. A metric without a number in the one or the other is not compared (a run keeps the
metrics that there were); nor are those that a file of errors does not determine (`mae_uv`, `r2`, the loss, and those of
one corpus of a mix).
"""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.runs.intervals import scores_by_draw
from eegfm.runs.predictions import PredictionTable, read_predictions
from eegfm.runs.results import RunResult, refuse_changed_file, unreadable
from eegfm.support.files import readable, uncelled
from eegfm.tasks.decision import decide
from eegfm.tasks.metric_names import NEEDS_TWO_CLASSES

ALIKE = 1e-6  # the files keep every digit; other versions of a library round otherwise
Rows = dict[str, dict[str, Any]]


def refuse_disagreement(folder: Path, result: RunResult) -> None:
    """Compare the scores of a finished run with its files of predictions.

    Raises:
        EegfmError: a file is absent or damaged, or gives other numbers: one of the two is not of this run.
    """
    for split in sorted(result.metrics):
        name = f"{'predictions' if result.classifies else 'reconstruction'}_{split}.csv"
        path = folder / name
        refuse_changed_file(result, folder, name)
        if result.classifies:
            table = read_predictions(path)
            _refuse(path, "classes", ", ".join(table.classes), ", ".join(result.classes))
            found, by_subject = scores_of(table, path)
        else:
            found, by_subject = _of_errors(path)
        said = result.by_subject.get(split, {})
        _refuse(path, "subjects", ", ".join(sorted(by_subject)), ", ".join(sorted(said)))
        _compare(path, "", found, result.metrics[split])
        for subject, row in by_subject.items():
            _compare(path, f" of {subject}", row, said[subject])


def _compare(path: Path, whose: str, found: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    for name, value in found.items():
        if name not in said:
            continue  # a run of before this metric; a name cannot be lost, the file holds its own sum
        if isinstance(value, float) and isinstance(said[name], int | float):
            if math.isfinite(value) and math.isfinite(said[name]):
                alike = math.isclose(value, said[name], rel_tol=ALIKE, abs_tol=ALIKE)
                _refuse(path, f"{name}{whose}", value, value if alike else said[name])
        else:
            _refuse(path, f"{name}{whose}", value, said[name])


def _refuse(path: Path, what: str, found: Any, said: Any) -> None:
    if found != said:
        raise EegfmError(
            f"{path.name} and result.json disagree: {what} {_short(found)} in the one, {_short(said)} in the other. "
            f"One of them is not of this run, or was changed. Delete {path.parent} and train it again."
        )


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:80]} ..."


def scores_of(table: PredictionTable, path: Path) -> tuple[dict[str, float], Rows]:
    """The metrics of a table of predictions, as a whole and by subject with its facts; `path` is named in errors.

    Raises:
        EegfmError: the table holds no probabilities.
    """
    p = table.probabilities
    if not len(p) or not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise unreadable(f"{path} holds no probabilities: wanted numbers from 0 to 1, one row a window.")
    subjects, position = np.unique(table.subjects, return_inverse=True)
    each = np.eye(len(subjects), dtype=np.int64)
    metrics = scores_by_draw(table, subjects.tolist(), np.vstack([np.ones_like(each[:1]), each]))
    counts = np.zeros((len(subjects), len(table.classes)), dtype=np.int64)
    np.add.at(counts, (position, table.labels), 1)

    def scores(row: int, of_class: np.ndarray) -> dict[str, float]:
        two = (of_class > 0).sum() > 1
        return {name: float(v[row]) for name, v in metrics.items() if two or name not in NEEDS_TWO_CLASSES}

    whole = scores(0, counts.sum(0))
    if len(table.classes) == 2:
        whole["prevalence"] = float(table.labels.mean())
        whole["predicted_positive"] = float(decide(p).mean())
    rows = {
        str(subject): {
            "n_windows": int(counts[i].sum()),
            "per_class": dict(zip(table.classes, counts[i].tolist(), strict=True)),
            **scores(i + 1, counts[i]),
        }
        for i, subject in enumerate(subjects)
    }
    return whole, rows


def _of_errors(path: Path) -> tuple[dict[str, float], Rows]:
    """Root mean squares over windows of the errors of every window."""
    try:
        with open(readable(path), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name.endswith("rmse_uv")]
        values = np.array([[float(row[name]) for name in names] for row in rows])
        subject = np.array([uncelled(row["subject"]) for row in rows])
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise unreadable(f"{path} cannot be read as errors by window: {error!r}") from None

    def mean(windows: Any) -> dict[str, float]:
        return dict(zip(names, np.sqrt((values[windows] ** 2).mean(axis=0)).tolist(), strict=True))

    by_subject = {
        str(one): {"n_windows": int((subject == one).sum()), **mean(subject == one)}
        for one in np.unique(subject)
    }
    return mean(slice(None)), by_subject
