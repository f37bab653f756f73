"""Commands that Hydra composes the config of: `main = door("train", "eegfm.training.run:main", purpose=__doc__)`."""

import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import hydra
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from eegfm.config.schema import config_dir, register
from eegfm.contracts import EegfmError


class Refusal(CompactHydraException):
    """What a door raises for a mistake that a person can put right: Hydra prints the sentence and no traceback."""


def door(
    config_name: str, work: str, *, purpose: str | None, values: Sequence[str] = ()
) -> Callable[[], Any]:
    """Make a command out of a config and the function that works with it, kinder than `hydra.main` alone.

    A mistake that a person can put right ends in a sentence instead of a traceback. `--help` is a screen of the options
    with a phrase on each; it answers at once, where Hydra's reads every file of the tree.

    Args:
        config_name: file of the config tree that the command composes. The command's module has the same name.
        work: where the function of the composed config stands, "eegfm.training.run:main". It is imported when it is
            called, so that help and refusals wait for nothing heavy.
        purpose: what `--help` says above the options.
        values: plain values of this command that share their name with a group of the tree. Hydra would take
            `split=val` for a choice of that group, so it is handed on as `values.split=val`, where the config holds it.
    """

    def refusing(config: DictConfig) -> Any:
        module, _, function = work.partition(":")
        try:
            return getattr(import_module(module), function)(config)
        except EegfmError as error:
            raise Refusal(str(error)) from None

    # by these Hydra names its job
    refusing.__module__, refusing.__qualname__ = f"eegfm.{config_name}", "main"

    def main() -> Any:
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(help_screen(config_name, purpose or ""))
            return None
        register()
        own = re.compile(rf"({'|'.join(values)})=") if values else None
        sys.argv[1:] = [f"values.{a}" if own and own.match(a) else a for a in sys.argv[1:]]
        composed = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)
        return composed(refusing)()

    return main


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
