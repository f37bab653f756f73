"""What makes a run the run that it is, and the name of its folder that follows."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

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


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's own node."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy.pop("hydra", None)
    return copy


def plain(config: DictConfig) -> dict[str, Any]:
    """The config in plain Python, every reference in it resolved."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, enum_to_str=True))


SEEN = "seen"


def without_seen(node: Mapping[Any, Any]) -> dict[Any, Any]:
    """A config without what its nodes declare of corpora: facts about weights, which change nothing in a run."""
    return {
        key: without_seen(value) if isinstance(value, Mapping) else value
        for key, value in node.items()
        if key != SEEN
    }
