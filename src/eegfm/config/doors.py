"""`door` makes a command out of a Hydra config and a function.

A door is the entry of a command that Hydra configures, such as `eegfm train`: it shows the help, refuses a mistake
in one sentence, and only then loads and calls the function. A command's module has one line of it:
`main = door("train", "eegfm.training.run:main", purpose=__doc__)`.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from eegfm.config.flags import settings_of
from eegfm.config.mistakes import for_hydra, mistake, mistake_in, without_folder
from eegfm.config.own import found_here, searchpath
from eegfm.config.refusals import refuse
from eegfm.config.schema import config_dir, register
from eegfm.contracts import EegfmError
from eegfm.support.files import refuse_links, refused_by_disk
from eegfm.support.process import arguments, environment
from eegfm.support.words import print_anything

TRACES = "HYDRA_FULL_ERROR"  # with it Hydra raises an error instead of printing it


def door(
    config_name: str, work: str, *, purpose: str | None, values: Sequence[str] = ()
) -> Callable[[], Any]:
    """Make a command from a config and the function that uses it, with clearer errors than `hydra.main`.

    A mistake that a person can put right ends in a sentence instead of a traceback, if possible before
    anything heavy is loaded. `--help` shows the options with a phrase on each; it answers at once, while
    Hydra's reads every file of the tree.

    Args:
        config_name: file of the config tree that the command composes. The command's module has the same name.
        work: the function that takes the composed config, "eegfm.training.run:main". It is imported when
            called, so that help and refusals wait for nothing heavy.
        purpose: the text of `--help` above the options.
        values: plain values of this command that share their name with a group of the tree. Hydra would take
            `split=val` for a choice of that group, so it is passed on as `values.split=val`, its place in
            the config.
    """
    broken: list[Exception] = []  # errors of the work itself

    def refusing(config: DictConfig) -> Any:
        module, _, function = work.partition(":")
        hydra_config = HydraConfig.get()
        folder = Path(hydra_config.runtime.output_dir)
        try:
            refuse(config, hydra_config, folder)
            return getattr(import_module(module), function)(config)
        except Exception as error:
            ours = isinstance(error, EegfmError)
            said = str(error) if ours else refused_by_disk(error, Path.cwd())
            if said and hydra_config.mode != RunMode.MULTIRUN:  # there the other cells go on
                if folder != Path.cwd():
                    with suppress(OSError):  # Hydra has made it; a run that has begun is in it
                        folder.rmdir()
                sys.exit(said)
            if not ours:
                broken.append(error)
            raise

    # Hydra names its job by these
    refusing.__module__, refusing.__qualname__ = f"eegfm.{config_name}", "main"

    def main() -> Any:
        print_anything()
        typed, given, wrong = settings_of(sys.argv[1:])
        if wrong:
            sys.exit(wrong)
        searched = any(text.startswith("hydra.searchpath=") for text in typed)  # by a person who says where
        own = given or (None if searched else found_here())
        try:
            more = searchpath(own)
        except EegfmError as error:
            sys.exit(str(error))
        register(own)
        if nowhere := without_folder(typed, os.environ):
            sys.exit(nowhere)
        settings = settings_for_hydra(typed, config_name, values)
        if {"-h", "--help"} & set(sys.argv[1:]):
            if wrong := mistake_in(config_name, settings, more):
                sys.exit(wrong)
            print(help_screen(config_name, purpose or "", own))
            return None
        composed = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)
        asked = os.environ.get(TRACES) == "1"
        program, *rest = sys.argv
        rest = [settings.get(text, text) for text in rest]
        if more and not given:
            rest = ["--config-dir", str(own), *rest]
        # meanwhile Hydra gets these arguments, and raises errors instead of printing them and exiting
        with arguments(program, *rest), environment(**{TRACES: "1"}):
            try:
                return composed(refusing)()
            except EegfmError as error:
                sys.exit(str(error))
            except Exception as error:
                if refused := refused_by_disk(
                    error, Path.cwd()
                ):  # Hydra writes files before a command begins
                    sys.exit(refused)
                found = "" if asked or error in broken else mistake(error, config_name, settings, more)
                if not found:
                    raise
                sys.exit(found)

    return main


def settings_for_hydra(
    typed: Sequence[str], config_name: str, values: Sequence[str] = ()
) -> dict[str, str]:
    """Settings as a person types them, each with the form that Hydra wants; `values` as for `door`."""
    named = {text: f"values.{text}" if text.partition("=")[0] in values else text for text in typed}
    return {text: for_hydra(name, config_name) for text, name in named.items()}


class WritesThroughNoLink(Callback):
    """Refuses a sweep whose record, which Hydra is about to write, is a symbolic link."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            refuse_links(Path(config.hydra.sweep.dir) / "multirun.yaml")
        except EegfmError as error:  # Hydra makes warnings of other exceptions
            sys.exit(str(error))


def help_screen(config_name: str, purpose: str, own: Path | None = None) -> str:
    """The command's purpose, then every group that its config composes, with a sentence on each option.

    Options in `own`, a person's folder, follow ours.
    """
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    groups = re.findall(r"^  - (\w+):", text, flags=re.MULTILINE)
    options = {
        group: {
            f"  {group}={path.stem}": path
            for folder in filter(None, (config_dir(), own))
            for path in sorted((folder / group).glob("*.yaml"))
        }
        for group in groups
        if (config_dir() / group).is_dir()
    }
    column = 2 + max((len(option) for of_group in options.values() for option in of_group), default=0)
    width = max(min(shutil.get_terminal_size((108, 24)).columns, 128), column + 30)
    lines = [purpose.strip()]
    for of_group in options.values():
        lines.append("")
        for option, path in of_group.items():
            about = textwrap.wrap(_first_sentence(path), width - column, break_on_hyphens=False) or [""]
            lines += [
                f"{name:<{column}}{line}".rstrip()
                for name, line in zip_longest([option], about, fillvalue="")
            ]
    lines += [
        "",
        "Any value of the config can be set: <key>=<value>. To print all keys and values: --cfg job",
    ]
    return "\n".join(lines)


def _first_sentence(path: Path) -> str:
    """The first sentence of the comment at the top of an option's file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#  "):  # an example also ends the sentence
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("# "))
    return re.split(r"(?<!\bal)(?<!\.)\.(?=\s|$)", " ".join(lines))[0]
