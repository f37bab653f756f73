"""Optuna's study of a search: storage, sampler and pruner."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.search.journal import check_journal, journal_at, unreplayable
from eegfm.search.plan import Plan
from eegfm.search.prune import Prune
from eegfm.search.space import values_of
from eegfm.search.storage import Trials

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's message on every trial and its warnings about experimental features.

    Raises:
        EegfmError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise EegfmError(
            "search=optuna needs Optuna, which is not installed. Type: pip install 'eegfm[search]'"
        ) from None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def open_storage(url: str) -> "BaseStorage":
    """The storage of studies at a database URL, or in a journal file at a path.

    Raises:
        EegfmError: the journal is damaged.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileSymlinkLock

    if "://" in url:
        return RDBStorage(url)
    lock = JournalFileSymlinkLock(url)  # Optuna's own, which everybody who appends holds
    lock.acquire()
    try:
        check_journal(Path(url))
    finally:
        lock.release()
    try:
        return JournalStorage(journal_at(Path(url)))
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise unreplayable(Path(url), error) from None


def open_study(plan: Plan) -> Trials:
    import optuna

    storage = open_storage(plan.storage)
    study = optuna.create_study(
        storage=storage,
        study_name=plan.name,
        load_if_exists=True,
        direction="maximize" if plan.maximize else "minimize",
        sampler=_sampler_by_trial(plan),
    )
    return Trials(study, storage)


def _sampler_by_trial(plan: Plan) -> "BaseSampler":
    """A sampler whose random numbers are a function of the search's seed and the trial's number.

    Optuna's own samplers restart their random numbers with the process: a continued search would try its first
    settings again, and two processes with one seed would try the same ones. Grids and quasi-random sequences deal out
    their points by number, so every trial must see the points in the same order.
    """
    import optuna

    make_sampler(plan, 0)  # refuses wrong settings before the search begins

    class ByTrial(optuna.samplers.BaseSampler):
        inner: Any = None

        def before_trial(self, study: Any, trial: Any) -> None:
            self.inner = make_sampler(plan, _turn(study, trial.number))
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
            inner = make_sampler(plan, _turn(study, trial.number))
            # in these two it would stop Optuna's own loop; ours counts the points of the space
            if not isinstance(inner, optuna.samplers.GridSampler | optuna.samplers.BruteForceSampler):
                inner.after_trial(study, trial, state, values)

    return ByTrial()


def _turn(study: Any, number: int) -> int:
    """A trial's number, were none before it interrupted: these are continued by others, and draw nothing."""
    before = (trial for trial in study.get_trials(deepcopy=False) if trial.number < number)
    return sum(not trial.user_attrs.get("interrupted") for trial in before)


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
        node["search_space"] = {key: values_of(distribution) for key, distribution in plan.space.items()}
        endless = [key for key, values in node["search_space"].items() if values is None]
        if endless:
            raise EegfmError(
                f"A grid needs a finite number of values, unlike {endless[0]}={plan.typed[endless[0]]}. "
                "List them: choice(...) or range(...)."
            )
    return make(OmegaConf.create(dict(node)), "search.sampler")


def callbacks_of(settings: Mapping[str, Any], folder: Path, monitor: tuple[str, Any]) -> list[Any]:
    """The callback that reports a trial to its search and may stop it; none for a run outside a search."""
    if settings.get("trial") is None:
        return []
    with quiet():
        import optuna

        storage = open_storage(settings["storage"])
        study = optuna.load_study(study_name=settings["study"], storage=storage)
        pruner = make(OmegaConf.create(dict(settings["pruner"])), "search.pruner")
    return [Prune(Trials(study, storage), settings["trial"], pruner, folder, monitor)]
