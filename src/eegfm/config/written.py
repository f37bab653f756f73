"""A run's config as it is kept: resolved, but for what the environment says, which stays as it was written.

A variable of the environment may be a key, and a run folder goes to other people. So `config.yaml`, checkpoints and
W&B say `${oc.env:NAME}` where a text came from there, and `${paths.raw}/...` where a place did; numbers and truth
values, which a run cannot be read without, are kept as they were. A variable that is not set says nothing: its default
is kept.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from eegfm.config.identity import plain
from eegfm.config.schema import configured_paths
from eegfm.contracts import EegfmError

PLACE = re.compile(r"^\$\{paths\.(raw|weights|cache|runs)\}")
VARIABLE = re.compile(r"\$\{oc\.env:(\w+)(?:,([^{}]*))?\}")
BEGINS, ENDS = "\ue000", "\ue001"  # around what comes from the environment; of no use to anybody else


def as_written(config: DictConfig) -> dict[str, Any]:
    """The plain values of a composed config, with what its texts take from the environment unresolved."""
    free = OmegaConf.create(OmegaConf.to_container(config, enum_to_str=True))  # takes any text anywhere
    with _environment_marked():
        places = OmegaConf.to_container(free, resolve=True).get("paths") or {}  # type: ignore[union-attr]
        for name, place in places.items():
            if BEGINS in str(place):
                free.paths[name] = f"{BEGINS}paths.{name}{ENDS}"
        marked = OmegaConf.to_container(free, resolve=True)
    assert isinstance(marked, dict)
    if places:
        marked["paths"] = places
    return _kept(marked, plain(config))


def place_as_written(place: str, config: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """A file that a config has led to, with the part that comes from the environment as it was written.

    `config` is resolved, and `written` what `as_written` has made of it. The file may lie below what `weights` names,
    or below one of the `paths`.
    """
    said = [(config.get("weights"), written.get("weights"))]
    kept = written.get("paths") or {}
    said += [(value, f"${{paths.{name}}}") for name, value in (config.get("paths") or {}).items()
             if kept.get(name) != value]  # fmt: skip
    whole = Path(place).absolute()
    for resolved, text in said:
        if isinstance(resolved, str) and isinstance(text, str) and text != resolved:
            root = Path(resolved).absolute()
            if whole.is_relative_to(root):
                return "/".join((text, *whole.relative_to(root).parts))
    return place


def on_this_machine(place: str) -> Path:
    """A file that `place_as_written` has named, as the places and the environment of this machine have it.

    Raises EegfmError, which says nothing of the environment, if it is not there.
    """
    if "${" not in place:
        return Path(place)
    found = PLACE.sub(lambda one: configured_paths()[one[1]], place)
    found = VARIABLE.sub(lambda one: os.environ.get(one[1], one[2] or one[0]), found)
    if not Path(found).exists():
        raise EegfmError(
            f"There is no {place}, as the environment of this process has it. Set it as it was in training."
        )
    return Path(found)


def _kept(marked: Any, resolved: Any) -> Any:
    if isinstance(resolved, dict) and isinstance(marked, dict):
        return {key: _kept(marked.get(key), value) for key, value in resolved.items()}
    if isinstance(resolved, list) and isinstance(marked, list):
        return [_kept(*pair) for pair in zip(marked, resolved, strict=True)]
    if isinstance(resolved, str | dict | list) and BEGINS in str(marked):
        return _shown(marked)
    return resolved


def _shown(marked: Any) -> str:
    return str(marked).replace(BEGINS, "${").replace(ENDS, "}")


@contextmanager
def _environment_marked() -> Iterator[None]:
    """Variables of the environment that are set resolve to what was written, between marks."""

    def env(name: str, default: Any = ...) -> Any:
        if name not in os.environ:
            return oc.env(name) if default is ... else oc.env(name, default)
        said = name if default is ... else f"{name},{'null' if default is None else default}"
        return f"{BEGINS}oc.env:{_shown(said)}{ENDS}"

    def decode(text: Any, _parent_: Any, _node_: Any) -> Any:
        marked = isinstance(text, str) and BEGINS in text
        return f"{BEGINS}oc.decode:{_shown(text)}{ENDS}" if marked else oc.decode(text, _parent_, _node_)

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    OmegaConf.register_new_resolver("oc.decode", decode, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        OmegaConf.register_new_resolver("oc.decode", oc.decode, replace=True)
