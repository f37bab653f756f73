"""Where a person's runs go at W&B: as they type, or as their own settings of W&B say; never as a run folder says.

A run folder may be somebody else's. What it names (in its config, in the fragments that W&B has written there) is said
to the person, who may type it.
"""

import shlex
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from eegfm.support.words import visible

PROJECT = "eegfm"  # as in conf/logger/wandb.yaml


@dataclass(frozen=True)
class WandbPlace:
    """An account or a team ("": that of whoever is logged in), and one of its projects ("": none is named)."""

    entity: str
    project: str

    def __str__(self) -> str:
        return visible(f"{self.entity or 'yours'}/{self.project or 'any project'}")

    @property
    def typed(self) -> str:
        """What to type for it."""
        both = {"--entity": self.entity, "--project": self.project}
        return " ".join(f"{name} {shlex.quote(visible(value))}" for name, value in both.items() if value)

    def takes(self, named: "WandbPlace") -> bool:
        """Whether what a folder names is this place, or nothing at all."""
        return named.entity in ("", self.entity) and named.project in ("", self.project)


def own_place(entity: str | None, project: str | None) -> WandbPlace:
    """The place of whoever is logged in: as typed, as their settings of W&B say, or their default account's.

    Raises whatever W&B's client raises where it does not answer.
    """
    import wandb

    settings = wandb.setup().settings
    entity = entity or settings.entity or wandb.Api().default_entity or ""
    return WandbPlace(entity, project or settings.project or PROJECT)


@contextmanager
def outside_of(folders: Iterable[Path]) -> Iterator[None]:
    """Work from an empty folder, if this process works inside of one of these: W&B takes settings from `wandb/` there.

    Among them is the server that a key is sent to.
    """
    here = Path.cwd()
    if not any(here.is_relative_to(folder.resolve()) for folder in folders):
        yield
        return
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        yield


def add_options(parser: ArgumentParser) -> None:
    """The options that name a place."""
    parser.add_argument(
        "--entity", help="the account or team at W&B (default: as W&B's settings say, or your own)"
    )
    parser.add_argument("--project", help=f"its project (default: as W&B's settings say, or {PROJECT})")
