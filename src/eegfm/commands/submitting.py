"""The cells of a sweep, sent off to SLURM or to processes in the background: what `eegfm sweep submit` does."""

import json
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
from eegfm.process import arguments
from eegfm.runs.status import Status, look, now, queue, read_status, write_status

SEARCHES = "searches"  # in an experiment's folder: its searches, which are no cells
ORDER = ("running", "queued", "preempted", "lost", "failed", "pruned", "done")
# what AutoExecutor of submitit knows of every cluster; the rest is SLURM's own
OF_EVERY_CLUSTER = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes",
                    "name", "stderr_to_stdout")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run to come: its folder, the overrides that make it, and the launcher's settings for it."""

    folder: Path
    overrides: list[str]
    launcher: dict[str, Any]

    @property
    def experiment(self) -> Path:
        """The folder to look at; that of a process that searches lies in the experiment's as well."""
        return self.folder.parents[2] if SEARCHES in self.folder.parts else self.folder.parent


def submit(overrides: Sequence[str], parallel: int | None = None) -> None:
    """Send off every cell that is neither finished nor on its way."""
    said = [text.partition("=")[2] for text in overrides if text.startswith("hydra/launcher=")]
    on_slurm = (said or ["slurm" if shutil.which("sbatch") else "local"])[-1] == "slurm"
    if on_slurm and not said:
        overrides = [*overrides, "hydra/launcher=slurm"]
    elif not on_slurm:  # which wants no launcher, and nothing that has to be installed for one
        overrides = [text for text in overrides if not text.startswith("hydra/launcher=")]
    searching = [text.partition("=")[2] for text in overrides if text.startswith("search=")]
    if searching and searching[-1] != "null":
        cells, jobs = searchers_of(overrides, parallel or 1), queue()
        moot = ("done",)  # a search that has ended may be given more trials
    else:
        cells, jobs, moot = cells_of(overrides), queue(), ()
    there = {cell.folder: look(cell.folder, jobs) for cell in cells}
    left = {
        folder: found
        for folder, found in there.items()
        if found and _on_its_way(found) and found.state not in moot
    }
    todo = [cell for cell in cells if cell.folder not in left]
    for cell in todo:
        cell.folder.mkdir(parents=True, exist_ok=True)
        before = read_status(cell.folder) or Status(state="queued")
        sent = replace(before, state="queued", reason="", job="", host=socket.gethostname(), pid=0)
        write_status(cell.folder, replace(sent, overrides=cell.overrides, queued_at=now()))
    if todo:
        try:
            _to_slurm(todo, parallel) if on_slurm else _to_the_background(todo, parallel or 1)
        except BaseException as error:
            for cell in todo:
                mark_as(cell.folder, "failed", f"not sent off: {error}")
            raise
    others = [f"{n} {state}" for state in ORDER if (n := count_of(left, state))]
    print(f"{len(cells)} cells: {', '.join([f'{len(todo)} sent off', *others])}")
    for place in dict.fromkeys(cell.experiment for cell in cells):
        print(f"next        eegfm sweep status {place}")


def _on_its_way(found: Status) -> bool:
    return found.state in ("done", "running", "queued") or (found.state == "preempted" and bool(found.job))


def cells_of(overrides: Sequence[str]) -> list[Cell]:
    """Every cell of a sweep, as `eegfm train -m` would have them; composed, so that a wrong word is said here and now.

    Raises:
        EegfmError: a config that does not compose, with Hydra's reason.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from eegfm.config.identity import run_name
    from eegfm.config.mistakes import for_hydra, mistake
    from eegfm.config.schema import config_dir, register

    register()
    settings = {text: for_hydra(text, "train") for text in overrides}
    cells: dict[Path, Cell] = {}
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            for of_cell in _of_an_experiment(_each([*settings.values()])):
                config = compose("train", of_cell, return_hydra_config=True)
                launcher: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
                if config.hydra.runtime.choices.get("search"):
                    raise EegfmError("This experiment is a search. Add: search=optuna")
                folder = Path(config.paths.runs) / run_name(_root_=config)
                own = _of_the_job(of_cell)
                if config.hydra.mode is not None:  # an experiment's MULTIRUN would be the whole sweep again
                    own.append("hydra.mode=RUN")
                cells.setdefault(folder, Cell(folder, own, launcher))
    except (HydraException, OmegaConfBaseException) as error:
        remedy = "\nType: pip install hydra-submitit-launcher submitit" * ("submitit" in str(error))
        reason = mistake(error, "train", settings)
        raise EegfmError(f"Nothing was sent off. {reason}{remedy}") from error
    return [*cells.values()]


def _each(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of every cell that a list with choices in it (seed=0,1) stands for."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    choices = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.input_line)]
        for one in OverridesParser.create().parse_overrides([*overrides])
    ]
    yield from map(list, product(*choices))


def _of_an_experiment(cells: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same, with what their experiment sweeps over (`hydra.sweeper.params`) and the command line does not say."""
    from hydra import compose

    for of_cell in cells:
        params = compose("train", of_cell, return_hydra_config=True).hydra.sweeper.get("params") or {}
        said = {text.partition("=")[0].lstrip("+~") for text in of_cell}
        yield from _each(
            [*(f"{key}={value}" for key, value in params.items() if key not in said), *of_cell]
        )


