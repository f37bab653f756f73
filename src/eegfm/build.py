"""Config -> objects: the whole wiring. Hydra builds partials; Python calls them.

This module is read before torch is: everything heavy is imported when the work starts.
"""

import hashlib
import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from omegaconf import MISSING, DictConfig, OmegaConf

if TYPE_CHECKING:
    from eegfm.data.module import EEGDataModule


class Refusal(CompactHydraException):
    """What a door raises for a mistake that a person can put right: Hydra prints the sentence and no traceback."""


def door(
    config_name: str, *, values: Sequence[str] = ()
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a command of a function of the composed config, in two ways kinder than `hydra.main` alone.

    What a person can put right ends in a sentence instead of a traceback; `--help` is a screen of the options with what
    each is, and answers at once, where Hydra's reads every file of the tree.

    `values` are plain values of this door that share their name with a group of the tree. Hydra would take `split=val`
    for a choice of that group, so it is handed on as `values.split=val`, and the config holds it there.
    """

    def decorate(work: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @wraps(work)
        def refusing(config: DictConfig) -> Any:
            from eegfm.contracts import EegfmError

            try:
                return work(config)
            except EegfmError as error:
                raise Refusal(str(error)) from None

        @wraps(work)
        def main() -> Any:
            if {"-h", "--help"} & set(sys.argv[1:]):
                print(help_screen(config_name, work.__globals__["__doc__"]))
                return None
            register()
            own = re.compile(rf"({'|'.join(values)})=") if values else None
            sys.argv[1:] = [f"values.{a}" if own and own.match(a) else a for a in sys.argv[1:]]
            composed = hydra.main(
                version_base="1.3", config_path=str(config_dir()), config_name=config_name
            )
            return composed(refusing)()

        return main

    return decorate


def help_screen(config_name: str, purpose: str) -> str:
    """The door's purpose, then every group that its config composes, with its options and their first comment."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    groups = [
        group
        for group in re.findall(r"^  - (\w+):", text, flags=re.MULTILINE)
        if (config_dir() / group).is_dir()
    ]
    lines = [purpose.strip(), ""]
    for group in groups:
        for path in sorted((config_dir() / group).glob("*.yaml")):
            comments = [
                line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")
            ]
            about = next((line for line in comments if not line.startswith("@package")), "")
            lines.append(f"  {f'{group}={path.stem}':<32}{about.partition('. ')[0]}".rstrip())
    lines += [
        "",
        "Any value can be overridden: model.depth=4. To see all: --cfg job. A sweep: -m seed=1,2,3",
    ]
    return "\n".join(lines)


def config_dir() -> Path:
    """The config tree: `eegfm/conf` inside an installed wheel, `conf/` at the top of a checkout."""
    packaged = Path(__file__).resolve().parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "conf"


class Keep(Enum):
    """Which epoch's weights are tested."""

    best = "best"
    last = "last"


@dataclass
class Selection:
    """Which epoch is tested: the best on validation (see `eegfm.tasks.selection.BestEpoch`), or the last."""

    keep: Keep = Keep.best
    min_delta: float = 0.0
    first_epoch: int = 0


@dataclass
class Paths:
    """Where raw files, weights of encoders, stores and runs lie."""

    raw: str = MISSING
    weights: str = MISSING
    cache: str = MISSING
    runs: str = MISSING


@dataclass
class Resources:
    """What a SLURM job of a run wants, where a model's file says it (`conf/hydra/launcher/slurm.yaml` has the rest)."""

    partition: str | None = None
    gpus: int | None = None  # a node
    cpus: int | None = None  # a task
    mem_gb: int | None = None
    minutes: int | None = None


@dataclass
class RunSchema:
    """The top level of a training config. Below it the constructors are the schema."""

    data: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: Paths = field(default_factory=Paths)
    seed: int = MISSING
    weights: str | None = None
    pretrain: dict[str, Any] = field(default_factory=dict)
    allow_overlap: bool = False
    seen: dict[str, Any] = field(default_factory=dict)
    diagnostics: bool = False
    save_steps: int | None = None
    selection: Selection = field(default_factory=Selection)
    paper: Any = None
    search: dict[str, Any] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)


def register() -> None:
    """Tell Hydra the schema and the name of a run's folder. Called by the doors before they compose."""
    ConfigStore.instance().store("run_schema", RunSchema)
    OmegaConf.register_new_resolver("eegfm.run", run_name, use_cache=False, replace=True)
    OmegaConf.register_new_resolver("eegfm.first", _first, replace=True)
    # data=mix data/corpora=[tuab,tuev] is short for +data@data.corpora.tuab=tuab +data@data.corpora.tuev=tuev
    for name in (path.stem for path in benchmark_options()):
        ConfigStore.instance().store(name, {"defaults": [{f"/data@{name}": name}]}, group="data/corpora")


