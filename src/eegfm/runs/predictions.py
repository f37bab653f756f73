"""Predictions of a split as a file: one row a window, with the probability of every class."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from eegfm.runs.results import unreadable
from eegfm.support.files import cell, readable, uncelled, whole

OF_TEST = "predictions_test.csv"  # in a run folder
OF_VALIDATION = "predictions_val.csv"
AGAIN = "To write it anew, delete the result.json beside it and type the command of the run again."


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions as read from a file: `labels` are positions in `classes`, `probabilities` has a column a class."""

    keys: list[str]
    subjects: list[str]
    labels: Int[np.ndarray, " window"]
    probabilities: Float[np.ndarray, "window class"]
    classes: tuple[str, ...]


def write_predictions(
    path: Path,
    keys: Sequence[str],
    subjects: Sequence[str],
    labels: Int[np.ndarray, " window"],
    probabilities: Float[np.ndarray, "window class"],
    classes: Sequence[str],
) -> None:
    """One row a window: its name, its subject's id, the name of its class, the probability of every class.

    Probabilities keep all their digits, so scores computed from the file equal the run's to the last digit.
    Before a text that a spreadsheet would run stands an apostrophe, which `read_predictions` takes off.
    """
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "subject", "label", *(f"p({name})" for name in classes)])
        for key, subject, label, row in zip(keys, subjects, labels, probabilities, strict=True):
            named = map(cell, (key, subject, classes[int(label)]))
            writer.writerow([*named, *(repr(float(p)) for p in row)])


def read_predictions(path: Path) -> PredictionTable:
    """What `write_predictions` wrote.

    Raises:
        EegfmError: there is no such file, or it does not hold predictions.
    """
    if not path.is_file():
        raise unreadable(f"No predictions at {path}. A finished run has predictions_val.csv and _test.csv.")
    try:
        with open(readable(path), newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(f"{path} is damaged: {error}. {AGAIN}") from None
    classes = tuple(name[2:-1] for name in header[3:] if name.startswith("p(") and name.endswith(")"))
    if header[:3] != ["key", "subject", "label"] or len(classes) != len(header) - 3 or not classes:
        raise unreadable(
            f"{path} is not a file of predictions: its columns are {', '.join(header) or 'none'}."
        )
    position = {name: i for i, name in enumerate(classes)}
    try:
        labels = np.array([position[uncelled(row[2])] for row in rows], dtype=np.int64)
        values = np.array([[float(p) for p in row[3:]] for row in rows]).reshape(len(rows), len(classes))
    except (KeyError, IndexError, ValueError) as error:
        raise unreadable(f"{path} is damaged: {error!r}. {AGAIN}") from None
    keys, subjects = ([uncelled(row[i]) for row in rows] for i in (0, 1))
    return PredictionTable(keys, subjects, labels, values, classes)