def searchers_of(overrides: Sequence[str], n: int) -> list[Cell]:
    """The processes that share one search, each with its number; the search is looked through first.

    Raises:
        EegfmError: a config that does not compose, or a space that is refused.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from eegfm.config.mistakes import for_hydra, mistake
    from eegfm.config.schema import config_dir, register
    from eegfm.search.plan import plan_of
    from eegfm.search.trials import worker_folder

    register()
    settings = {text: for_hydra(text, "train") for text in overrides}
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("train", [*settings.values()], run_mode=RunMode.MULTIRUN)
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
            folder = plan_of(config, loader, [*params, *config.hydra.overrides.task]).folder
            launcher: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise EegfmError(f"Nothing was sent off. {mistake(error, 'train', settings)}") from error
    own = _of_the_job([*settings.values()])
    return [Cell(worker_folder(folder, i), [*own, f"search.worker={i}"], launcher) for i in range(n)]


def _of_the_job(overrides: Sequence[str]) -> list[str]:
    """The overrides without those of the launcher, which a job has behind it."""
    return [text for text in overrides if not text.startswith(("hydra/launcher", "hydra.launcher"))]


class Train:
    """What a job runs: `python -m eegfm.train` with a cell's overrides. Sent off again, it is the same."""

    def __call__(self, overrides: Sequence[str]) -> None:
        with arguments(sys.argv[0], *overrides):
            runpy.run_module("eegfm.train", run_name="__main__", alter_sys=True)

    def checkpoint(self, overrides: Sequence[str]) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, overrides)


def _to_slurm(cells: Sequence[Cell], parallel: int | None) -> None:
    """One array of jobs for all cells with the same resources; they need not wait for this process."""
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
            found = read_status(cell.folder)
            if found is not None and found.state == "queued":  # not one that has begun already
                write_status(cell.folder, replace(found, job=str(job.job_id)))


def _to_the_background(cells: Sequence[Cell], parallel: int) -> None:
    """Start `parallel` processes that outlive this one, each with its part of the cells."""
    for i in range(min(parallel, len(cells))):
        part = cells[i::parallel]
        todo = part[0].folder / "sweep.json"
        todo.write_text(json.dumps([[str(cell.folder), cell.overrides] for cell in part]), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "eegfm.commands.sweep", "work", str(todo)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for cell in part:
            found = read_status(cell.folder)
            if found is not None and found.state == "queued":
                write_status(cell.folder, replace(found, pid=process.pid))


def work(cells: Path) -> None:
    """Train one cell after another, each in a process of its own that writes `sweep.out` in its folder."""
    for folder, overrides in json.loads(cells.read_text(encoding="utf-8")):
        found = read_status(Path(folder))
        if found is None or found.state != "queued":
            continue  # cancelled, or begun by somebody else
        with open(Path(folder) / "sweep.out", "a", encoding="utf-8") as out:
            subprocess.run([sys.executable, "-m", "eegfm.train", *overrides], stdout=out, stderr=out)
        found = read_status(Path(folder))
        if found is not None and found.state == "queued":
            mark_as(Path(folder), "failed", f"it ended before it began: see {folder}/sweep.out")
    cells.unlink(missing_ok=True)


def mark_as(folder: Path, state: Any, reason: str) -> None:
    write_status(folder, replace(read_status(folder) or Status(state=state), state=state, reason=reason))


def count_of(found: Mapping[Path, Status], state: str) -> int:
    return sum(one.state == state for one in found.values())
