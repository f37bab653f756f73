"""A search for good settings with Optuna: `hparams_search=optuna`, whose YAML file says how a space is written.

  eegfm train -m hparams_search=optuna experiment=demo 'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))'

Optuna is asked for settings and told their validation metric; the test subjects play no part in it. A trial is an
ordinary run, in the folder that its config names: what is finished there is not trained again, and each trial can be
repeated by its overrides. A study is named by the config that all its trials share and by the space, so that the same
command goes on with it. It lies in `runs/<experiment>/searches/<study>/`, with what was found: `search.json`,
`search.csv` and two figures.

Several processes may search in one study at once: those of `eegfm sweep submit --parallel 4 hparams_search=optuna ...`,
or the same command typed on several nodes. Each holds a folder `worker-<n>` with a lock and a `status.json`. A trial
whose process is gone is put back and goes on from its last checkpoint, up to three times; Optuna's own heartbeat for
this exists for databases only. What failed is told as failed, with the reason, and the search goes on.

The best value of many is optimistic, the more so the more were tried: what is found is to be run with several seeds,
and judged by these.
"""

import csv
import fcntl
import io
import itertools
import json
import logging
import math
import os
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from eegfm.build import NOT_THE_RUN, chosen, identity_hash, make, plain, run_name, without_hydra
from eegfm.contracts import EegfmError
from eegfm.status import at_work, look, now, progress, queue, works

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

BY_LOSS = (
    "eegfm.tasks.reconstruct.Reconstruct",
    "eegfm.tasks.forecast.Forecast",
)  # by name: imports of seconds
FIVE_SEEDS = "seed=654,114,25,759,281"
AGAIN = 3  # times that an interrupted trial is gone on with: one that kills its process would come back for ever
WAIT_S = 2.0  # between two looks at runs that are still at work
DRAWN = 15  # trials, below which figures would say nothing
SHOWN = 10  # trials in the table that is printed

# What a search may change: of the rest a better value would mean nothing. Of data, what leaves the windows alone.
MAY_CHANGE = ("model", "encoder", "task", "trainer", "adapt", "method", "weights", "pretrain", "selection")
MAY_CHANGE_OF_DATA = ("batch_size", "weights", "epoch_windows")
# of a task that is judged by its own loss: the rest changes what is measured
MAY_CHANGE_OF_LOSS = ("optimizer", "schedule", "decay")


@dataclass(frozen=True)
class Plan:
    """One study: what it tries, what its trials share, where it lies. `base` is the config without the space."""

    config: DictConfig
    loader: ConfigLoader
    base: DictConfig
    fixed: dict[str, str]
    space: dict[str, "BaseDistribution"]
    said: dict[str, str]
    folder: Path
    maximize: bool

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def storage(self) -> str:
        asked = str(self.base.search.storage)
        if asked in ("journal", "sqlite"):
            path = self.folder.absolute() / f"study.{asked}"
            return f"sqlite:///{path}" if asked == "sqlite" else str(path)
        return asked

    @property
    def size(self) -> float:
        """How many settings the space holds."""
        return math.prod(_points(one) for one in self.space.values())


# ---- the search ------------------------------------------------------------------------------------------------------


def search(config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str]) -> float:
    """Search as the config says, write what was found, and return the best value of the validation metric.

    Raises:
        EegfmError: nothing to search, a space that is refused, or no trial that came to an end.
    """
    _optuna()
    plan = plan_of(config, loader, arguments)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        worker = _worker(stack, plan)
        study = _study(plan)
        mine: set[int] = set()
        begun = time.monotonic()
        while cells := _ask(plan, study, worker, mine):
            error = _launch(launcher, [*cells.values()], len(mine) - len(cells))
            _settle_mine(plan, study, mine, error)
            _say_progress(plan, study, worker, len(mine), begun)
        while _running(
            study, mine
        ):  # runs that another process works on, or that have outlived their launcher
            time.sleep(WAIT_S)
            _settle_mine(plan, study, mine, "its job left no sign")
        with _alone(plan.folder):
            found = report(plan, study)
    _show(found, plan)
    if found["best"] is None:
        reasons = [one.user_attrs["reason"] for one in study.trials if "reason" in one.user_attrs]
        raise EegfmError(
            f"No setting of {len(study.trials)} has a validation value. The first said: {(reasons or ['–'])[0]}"
        )
    return found["best"]["value"]


