"""An option of a group as its file says it, before anything is composed."""

import posixpath
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from eegfm.config.schema import config_dir

# folders inside a group with parts of its options: groups of their own, or what several options start from
PARTS = ("contrast", "corpora", "mask", "pruner", "sampler", "shared")


class Option(NamedTuple):
    """An option: its own values by dotted key, those of the options that it starts from, and what it chooses.

    `chooses` has the options of other groups (`override /model: samba`). `ours` is False for a person's own file.
    """

    group: str
    name: str
    own: dict[str, Any]
    start: dict[str, Any]
    chooses: dict[str, str]
    ours: bool

    def __str__(self) -> str:
        return f"{self.group}={self.name}"

    @property
    def values(self) -> dict[str, Any]:
        return {**self.start, **self.own}

    @classmethod
    def of(cls, group: str, name: str, folders: Sequence[Path]) -> "Option":
        """The option in the first of these folders that has it; without values if it is no file."""
        own, start, chooses, ours = _read(f"{group}/{name}", group, tuple(folders))
        return cls(group, name, own, start, chooses, ours)


@cache
def _read(
    path: str, group: str, folders: tuple[Path, ...]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str], bool]:
    file = next((one for folder in folders if (one := folder / f"{path}.yaml").is_file()), None)
    if file is None:
        return {}, {}, {}, True
    node: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False) or {}
    defaults = node.pop("defaults", [])
    is_global = file.read_text(encoding="utf-8").startswith("# @package _global_")
    start: dict[str, Any] = {}
    chooses: dict[str, str] = {}
    for one in defaults:
        if isinstance(one, dict):
            (key, value), *_ = one.items()
            if key.startswith("override "):
                chooses[key.removeprefix("override ").lstrip("/")] = value
        elif one != "_self_" and "@" not in one.removesuffix("@_here_"):
            beside = posixpath.join("/", posixpath.dirname(path), one.removesuffix("@_here_"))
            own, before, chosen, _ = _read(posixpath.normpath(beside).lstrip("/"), group, folders)
            start, chooses = {**start, **before, **own}, {**chooses, **chosen}
    return dict(leaves(node if is_global else {group: node})), start, chooses, config_dir() in file.parents


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a node by dotted key; an empty mapping is a value."""
    if not isinstance(node, dict) or not node:
        if path:
            yield path, node
        return
    for key, value in node.items():
        yield from leaves(value, f"{path}.{key}".lstrip("."))
