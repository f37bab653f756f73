"""What a command would be told: `composed("model=stamp", "seed=1")` is the config that Hydra makes of those words."""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, base, open_dict

from eegfm.config.schema import config_dir, register


def composed(*overrides: str, door: str = "train", hydra: bool = False) -> DictConfig:
    """A copy of its own for every caller; the same words are composed once. `hydra`: with Hydra's own node."""
    return pickle.loads(_composed(door, overrides, hydra))


@lru_cache(maxsize=300)
def _composed(door: str, overrides: tuple[str, ...], hydra: bool) -> bytes:
    _register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"), parsed_once():
        return pickle.dumps(compose(door, overrides=list(overrides), return_hydra_config=hydra))


_register = cache(register)


@contextmanager
def parsed_once() -> Iterator[None]:
    """The same text is parsed once: a config is made of forty files and their references, which hundreds share."""
    with mock.patch.object(OmegaConf, "load", read), mock.patch.object(base, "parse", _reference):
        yield


def read(file: Any) -> Any:
    """`OmegaConf.load`, which parses a text once."""
    text = file.read() if hasattr(file, "read") else Path(file).read_bytes()
    return pickle.loads(_parsed(text))


@cache
def _parsed(text: str | bytes) -> bytes:
    return pickle.dumps(_load(io.BytesIO(text) if isinstance(text, bytes) else io.StringIO(text)))


_load = OmegaConf.load
_reference = cache(base.parse)


def with_choices(*overrides: str) -> tuple[DictConfig, dict[str, str]]:
    """The config of a training as the door hands it on, and the option that was chosen of every group."""
    config = composed(*overrides, hydra=True)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    with open_dict(config):
        config.pop("hydra")
    assert isinstance(choices, dict)
    return config, {str(group): option for group, option in choices.items()}
