"""One run from a composed config to a finished folder: prepare, train, test, write down."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from eegfm.analysis.controls import diagnose, refuse_undiagnosable
from eegfm.build import Run, build, build_data, on_one_device, pretraining
from eegfm.config.identity import PRETRAIN, chosen, named
from eegfm.config.written import as_written, on_this_machine
from eegfm.contracts import EegfmError
from eegfm.runs.corpora_seen import corpora_seen_here
from eegfm.runs.overlap import check_overlap, joined, of_others, people_of, people_seen
from eegfm.runs.reservations import trained_on
from eegfm.runs.results import RunResult, read_result, write_result
from eegfm.runs.same_run import data_at_hand, refuse_another_run
from eegfm.runs.status import Pruned, at_work
from eegfm.runs.summary import show
from eegfm.runs.wandb import end
from eegfm.support.checksums import write_with_sum
from eegfm.support.files import refused_by_disk, remove_unfinished
from eegfm.support.locks import only_one
from eegfm.support.process import environment, level
from eegfm.tasks.fitted import FitsInOneGo
from eegfm.training.finish import finish_run
from eegfm.training.fit import fit, train_by_gradient
from eegfm.training.opened import opened
from eegfm.training.preemption import Asked, listening
from eegfm.training.processes import rank, stay_alone, told_by_first, until_first_works

log = logging.getLogger(__name__)


def main(config: DictConfig) -> float | None:
    """Train one run; returns the chosen epoch's validation metric, for sweepers."""
    runtime = HydraConfig.get().runtime
    folder = Path(runtime.output_dir)
    with nullcontext() if rank() else opened(folder, config):
        return train(config, folder, runtime.choices)


@contextmanager
def _surroundings() -> Iterator[None]:
    """Set up the process for a training, and restore it afterwards."""
    names = (
        "lightning.pytorch",
        "lightning.fabric",
    )  # their INFO messages are in our summary or of no use
    # cuBLAS needs it for reproducible products and reads it at the first; Lightning has no argument for it
    cublas = os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    exact = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    with (
        environment(CUBLAS_WORKSPACE_CONFIG=cublas, PL_GLOBAL_SEED=None, PL_SEED_WORKERS=None),
        level(logging.WARNING, *names),
        warnings.catch_warnings(),
    ):
        # torch's note to Lightning's authors, printed at every loop
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
        # two that contradict us: a run goes on in its own folder, and its loader leaves out what an epoch has seen
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings(
            "ignore", message="You're resuming from a checkpoint that ended before the epoch"
        )
        # a run of one device wants no srun of its own, on a login node or in a job
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(exact[0], warn_only=exact[1])
            torch.backends.cudnn.benchmark = benchmark


@_surroundings()
def train(config: DictConfig, folder: Path, choices: Mapping[str, Any]) -> float | None:
    """Make a finished run folder from a composed config and the options chosen for it by group."""
    refuse_another_run(folder, as_written(config))
    finished = (folder / "result.json").exists()
    if not finished or (config.diagnostics and not read_result(folder).diagnostics):
        if rank():
            _follow(config, folder, choices)
            return None
        try:
            with listening() as asked, at_work(folder), _refusal_told(folder), _no_run_left_open(folder):
                for place in (folder, folder / "checkpoints", folder / "figures"):
                    remove_unfinished(place)
                finished = (folder / "result.json").exists()  # by another process, a moment ago
                result = read_result(folder) if finished else _train(config, folder, choices, asked)
                if config.diagnostics and not result.diagnostics:
                    result = _diagnosed(config, folder, choices, result, asked)
        except Pruned as why:
            log.info("Trial %d: %s, in %s", config.search.trial, why, folder)
            return None
    else:
        result = read_result(folder)
    trial = (config.get("search") or {}).get("trial")
    if trial is not None:  # without test scores: a search must not see them
        log.info("Trial %d: validation %s %s, in %s", trial, result.monitor, result.monitor_value, folder)
        return result.monitor_value
    show(result, folder, *[f"This run is finished already; delete {folder} to train it anew."] * finished)
    return result.monitor_value


@contextmanager
def _refusal_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if refused := refused_by_disk(error, folder):
            raise EegfmError(refused) from error
        raise


@contextmanager
def _no_run_left_open(folder: Path) -> Iterator[None]:
    """End the W&B run of a stopped training, or the next cell of a sweep would go on in it."""
    try:
        yield
    except BaseException as stop:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            if isinstance(stop, SystemExit):  # a signal, or Ctrl-C: the run can go on, and has not failed
                wandb.run.mark_preempting()
            wandb.finish(exit_code=0 if isinstance(stop, Pruned) else 1)
            end(folder)
        raise


