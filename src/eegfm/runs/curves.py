"""Read the curves that `training.keep_curves` writes during a fit: `metrics.csv` and `loss.csv`."""

import csv
from pathlib import Path


def read_curves(path: Path) -> list[dict[str, str]]:
    """Rows of a file of curves, oldest first; empty if there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
