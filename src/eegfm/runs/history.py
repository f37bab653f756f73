"""The curves of a run, read from `metrics.csv`."""

import csv
from pathlib import Path


def read_history(path: Path) -> list[dict[str, str]]:
    """Rows of a history file, oldest first; empty if there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
