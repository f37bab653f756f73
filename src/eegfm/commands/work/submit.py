"""What `eegfm sweep submit` does: submit the cells of a sweep to SLURM or to background processes."""

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.runs.slurm import queue
from eegfm.runs.status import Status, look, now, read_status, write_status
from eegfm.support.alive import began_at
from eegfm.support.files import write_json
from eegfm.support.process import arguments
from eegfm.support.summed import with_sum, without_sum

SEARCHES = "searches"  # the folder of an experiment's searches, beside its cells
ORDER = ("running", "queued", "preempted", "lost", "unknown", "failed", "pruned", "done")
# settings of submitit's AutoExecutor for any cluster; all others are SLURM's and get the prefix "slurm_"
OF_EVERY_CLUSTER = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes",
                    "name", "stderr_to_stdout")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run to submit: its folder, its overrides, and the launcher's settings for it."""

    folder: Path
    overrides: list[str]
    launcher: dict[str, Any]

    @property
    def experiment(self) -> Path:
        """The experiment's folder, for `eegfm sweep status`; a process of a search lies deeper in it."""
        return self.folder.parents[2] if SEARCHES in self.folder.parts else self.folder.parent


def submit(overrides: Sequence[str], parallel: int | None = None) -> None:
    """Submit every cell that is neither finished nor running nor waiting."""
    launchers = [text.partition("=")[2] for text in overrides if text.startswith("hydra/launcher=")]
    on_slurm = (launchers or ["slurm" if shutil.which("sbatch") else "local"])[-1] == "slurm"
    if on_slurm and not launchers:
        overrides = [*overrides, "hydra/launcher=slurm"]
    elif not on_slurm:  # a background process needs no launcher, which might not be installed
        overrides = [text for text in overrides if not text.startswith("hydra/launcher=")]
    searches = [text.partition("=")[2] for text in overrides if text.startswith("search=")]
    if searches and searches[-1] != "null":
        cells, jobs = searchers_of(overrides, parallel or 1), queue()
        again = ("done",)  # a search that has ended may get more trials
    else:
        cells, jobs, again = cells_of(overrides), queue(), ()
    statuses = {cell.folder: look(cell.folder, jobs) for cell in cells}
    skipped = {
        folder: status
        for folder, status in statuses.items()
        if status and _needs_no_submission(status) and status.state not in again
    }
    todo = [cell for cell in cells if cell.folder not in skipped]
    for cell in todo:
        cell.folder.mkdir(parents=True, exist_ok=True)
        before = read_status(cell.folder) or Status(state="queued")
        queued = replace(before, state="queued", reason="", job="", host=socket.gethostname())
        # ours until it is handed over, so that a killed submission is seen to be gone
        ours = {"pid": os.getpid(), "began": began_at(os.getpid())}
        write_status(cell.folder, replace(queued, **ours, overrides=cell.overrides, queued_at=now()))
    if todo:
        try:
            _to_slurm(todo, parallel) if on_slurm else _to_the_background(todo, parallel or 1)
        except BaseException as error:
            for cell in todo:
                status = read_status(cell.folder)
                if status is None or (status.state == "queued" and status.pid == os.getpid()):
                    mark_as(cell.folder, "failed", f"not submitted: {error}")
            raise
    others = [f"{count_of(skipped, state)} {state}" for state in states_of(skipped)]
    print(f"{len(cells)} cells: {', '.join([f'{len(todo)} submitted', *others])}")
    for experiment in dict.fromkeys(cell.experiment for cell in cells):
        print(f"next        eegfm sweep status {experiment}")


def _needs_no_submission(status: Status) -> bool:
    """Whether a cell is finished, at work or waiting for somebody; SLURM itself restarts a preempted job."""
    if status.state == "queued":
        return bool(status.job or status.pid)
    return status.state in ("done", "running") or (status.state == "preempted" and bool(status.job))


def cells_of(overrides: Sequence[str]) -> list[Cell]:
    """The cells of a sweep, as `eegfm train -m` makes them. Each config is composed, so a mistake shows at once.

    Raises:
        EegfmError: a config does not compose; the sentence says why.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from eegfm.config.identity import run_name, without_hydra
    from eegfm.config.mistakes import for_hydra, mistake
    from eegfm.config.own import found_here, searchpath
    from eegfm.config.refusals import refuse
    from eegfm.config.schema import config_dir, register

    own = found_here()  # the job finds it as well
    register(own)
    more = searchpath(own)
    settings = {text: for_hydra(text, "train") for text in overrides}
    cells: dict[Path, Cell] = {}
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            for cell_overrides in _of_an_experiment(_each([*settings.values()]), more):
                config = compose("train", [*more, *cell_overrides], return_hydra_config=True)
                launcher: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
                if config.hydra.runtime.choices.get("search"):
                    raise EegfmError("This experiment is a search. Add: search=optuna")
                folder = Path(config.paths.runs) / run_name(_root_=config)
                refuse(without_hydra(config), config.hydra, folder)
                of_job = _of_the_job(cell_overrides)
                if (
                    config.hydra.mode is not None
                ):  # with an experiment's MULTIRUN the job would run the whole sweep
                    of_job.append("hydra.mode=RUN")
                cells.setdefault(folder, Cell(folder, of_job, launcher))
    except (HydraException, OmegaConfBaseException) as error:
        remedy = "\nType: pip install hydra-submitit-launcher submitit" * ("submitit" in str(error))
        reason = mistake(error, "train", settings, more)
        raise EegfmError(f"Nothing was submitted. {reason}{remedy}") from error
    return [*cells.values()]


def _each(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of each cell of a sweep: one for each combination of the listed values (seed=0,1)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in OverridesParser.create().parse_overrides([*overrides])
    ]
    yield from map(list, product(*choices))


def _of_an_experiment(cells: Iterable[list[str]], more: Sequence[str]) -> Iterator[list[str]]:
    """Multiply the cells by the values that their experiment sweeps over (`hydra.sweeper.params`); typed keys win."""
    from hydra import compose

    for overrides in cells:
        params = (
            compose("train", [*more, *overrides], return_hydra_config=True).hydra.sweeper.get("params")
            or {}
        )
        typed = {text.partition("=")[0].lstrip("+~") for text in overrides}
        yield from _each(
            [*(f"{key}={value}" for key, value in params.items() if key not in typed), *overrides]
        )


def searchers_of(overrides: Sequence[str], n: int) -> list[Cell]:
    """The `n` numbered processes that share one search, once its config and its space were checked.

    Raises:
        EegfmError: the config does not compose, or the space is refused.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from eegfm.config.mistakes import for_hydra, mistake
    from eegfm.config.own import found_here, searchpath
    from eegfm.config.schema import config_dir, register
    from eegfm.search.plan import plan_of
    from eegfm.search.trials import worker_folder

    own = found_here()
    register(own)
    more = searchpath(own)
    settings = {text: for_hydra(text, "train") for text in overrides}
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration(
                "train", [*more, *settings.values()], run_mode=RunMode.MULTIRUN
            )
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
            folder = plan_of(config, loader, [*params, *config.hydra.overrides.task]).folder
            launcher: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise EegfmError(f"Nothing was submitted. {mistake(error, 'train', settings, more)}") from error
    of_job = _of_the_job([*settings.values()])
    return [Cell(worker_folder(folder, i), [*of_job, f"search.worker={i}"], launcher) for i in range(n)]


