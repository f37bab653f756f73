"""Trials of a study: asked for, launched, watched and told to Optuna."""

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
from eegfm.files import locked
from eegfm.runs.curves import read_curves
from eegfm.runs.status import at_work, look, now, progress, queue, works
from eegfm.search.plan import Plan, as_overrides
from eegfm.search.space import as_text

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from eegfm.search.written import Trials

log = logging.getLogger(__name__)

AGAIN = 3  # times that an interrupted trial is gone on with: one that kills its process would come back for ever


def ask(plan: Plan, trials: "Trials", worker: Path, mine: set[int]) -> dict[int, list[str]]:
    """The next trials with their overrides, none where the search is through; what was abandoned is put back first."""
    from optuna.trial import TrialState

    cells: dict[int, list[str]] = {}
    study = trials.study
    with alone(plan.folder):
        jobs = queue()
        for trial in running(study):
            owner = trial.user_attrs.get("worker", "")
            gone = owner == worker.name or not owner or not works(worker.with_name(owner), jobs)
            if gone and trial.number not in mine:
                _settle(trials, trial, jobs, abandoned=True)
        while len(cells) < plan.base.search.n_jobs and _more(plan, study):
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


def _more(plan: Plan, study: "Study") -> bool:
    """Whether anything is left to try: settings that were put back, or new ones."""
    from optuna.trial import TrialState

    counted = _counted(study)
    tried = {json.dumps(one.params, sort_keys=True) for one in counted}
    new = len(counted) < plan.base.search.n_trials and len(tried) < plan.size
    return new or any(one.state == TrialState.WAITING for one in counted)


def _counted(study: "Study") -> list["FrozenTrial"]:
    """The trials but for those that were interrupted, since another goes on with their settings."""
    return [one for one in study.get_trials(deepcopy=False) if not one.user_attrs.get("interrupted")]


def running(study: "Study", numbers: set[int] | None = None) -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [one for one in found if numbers is None or one.number in numbers]


def launch(launcher: Launcher, cells: Sequence[Sequence[str]], begun: int) -> str:
    """Have the runs done; what their folders do not know of what went wrong, if anything did."""
    try:
        results = launcher.launch(cells, initial_job_idx=begun)
    except Exception as error:  # of submitit, where a job has died
        log.warning("A job of the search ended without a word: %s", error)
        return f"{type(error).__name__}: {str(error)[:500]}"
    said = []
    for one in results:
        try:
            _ = one.return_value
        except Exception as error:  # whatever a training can raise
            said.append(f"{type(error).__name__}: {str(error)[:500]}")
    return "; ".join(dict.fromkeys(said))


def settle_mine(plan: Plan, trials: "Trials", mine: set[int], error: str) -> None:
    with alone(plan.folder):
        jobs = queue()
        for trial in running(trials.study, mine):
            _settle(trials, trial, jobs, error=error)


def _settle(
    trials: "Trials", trial: "FrozenTrial", jobs: Any, *, error: str = "", abandoned: bool = False
) -> None:
    """Tell Optuna what has become of a trial, by its folder; nothing where the run is still at work.

    `abandoned`: the process that asked for it is gone, so that a run without an end is put back.
    """
    from optuna.trial import TrialState

    study, attrs = trials.study, trial.user_attrs
    folder = Path(attrs.get("folder", "/nonexistent"))
    found = look(folder, jobs)
    if found is not None and found.state != "done" and found.updated_at < attrs.get("asked_at", ""):
        found = None  # from a search before this one
    state = "" if found is None else found.state
    if state in ("running", "queued") or (found and state == "preempted" and found.job):
        return
    if state == "done":
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        monitor, value = result["monitor"], result["monitor_value"]
        _report_epochs(trials, trial.number, folder, f"val/{monitor}")
        if value is not None and math.isfinite(value):
            study.set_user_attr("monitor", monitor)
            study.tell(trial.number, value)
        else:
            _fail(trials, trial.number, f"its validation {monitor} is no number")
    elif state == "pruned":
        assert found is not None
        trials.note(trial.number, "reason", found.reason)
        study.tell(trial.number, state=TrialState.PRUNED)
    elif state == "failed" or not abandoned:
        _fail(trials, trial.number, (found.reason if found else "") or error or "it left no sign")
    elif (times := attrs.get("times", 0) + 1) > AGAIN:
        _fail(trials, trial.number, f"interrupted {times} times")
    else:
        trials.note(trial.number, "interrupted", True)
        _fail(trials, trial.number, "interrupted; put back")
        study.enqueue_trial(trial.params, user_attrs={"times": times})


def _fail(trials: "Trials", number: int, reason: str) -> None:
    from optuna.trial import TrialState

    trials.note(number, "reason", reason)
    trials.study.tell(number, state=TrialState.FAIL)


def _report_epochs(trials: "Trials", number: int, folder: Path, monitor: str) -> None:
    """The epochs of a run that was finished before: a pruner compares with them as well."""
    if not (folder / "metrics.csv").exists():
        return

    known = trials.get(number).intermediate_values
    for row in read_curves(folder / "metrics.csv"):
        if row.get(monitor) and int(row["epoch"]) not in known:
            trials.report(number, int(row["epoch"]), float(row[monitor]))


def take_worker_folder(stack: ExitStack, plan: Plan) -> Path:
    """The folder of this process, held until the stack ends: the one that it was sent off with, or the first free."""
    asked, jobs = plan.base.search.worker, queue()
    for number in itertools.count() if asked is None else [asked]:
        folder = worker_folder(plan.folder, number)
        if asked is None and works(folder, jobs):
            continue
        try:
            stack.enter_context(at_work(folder))
        except EegfmError:  # taken a moment ago
            if asked is not None:
                raise
            continue
        return folder
    raise AssertionError("there is no end to the numbers")


def worker_folder(search: Path, number: int) -> Path:
    return search / f"worker-{number}"


def alone(folder: Path) -> AbstractContextManager[None]:
    """One process of a search at a time asks and settles, so that no setting is tried beyond the number wanted."""
    return locked(folder / "study.lock")


def say_progress(plan: Plan, study: "Study", worker: Path, done: int, begun: float) -> None:
    ended = sum(one.state.is_finished() for one in _counted(study))
    rate = done / max(time.monotonic() - begun, 1e-9)
    progress(worker, ended, plan.base.search.n_trials, round(rate, 4))