def _first(*values: Any) -> Any:
    """The first value that is one."""
    return next((value for value in values if value is not None), None)


def benchmark_options() -> list[Path]:
    """The files of data=..., sorted, without the mixes: what is one benchmark."""
    files = sorted((config_dir() / "data").glob("*.yaml"))
    return [path for path in files if "\nbenchmark:" in path.read_text(encoding="utf-8")]


# What may differ without making it another run: where things lie, and how fast or how visibly the work is done.
NOT_THE_RUN = {
    "paths": None,
    "logger": None,
    "paper": None,
    "search": None,
    "resources": None,
    "save_steps": None,
    "diagnostics": None,
    "data": ("raw", "cache", "num_workers", "prepare_workers", "download", "device_cache", "seed"),
    "encoder": ("device",),
    "trainer": (
        *("accelerator", "devices", "num_nodes", "strategy", "use_distributed_sampler"),
        *("log_every_n_steps", "enable_model_summary"),
    ),
    "task": ("seed", "device", "observe"),
}


# Values that go without saying: a run that has them keeps the name it had before the setting came to exist.
LEFT_UNSAID = {
    "split": {"_target_": "eegfm.data.splits.published"},
    "data.train_ratio": 1.0,
    "data.imported": False,
    "data.window_s": None,
    "data.weights": None,
    "data.epoch_windows": None,
    "allow_overlap": False,
    "task.scale": None,
    "task.decay": "all",
    "task.activation": "elu",
    "task.last_tensors": None,
    "task.freeze_head": False,
    "task.head_lr": None,
}


PUBLISHED = "published"  # weights=published: the file that the model's authors have published
PRETRAIN = "pretrain"  # weights=pretrain: from the run that the config's node of that name describes


def run_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that makes a run what it is."""
    identity: dict[str, Any] = {}
    for key, value in without_seen(config).items():
        if key == "hydra" or (key in NOT_THE_RUN and NOT_THE_RUN[key] is None):
            continue
        left_out = NOT_THE_RUN.get(key) or ()
        identity[key] = (
            {k: v for k, v in value.items() if k not in left_out} if isinstance(value, Mapping) else value
        )
    corpora = identity.get("data", {}).get("corpora", {})  # of a mix
    if corpora:
        of_each = {name: run_identity({"data": node})["data"] for name, node in corpora.items()}
        # their order is that of the channels and of the random numbers, and the hash sorts names
        identity["data"] |= {"corpora": of_each, "order": "+".join(corpora)}
    # what is not started from says nothing of a run, and of what is, the same things matter
    before = identity.pop(PRETRAIN, {})
    if identity.get("weights") == PRETRAIN:
        identity[PRETRAIN] = run_identity(before)
    for key, value in LEFT_UNSAID.items():
        node, _, leaf = key.rpartition(".")
        holder = identity.get(node, {}) if node else identity
        if leaf in holder and holder[leaf] == value:
            del holder[leaf]
    # the store knows an encoder's weights by their hash; here a name is enough
    if "weights" in identity.get("encoder", {}):
        identity["encoder"]["weights"] = Path(identity["encoder"]["weights"]).name
    inside = identity.get("model", {}).get("encoder")  # of a model that trains through its encoder
    if inside:
        identity["model"]["encoder"] = run_identity({"encoder": inside})["encoder"]
    return identity


def identity_hash(config: Mapping[str, Any], *, without_seed: bool = False) -> str:
    """Eight hexadecimal digits that name a run's config; without the seed they name its row in a table."""
    identity = run_identity(config)
    if without_seed:
        identity.pop("seed", None)
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:8]


def run_name(*, _root_: DictConfig) -> str:
    """`<experiment>/<model>-<encoder>-<data>-s<seed>-<hash>`: the same command always names the same folder."""
    return named(without_hydra(_root_), _root_.hydra.runtime.choices)