def plan_of(config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> Plan:
    """What a search is to do, from its overrides. A space that cannot be composed is said here, before anything runs.

    Raises:
        EegfmError: no space, one that would pick luck or ease instead of a good setting, or wrong numbers.
    """
    fixed: dict[str, str] = {}
    space: dict[str, BaseDistribution] = {}
    said: dict[str, str] = {}
    for one in OverridesParser.create(config_loader=loader).parse_overrides([*arguments]):
        key = one.get_key_element()
        for known in (fixed, space, said):  # the last word on a key is the one that holds
            known.pop(key, None)
        if one.is_sweep_override():
            space[key] = distribution_of(one)
            said[key] = (one.input_line or "").partition("=")[2]
        else:
            fixed[key] = one.get_value_element_as_str()
    if not space:
        raise EegfmError(
            "hparams_search=optuna, and nothing to search over. Give at least one value a space: "
            "'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))', 'model.depth=choice(1,2,4)'"
        )
    base = loader.load_sweep_config(config, _overrides(fixed))
    settings = base.search
    for key in ("n_trials", "n_jobs"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            raise EegfmError(f"search.{key}={settings[key]}: a whole number above 0 is wanted.")
    maximize = _direction(base)
    for key in space:
        refuse_key(key, of_loss=not maximize)
    first = {key: _text(_first(one)) for key, one in space.items()}
    loader.load_sweep_config(config, _overrides({**fixed, **first}))

    choices = base.hydra.runtime.choices
    what = json.dumps([identity_hash(plain(without_hydra(base))), said, maximize], sort_keys=True)
    parts = [*(chosen(choices, group) for group in ("model", "encoder", "data")), f"s{base.seed}"]
    name = "-".join([*parts, sha256(what.encode()).hexdigest()[:8]])
    folder = Path(base.paths.runs) / (choices.get("experiment") or "single") / "searches" / name
    return Plan(config, loader, base, fixed, space, said, folder, maximize)


def _overrides(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value or not key.startswith("~") else key for key, value in values.items()]


def _direction(base: DictConfig) -> bool:
    """Whether more is better. The task of each run checks it against its own metric (`eegfm.pruning`)."""
    asked = base.search.direction
    if asked is None:
        return base.task._target_ not in BY_LOSS
    if asked not in ("maximize", "minimize"):
        raise EegfmError(f"search.direction={asked}: maximize, minimize or null is wanted.")
    return asked == "maximize"


def refuse_key(key: str, *, of_loss: bool = False) -> None:
    """Raise EegfmError where the best value of a key would be no better setting. `of_loss`: the loss is the judge."""
    top, _, rest = key.lstrip("+~").partition("@")[0].replace("/", ".").partition(".")
    leaf = rest.partition(".")[0]
    if top == "seed" or leaf == "seed":
        raise EegfmError(
            f"A search over {key}: searching over seeds picks luck. Search with one seed (seed=654), then run what was "
            f"found with five: {FIVE_SEEDS}"
        )
    if top in ("data", "split") and leaf not in MAY_CHANGE_OF_DATA:
        raise EegfmError(
            f"A search over {key}: it would change what is learnt from and judged by, so that the values could not be "
            f"compared. Of data it may be {', '.join(f'data.{name}' for name in MAY_CHANGE_OF_DATA)}. Data sets and "
            "divisions are compared by a plain sweep, without hparams_search."
        )
    if top == "task" and (not rest or (of_loss and leaf not in MAY_CHANGE_OF_LOSS)):
        raise EegfmError(
            f"A search over {key}: it changes the loss that the settings are judged by, so the easiest would win. Of "
            f"this task it may be {', '.join(f'task.{name}' for name in MAY_CHANGE_OF_LOSS)}."
        )
    if top == "trainer" and leaf.startswith("limit_"):
        raise EegfmError(
            f"A search over {key}: it changes how much of the data the settings are judged by."
        )
    left_out = NOT_THE_RUN.get(top, ()) or ()
    if top != "data" and (top not in MAY_CHANGE or leaf in left_out):
        raise EegfmError(
            f"A search over {key}: that makes no other training. A search may change {', '.join(MAY_CHANGE)}."
        )


# ---- the space -------------------------------------------------------------------------------------------------------


def distribution_of(override: Override) -> "BaseDistribution":
    """Optuna's distribution of a sweep in Hydra's grammar: the same values, and as the text that Hydra takes.

    Raises:
        EegfmError: an order (the sampler's to choose), a tag that is not log, or an empty or impossible range.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    where = override.input_line or override.get_key_element()
    tags = getattr(value, "tags", set())
    if getattr(value, "shuffle", False):
        raise EegfmError(f"{where}: shuffle has no meaning in a search. Leave it out.")
    if tags - {"log"} or (tags and override.is_choice_sweep()):
        raise EegfmError(
            f"{where}: of tags a search knows log, of an interval or a range: tag(log,interval(1,9))"
        )
    try:
        if isinstance(value, IntervalSweep):
            assert value.start is not None and value.end is not None
            if value.start >= value.end:
                raise ValueError("the start has to be below the end")
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log="log" in tags)
            return FloatDistribution(value.start, value.end, log="log" in tags)
        if isinstance(value, RangeSweep):
            values = sorted(float(one) if isinstance(one, float) else int(one) for one in [*value.range()])
            if not values:
                raise ValueError("there is no value in it; as in Python, the end is not one of them")
            if "log" in tags and (len(values) < 2 or values[1] - values[0] != 1):
                raise ValueError("with tag(log) a range goes by whole numbers, one by one")
            step = values[1] - values[0] if len(values) > 1 else 1
            if all(isinstance(one, int) for one in values):
                return IntDistribution(int(values[0]), int(values[-1]), log="log" in tags, step=int(step))
            return FloatDistribution(values[0], values[-1], step=step)
    except ValueError as error:
        raise EegfmError(f"{where}: {error}.") from None
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def values_of(distribution: "BaseDistribution") -> list[Any] | None:
    """Every value of a distribution, for a grid; None where there are infinitely many."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return None
    n = round((distribution.high - distribution.low) / distribution.step) + 1
    return [min(distribution.low + i * distribution.step, distribution.high) for i in range(n)]


def _points(distribution: "BaseDistribution") -> float:
    values = values_of(distribution)
    return math.inf if values is None else len(values)


def _first(distribution: "BaseDistribution") -> Any:
    values = values_of(distribution)
    return distribution.low if values is None else values[0]  # pyright: ignore[reportAttributeAccessIssue]


def _text(value: Any) -> str:
    """A value as an override says it. Twelve digits: 0.1 + 0.2 is 0.3, in the name of a run as well."""
    return repr(float(f"{value:.12g}")) if isinstance(value, float) else str(value)


# ---- Optuna ----------------------------------------------------------------------------------------------------------


def _optuna() -> None:
    try:
        import optuna
    except ImportError:
        raise EegfmError(
            "hparams_search=optuna wants Optuna, which is not installed. Type: pip install 'eegfm[search]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_storage(url: str) -> "BaseStorage":
    """The storage of studies at a URL, or in the journal file of a path."""
    from optuna.storages import JournalStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    return get_storage(url) if "://" in url else JournalStorage(JournalFileBackend(url))


def _study(plan: Plan) -> "Study":
    import optuna

    return optuna.create_study(
        storage=open_storage(plan.storage),
        study_name=plan.name,
        load_if_exists=True,
        direction="maximize" if plan.maximize else "minimize",
        sampler=_sampler_by_trial(plan),
    )


def _sampler_by_trial(plan: Plan) -> "BaseSampler":
    """A sampler whose random numbers are a function of the search's seed and the trial's number.

    Optuna's own draw from where they were made: a search that goes on would try its first settings again, and so would
    two processes with one seed. Grids and quasi-random sequences share their points out by number, so that each trial
    needs them in the same order.
    """
    import optuna

    make_sampler(plan, 0)  # what is wrong with it is said here

    class ByTrial(optuna.samplers.BaseSampler):
        inner: Any = None

        def before_trial(self, study: Any, trial: Any) -> None:
            self.inner = make_sampler(plan, trial.number)
            self.inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.inner.sample_relative(study, trial, search_space)

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            inner = make_sampler(plan, trial.number)
            # these two use it to stop Optuna's own loop; ours counts the points of the space
            if not isinstance(inner, optuna.samplers.GridSampler | optuna.samplers.BruteForceSampler):
                inner.after_trial(study, trial, state, values)

    return ByTrial()


def make_sampler(plan: Plan, number: int) -> "BaseSampler":
    """The sampler of a trial, as `search.sampler` says."""
    from inspect import signature

    import optuna
    from hydra.utils import get_object
    from numpy.random import SeedSequence

    node: Any = OmegaConf.to_container(plan.base.search.sampler, resolve=True)
    target = get_object(node["_target_"])
    known = signature(target).parameters
    in_order = issubclass(target, optuna.samplers.GridSampler | optuna.samplers.QMCSampler)
    if "seed" in known:
        entropy = [plan.base.search.seed] if in_order else [plan.base.search.seed, number]
        node.setdefault("seed", int(SeedSequence(entropy).generate_state(1)[0]))
    if "search_space" in known and "search_space" not in node:
        node["search_space"] = {key: values_of(one) for key, one in plan.space.items()}
        endless = [key for key, values in node["search_space"].items() if values is None]
        if endless:
            raise EegfmError(
                f"A grid has no room for {endless[0]}={plan.said[endless[0]]}: "
                "name its values, choice(...) or range(...)."
            )
    return make(OmegaConf.create(dict(node)), "search.sampler")


def callbacks_of(settings: Mapping[str, Any], folder: Path, monitor: tuple[str, Any]) -> list[Any]:
    """What a run that is a trial of a search reports by, and is stopped by; nothing for any other run."""
    if settings.get("trial") is None:
        return []
    _optuna()
    import optuna

    from eegfm.pruning import Prune

    study = optuna.load_study(study_name=settings["study"], storage=open_storage(settings["storage"]))
    pruner = make(OmegaConf.create(dict(settings["pruner"])), "search.pruner")
    return [Prune(study, settings["trial"], pruner, folder, monitor)]


# ---- trials ----------------------------------------------------------------------------------------------------------


def _ask(plan: Plan, study: "Study", worker: Path, mine: set[int]) -> dict[int, list[str]]:
    """The next trials with their overrides, none where the search is through; what was abandoned is put back first."""
    from optuna.trial import TrialState

    cells: dict[int, list[str]] = {}
    with _alone(plan.folder):
        jobs = queue()
        for trial in _running(study):
            owner = trial.user_attrs.get("worker", "")
            gone = owner == worker.name or not owner or not works(worker.with_name(owner), jobs)
            if gone and trial.number not in mine:
                _settle(study, trial, jobs, abandoned=True)
        while len(cells) < plan.base.search.n_jobs and _more(plan, study):
            trial = study.ask(plan.space)
            params = {key: _text(value) for key, value in trial.params.items()}
            own = _overrides(
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


def _running(study: "Study", numbers: set[int] | None = None) -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [one for one in found if numbers is None or one.number in numbers]


def _launch(launcher: Launcher, cells: Sequence[Sequence[str]], begun: int) -> str:
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


def _settle_mine(plan: Plan, study: "Study", mine: set[int], error: str) -> None:
    with _alone(plan.folder):
        jobs = queue()
        for trial in _running(study, mine):
            _settle(study, trial, jobs, error=error)


def _settle(
    study: "Study", trial: "FrozenTrial", jobs: Any, *, error: str = "", abandoned: bool = False
) -> None:
    """Tell Optuna what has become of a trial, by its folder; nothing where the run is still at work.

    `abandoned`: the process that asked for it is gone, so that a run without an end is put back.
    """
    from optuna.trial import TrialState

    attrs = trial.user_attrs
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
        _report_epochs(study, trial, folder, f"val/{monitor}")
        if value is not None and math.isfinite(value):
            study.set_user_attr("monitor", monitor)
            study.tell(trial.number, value)
        else:
            _fail(study, trial, f"its validation {monitor} is no number")
    elif state == "pruned":
        assert found is not None
        study._storage.set_trial_user_attr(trial._trial_id, "reason", found.reason)
        study.tell(trial.number, state=TrialState.PRUNED)
    elif state == "failed" or not abandoned:
        _fail(study, trial, (found.reason if found else "") or error or "it left no sign")
    elif (times := attrs.get("times", 0) + 1) > AGAIN:
        _fail(study, trial, f"interrupted {times} times")
    else:
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        _fail(study, trial, "interrupted; put back")
        study.enqueue_trial(trial.params, user_attrs={"times": times})


def _fail(study: "Study", trial: "FrozenTrial", reason: str) -> None:
    from optuna.trial import TrialState

    study._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
    study.tell(trial.number, state=TrialState.FAIL)


def _report_epochs(study: "Study", trial: "FrozenTrial", folder: Path, monitor: str) -> None:
    """The epochs of a run that was finished before: a pruner compares with them as well."""
    if not (folder / "metrics.csv").exists():
        return
    from eegfm.tasks.history import read_history

    known = study._storage.get_trial(trial._trial_id).intermediate_values
    for row in read_history(folder / "metrics.csv"):
        if row.get(monitor) and int(row["epoch"]) not in known:
            study._storage.set_trial_intermediate_value(
                trial._trial_id, int(row["epoch"]), float(row[monitor])
            )


# ---- the processes that search ---------------------------------------------------------------------------------------


def _worker(stack: ExitStack, plan: Plan) -> Path:
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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of a search at a time asks and settles, so that no setting is tried beyond the number wanted."""
    with open(folder / "study.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say_progress(plan: Plan, study: "Study", worker: Path, done: int, begun: float) -> None:
    ended = sum(one.state.is_finished() for one in _counted(study))
    rate = done / max(time.monotonic() - begun, 1e-9)
    progress(worker, ended, plan.base.search.n_trials, round(rate, 4))


# ---- what was found --------------------------------------------------------------------------------------------------


def report(plan: Plan, study: "Study") -> dict[str, Any]:
    """Write `search.json`, `search.csv` and the figures, and give back what the first of them holds."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    complete = [one for one in trials if one.state == TrialState.COMPLETE]
    best = study.best_trial if complete else None
    monitor = study.user_attrs.get("monitor", "metric")
    tried = {
        "complete": len(complete),
        "pruned": sum(one.state == TrialState.PRUNED for one in trials),
        "failed": sum(
            one.state == TrialState.FAIL and not one.user_attrs.get("interrupted") for one in trials
        ),
        "interrupted": sum(bool(one.user_attrs.get("interrupted")) for one in trials),
        "running": sum(one.state == TrialState.RUNNING for one in trials),
        "waiting": sum(one.state == TrialState.WAITING for one in trials),
    }
    found: dict[str, Any] = {
        "study": plan.name,
        "storage": plan.storage,
        "selected_by": f"validation {monitor}",
        "direction": study.direction.name.lower(),
        "fixed": plan.fixed,
        "space": plan.said,
        "n_trials": plan.base.search.n_trials,
        "tried": tried,
        "best": None
        if best is None
        else {
            "trial": best.number,
            "value": best.value,
            "params": best.user_attrs["params"],
            "folder": best.user_attrs["folder"],
            "with_five_seeds": command_of(plan, best.user_attrs["params"]),
        },
    }
    _write(plan.folder / "search.json", json.dumps(found, indent=1) + "\n")
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["trial", "state", f"val/{monitor}", "epochs", *plan.space, "folder", "reason"])
    for one in trials:
        params = one.user_attrs.get("params", {})
        table.writerow(
            [
                one.number,
                "interrupted" if one.user_attrs.get("interrupted") else one.state.name.lower(),
                "" if one.value is None else repr(one.value),
                "" if one.last_step is None else one.last_step + 1,
                *(params.get(key, "") for key in plan.space),
                one.user_attrs.get("folder", ""),
                one.user_attrs.get("reason", ""),
            ]
        )
    _write(plan.folder / "search.csv", text.getvalue())
    _draw(plan, study)
    return found


def command_of(plan: Plan, params: Mapping[str, str]) -> str:
    """The command that trains settings with five seeds, by themselves."""
    left_out = ("search.", "search/", "hydra.sweeper", "hydra/sweeper", "hparams_search")
    kept = {key: value for key, value in plan.fixed.items() if not key.lstrip("+~").startswith(left_out)}
    kept.pop("seed", None)
    if "hparams_search" not in plan.fixed:  # an experiment's file asks for it
        kept["hparams_search"] = "null"
    return shlex.join(["eegfm", "train", "-m", *_overrides({**kept, **params}), FIVE_SEEDS])


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _draw(plan: Plan, study: "Study") -> None:
    """Which settings mattered, and which went with which value, where there are enough to say."""
    if sum(one.value is not None for one in study.trials) < DRAWN:
        return
    import matplotlib

    matplotlib.use("Agg")  # before Optuna's functions open a window
    from matplotlib import pyplot
    from optuna.visualization.matplotlib import plot_parallel_coordinate, plot_param_importances

    for name, draw in (("importance", plot_param_importances), ("parallel", plot_parallel_coordinate)):
        try:
            axes = draw(study)
        except (
            ValueError,
            RuntimeError,
            ZeroDivisionError,
        ) as error:  # of a trial or two, or all of one value
            log.debug("No figure of %s: %s", name, error)
            continue
        axes.figure.savefig(plan.folder / f"{name}.png", dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
        pyplot.close("all")


def _show(found: Mapping[str, Any], plan: Plan) -> None:
    """The best trials as a table, and what to make of them."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    with open(plan.folder / "search.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    rows = [row for row in rows if row[1] == "complete"]
    rows.sort(key=lambda row: float(row[2]), reverse=plan.maximize)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in head[:-2]:
        if name != "state":
            table.add_column(escape(name), overflow="fold")
    for row in rows[:SHOWN]:
        numbers = [f"{float(row[2]):.4f}", *row[3:-2]]
        table.add_row(row[0], *(escape(_short(cell)) for cell in numbers))
    console = Console(highlight=False)
    console.print(table)
    tried, best = found["tried"], found["best"]
    print(
        ", ".join(f"{n} {state}" for state, n in tried.items() if n) + f". All in {plan.folder}/search.csv"
    )
    if best is None:
        return
    settings = sum(tried[state] for state in ("complete", "pruned", "failed", "running", "waiting"))
    print(
        f"Best of {settings} settings by {found['selected_by']}: {best['value']:.4f}, in {best['folder']}\n"
        "It was chosen for this very number, which is optimistic therefore; test subjects played no part.\n"
        f"next        {best['with_five_seeds']}"
    )


def _short(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text