def _train(config: DictConfig, folder: Path, choices: Mapping[str, Any], asked: "Asked") -> "RunResult":
    run = _ready(config, choices)
    people, overlap = _people(run, config.allow_overlap)
    seen = _seen(run)
    text = OmegaConf.to_yaml(OmegaConf.create(run.written))
    write_with_sum(folder / "config.yaml", text.encode("utf-8", "backslashreplace"))
    started = time.monotonic()
    if not isinstance(run.task, FitsInOneGo):  # for its checkpoints
        run.task.people = people
        run.task.data_at_hand = data_at_hand(run.data)
        run.task.config_yaml = (folder / "config.yaml").read_text(encoding="utf-8")
    outcome = fit(run, folder, choices, asked, run.config.get("search"))
    return finish_run(run, folder, outcome, time.monotonic() - started, choices, people, overlap, seen)


def _ready(config: DictConfig, choices: Mapping[str, Any]) -> Run:
    """The run, with its data prepared and open."""
    weights = _pretrained(config, choices) if config.weights == PRETRAIN else config.weights
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    run = build(config, weights)
    _refuse_another_name(run, chosen(choices, "data"))
    if config.diagnostics:
        refuse_undiagnosable(run)
    run.data.prepare_data()
    run.data.setup("fit")
    return run


def _refuse_another_name(run: Run, option: str) -> None:
    """Raise EegfmError if the data are of another name than the option: folder, report and store would differ."""
    data = run.data.corpora.get("")
    if data is not None and data.benchmark.name != option:
        name = data.benchmark.name
        raise EegfmError(
            f"data={option} is benchmark {name!r} here: its runs would be filed under {option} and its store under "
            f"{name}. Keep it in conf/data/{name}.yaml, and type data={name}"
        )


@_surroundings()
def _follow(config: DictConfig, folder: Path, choices: Mapping[str, Any]) -> None:
    """The work of every rank but 0: train and score with rank 0, and leave the run folder alone."""
    with level(logging.ERROR, ""), listening() as asked:  # rank 0 logs for all
        run = _ready(config, choices)
        if not isinstance(run.task, FitsInOneGo):
            with suppress(Pruned):
                train_by_gradient(run, folder, choices, asked, run.config.get("search"))


def follow() -> None:
    """Train in a process that rank 0 has started for its run."""
    config, folder, choices = told_by_first()
    try:
        _follow(OmegaConf.create(config), folder, choices)
    except EegfmError as error:
        sys.exit(f"Process {rank()}: {error}")


def _diagnosed(
    config: DictConfig, folder: Path, choices: Mapping[str, Any], result: "RunResult", asked: "Asked"
) -> "RunResult":
    """Add the controls to a finished run's result, on disk as well, and return it."""

    def test(run: Run, place: Path) -> Any:
        return fit(run, place, choices, asked).predictions["test"]

    stay_alone()
    weights = result.started_from.get("weights")
    found = diagnose(on_one_device(config), weights and str(on_this_machine(weights)), folder, test)
    result = replace(result, diagnostics=found)
    write_result(folder, result)
    return result


def _seen(run: Run) -> dict[str, str]:
    """The tested benchmarks that this run's published weights were trained on, and how that is known."""
    found = corpora_seen_here(run.config, run.started_from.get("weights"), run.data.provenance())
    if found:
        log.warning("%s.", trained_on(found))
    return found


def _pretrained(config: DictConfig, choices: Mapping[str, Any]) -> Path:
    """The folder of the finished run that weights=pretrain means; it is trained now if missing."""
    before, its_choices = pretraining(config, choices)
    folder = Path(config.paths.runs) / named(before, its_choices)
    folder.mkdir(parents=True, exist_ok=True)
    # runs of a sweep that start from the same weights take turns; the other ranks of a run follow rank 0
    with until_first_works(folder) if rank() else only_one(folder):
        if not (folder / "result.json").exists():
            # report errors of the run that follows before the hours of this one
            _refuse_overlap(build(config, None).data, before, allowed=config.allow_overlap)
            log.info("Pre-training first, in %s.", folder)
            train(before, folder, its_choices)
    log.info("Starting from the pre-training in %s.", folder)
    return folder


def _refuse_overlap(data: Any, before: DictConfig, *, allowed: bool) -> None:
    """Raise EegfmError if the coming pre-training would see test subjects of these data."""
    first = build_data(before)
    for one in (first, data):
        one.prepare_data()
        one.setup("fit")
    check_overlap(data, people_of(first), whole=True, weights="The pre-training", allowed=allowed)


def _people(run: Run, allowed: bool) -> tuple[dict[str, Any], list[str]]:
    """The people that the weights will have seen, for checkpoints; the test subjects already seen."""
    people, whole, overlap = {}, True, []
    if run.started_from:
        weights = run.started_from["weights"]
        people, whole = people_seen(Path(weights))
        overlap = check_overlap(run.data, people, whole=whole, weights=weights, allowed=allowed)
    whole = whole and not of_others(run.config)
    return {"people": joined(people, people_of(run.data)), "whole": whole}, overlap


if __name__ == "__main__":
    follow()
