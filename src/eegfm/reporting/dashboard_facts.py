"""The facts on the page of an experiment, as plain values: a cell for each run, a group for the runs of one row."""

import base64
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eegfm.config.identity import row_hash
from eegfm.reporting.against import Row as Beside
from eegfm.reporting.costs import clock, energy, gpu_hours, with_prefix
from eegfm.reporting.groups import Group, group_runs, mean
from eegfm.reporting.persons import of_group
from eegfm.reporting.remarks import decided, marks, remarks
from eegfm.reporting.run_curve import Curve, curve, five_digits
from eegfm.reporting.run_folders import Run, find_runs, read_config, read_runs
from eegfm.reporting.run_pictures import pictures
from eegfm.reporting.scores import LEGEND, difference, interval, score, spread
from eegfm.runs.results import SUBJECT_FACTS, RunResult, read_result
from eegfm.runs.status import Status, look
from eegfm.runs.wholes import sentences
from eegfm.tasks.metric_names import NO_SCORE, in_order, short
from eegfm.version import __version__

FIGURES_MB = 6.0  # of PNG inside a page, so that it opens at once; the page links to other figures
FIGURE_KB = 150  # the largest figure inside the page
FOLDER_NAME = re.compile(
    r"(?P<model>[^-]+)-(?P<encoder>[^-]+)-(?P<data>[^-]+)-s(?P<seed>\d+)-(?P<hash>[0-9a-f]{8})"
)


