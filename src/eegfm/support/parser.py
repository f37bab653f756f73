"""The parser of commands that take flags and folders: a mistake ends in one sentence."""

import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from eegfm.support.words import unknown

FLAG = re.compile(r"--?[A-Za-z][\w-]*")


class Parser(ArgumentParser):
    """argparse's parser, which says what is wrong and what is near to it, and ends the command with status 2."""

    subcommands: Any = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": RawDescriptionHelpFormatter, **options})

    def add_subparsers(self, **options: Any) -> Any:
        self.subcommands = super().add_subparsers(**options)
        return self.subcommands

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does; but a wrong word is told before what is missing."""
        typed = [*(sys.argv[1:] if args is None else args)]
        if wrong := self._mistake(typed):
            self.exit(2, f"{wrong}\n")
        return super().parse_known_args(typed, namespace)

    def _mistake(self, typed: Sequence[str]) -> str:
        """The sentence for the first subcommand or flag that does not exist; else empty."""
        parser = self
        word = next(iter(typed), "-")
        if self.subcommands is not None and not word.startswith("-"):
            if word not in self.subcommands.choices:
                shown = self.subcommands.metavar.split("|")  # the others are not for a person
                return unknown(f"{self.prog} {word}", f"there is no {word}", word, shown)
            parser = self.subcommands.choices[word]
        flags = sorted({"--help", *re.findall(r"--[\w-]+", parser.format_usage())})
        for text in typed:
            if text == "--":
                break
            flag = text.partition("=")[0]
            # argparse takes the beginning of a flag for the flag
            if FLAG.fullmatch(flag) and flag != "-h" and not any(known.startswith(flag) for known in flags):
                return unknown(flag, f"there is no {flag}", flag, flags)
        return ""

    def error(self, message: str) -> NoReturn:
        """One sentence where argparse prints its usage."""
        self.exit(2, f"{self.prog}: {message}. `{self.prog} --help` shows what it takes.\n")
