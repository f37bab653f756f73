"""`python -m eegfm.train model=stamp data=mental_arithmetic data.raw=<folder>`: prepare, train, test, report.

The run folder is named by the resolved config. The same command finds it again: it goes on from the last epoch where
the run was interrupted, and says so where it is finished.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eegfm.build import (
    PRETRAIN,
    Run,
    build,
    build_data,
    chosen,
    door,
    named,
    on_one_device,
    pretraining,
    seen_here,
    wandb_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eegfm.preemption import Asked
    from eegfm.results import BenchmarkFacts, RunResult
    from eegfm.tasks.errors import Reconstructions
    from eegfm.tasks.metrics import Predictions

log = logging.getLogger(__name__)


@door("train")
def main(config: DictConfig) -> float | None:
    """Train one run; returns the chosen epoch's validation metric, for sweepers."""
    runtime = HydraConfig.get().runtime
    return train(config, Path(runtime.output_dir), runtime.choices)


def train(config: DictConfig, folder: Path, choices: Mapping[str, Any]) -> float | None:
    """Everything from a composed config, and the options chosen for it by group, to a finished run folder."""
    from eegfm.ranks import rank
    from eegfm.results import read_result
    from eegfm.status import Pruned, at_work
    from eegfm.summary import show

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on a GPU
    finished = (folder / "result.json").exists()
    if not finished or (config.diagnostics and not read_result(folder).diagnostics):
        from eegfm.preemption import listening

        if rank():
            _follow(config, folder, choices)
            return None
        try:
            with listening() as asked, at_work(folder), _no_run_left_open(folder):
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
    if trial is not None:  # without its test scores: a search is not to be followed by those
        log.info("Trial %d: validation %s %s, in %s", trial, result.monitor, result.monitor_value, folder)
        return result.monitor_value
    show(result, folder, *[f"This run is finished already; delete {folder} to train it anew."] * finished)
    return result.monitor_value


@contextmanager
def _no_run_left_open(folder: Path) -> Iterator[None]:
    """End the W&B run of a training that has stopped: the next cell of a sweep, in this process, would go on in it."""
    from eegfm.status import Pruned

    try:
        yield
    except BaseException as stop:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            from eegfm.wandb_run import end

            if isinstance(stop, SystemExit):  # a signal, or Ctrl-C: it goes on, and has not failed
                wandb.run.mark_preempting()
            wandb.finish(exit_code=0 if isinstance(stop, Pruned) else 1)
            end(folder)
        raise


def _train(config: DictConfig, folder: Path, choices: Mapping[str, Any], asked: "Asked") -> "RunResult":
    import lightning.pytorch as lightning
    from omegaconf import OmegaConf

    run = _ready(config, choices)
    people, overlap = _people(run, config.allow_overlap)
    seen = _seen(run)
    OmegaConf.save(OmegaConf.create(run.config), folder / "config.yaml")
    started = time.monotonic()
    if isinstance(run.task, lightning.LightningModule):
        run.task.people = people  # type: ignore[assignment]
        run.task.config_yaml = (folder / "config.yaml").read_text(encoding="utf-8")  # type: ignore[assignment]
        outcome = _train_by_gradient(run, folder, choices, asked, run.config.get("search"))
    else:
        logger = _logger(run, folder, choices)
        outcome = {**_fit_in_one_go(run), "loggers": [logger] if logger else []}
    return _write(run, folder, outcome, time.monotonic() - started, choices, overlap, seen)


def _ready(config: DictConfig, choices: Mapping[str, Any]) -> Run:
    """The run, with its data prepared and open."""
    import lightning.pytorch as lightning

    _quieten()
    weights = _pretrained(config, choices) if config.weights == PRETRAIN else config.weights
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    run = build(config, weights)
    if config.diagnostics:
        from eegfm.diagnostics import refuse_undiagnosable

        refuse_undiagnosable(run)
    run.data.prepare_data()
    run.data.setup("fit")
    return run


def _follow(config: DictConfig, folder: Path, choices: Mapping[str, Any]) -> None:
    """What every process of a run does but the first: train and score with it, and leave its folder alone."""
    import lightning.pytorch as lightning

    from eegfm.preemption import listening
    from eegfm.status import Pruned

    logging.getLogger().setLevel(logging.ERROR)  # what there is to say, the first says
    with listening() as asked:
        run = _ready(config, choices)
        if isinstance(run.task, lightning.LightningModule):
            with suppress(Pruned):
                _train_by_gradient(run, folder, choices, asked, run.config.get("search"))