def collected(folder: Path, to: Path, jobs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The facts on the page: `cells`, one a run; `groups` of cells that differ in their seed; and facts about all."""
    folders = find_runs([folder])
    runs, problems = read_runs(folders)
    groups, repeats = group_runs(runs)
    problem_of = {problem.folder: problem.what for problem in (*problems, *repeats)}
    finished = {run.folder: run for run in runs}
    cells = [_read(place, finished.get(place), problem_of.get(place, ""), jobs) for place in folders]
    rows = _rows(groups, cells)
    present = {metric for cell in cells if cell.result for metric in cell.result.metrics.get("test", {})}
    cited = {metric for row in rows if row.group for metric in row.group.references}
    metrics = in_order(present, cited)  # the order of a report
    embedded = _figures(cells, rows)
    position = {id(cell): i for i, row in enumerate(rows) for cell in row.cells}
    code = {_commit(cell.result.git) for cell in cells if cell.result}
    return {
        "title": folder.resolve().name,
        "folder": folder.as_posix(),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "commits": sorted(filter(None, code)),
        "metrics": {name: short(name) for name in metrics},
        "levels": [name for name in metrics if name in NO_SCORE],
        "cells": [_cell(cell, position[id(cell)], metrics, to, embedded) for cell in cells],
        "groups": [_group(row, rows, metrics) for row in rows],
        "legend": LEGEND,
        "room": {"MB": FIGURES_MB, "kB": FIGURE_KB},
    }


@dataclass
class Cell:
    """A run folder: `run` if it is finished and readable, `problem` if it gives no number.

    `damages` are sentences on what the page leaves out of it, beside its number.
    """

    folder: Path
    run: Run | None
    result: RunResult | None
    config: dict[str, Any]
    status: Status | None
    problem: str
    curve: Curve
    pictures: Mapping[Path, str]
    damages: list[str]

    @property
    def named(self) -> dict[str, str]:
        """The facts in the folder's name. A run that has not begun has no others."""
        match = FOLDER_NAME.fullmatch(self.folder.name)
        return match.groupdict() if match else {}

    def fact(self, name: str) -> Any:
        """A fact from the result, or else from the folder's name."""
        return getattr(self.result, name) if self.result else self.named.get(name, "")

    @property
    def seed(self) -> int | None:
        seed = self.fact("seed") if self.result else self.config.get("seed", self.named.get("seed"))
        return int(seed) if str(seed).isdecimal() else None

    @property
    def state(self) -> str:
        """The state in `runs.status`; "no score" if the result has none or is unreadable; "unknown" without both."""
        if self.status and self.status.state != "done":
            return self.status.state
        return "done" if self.run else "no score" if (self.folder / "result.json").exists() else "unknown"


def _read(place: Path, run: Run | None, problem: str, jobs: Mapping[str, str] | None) -> Cell:
    from yaml import YAMLError

    result, config, torn = (run.result, run.config, []) if run else (None, {}, [])
    if not run:
        try:
            config = read_config(place)
        except (OSError, ValueError, YAMLError) as error:
            torn = [str(error)] if str(error) not in problem else []
        with suppress(OSError, ValueError):  # `problem` names the error
            result = read_result(place)
    columns, worn = curve(place, result)
    drawn, faded = pictures(place, result)
    return Cell(place, run, result, config, look(place, jobs), problem, columns, drawn, torn + worn + faded)


@dataclass
class Row:
    """Cells that differ only in their seed; `group` holds the runs with a score, None if no cell has one."""

    group: Group | None
    label: str
    cells: list[Cell] = field(default_factory=list)


def _rows(groups: Sequence[Group], cells: Sequence[Cell]) -> list[Row]:
    """A row for each group and its cells without a score. Cells that fit no group get rows of their own."""
    rows = [Row(group, group.label) for group in groups]
    owner = {run.folder: row for row, group in zip(rows, groups, strict=True) for run in group.runs}
    alike: dict[str, list[Row]] = {}
    for row, group in zip(rows, groups, strict=True):
        for key in (group.identity, _kind(group.first.model, group.first.encoder, group.first.data)):
            alike.setdefault(key, []).append(row)
    for cell in cells:
        named = _kind(*(cell.fact(name) for name in ("model", "encoder", "data")))
        key = row_hash(cell.config, cell.folder.name) if cell.config else named
        row = owner.get(cell.folder)
        if row is None and len(alike.get(key, [])) == 1:
            row = alike[key][0]
        if row is None:
            name = " · ".join(filter(None, (cell.fact("model"), cell.fact("encoder")))) or cell.folder.name
            row = Row(None, name)
            rows.append(row)
            alike[key] = [row]
        row.cells.append(cell)
    return rows


def _kind(*names: str) -> str:
    """A key for runs of which only model, encoder and data are known."""
    return "-".join(names)


def _cell(
    cell: Cell, group: int, metrics: Sequence[str], to: Path, embedded: Mapping[Path, bytes]
) -> dict[str, Any]:
    result, status = cell.result, cell.status
    alone = Group([cell.run]) if cell.run else None
    best = result.best_epoch if result else None
    task = str((cell.config.get("task") or {}).get("_target_", "")).rpartition(".")[2].lower()
    return {
        "name": cell.folder.name,
        "hash": cell.named.get("hash", cell.folder.name),
        "href": _link(cell.folder, to) + "/",
        "group": group,
        "model": cell.fact("model"),
        "encoder": cell.fact("encoder"),
        "data": cell.fact("data"),
        "seed": cell.seed,
        "protocol": result.benchmark.protocol if result else "",
        "task": (result.adapt or result.task) if result else task,
        "state": cell.state,
        "why": _why(cell),
        "epoch": None if best is None else best + 1,
        "monitor": result.monitor if result else "",
        "validation": result.monitor_value if result else None,
        "test": {name: result.metrics["test"].get(name) for name in metrics} if cell.run and result else {},
        "interval": _ends(alone.intervals, metrics) if alone else {},
        "trainable": result.parameters["trainable"] if result else None,
        "wall": [result.wall_s, clock(result.wall_s)] if result else None,
        "memory": _gigabytes(result, "host"),
        "gpu_memory": _gigabytes(result, "gpu"),
        "flops": [result.flops, with_prefix(result.flops)] if result and result.flops else None,
        "gpu_hours": gpu_hours(cell.run) or None if cell.run else None,
        "energy": [result.energy_wh, energy([result.energy_wh])] if result and result.energy_wh else None,
        "device": result.device if result else "",
        "marks": marks(alone) if alone else [],
        "progress": [status.step, status.steps] if status and status.steps else None,
        "curve": cell.curve,
        "figures": [
            {"name": path.stem, "href": _link(path, to), "src": _inside(embedded.get(path)), "said": said}
            for path, said in cell.pictures.items()
        ],
    }


def _why(cell: Cell) -> str:
    """The reason in the cell's status, its speed if it runs, why a result does not count, and what is left out."""
    status = cell.status
    parts = [status.reason] if status and status.reason else []
    if status and status.state == "running" and status.steps_per_s:
        parts.append(f"{status.steps_per_s:.3g} steps a second")
    if cell.problem and cell.state in ("done", "no score", "unknown"):
        parts.append(cell.problem)
    return "; ".join([*parts, *cell.damages])


def _group(row: Row, rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    group, first = row.group, row.cells[0]
    unscored = [cell for cell in row.cells if not (group and cell.run in group.runs)]
    data = group.first.data if group else first.fact("data")
    seeds = {cell.seed for cell in row.cells}
    others = {c.seed for r in rows for c in r.cells if c.fact("data") == data}
    facts: dict[str, Any] = {
        "label": row.label,
        "data": data,
        "model": group.first.model if group else first.fact("model"),
        "seeds": [run.result.seed for run in group.runs] if group else [],
        "gone": [f"{'run' if c.seed is None else c.seed}: {c.state}" for c in unscored],
        "absent": sorted(n for n in others - seeds if n is not None) if None not in seeds else [],
        "scores": {},
        "published": {},
        "subjects": {},
        "marks": [],
        "remarks": [],
    }
    if group is None:
        return facts
    result = group.first
    tested = [name for name in metrics if name in result.metrics["test"]]
    return facts | {
        "title": result.benchmark.title,
        "protocol": result.benchmark.protocol,
        "own": result.monitor if result.monitor in tested else tested[0] if tested else "",
        "trainable": result.parameters["trainable"],
        "scores": {
            name: {
                "mean": mean(group.test(name)),
                "text": score(group, name),
                "ends": group.intervals.get(name),
                "interval": interval(group, name),
                "spread": spread(group, name),
            }
            for name in tested
        },
        "published": {
            name: {
                "mean": reference.mean,
                "text": str(reference),
                "title": reference.title,
                "source": reference.source,
                "comparable": beside.comparable,
                "less": beside.difference,
                "difference": "" if math.isnan(beside.difference) else difference(group, name),
            }
            for name, reference in group.references.items()
            if (beside := Beside(reference, group))
        },
        "remarks": [*sentences(of_group(group)), *decided(group), *remarks(group)],
        "marks": marks(group),
        "subjects": {
            subject: {name: value for name, value in values.items() if name not in SUBJECT_FACTS}
            for subject, values in group.subjects().items()
        },
    }


def _ends(intervals: Mapping[str, tuple[float, float]], metrics: Sequence[str]) -> dict[str, list[float]]:
    return {name: [five_digits(end) for end in ends] for name, ends in intervals.items() if name in metrics}


def _gigabytes(result: RunResult | None, where: str) -> float | None:
    peak = result.peak_memory_mb.get(where) if result else None
    return None if peak is None else peak / 1000


def _figures(cells: Sequence[Cell], rows: Sequence[Row]) -> dict[Path, bytes]:
    """The figures inside the page: those of every group's first run, then of every second run, until it is full."""
    n_cells: dict[int, int] = {}  # of each row so far
    turn = {}
    for row in rows:
        for cell in row.cells:
            turn[id(cell)] = n_cells[id(row)] = n_cells.get(id(row), -1) + 1
    figures: dict[Path, bytes] = {}
    room = FIGURES_MB * 1e6
    for cell in sorted(cells, key=lambda cell: turn[id(cell)]):
        for path in cell.pictures:
            try:
                size = path.stat().st_size
                if size <= min(room, FIGURE_KB * 1000):
                    figures[path] = path.read_bytes()
                    room -= size
            except OSError:
                continue  # the page links to it
    return figures


def _inside(png: bytes | None) -> str | None:
    return None if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _link(path: Path, to: Path) -> str:
    """The relative address of a file, for a link on the page at `to`."""
    return quote(Path(os.path.relpath(path, to.parent)).as_posix())


def _commit(git: Mapping[str, Any]) -> str:
    return (git.get("commit") or "")[:7] + " with changes" * bool(git.get("dirty"))
