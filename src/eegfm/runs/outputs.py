"""A task's outputs on a split: the file of them in a run's folder, and their scores."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.contracts import SampleSpec
from eegfm.runs.predictions import write_predictions
from eegfm.support.files import cell, whole
from eegfm.tasks.errors import Reconstructions
from eegfm.tasks.metric_names import NEEDS_TWO_CLASSES
from eegfm.tasks.metrics import Predictions, scores, scores_by_subject


def subject_scores(
    probabilities: np.ndarray, labels: np.ndarray, subjects: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The number of windows (in all and by class) and the metrics of every subject, by subject id.

    Arguments are those of `write_predictions`. If a subject has windows of one class only, the metrics that
    compare classes (`NEEDS_TWO_CLASSES`) are NaN, and its balanced accuracy is the recall of that class.
    """
    ids, position = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    labels = np.asarray(labels)
    found = scores_by_subject(probabilities, labels, position, len(classes))
    rows: dict[str, dict[str, Any]] = {}
    for i, subject in enumerate(ids.tolist()):
        counts = np.bincount(labels[position == i], minlength=len(classes)).tolist()
        row = found[i]
        if sum(count > 0 for count in counts) < 2:
            row = {name: math.nan if name in NEEDS_TWO_CLASSES else v for name, v in row.items()}
        per_class = dict(zip(classes, counts, strict=True))
        rows[subject] = {"n_windows": sum(counts), "per_class": per_class, **row}
    return rows


def write_and_score(
    folder: Path,
    split: str,
    found: Predictions | Reconstructions,
    subjects: Sequence[str],
    spec: SampleSpec,
) -> tuple[Path, dict[str, float], dict[str, dict[str, Any]]]:
    """Write a task's outputs on a split and score them: the file, the split's metrics, and each subject's.

    `subjects` are the ids of the subjects of the windows.
    """
    if isinstance(found, Predictions):
        path, classes = folder / f"predictions_{split}.csv", spec.classes
        write_predictions(path, found.keys, subjects, found.label, found.probability, classes)
        by_subject = subject_scores(found.probability, found.label, subjects, classes)
        return path, scores(found.probability, found.label, len(classes)), by_subject
    path = folder / f"reconstruction_{split}.csv"
    write_errors(path, found, subjects, spec.montage.names)
    ids = dict(zip(found.subject.tolist(), subjects, strict=True))
    rows = {
        ids[i]: {"n_windows": int((found.subject == i).sum()), "per_class": {}, **errors}
        for i, errors in found.by_subject().items()
    }
    return path, found.metrics(), rows


def write_errors(
    path: Path, found: Reconstructions, subjects: Sequence[str], channels: Sequence[str]
) -> None:
    """One row a window: its name, its subject's id, and root mean squared errors in µV, of all channels and of each.

    With a mask the row also has the errors of the hidden samples, of the visible samples, and of straight
    lines over the hidden samples, over all channels. The field of a channel that a window lacks is empty.
    Errors keep all their digits; their squares average to those of the split.
    """
    parts = [part for part in found.square if part != "all"]
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["rmse_uv", *(f"{part}_rmse_uv" for part in parts)]
        writer.writerow(["key", "subject", *names, *(f"rmse_uv({name})" for name in channels)])
        all_channels = [found.by_window(part) for part in ("all", *parts)]
        columns = [*all_channels, *(found.square["all"] ** 0.5).T]
        for key, subject, *row in zip(found.keys, subjects, *columns, strict=True):
            # NaN: the window lacks the channel
            writer.writerow(
                [cell(key), cell(subject), *("" if value != value else repr(float(value)) for value in row)]
            )
