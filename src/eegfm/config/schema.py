"""The place of the config tree, and the top level of a training config."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from eegfm.config.identity import run_name
from eegfm.config.signatures import code_of


def config_dir() -> Path:
    """The config tree: `eegfm/conf` inside an installed wheel, `conf/` at the top of a checkout."""
    packaged = Path(__file__).resolve().parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "conf"


def configured_paths() -> dict[str, str]:
    """The places of `conf/paths.yaml` on this machine, as its environment says."""
    found = OmegaConf.to_container(OmegaConf.load(config_dir() / "paths.yaml"), resolve=True)
    assert isinstance(found, dict)
    return {str(key): str(value) for key, value in found.items()}


class Keep(Enum):
    """Which epoch's weights are tested."""

    best = "best"
    last = "last"


@dataclass
class Selection:
    """Which epoch is tested: the best on validation (see `eegfm.training.selection.BestEpoch`), or the last."""

    keep: Keep = Keep.best
    by: Any = "loss"
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
    """SLURM resources of a run from its model's file (the rest: `conf/hydra/launcher/slurm.yaml`)."""

    partition: str | None = None
    gpus: int | None = None  # per node
    cpus: int | None = None  # per task
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
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: Paths = field(default_factory=Paths)
    folder: str | None = None
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


def register(own: Path | None = None) -> None:
    """Tell Hydra the schema and the name of a run's folder. Commands call this before they compose.

    `own` is the folder of a person's own options, if there is one.
    """
    ConfigStore.instance().store("run_schema", RunSchema)
    OmegaConf.register_new_resolver("eegfm.run_name", run_name, use_cache=False, replace=True)
    OmegaConf.register_new_resolver("eegfm.first", _first, replace=True)
    OmegaConf.register_new_resolver("eegfm.code", _code, replace=True)
    # data=mix data/corpora=[tuab,tuev] is short for +data@data.corpora.tuab=tuab +data@data.corpora.tuev=tuev
    for name in (path.stem for folder in {None, own} for path in benchmark_options(folder)):
        ConfigStore.instance().store(name, {"defaults": [{f"/data@{name}": name}]}, group="data/corpora")


def _code(*, _parent_: DictConfig) -> str | None:
    """The sum of the files in which the classes and functions of a node stand; None where there are none."""
    node: Any = OmegaConf.to_container(_parent_, resolve=False)
    return code_of(node)


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def benchmark_options(folder: Path | None = None) -> list[Path]:
    """The files of data=..., sorted, without the mixes: each is one benchmark. `folder`: a person's own options."""
    files = sorted(((folder or config_dir()) / "data").glob("*.yaml"))
    return [path for path in files if "\nbenchmark:" in path.read_text(encoding="utf-8", errors="replace")]
