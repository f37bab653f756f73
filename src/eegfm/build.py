"""Make the objects of a run from its config. Hydra builds partials; Python calls them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from eegfm.config.from_file import read
from eegfm.config.identity import PRETRAIN, PUBLISHED, plain, without_hydra
from eegfm.config.make import make
from eegfm.config.written import as_written, on_this_machine, place_as_written
from eegfm.contracts import EegfmError
from eegfm.data.base import EEGData
from eegfm.data.facts import BenchmarkFacts
from eegfm.nn.scaling import give_unit
from eegfm.nn.size import bounded
from eegfm.runs.place import Place
from eegfm.runs.results import read_result
from eegfm.support.process import environment
from eegfm.tasks.fitted import FILE, FitsInOneGo, read_fitted
from eegfm.tasks.weights import config_of, load_backbone, published_weights, read_state


def pretraining(config: DictConfig, choices: Mapping[str, Any]) -> tuple[DictConfig, dict[str, Any]]:
    """Config and choices of the run that weights=pretrain starts from: this run's, changed by `pretrain`.

    A node of `pretrain` with its own target replaces this run's (the task; other data, by `defaults: -
    /data@pretrain.data: mix`); any other node changes only the values that it names.

    Raises:
        EegfmError: nothing says how to pre-train, or the two runs would scale their input differently.
    """
    before = without_hydra(config)
    changes = before.pop(PRETRAIN)
    if "task" not in changes:
        raise EegfmError(
            "weights=pretrain needs a config that says how to pre-train, such as adapt=eegm2_probe. Choose one, or "
            "name a run: weights=runs/<run>"
        )
    for key, value in changes.items():
        before[key] = value if "_target_" in value else OmegaConf.merge(before[key], value)
    # it starts from random weights, so there is no overlap to allow
    before.weights, before.pretrain, before.allow_overlap, before.diagnostics = None, {}, False, False
    before.search = {}  # it is no trial of a search
    refuse_another_scale(config, OmegaConf.select(before, "task.scale"), "The pre-training (pretrain.task)")
    its_own = {
        group: choices[f"{group}@{PRETRAIN}.{group}"]
        for group in ("task", "data")
        if f"{group}@{PRETRAIN}.{group}" in choices
    }
    return before, {**choices, **its_own, "adapt": None}


@dataclass
class Run:
    """The objects of one training: `task` learns from `data`. `make_trainer` is called when the folder is known.

    `config` is resolved; `written` is what may be written down of it (see `eegfm.config.written`).
    """

    task: Any
    data: EEGData
    make_trainer: Callable[..., Any]
    config: dict[str, Any]
    started_from: dict[str, Any] = field(
        default_factory=dict
    )  # the checkpoint and the tensors left out, if any
    written: dict[str, Any] = field(default_factory=dict)

    def facts_as_written(self, facts: BenchmarkFacts) -> BenchmarkFacts:
        """The facts about the data, with stores named as the config names their cache: they go to other people."""
        data = self.written.get("data", {})
        nodes = data.get("corpora") or {}
        corpora = {name: _named(one, nodes.get(name, {})) for name, one in facts.corpora.items()}
        if not corpora:
            return _named(facts, data)
        return replace(facts, corpora=corpora, store=", ".join(one.store for one in corpora.values()))

    def started_as_written(self) -> dict[str, Any]:
        """`started_from`, with its file named as the config names it."""
        if not self.started_from:
            return {}
        weights = place_as_written(self.started_from["weights"], self.config, self.written)
        return {**self.started_from, "weights": weights}


def _named(facts: BenchmarkFacts, node: Mapping[str, Any]) -> BenchmarkFacts:
    cache, parts = node.get("cache"), Path(facts.store).parts[-2:]  # <benchmark>/<fingerprint>
    return facts if cache is None else replace(facts, store="/".join((str(cache).rstrip("/"), *parts)))


def build(config: DictConfig, weights: str | Path | None) -> Run:
    """Make data, backbone and task of a composed config; the backbone starts from `weights`, if not None.

    `weights` is a run folder, a checkpoint or "published", as in `config.weights`.

    Raises:
        EegfmError: a value of the wrong type, or a combination that cannot work.
    """
    data = build_data(config)
    with bounded("The config's model"):
        backbone = make(config.model, "model")(data.spec)
    started_from = {}
    if weights is not None:
        if weights == PUBLISHED:
            checkpoint = published_weights(backbone, Path(config.paths.weights))
            refuse_another_scale(config, backbone.unit_uv, str(checkpoint))
        else:
            checkpoint = Place.of(weights).checkpoint
            text = config_of(checkpoint)
            if text:  # else no run wrote the file
                theirs = read(text, str(checkpoint)).get("task") or {}
                refuse_another_scale(config, theirs.get("scale"), str(checkpoint))
        give_unit(backbone, OmegaConf.select(config, "task.scale"))
        left_out = load_backbone(backbone, checkpoint)
        started_from = {"weights": str(checkpoint), "left_out": left_out}
    with bounded("The config's task"):
        task = make(config.task, "task")(backbone, data.spec)
    return Run(task, data, make(config.trainer, "trainer"), plain(config), started_from, as_written(config))


def untrained(config: DictConfig, place: Place) -> Run:
    """The run of a place's config, its weights as they are drawn; not larger than the place's checkpoint."""
    if (place.folder / FILE).is_file():  # fitted in one go, over a backbone that is elsewhere
        return build(config, None)
    with bounded(f"The config of {place}", place.checkpoint.stat().st_size + 10**7):
        return build(config, None)


def trained(config: DictConfig, place: Place) -> Run:
    """The run of a place with its trained weights; `config` is `place.config`, perhaps for this machine."""
    # a random backbone gets the same weights again; the variables are for workers, and there are none
    with environment(PL_GLOBAL_SEED=None, PL_SEED_WORKERS=None):
        seed_everything(config.seed, verbose=False)
    run = untrained(config, place)
    put_trained(run.task, place)
    return run


def put_trained(task: Any, place: Place) -> None:
    """Load the trained weights of a place's checkpoint into the task of its config.

    A task that is fitted in one go gets the results of its fit and the weights that its backbone began
    with.

    Raises:
        EegfmError: the run has no trained weights yet.
    """
    if not isinstance(task, FitsInOneGo):
        task.load_state_dict(read_state(place.checkpoint))
        return
    start = read_result(place.folder).started_from
    if start:
        load_backbone(task.backbone, Place.of(on_this_machine(start["weights"])).checkpoint)
    place.unchanged(place.folder / FILE)
    read_fitted(task, place.folder, place.trust)


def refuse_another_scale(config: DictConfig, wanted: Any, who: str) -> None:
    """Raise EegfmError if this run would scale its input otherwise than the run of the weights did."""
    found = OmegaConf.select(config, "task.scale")
    if found != wanted:
        scale = "null" if wanted is None else str(wanted)[:40]
        raise EegfmError(
            f"{who} scales its input by task.scale={scale}, and this run by "
            f"{'null' if found is None else found}. Type task.scale={scale}"
        )


def build_data(config: DictConfig) -> EEGData:
    """The data module of a composed config, with its encoder and its division."""
    split = make(config.split, "split") if "split" in config else None
    return make(config.data, "data")(encoder=make(config.encoder, "encoder"), split=split)


def on_one_device(config: DictConfig) -> DictConfig:
    """The same config for one process: after a fit only rank 0 works."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy.trainer.update(devices=1, num_nodes=1, strategy="auto")
    return copy