def follow() -> None:
    """The process that another one has started to train its run with it."""
    from omegaconf import OmegaConf

    from eegfm.contracts import EegfmError
    from eegfm.ranks import follow as told
    from eegfm.ranks import rank

    config, folder, choices = told()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        _follow(OmegaConf.create(config), folder, choices)
    except EegfmError as error:
        sys.exit(f"Process {rank()}: {error}")


def _quieten() -> None:
    # a note of torch's to Lightning's authors, printed at every loop
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    # a run of one device wants no srun of its own, on a login node or in a job
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    # what Lightning says at INFO is on our summary or of no use
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _diagnosed(
    config: DictConfig, folder: Path, choices: Mapping[str, Any], result: "RunResult", asked: "Asked"
) -> "RunResult":
    """The finished run's result with its controls in it, on disk as well."""
    from dataclasses import replace

    import lightning.pytorch as lightning

    from eegfm.diagnostics import diagnose
    from eegfm.ranks import stay_alone
    from eegfm.results import write_result

    def fit(run: Run, place: Path) -> Any:
        if isinstance(run.task, lightning.LightningModule):
            return _train_by_gradient(run, place, choices, asked)["predictions"]["test"]
        return _fit_in_one_go(run)["predictions"]["test"]

    _quieten()
    stay_alone()
    found = diagnose(on_one_device(config), result.started_from.get("weights"), folder, fit)
    result = replace(result, diagnostics=found)
    write_result(folder, result)
    return result


def _seen(run: Run) -> dict[str, str]:
    """The benchmarks that this run tests on and that its published weights were trained on, and how that is known."""
    from eegfm.results import seen_sentence

    found = seen_here(run.config, run.started_from.get("weights"), run.data.provenance())
    if found:
        log.warning("%s.", seen_sentence(found))
    return found


def _pretrained(config: DictConfig, choices: Mapping[str, Any]) -> Path:
    """The folder of the finished run that weights=pretrain means; it is trained now where no one has."""
    from eegfm.data.parts import only_one
    from eegfm.ranks import rank, until_first_works

    before, its_choices = pretraining(config, choices)
    folder = Path(config.paths.runs) / named(before, its_choices)
    folder.mkdir(parents=True, exist_ok=True)
    # runs of a sweep that start from the same weights; the other processes of a run do as its first
    with until_first_works(folder) if rank() else only_one(folder):
        if not (folder / "result.json").exists():
            # what is wrong with the run that follows is said before the hours of this one
            _refuse_overlap(build(config, None).data, before, allowed=config.allow_overlap)
            log.info("Pre-training first, in %s.", folder)
            train(before, folder, its_choices)
    log.info("Starting from the pre-training in %s.", folder)
    return folder


def _refuse_overlap(data: Any, before: DictConfig, *, allowed: bool) -> None:
    """Raise EegfmError where a pre-training that is still to come would see test subjects of these data."""
    from eegfm.overlap import check_overlap, people_of

    first = build_data(before)
    for one in (first, data):
        one.prepare_data()
        one.setup("fit")
    check_overlap(data, people_of(first), whole=True, weights="The pre-training", allowed=allowed)


def _people(run: Run, allowed: bool) -> tuple[dict[str, Any], list[str]]:
    """Whom the run's weights will have seen, for its checkpoints; which test subjects they have seen already."""
    from eegfm.overlap import check_overlap, joined, people_of, seen_by

    people, whole, overlap = {}, True, []
    if run.started_from:
        weights = run.started_from["weights"]
        people, whole = seen_by(Path(weights))
        overlap = check_overlap(run.data, people, whole=whole, weights=weights, allowed=allowed)
    return {"people": joined(people, people_of(run.data)), "whole": whole}, overlap


