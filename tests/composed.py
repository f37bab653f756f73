"""What a command would be told: `composed("model=stamp", "seed=1")` is the config that Hydra makes of those words."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from eegfm.config.schema import config_dir, register


def composed(*overrides: str, door: str = "train", hydra: bool = False) -> DictConfig:
    """A copy of its own for every caller; the same words are composed once. `hydra`: with Hydra's own node."""
    return deepcopy(_composed(door, overrides, hydra))


@lru_cache(maxsize=300)
def _composed(door: str, overrides: tuple[str, ...], hydra: bool) -> DictConfig:
    register()
    with (
        initialize_config_dir(str(config_dir()), version_base="1.3"),
        mock.patch.object(OmegaConf, "load", read),  # a config is made of forty files, which hundreds share
    ):
        return compose(door, overrides=list(overrides), return_hydra_config=hydra)


def read(file: Any) -> Any:
    """`OmegaConf.load`, which parses a file of conf/ once."""
    path = Path(getattr(file, "name", file))
    return deepcopy(_parsed(path)) if path.is_relative_to(config_dir()) else _load(file)


_load = OmegaConf.load
_parsed = lru_cache(maxsize=None)(_load)


def with_choices(*overrides: str) -> tuple[DictConfig, dict[str, str]]:
    """The config of a training as the door hands it on, and the option that was chosen of every group."""
    config = composed(*overrides, hydra=True)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    with open_dict(config):
        config.pop("hydra")
    assert isinstance(choices, dict)
    return config, {str(group): option for group, option in choices.items()}
