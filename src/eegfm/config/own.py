"""A person's own options: `./conf` beside them, or the folder of `--config-dir`, with the groups of our tree.

`conf/data/mine.yaml` is `data=mine`. Ours come first in Hydra's search, so a name that we have as well is refused.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig

from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError


def found_here() -> Path | None:
    """`./conf`, if it has options of ours and is not a whole tree of ours, such as that of a checkout."""
    folder = Path.cwd() / "conf"
    groups = [path.name for path in config_dir().iterdir() if path.is_dir()]
    if (folder / "train.yaml").exists() or not any((folder / group).is_dir() for group in groups):
        return None
    return folder


def named_here(key: str) -> set[str]:
    """What the person's own options beside them give this key, such as `reader`: code that is theirs."""
    folder, found = found_here(), set[str]()
    for file in sorted(folder.rglob("*.yaml")) if folder else ():
        with suppress(OSError, ValueError, yaml.YAMLError):
            nodes = [
                yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            ]
            for node in nodes:  # it grows by what is in it
                if isinstance(node, dict):
                    nodes.extend(node.values())
                    found |= {node[key]} if isinstance(node.get(key), str) else set()
    return found


def searchpath(folder: Path | None) -> list[str]:
    """The setting that lets Hydra search a person's folder as well; none for None, or for no folder.

    Raises EegfmError if it has an option that we have too: Hydra would take ours and say nothing.
    """
    if folder is None or not folder.is_dir():
        return []
    twice = sorted(
        path
        for path in folder.rglob("*.yaml")
        if (config_dir() / path.relative_to(folder)).is_file()
        and config_dir().resolve() != folder.resolve()
    )
    if twice:
        option = twice[0].relative_to(folder).with_suffix("").as_posix()
        group, _, name = option.partition("/")
        raise EegfmError(
            f"{twice[0]}: eegfm has {group}={name or group} of its own, which would be taken. Give yours another name."
        )
    quoted = str(folder.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    return [f"hydra.searchpath=['file://{quoted}']"]


def searched() -> Sequence[Path]:
    """The person's folders of the running command."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(one.path) for one in sources if one.schema == "file"]
    return [folder for folder in folders if folder.resolve() != config_dir().resolve()]
