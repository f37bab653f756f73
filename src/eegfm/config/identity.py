"""The identity of a run, and the name of its folder, which follows from it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

# Settings that do not make another run: where things lie, and how fast or how visibly the work is done.
NOT_THE_RUN = {
    "paths": None,
    "folder": None,
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


PUBLISHED = "published"  # weights=published: the file that the model's authors published


PRETRAIN = "pretrain"  # weights=pretrain: the run that the config's node `pretrain` describes


def run_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that identifies a run."""
    identity: dict[str, Any] = {}
    for key, value in without_seen(config).items():
        if key == "hydra" or (key in NOT_THE_RUN and NOT_THE_RUN[key] is None):
            continue
        left_out = NOT_THE_RUN.get(key) or ()
        identity[key] = (
            {k: v for k, v in value.items() if k not in left_out} if isinstance(value, Mapping) else value
        )
    corpora = identity.get("data", {}).get("corpora", {})  # only a mix has them
    if corpora:
        of_each = {name: run_identity({"data": node})["data"] for name, node in corpora.items()}
        # the order of corpora sets the order of channels and random numbers, but the hash sorts names
        identity["data"] |= {"corpora": of_each, "order": "+".join(corpora)}
    # an unused pre-training does not identify a run; a used one counts by its own identity
    before = identity.pop(PRETRAIN, {})
    if identity.get("weights") == PRETRAIN:
        identity[PRETRAIN] = run_identity(before)
    # the store identifies an encoder's weights by their hash; here a name is enough
    if "weights" in identity.get("encoder", {}):
        identity["encoder"]["weights"] = Path(identity["encoder"]["weights"]).name
    inside = identity.get("model", {}).get("encoder")  # the encoder of a model that trains through it
    if inside:
        identity["model"]["encoder"] = run_identity({"encoder": inside})["encoder"]
    return identity


def identity_hash(config: Mapping[str, Any], *, without_seed: bool = False) -> str:
    """Eight hexadecimal digits that name a run's config; without the seed they name its row in a table."""
    identity = run_identity(config)
    if without_seed:
        identity.pop("seed", None)
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:8]


def row_hash(config: Mapping[str, Any], name: str) -> str:
    """What names the row of a run in a table, from its config as it is kept.

    A text that came from the environment is kept without its value (see `config.written`), so that two runs of other
    values look alike. Then `name` keeps them apart: the hash that the run's result keeps of all values but the seed, or
    where there is none the name of the folder, which follows from all values and so keeps seeds apart as well.
    """
    found = identity_hash(config, without_seed=True)
    told = json.dumps(run_identity(config), default=str)
    return f"{found} {name}" if "${oc." in told else found


def run_name(*, _root_: DictConfig) -> str:
    """`<folder>/<model>-<encoder>-<data>-s<seed>-<hash>`: the same command always names the same folder."""
    return named(without_hydra(_root_), _root_.hydra.runtime.choices)


def named(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """The name of the run of a composed config; `choices` are the options chosen for it, by group."""
    parts = [
        model_name(config, choices),
        *(chosen(choices, group) for group in ("encoder", "data")),
        f"s{config.seed}",
        identity_hash(plain(config)),
    ]
    return f"{folder_of(config, choices)}/{'-'.join(parts)}"


def folder_of(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """The folder below `paths.runs` in which runs lie together, and the group of their W&B runs."""
    return config.get("folder") or choices.get("experiment") or "single"


def chosen(choices: Mapping[str, Any], group: str) -> str:
    """The option of a group by its own name: data=published/tuev is tuev, on another protocol."""
    return choices[group].rpartition("/")[2]


OF_ONES_OWN = ("mine", "sklearn")  # the options of a model that is found by its path


def model_name(config: Mapping[str, Any] | DictConfig, choices: Mapping[str, Any]) -> str:
    """The option of the model by its own name; that of its class, where a person has typed the path of one."""
    name = chosen(choices, "model")
    path = (
        config["model"].get("path") if name in OF_ONES_OWN else None
    )  # None of a missing one, which is refused later
    return str(path).rpartition(".")[2] if path else name


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's own node."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy.pop("hydra", None)
    return copy


def plain(config: DictConfig) -> dict[str, Any]:
    """The config in plain Python, every reference in it resolved."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, enum_to_str=True))


CORPORA_SEEN = "seen"


def without_seen(node: Mapping[Any, Any]) -> dict[Any, Any]:
    """A config without its declarations of corpora: they are facts about weights, and change no run."""
    return {
        key: without_seen(value) if isinstance(value, Mapping) else value
        for key, value in node.items()
        if key != CORPORA_SEEN
    }
