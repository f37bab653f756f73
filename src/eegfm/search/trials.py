"""Trials of a study: ask Optuna for settings, launch the runs, watch them, and tell Optuna their results."""

import itertools
import json
import logging
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf.errors import OmegaConfBaseException

from eegfm.config.identity import run_name
from eegfm.contracts import EegfmError
from eegfm.runs.curves import read_curves
from eegfm.runs.lock import works
from eegfm.runs.slurm import queue
from eegfm.runs.status import at_work, look, now, progress
from eegfm.search.plan import Plan, as_overrides
from eegfm.search.space import as_text
from eegfm.support.files import DISK_FULL, readable
from eegfm.support.locks import locked
from eegfm.support.summed import without_sum

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from eegfm.search.storage import Trials

log = logging.getLogger(__name__)

AGAIN = 3  # times that an interrupted trial is continued; one that kills its process would return for ever


def ask(plan: Plan, trials: "Trials", worker: Path, mine: set[int]) -> dict[int, list[str]]:
    """The next trials with their overrides, none if the search is finished. Abandoned trials are queued again first."""
    from optuna.trial import TrialState

    cells: dict[int, list[str]] = {}
    study = trials.study
    with alone(plan.folder):
        jobs = queue()
        for trial in running(study):
            owner = trial.user_attrs.get("worker", "")
            abandoned = owner == worker.name or not owner or not works(worker.with_name(owner), jobs)
            if abandoned and trial.number not in mine:
                _settle(trials, trial, jobs, abandoned=True)
        while len(cells) < plan.base.search.n_jobs and _is_more_to_try(plan, study):
            trial = study.ask(plan.space)
            params = {key: as_text(value) for key, value in trial.params.items()}
            own = as_overrides(
                {
                    **plan.fixed,
                    **params,
                    "search.study": plan.name,
                    "search.storage": f"'{plan.storage}'",
                    "search.trial": str(trial.number),
                }
            )
            try:
                config = plan.loader.load_sweep_config(plan.config, own)
                folder = Path(config.paths.runs) / run_name(_root_=config)
            except (HydraException, OmegaConfBaseException) as error:
                trial.set_user_attr("reason", str(error))
                study.tell(trial, state=TrialState.FAIL)
                continue
            for key, value in {
                "worker": worker.name, "asked_at": now(), "params": params, "folder": folder.as_posix(),
            }.items():  # fmt: skip
                trial.set_user_attr(key, value)
            cells[trial.number] = own
    mine.update(cells)
    return cells


def _is_more_to_try(plan: Plan, study: "Study") -> bool:
    """Whether there are settings left to try: those queued again, or new ones."""
    from optuna.trial import TrialState

    counted = _counted(study)
    tried = {json.dumps(trial.params, sort_keys=True) for trial in counted}
    new = len(counted) < plan.base.search.n_trials and len(tried) < plan.size
    return new or any(trial.state == TrialState.WAITING for trial in counted)


def _counted(study: "Study") -> list["FrozenTrial"]:
    """All trials except interrupted ones, whose settings another trial continues."""
    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get("interrupted")]


def running(study: "Study", numbers: set[int] | None = None) -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial for trial in trials if numbers is None or trial.number in numbers]


def launch(launcher: Launcher, cells: Sequence[Sequence[str]], begun: int) -> str:
    """Run the cells. Returns the errors that they raised, "" if none; a folder may not know of its error."""
    try:
        results = launcher.launch(cells, initial_job_idx=begun)
    except Exception as error:  # submitit raises it if a job has died
        log.warning("A job of the search died: %s", error)
        return f"{type(error).__name__}: {str(error)[:500]}"
    errors = []
    for result in results:
        try:
            _ = result.return_value
        except Exception as error:  # training may raise anything
            errors.append(f"{type(error).__name__}: {str(error)[:500]}")
    return "; ".join(dict.fromkeys(errors))


def settle_mine(plan: Plan, trials: "Trials", mine: set[int], error: str) -> None:
    with alone(plan.folder):
        jobs = queue()
        for trial in running(trials.study, mine):
            _settle(trials, trial, jobs, error=error)


