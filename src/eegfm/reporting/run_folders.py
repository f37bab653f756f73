"""Find run folders and read the runs in them. A folder that gives no number is a `Problem` with its reason."""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from eegfm.runs.intervals import Drawn, drawn
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import RunResult, read_result


@dataclass(frozen=True)
class Run:
    """A finished run: its folder as given, its result, and its resolved config ({} where that is missing)."""

    folder: Path
    result: RunResult
    config: dict[str, Any]

    def label(self) -> str:
        return self.folder.as_posix()

    @cached_property
    def drawn(self) -> Drawn | None:
        """Its test scores with other subjects, which take seconds of many windows; None without predictions."""
        file = self.folder / "predictions_test.csv"
        return drawn(read_predictions(file)) if file.is_file() else None


@dataclass(frozen=True)
class Problem:
    """A folder that gives no number, and why."""

    folder: Path
    what: str


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Every run folder at or below the paths, each once, sorted: one with a result, a config, a status or `.hydra`.

    Raises:
        ValueError: a path that is not there, or that holds no run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        path = path.parent if path.is_file() else path
        if not path.is_dir():
            raise ValueError(
                f"There is no folder {path}. Runs lie in runs/<experiment>/<name>; for all of them: "
                "python -m eegfm.report runs"
            )
        here = []
        for place, inner, files in os.walk(path, followlinks=True):
            if {"result.json", "config.yaml", "status.json"} & {*files} or ".hydra" in inner:
                here.append(Path(place))
                inner.clear()  # what lies in a run is the run's
        if not here:
            raise ValueError(
                f"There is no run at or below {path}: no folder there has a result.json, a config.yaml or a .hydra. "
                "Train one with:  python -m eegfm.train"
            )
        for folder in here:
            found.setdefault(folder.resolve(), folder)
    return sorted(found.values())


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """The finished runs among the folders, and what is the matter with the others."""
    runs, problems = [], []
    for folder in folders:
        if not (folder / "result.json").exists():
            problems.append(Problem(folder, _how_far(folder)))
            continue
        try:
            result = read_result(folder)
        except ValueError as error:
            problems.append(Problem(folder, f"unreadable: {error}"))
            continue
        if result.status != "done" or not result.metrics.get("test"):
            problems.append(Problem(folder, f"no test score: its status is {result.status}"))
            continue
        runs.append(Run(folder, result, read_config(folder)))
    return runs, problems


def _how_far(folder: Path) -> str:
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            epochs = sum(1 for _ in csv.DictReader(file))
    except OSError:
        epochs = 0
    done = (
        f"after {epochs} {'epoch' if epochs == 1 else 'epochs'}"
        if epochs
        else "before the end of its first epoch"
    )
    return f"not finished: no result.json, {done} (running, interrupted or failed)"


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run; {} where there is none."""
    if not (folder / "config.yaml").exists():
        return {}
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}
