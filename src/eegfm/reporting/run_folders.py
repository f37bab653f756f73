"""Find run folders and read the runs in them.

A folder that gives no number becomes a `Problem` with its reason; no folder is left out in silence.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eegfm.config.from_file import read, text_of
from eegfm.runs.agreement import refuse_disagreement
from eegfm.runs.curves import read_curves
from eegfm.runs.intervals import Drawn, drawn
from eegfm.runs.predictions import OF_TEST, OF_VALIDATION, PredictionTable, read_predictions
from eegfm.runs.results import CONFIG, RunResult, read_result, refuse_changed_file


@dataclass(frozen=True)
class Run:
    """A finished run: its folder as it was given, its result, and its resolved config ({} if the file is missing)."""

    folder: Path
    result: RunResult
    config: dict[str, Any]

    def label(self) -> str:
        return self.folder.as_posix()

    @property
    def predictions(self) -> PredictionTable | None:
        """The test predictions; None without a file of them."""
        file = self.folder / OF_TEST
        return read_predictions(file) if file.is_file() else None

    @property
    def validated(self) -> PredictionTable | None:
        """The validation predictions; None without a file of them."""
        file = self.folder / OF_VALIDATION
        return read_predictions(file) if file.is_file() else None

    @cached_property
    def drawn(self) -> Drawn | None:
        """The test scores over redrawn test subjects (`runs.intervals`); None without predictions.

        Many windows take seconds.
        """
        table = self.predictions
        return None if table is None else drawn(table)


@dataclass(frozen=True)
class Problem:
    """A folder that gives no number, and why."""

    folder: Path
    what: str


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Every run folder at or below the paths, each once, sorted.

    A run folder has a result, a config, a status or a `.hydra` folder.

    Raises:
        ValueError: a path does not exist, or holds no run.
    """
    folders: dict[Path, Path] = {}  # by resolved path, so that each counts once
    for path in paths:
        path = path.parent if path.is_file() else path
        if not path.is_dir():
            raise ValueError(
                f"There is no folder {path}. Runs lie in runs/<experiment>/<name>. To report all of "
                "them, type: eegfm report runs"
            )
        run_folders = []
        walked: set[tuple[int, int]] = set()  # a link may lead back
        for place, inner, files in os.walk(path, followlinks=True):
            stat = os.stat(place)
            if (stat.st_dev, stat.st_ino) in walked:
                inner.clear()
                continue
            walked.add((stat.st_dev, stat.st_ino))
            # a folder of such a name is a damaged run
            if {"result.json", "config.yaml", "status.json"} & {*files, *inner} or ".hydra" in inner:
                run_folders.append(Path(place))
                inner.clear()  # folders inside a run belong to that run
        if not run_folders:
            raise ValueError(
                f"There is no run at or below {path}: no folder there has a result.json, a config.yaml or a .hydra. "
                "Train one with:  eegfm train"
            )
        for folder in run_folders:
            folders.setdefault(folder.resolve(), folder)
    return sorted(folders.values())


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """The finished runs among the folders, and why each of the others gives no number.

    A run whose scores are not those of its own predictions gives none.
    """
    runs, problems = [], []
    for folder in folders:
        if not (folder / "result.json").exists():
            problems.append(Problem(folder, _how_far(folder)))
            continue
        try:
            result, config = read_result(folder), read_config(folder)
            refuse_changed_file(result, folder, CONFIG)
        except (OSError, ValueError) as error:
            problems.append(Problem(folder, f"unreadable: {error}"))
            continue
        if result.status != "done" or not result.metrics.get("test"):
            problems.append(Problem(folder, f"no test score: its status is {result.status}"))
            continue
        try:
            refuse_disagreement(folder, result)
        except ValueError as error:
            problems.append(Problem(folder, f"not counted: {error}"))
            continue
        runs.append(Run(folder, result, config))
    return runs, problems


def _how_far(folder: Path) -> str:
    """How far an unfinished run has come, by its `metrics.csv`."""
    try:
        epochs = len(read_curves(folder / "metrics.csv"))
    except (OSError, ValueError) as error:
        return f"not finished: no result.json; {error}"
    progress = (
        f"after {epochs} {'epoch' if epochs == 1 else 'epochs'}"
        if epochs
        else "before the end of its first epoch"
    )
    return f"not finished: no result.json, {progress} (running, interrupted or failed)"


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a run as its file says it; {} if there is no file. Raises EegfmError if it is no config."""
    file = folder / CONFIG
    return read(text_of(file), str(file)) if file.exists() else {}