def _of_the_job(overrides: Sequence[str]) -> list[str]:
    """The overrides without those of the launcher: they concern the submission, not the job."""
    return [text for text in overrides if not text.startswith(("hydra/launcher", "hydra.launcher"))]


class Train:
    """What a job runs: `python -m eegfm.train` with a cell's overrides; the same again when SLURM requeues it."""

    def __call__(self, overrides: Sequence[str]) -> None:
        with arguments(sys.argv[0], *overrides):
            runpy.run_module("eegfm.train", run_name="__main__", alter_sys=True)

    def checkpoint(self, overrides: Sequence[str]) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, overrides)


def _to_slurm(cells: Sequence[Cell], parallel: int | None) -> None:
    """Submit one job array for all cells with the same resources; the jobs do not need this process."""
    import submitit

    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(json.dumps(cell.launcher, sort_keys=True), []).append(cell)
    for group in groups.values():
        settings = {key: value for key, value in group[0].launcher.items() if key != "_target_"}
        settings["name"] = "eegfm"
        if parallel:
            settings["array_parallelism"] = parallel
        executor = submitit.AutoExecutor(
            settings.pop("submitit_folder"),
            cluster="slurm",
            slurm_max_num_timeout=settings.pop("max_num_timeout"),
        )
        executor.update_parameters(
            **{key if key in OF_EVERY_CLUSTER else f"slurm_{key}": value for key, value in settings.items()}
        )
        jobs = executor.map_array(Train(), [cell.overrides for cell in group])
        for cell, job in zip(group, jobs, strict=True):
            status = read_status(cell.folder)
            if status is not None and status.state == "queued":  # the job has not begun yet
                write_status(cell.folder, replace(status, job=str(job.job_id), pid=0, began=0.0))


def _to_the_background(cells: Sequence[Cell], parallel: int) -> None:
    """Start `parallel` processes that outlive this one and share the cells."""
    for i in range(min(parallel, len(cells))):
        part = cells[i::parallel]
        todo = part[0].folder / "sweep.json"
        write_json(todo, with_sum({"cells": [str(cell.folder) for cell in part]}), sync=False)
        process = subprocess.Popen(
            [sys.executable, "-m", "eegfm.commands.sweep", "work", str(todo)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for cell in part:
            status = read_status(cell.folder)
            if status is not None and status.state == "queued":
                taken = {"pid": process.pid, "began": began_at(process.pid)}
                write_status(cell.folder, replace(status, **taken))


def work(cells: Path) -> None:
    """Train one cell after another, each in its own process; its output goes to `sweep.out` in the cell's folder."""
    todo = without_sum(json.loads(cells.read_text(encoding="utf-8")), cells)["cells"]
    for folder in todo:  # at once: whoever submitted them may have been killed before it could say so
        status = read_status(Path(folder))
        if status is not None and status.state == "queued":
            ours = {"pid": os.getpid(), "began": began_at(os.getpid())}
            write_status(Path(folder), replace(status, **ours))
    for folder in todo:
        status = read_status(Path(folder))
        if status is None or status.state != "queued" or status.pid != os.getpid():
            continue  # cancelled, or given to another process
        with open(Path(folder) / "sweep.out", "a", encoding="utf-8") as out:
            subprocess.run([sys.executable, "-m", "eegfm.train", *status.overrides], stdout=out, stderr=out)
        status = read_status(Path(folder))
        if status is not None and status.state == "queued":
            mark_as(
                Path(folder), "failed", f"its process ended before the run began: see {folder}/sweep.out"
            )
    cells.unlink(missing_ok=True)


def mark_as(folder: Path, state: Any, reason: str) -> None:
    write_status(folder, replace(read_status(folder) or Status(state=state), state=state, reason=reason))


def states_of(statuses: Mapping[Path, Status]) -> list[str]:
    """The states that there are, in their order; those that this version does not know are last."""
    found = {status.state for status in statuses.values()}
    return [*(state for state in ORDER if state in found), *sorted(found - {*ORDER})]


def count_of(statuses: Mapping[Path, Status], state: str) -> int:
    return sum(status.state == state for status in statuses.values())
