"""The learning curves of a run, thinned for a page."""

import math
from pathlib import Path

from eegfm.reporting.run_pictures import lies_in
from eegfm.runs.curves import read_curves
from eegfm.runs.results import RunResult, refuse_changed_file

FILE = "metrics.csv"
POINTS = 400  # of a curve; the page draws it about 300 pixels wide
NO_CURVE = ("epoch", "step", "train/loss_epoch", "val/prevalence", "val/auc_pr")

Curve = dict[str, list[float | None]]


def curve(folder: Path, result: RunResult | None) -> tuple[Curve, list[str]]:
    """The columns of `metrics.csv` with five digits, thinned beyond `POINTS` rows; empty if there is no such file.

    Or none, and a sentence that says that the file is damaged.
    """
    if not lies_in(folder / FILE, folder):
        return {}, []
    try:
        if result:
            refuse_changed_file(result, folder, FILE)
        rows = read_curves(folder / FILE)
    except (OSError, ValueError) as error:
        return {}, [str(error)]
    best, every = result.best_epoch if result else None, math.ceil(len(rows) / POINTS)
    rows = [row for i, row in enumerate(rows) if every == 1 or i % every == 0 or i in (best, len(rows) - 1)]
    names = list(dict.fromkeys(name for row in rows for name in row if name))
    columns = {name: [_number(row.get(name)) for row in rows] for name in names}
    if "train/loss_epoch" in columns:  # the mean of the epoch; "train/loss" is its last step
        columns["train/loss"] = columns["train/loss_epoch"]
    epochs = [None if epoch is None else epoch + 1 for epoch in columns.get("epoch", [])]
    return (
        {"epoch": epochs, **{k: v for k, v in columns.items() if k not in NO_CURVE}} if epochs else {}
    ), []


def five_digits(value: float) -> float:
    return float(f"{value:.5g}")


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return five_digits(value) if math.isfinite(value) else None