def named(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """The name of the run of a composed config; `choices` are the options chosen for it, by group."""
    parts = [
        *(chosen(choices, group) for group in ("model", "encoder", "data")),
        f"s{config.seed}",
        identity_hash(plain(config)),
    ]
    return f"{choices.get('experiment') or 'single'}/{'-'.join(parts)}"


def chosen(choices: Mapping[str, Any], group: str) -> str:
    """The option of a group by its own name: data=published/tuev is tuev, on another protocol."""
    return choices[group].rpartition("/")[2]


def pretraining(config: DictConfig, choices: Mapping[str, Any]) -> tuple[DictConfig, dict[str, Any]]:
    """Config and choices of the run that weights=pretrain starts from: this one's, but for what `pretrain` says.

    Its task replaces this one's, and its data where they are others (`defaults: - /data@pretrain.data: mix`); of other
    nodes it changes the values that it names.

    Raises:
        EegfmError: nothing says how to pre-train, or the two runs would scale their input differently.
    """
    from eegfm.contracts import EegfmError

    before = without_hydra(config)
    changes = before.pop(PRETRAIN)
    if "task" not in changes:
        raise EegfmError(
            "weights=pretrain, and nothing says how to pre-train. Choose a way that does (adapt=eegm2_probe), or a "
            "run: weights=runs/<run>"
        )
    for key, value in changes.items():
        before[key] = value if "_target_" in value else OmegaConf.merge(before[key], value)
    # it starts from nothing, so that there is no overlap to allow
    before.weights, before.pretrain, before.allow_overlap, before.diagnostics = None, {}, False, False
    before.search = {}  # nor is it a trial
    refuse_another_scale(config, before, "The pre-training (pretrain.task)")
    its_own = {
        group: choices[f"{group}@{PRETRAIN}.{group}"]
        for group in ("task", "data")
        if f"{group}@{PRETRAIN}.{group}" in choices
    }
    return before, {**choices, **its_own, "adapt": None}


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's own node."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy.pop("hydra", None)
    return copy


def plain(config: DictConfig) -> dict[str, Any]:
    """The config in plain Python, every reference in it resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, enum_to_str=True))


@dataclass
class Run:
    """One training, wired: what `task` learns from `data`. `trainer` is made when its folder is known."""

    task: Any
    data: "EEGDataModule"
    make_trainer: Callable[..., Any]
    config: dict[str, Any]
    started_from: dict[str, Any] = field(
        default_factory=dict
    )  # the checkpoint and what was left out, if any


def build(config: DictConfig, weights: str | Path | None) -> Run:
    """Make data, backbone and task of a composed config, the backbone from `weights` where they are not None.

    `weights` is a run folder, a checkpoint or "published": what `config.weights` means.

    Raises:
        EegfmError: a value of the wrong type, or a combination that cannot work.
    """
    data = build_data(config)
    backbone = make(config.model, "model")(data.spec)
    started_from = {}
    if weights is not None:
        from eegfm.tasks.weights import config_of, load_backbone, published_weights

        if weights == PUBLISHED:
            checkpoint = published_weights(backbone, Path(config.paths.weights))
            theirs = OmegaConf.create({"task": {"scale": backbone.unit_uv}})
        else:
            checkpoint = checkpoint_of(Path(weights))
            text = config_of(checkpoint)
            theirs = OmegaConf.create(text) if text else None  # None: it was not written by a run
        if theirs is not None:
            refuse_another_scale(config, theirs, str(checkpoint))
        left_out = load_backbone(backbone, checkpoint)
        started_from = {"weights": str(checkpoint), "left_out": left_out}
    task = make(config.task, "task")(backbone, data.spec)
    return Run(task, data, make(config.trainer, "trainer"), plain(config), started_from)


def refuse_another_scale(config: DictConfig, theirs: Any, who: str) -> None:
    """Weights expect the input that they are trained on: raise EegfmError where this run would scale it otherwise."""
    from eegfm.contracts import EegfmError

    found, wanted = (OmegaConf.select(c, "task.scale", default=None) for c in (config, theirs))
    if found != wanted:
        said = "null" if wanted is None else wanted
        raise EegfmError(
            f"{who} scales its input by task.scale={said}, and this run says "
            f"{'null' if found is None else found}. Type task.scale={said}"
        )


def checkpoint_of(place: Path) -> Path:
    """The checkpoint meant by a path: a file itself, or the epoch that a finished run's folder has kept."""
    from eegfm.contracts import EegfmError

    if place.is_file():
        return place
    if not (place / "config.yaml").is_file():
        raise EegfmError(
            f"No run and no checkpoint at {place}: wanted a run folder, or a .ckpt, .pth or .safetensors file."
        )
    keep = OmegaConf.select(OmegaConf.load(place / "config.yaml"), "selection.keep", default="best")
    checkpoint = place / "checkpoints" / f"{keep}.ckpt"
    if not checkpoint.is_file():
        raise EegfmError(
            f"The run at {place} has no {checkpoint.name} yet: train it first, or name a checkpoint file."
        )
    return checkpoint


def one_benchmark(config: DictConfig, what: str) -> DictConfig:
    """The config's `data`, for a door that has to do with one benchmark (it does `what`): a mix is refused."""
    from eegfm.contracts import EegfmError

    if "corpora" in config.data:
        each = " or ".join(f"data={name}" for name in config.data.corpora) or "data=<benchmark>"
        raise EegfmError(f"A mix of benchmarks was given to {what}. Take one at a time: {each}")
    return config.data


def config_of_run(place: Path) -> DictConfig:
    """The resolved config of a run folder, or the one that a checkpoint carries."""
    from eegfm.contracts import EegfmError

    if (place / "config.yaml").is_file():
        config = OmegaConf.load(place / "config.yaml")
    elif place.is_file():
        import torch

        text = torch.load(place, map_location="cpu", weights_only=True).get("config", "")
        if not text:
            raise EegfmError(
                f"{place} carries no config: it was not written by a run. Name the run folder instead."
            )
        config = OmegaConf.create(text)
    else:
        raise EegfmError(
            f"run={place}: wanted a run folder (with config.yaml) or a checkpoint (.ckpt) in one."
        )
    assert isinstance(config, DictConfig)
    return config


def build_data(config: DictConfig) -> "EEGDataModule":
    """The data module of a composed config, with its encoder and its division."""
    split = make(config.split, "split") if "split" in config else None
    return make(config.data, "data")(encoder=make(config.encoder, "encoder"), split=split)


def wandb_of(config: Mapping[str, Any], folder: Path, **more: Any) -> Any:
    """The logger of the one W&B run that belongs to a run folder, begun, where its config asks for W&B; else False.

    Interruptions and what is evaluated later go on in the same W&B run, offline as further fragments of it.

    Raises:
        EegfmError: W&B does not begin a run, with its reason.
    """
    node = config.get("logger") or {}
    if "_target_" not in node:
        return False
    from wandb.errors import Error

    from eegfm.contracts import EegfmError

    logger = make(OmegaConf.create({k: v for k, v in node.items() if k != "name"}), "logger")(
        save_dir=folder,
        id=_wandb_id(folder),
        resume="allow",
        name=folder.name,
        group=folder.parent.name,
        **more,
    )
    try:
        logger.experiment  # noqa: B018  it begins the run
    except Error as error:
        raise EegfmError(
            f"W&B did not begin a run: {error}. Type wandb login, or logger.offline=true (it wants neither key nor "
            "network, and eegfm sync sends it later)."
        ) from error
    return logger


def _wandb_id(folder: Path) -> str:
    """The id that a run folder has at W&B, kept in its file `wandb_id`.

    Drawn, and not made of the folder's name: the same command gives the same name to two people of one project, and
    to a run that was deleted here and trained anew.
    """
    path = folder / "wandb_id"
    kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not kept:
        kept = secrets.token_hex(4)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(kept, encoding="utf-8")
        temporary.replace(path)
    return kept


def send_figures(logger: Any, figures: Mapping[str, Path], row: Mapping[str, Any] | None = None) -> None:
    """Log the figures under their names, and finish: the next run of a sweep lives in this process.

    `row` becomes the run's summary, behind all that is logged, of which W&B makes one by itself.
    """
    for name, path in figures.items():
        logger.log_image(key=name, images=[str(path)])
    logger.experiment.summary.update(row or {})
    logger.finalize("success")
    logger.experiment.finish()


def make(node: DictConfig, path: str) -> Any:
    """Instantiate a config node, after holding its values against the constructor's types."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from eegfm.contracts import EegfmError

    node = _undeclared(node)
    if "_target_" in node:
        check_types(node, path)
    try:
        return instantiate(node, _convert_="object")
    except InstantiationException as error:
        if isinstance(error.__cause__, EegfmError):
            raise error.__cause__ from None
        raise


def check_types(node: DictConfig, path: str) -> None:
    """Refuse values that the target's constructor has another type for, before anything is made.

    Only plain types are held against their values (int, float, bool, str, Literal, None, and unions of them): the
    rest is the constructor's own to check.
    """
    from inspect import signature
    from typing import get_type_hints

    from hydra.utils import get_object

    from eegfm.contracts import EegfmError

    target = get_object(node["_target_"])
    if not str(getattr(target, "__module__", "")).startswith("eegfm."):
        return
    hints = get_type_hints(target.__init__ if isinstance(target, type) else target)
    known = signature(target).parameters
    for key, value in OmegaConf.to_container(node, resolve=True).items():  # type: ignore[union-attr]
        if str(key).startswith("_") or key == SEEN:  # a declaration, which is no argument
            continue
        if isinstance(value, dict):
            inner = {f"{path}.{key}": node[key]}
            if "_target_" not in value:  # the corpora of a mix
                inner = {f"{path}.{key}.{name}": node[key][name] for name in value}
            for place, one in inner.items():
                if OmegaConf.is_dict(one) and str(one.get("_target_", "")).startswith("eegfm."):
                    check_types(one, place)
        if key not in known:
            raise EegfmError(
                f"{path}.{key}: {node['_target_']} has no such argument. It has: {', '.join(known)}."
            )
        if key in hints and not _fits(value, hints[key]):
            raise EegfmError(f"{path}.{key}={value}: {_say(hints[key])} is wanted here.")


SEEN = "seen"


def without_seen(node: Mapping[Any, Any]) -> dict[Any, Any]:
    """A config without what its nodes declare of corpora: facts about weights, which change nothing in a run."""
    return {
        key: without_seen(value) if isinstance(value, Mapping) else value
        for key, value in node.items()
        if key != SEEN
    }


def _undeclared(node: DictConfig) -> DictConfig:
    """The same node, where it was in its config, without what it and the nodes in it declare."""
    copy = deepcopy(node)
    OmegaConf.set_struct(copy, False)
    nodes: list[Any] = [copy]
    while nodes:
        one = nodes.pop()
        one.pop(SEEN, None)
        nodes += [one._get_node(key) for key in one if OmegaConf.is_dict(one._get_node(key))]
    return copy


def corpora_seen(config: Mapping[str, Any], weights: str | Path | None) -> dict[str, str]:
    """By benchmark, how the published weights of a run came to be trained on it: what their YAML files declare.

    An encoder's `seen` holds unless its weights are random. The model's (the top level's, since its file is global)
    holds where the backbone starts from weights that no run of ours has written; where one has, what that run declares
    holds. Of a file of several models (`model.name`) a model's own stands under its name. `weights` is what
    `config.weights` stands for, a plain config's.
    """
    found = _declared(config)
    if weights is None or (weights != PUBLISHED and not Path(weights).exists()):
        return found
    theirs = ""
    if weights != PUBLISHED:
        from eegfm.tasks.weights import config_of

        theirs = config_of(checkpoint_of(Path(weights)))
    if not theirs:
        declared = config.get(SEEN) or {}
        own = declared.get(config["model"].get("name")) or {}
        return found | {name: how for name, how in declared.items() if isinstance(how, str)} | dict(own)
    before = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(theirs)))
    start = before.get("weights")
    return found | corpora_seen(before, None if start == PRETRAIN else start)


def on_one_device(config: DictConfig) -> DictConfig:
    """The same config, for one process: of several, what follows a fit is the first one's alone."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy.trainer.update(devices=1, num_nodes=1, strategy="auto")
    return copy


def seen_here(
    config: Mapping[str, Any], weights: str | Path | None, facts: Mapping[str, Any]
) -> dict[str, str]:
    """`corpora_seen`, of the data that these facts (`EEGDataModule.provenance()`) are of."""
    known = corpora_seen(config, None if weights == PRETRAIN else weights)
    names = list(facts.get("corpora") or [facts["benchmark"]])
    return {name: known[name] for name in names if name in known}


def _declared(node: Mapping[Any, Any]) -> dict[str, str]:
    """What the nodes below this one declare, but for those of random weights."""
    found: dict[str, str] = {}
    for key, value in node.items():
        if key == SEEN or not isinstance(value, Mapping):
            continue
        if value.get("weights") != "random":
            found |= dict(value.get(SEEN) or {})
        found |= _declared(value)
    return found


PLAIN = (int, float, bool, str, type(None))


def _fits(value: Any, hint: Any) -> bool:
    options = (
        get_args(hint) if get_origin(hint) is not None and get_origin(hint) is not Literal else (hint,)
    )
    if isinstance(value, dict | list) or not all(o in PLAIN or get_origin(o) is Literal for o in options):
        return True
    return any(_is(value, option) for option in options)


def _is(value: Any, option: Any) -> bool:
    if get_origin(option) is Literal:
        return value in get_args(option)
    if isinstance(value, bool):
        return option is bool
    return isinstance(value, (int, float)) if option is float else isinstance(value, option)


def _say(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        type(None): "null",
    }
    if get_origin(hint) is Literal:
        return " or ".join(repr(option) for option in get_args(hint))
    if get_args(hint):
        return " or ".join(_say(option) for option in get_args(hint))
    return names.get(hint, str(hint))