def _train_by_gradient(
    run: Run,
    folder: Path,
    choices: Mapping[str, Any],
    asked: "Asked",
    search: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    from eegfm.contracts import EegfmError
    from eegfm.preemption import KeepProgress, SaveAndLeave
    from eegfm.ranks import cluster, rank, together
    from eegfm.search import callbacks_of
    from eegfm.tasks.history import History
    from eegfm.tasks.progress import progress
    from eegfm.tasks.selection import keep

    task, data = run.task, run.data
    metric, mode = task.monitor
    checkpoints = folder / "checkpoints"
    selection = dict(run.config["selection"])
    kept = selection.pop("keep")
    last = checkpoints / "last.ckpt"
    pruning = callbacks_of(search or {}, folder, task.monitor)
    trainer = run.make_trainer(
        logger=False if rank() else _logger(run, folder, choices),
        plugins=cluster(),
        callbacks=[
            *progress(sys.stdout),
            History(folder),
            *_keeping_places(run, folder),
            KeepProgress(folder),
            SaveAndLeave(asked, last),  # behind what has to see the batch
            *pruning,
            *keep(checkpoints, monitor=f"val/{metric}", mode=mode, rule=selection, every=_save_steps(run)),
        ],
        default_root_dir=folder,
        enable_progress_bar=sys.stdout.isatty(),
    )
    if last.exists():
        log.info("Going on from %s.", last)
    # what the others train from is there by now
    config = {**run.config, "weights": run.started_from.get("weights"), "diagnostics": False}
    before_j = _energy_j(trainer)
    with together(trainer, config, folder, choices):
        try:
            trainer.fit(task, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit as stop:
            if stop.code == 1:  # how Lightning ends at Ctrl-C
                epoch = trainer.current_epoch + 1
                log.warning("Interrupted in epoch %d. The same command goes on from there.", epoch)
            raise
        for one in pruning:
            one.leave()
        chosen = checkpoints / f"{kept}.ckpt"
        if not chosen.exists():
            raise EegfmError(
                f"No epoch was kept in {checkpoints}: none came after selection.first_epoch={selection['first_epoch']} "
                "with a validation metric that is a number. Train longer, or set selection.first_epoch=0."
            )
        # the curves end with the training: what is scored here are the chosen weights, which go into the summary
        loggers, trainer.loggers = trainer.loggers, []
        predictions = {}
        for split, evaluate in (("val", trainer.validate), ("test", trainer.test)):
            evaluate(task, datamodule=data, ckpt_path=chosen, weights_only=True, verbose=False)
            predictions[split] = task.outputs
    after_j = _energy_j(trainer)
    energy_wh = None if before_j is None or after_j is None else round((after_j - before_j) / 3600, 3)
    return {
        "predictions": predictions,
        "epoch": _epoch_of(chosen),
        "parameters": {
            "trainable": sum(p.numel() for p in task.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in task.parameters()),
        },
        "device": str(trainer.strategy.root_device),
        "devices": trainer.world_size,
        "energy_wh": energy_wh,
        "loggers": loggers,
    }


def _energy_j(trainer: Any) -> float | None:
    """Of all GPUs of a fit; None where some are in other machines."""
    from eegfm.tasks.cost import energy_j

    on_gpus = trainer.strategy.root_device.type == "cuda" and trainer.num_nodes == 1
    return energy_j(trainer.device_ids) if on_gpus else None


def _save_steps(run: Run) -> int | None:
    """Steps between two savings within an epoch; None where there are none."""
    from eegfm.contracts import EegfmError

    steps = run.config["save_steps"]
    if steps is not None and steps < 1:
        raise EegfmError(f"save_steps={steps}: a number of steps above 0 is wanted.")
    return steps


def _keeping_places(run: Run, folder: Path) -> list[Any]:
    """What follows the spatial matrix through a fit, where the model has one."""
    from eegfm.tasks.places import KeepPlaces, maps_places

    if not maps_places(run.task):
        return []
    from eegfm.maps import knows_truth, montages

    spaces = montages(run.data.spec, run.data.benchmark.name)
    return [KeepPlaces(folder, spaces, judge=any(map(knows_truth, spaces)))]


def _fit_in_one_go(run: Run) -> dict[str, Any]:
    run.task.fit(run.data)
    predictions = {"val": run.task.predict(run.data, "val")}
    run.data.setup("test")
    predictions["test"] = run.task.predict(run.data, "test")
    return {
        "predictions": predictions,
        "epoch": None,
        "parameters": run.task.parameters,
        "device": str(getattr(run.task, "device", "cpu")),
        "loggers": [],
    }


def _places(
    run: Run, folder: Path, title: str, validated: list[str], *, in_one_go: bool
) -> tuple[dict[str, Any], dict[str, "Figure"]]:
    """What a model that maps places sees of them at the start and at the end, as facts and as figures."""
    from eegfm.tasks.places import kept, look, maps_places

    if not maps_places(run.task):
        return {}, {}
    from eegfm import maps

    spaces = maps.montages(run.data.spec, run.data.benchmark.name)
    judged = [corpus for corpus in spaces if maps.knows_truth(corpus)]
    end = look(run.task, spaces, run.data if judged else None)
    frames = kept(folder)
    # what is fitted in one go leaves the backbone as it was
    start = end if in_one_go else {corpus: one.start for corpus, one in frames.items()}
    subjects = [
        subject.removeprefix(f"{corpus}/")
        for corpus in judged
        for subject in validated
        if corpus in (run.data.benchmark.name, subject.partition("/")[0])
    ]
    drawn = maps.draw(start, end, frames, spaces, run.task.backbone.targets, subjects, title)
    return maps.facts(start, end, spaces, subjects), drawn


def _scans(task: Any) -> list[str]:
    """How the Mamba-2 layers of a task's model were computed last; a task that fits in one go holds its model."""
    from torch import nn

    from eegfm.nn.mamba2 import scans_used

    model = task if isinstance(task, nn.Module) else task.backbone
    return scans_used(model) if isinstance(model, nn.Module) else []


def _flops(run: Run) -> int | None:
    """Of one validation window; None of what is no network, and where the counter fails: a run is not lost for it."""
    from torch import nn

    from eegfm.tasks.cost import forward_flops

    if not isinstance(run.task, nn.Module):
        return None
    windows = next(rows for rows in run.data.datasets("val").values() if len(rows))
    try:
        return forward_flops(run.task, windows.__getitems__([0]))
    except (RuntimeError, NotImplementedError) as error:
        log.warning("The operations of a forward pass were not counted: %s", error)
        return None


def _epoch_of(checkpoint: Path) -> int:
    import torch

    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"])


def _logger(run: Run, folder: Path, choices: Mapping[str, Any]) -> Any:
    """The W&B logger that the config asks for, or False: metrics.csv is written whatever the logger is."""
    logger = wandb_of(
        run.config,
        folder,
        job_type=choices["task"],
        tags=[chosen(choices, key) for key in ("model", "encoder", "data")] + [run.data.benchmark.protocol],
    )
    if logger:
        groups = ("model", "encoder", "data", "task", "adapt")
        options = {key: chosen(choices, key) for key in groups if choices.get(key)}  # what panels group by
        logger.experiment.config.update(
            {**run.config, "option": options, "provenance": run.data.provenance()}, allow_val_change=True
        )
        from eegfm.wandb_run import begin

        begin(logger, folder)
    return logger


def _write(
    run: Run,
    folder: Path,
    outcome: dict[str, Any],
    wall_s: float,
    choices: Mapping[str, Any],
    overlap: list[str],
    seen: dict[str, str],
) -> "RunResult":
    """Predictions, figures and `result.json`; the last makes the run a finished one."""
    from eegfm.data.store import write_json
    from eegfm.results import (
        BenchmarkFacts,
        RunResult,
        environment,
        peak_memory_mb,
        record,
        write_result,
    )

    classes, subjects = run.data.benchmark.classes, run.data.subjects
    metrics, by_subject = {}, {}
    for split, found in outcome["predictions"].items():
        ids = [subjects[i] for i in found.subject]
        _, metrics[split], by_subject[split] = record(folder, split, found, ids, run.data.spec)
    monitor = run.task.monitor[0]
    facts = BenchmarkFacts(**run.data.provenance())
    title = _title(choices["model"], facts) + " OVERLAP" * bool(overlap) + " SEEN" * bool(seen)
    spatial, maps = _places(run, folder, title, facts.subjects["val"], in_one_go=outcome["epoch"] is None)
    result = RunResult(
        name=folder.name,
        experiment=folder.parent.name,
        model=chosen(choices, "model"),
        encoder=chosen(choices, "encoder"),
        data=chosen(choices, "data"),
        task=choices["task"],
        seed=run.config["seed"],
        classes=list(classes),
        metrics=metrics,
        by_subject=by_subject,
        monitor=monitor,
        monitor_value=metrics["val"][monitor],
        best_epoch=outcome["epoch"],
        started_from=run.started_from,
        overlap=overlap,
        seen=seen,
        benchmark=facts,
        parameters=outcome["parameters"],
        wall_s=round(wall_s, 2),
        peak_memory_mb=peak_memory_mb(),
        device=outcome["device"],
        devices=outcome.get("devices", 1),
        energy_wh=outcome.get("energy_wh"),
        scan=_scans(run.task),
        adapt=choices.get("adapt"),
        spatial=spatial,
        flops=_flops(run),  # after `scan`: on the CPU a layer may be computed in another way
        **environment(),
    )
    write_json(folder / "leakage.json", {"subjects": result.benchmark.subjects, **result.benchmark.leakage})
    figures = _draw(folder, run, outcome["predictions"]["test"], result, title, maps)
    for logger in outcome["loggers"]:
        from eegfm.wandb_run import send

        send(logger, folder, result, figures)
    write_result(folder, result)
    return result


def _title(model: str, facts: "BenchmarkFacts") -> str:
    kind = (
        " SIMULATED" * facts.simulated
        + " IMPORTED" * bool(facts.imported)
        + " PARTIAL" * (not facts.complete)
    )
    return f"{model} on {facts.title}{kind}"


def _draw(
    folder: Path,
    run: Run,
    test: "Predictions | Reconstructions",
    result: "RunResult",
    title: str,
    maps: Mapping[str, "Figure"],
) -> dict[str, Path]:
    from eegfm import figures
    from eegfm.tasks.metrics import Predictions

    if isinstance(test, Predictions):
        drawn = _of_classes(folder, test, result, title)
    else:
        drawn = _of_windows(folder, run, test, result, title)
    saved = {
        name: figures.save(figure, folder / "figures" / f"{name}.png")
        for name, figure in {**drawn, **maps}.items()
    }
    if result.spatial:
        from eegfm.maps import page

        shown = {name: saved[name] for name in maps}
        (folder / "spatial.html").write_text(page(title, result.spatial, shown), encoding="utf-8")
    return saved


def _of_classes(folder: Path, test: "Predictions", result: "RunResult", title: str) -> dict[str, "Figure"]:
    from eegfm import figures
    from eegfm.tasks.decision import decide
    from eegfm.tasks.history import read_history

    drawn = {
        "confusion_matrix": figures.confusion_matrix(
            test.label, decide(test.probability), result.classes, title=f"{title}, test"
        ),
        "by_subject": figures.by_subject(
            result.by_subject["test"],
            "balanced_accuracy",
            n_classes=len(result.classes),
            overall=result.metrics["test"]["balanced_accuracy"],
            title=f"{title}, test",
        ),
    }
    history = read_history(folder / "metrics.csv")
    if history:
        drawn["learning_curve"] = figures.learning_curve(
            history, chosen_epoch=result.best_epoch, title=f"{result.model} on {result.benchmark.title}"
        )
    return drawn


def _of_windows(
    folder: Path, run: Run, test: "Reconstructions", result: "RunResult", title: str
) -> dict[str, "Figure"]:
    """Three validation windows as they went in and came back, the error over the scalp, the terms of the loss."""
    import numpy as np
    import torch

    from eegfm import figures
    from eegfm.contracts import Montage
    from eegfm.maps import montages
    from eegfm.tasks.history import read_history

    task, drawn = run.task.eval(), {}
    spec, montage, sfreq = run.data.spec, run.data.spec.montage, run.data.spec.sfreq
    own = montages(spec, "")  # by corpus, where corpora keep their own
    for corpus, rows in run.data.datasets("val").items():
        n = len(rows)
        batch = rows.__getitems__(np.linspace(0, n - 1, min(3, n)).round().astype(int).tolist())
        batch = batch._replace(x=batch.x.to(task.device), coords=batch.coords.to(task.device))
        with torch.no_grad():
            seen = task.see(batch, training=False)
        uv = [(x * seen.size).float().cpu().numpy() for x in (seen.true, seen.given, seen.pred)]
        hidden = None if seen.hidden is None else seen.hidden.cpu().numpy()
        drawn[f"reconstruction_{corpus}" if corpus else "reconstruction"] = figures.reconstruction(
            *uv,
            hidden=hidden,
            names=own.get(corpus, montage).names,
            sfreq=sfreq,
            keys=batch.key,
            title=f"{title}, validation" + f", {corpus}" * bool(corpus),
        )
    parts = {
        "all": "error of all samples",
        "hidden": "of hidden samples",
        "interpolation": "of straight lines there",
        "persistence": "of holding the last sample",
    }
    if "persistence" in test.square:
        parts["all"] = "error of the future"
    maps = {label: test.by_channel(part) for part, label in parts.items() if part in test.square}
    # a channel of corpora that have no test window has no error
    known = np.isfinite(test.by_channel())
    tested = Montage(
        tuple(np.array(montage.names)[known].tolist()),
        montage.coords[known],
        None if montage.ends is None else montage.ends[known],
    )
    drawn["error_by_channel"] = figures.scalp_maps(
        {label: values[known] for label, values in maps.items()},
        tested,
        unit="RMSE, µV",
        title=f"{title}, test",
    )
    history = read_history(folder / "metrics.csv")
    if history:
        drawn["loss_terms"] = figures.loss_terms(
            history, list(task.criterion.weights), chosen_epoch=result.best_epoch, title=title
        )
    return drawn


if __name__ == "__main__":
    from eegfm.ranks import FOLLOW

    follow() if sys.argv[1:] == [FOLLOW] else main()