def _settle(
    trials: "Trials", trial: "FrozenTrial", jobs: Any, *, error: str = "", abandoned: bool = False
) -> None:
    """Tell Optuna the result of a trial, from its folder; nothing if the run still trains.

    `abandoned`: the process that asked for the trial is gone, so an unfinished run is queued again.
    """
    from optuna.trial import TrialState

    study, attrs = trials.study, trial.user_attrs
    folder = Path(attrs.get("folder", "/nonexistent"))
    status = look(folder, jobs)
    if status is not None and status.state != "done" and status.updated_at < attrs.get("asked_at", ""):
        status = None  # it is of an earlier search
    state = "" if status is None else status.state
    reason = (status.reason if status else "") or error
    full = state != "done" and DISK_FULL in reason
    if full and not abandoned:  # it stays as it is, and is queued again when the same command has room
        raise EegfmError(reason)
    if state in ("running", "queued") or (status and state == "preempted" and status.job):
        return
    if state == "done":
        path = folder / "result.json"
        result = without_sum(json.loads(readable(path).read_text(encoding="utf-8")), path)
        monitor, value = result["monitor"], result["monitor_value"]
        _report_epochs(trials, trial.number, folder, f"val/{monitor}")
        if value is not None and math.isfinite(value):
            study.set_user_attr("monitor", monitor)
            study.tell(trial.number, value)
        else:
            _fail(trials, trial.number, f"its validation {monitor} is not a number")
    elif state == "pruned":
        assert status is not None
        trials.note(trial.number, "reason", status.reason)
        study.tell(trial.number, state=TrialState.PRUNED)
    elif (state == "failed" and not full) or not abandoned:
        _fail(trials, trial.number, reason or "it left no status")
    elif (times := attrs.get("times", 0) + (not full)) > AGAIN:
        _fail(trials, trial.number, f"interrupted {times} times")
    else:
        trials.note(trial.number, "interrupted", True)
        _fail(trials, trial.number, "interrupted; queued again")
        study.enqueue_trial(trial.params, user_attrs={"times": times})


def _fail(trials: "Trials", number: int, reason: str) -> None:
    from optuna.trial import TrialState

    trials.note(number, "reason", reason)
    trials.study.tell(number, state=TrialState.FAIL)


def _report_epochs(trials: "Trials", number: int, folder: Path, monitor: str) -> None:
    """Report the epochs of a run that had finished before: pruners compare with them too."""
    if not (folder / "metrics.csv").exists():
        return
    known = trials.get(number).intermediate_values
    for row in read_curves(folder / "metrics.csv"):
        if row.get(monitor) and int(row["epoch"]) not in known:
            trials.report(number, int(row["epoch"]), float(row[monitor]))


def take_worker_folder(stack: ExitStack, plan: Plan) -> Path:
    """The folder of this process, locked until the stack ends: that of `search.worker`, or else the first free one."""
    chosen, jobs = plan.base.search.worker, queue()
    for number in itertools.count() if chosen is None else [chosen]:
        folder = worker_folder(plan.folder, number)
        if chosen is None and works(folder, jobs):
            continue
        try:
            stack.enter_context(at_work(folder))
        except EegfmError:  # another process took it a moment ago
            if chosen is not None:
                raise
            continue
        return folder
    raise AssertionError("unreachable: numbers do not end")


def worker_folder(search: Path, number: int) -> Path:
    return search / f"worker-{number}"


def alone(folder: Path) -> AbstractContextManager[None]:
    """Lock the study: only one process at a time asks and settles, so no more than n_trials settings are tried."""
    return locked(folder / "study.lock")


def say_progress(plan: Plan, study: "Study", worker: Path, done: int, begun: float) -> None:
    ended = sum(trial.state.is_finished() for trial in _counted(study))
    rate = done / max(time.monotonic() - begun, 1e-9)
    progress(worker, ended, plan.base.search.n_trials, round(rate, 4))
