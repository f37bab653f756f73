"""Hydra's own flags, such as `--config-dir` and `-m`, among the arguments of a command."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from eegfm.support.words import unknown

WITH_A_VALUE = (("--config-dir", "-cd"), ("--config-path", "-cp"), ("--config-name", "-cn"), ("--package", "-p"),
                ("--cfg", "-c"), ("--experimental-rerun",))  # fmt: skip
ALONE = (("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",), ("--run", "-r"), ("--multirun", "-m"),
         ("--shell-completion", "-sc"))  # fmt: skip
FLAGS = [*(names[0] for names in (*ALONE, *WITH_A_VALUE)), "--info"]


def settings_of(arguments: Sequence[str]) -> tuple[list[str], Path | None, str]:
    """The settings among a command's arguments, the folder of own options that it names, and what is wrong.

    The last is a sentence about a flag that does not exist, or empty.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for names in WITH_A_VALUE:
        parser.add_argument(*names)
    for names in ALONE:
        parser.add_argument(*names, action="store_true")
    parser.add_argument("--info", "-i", nargs="?")
    options, rest = parser.parse_known_args(arguments)
    wrong = [text.partition("=")[0] for text in rest if text.startswith("-")]
    given = Path(options.config_dir) if options.config_dir else None
    return (
        [text for text in rest if not text.startswith("-")],
        given,
        unknown(wrong[0], f"there is no {wrong[0]}", wrong[0], FLAGS) if wrong else "",
    )
