"""The recordings that a person names by `files=...`, and what a command does with each of them in turn."""

import glob
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from omegaconf import ListConfig

from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import bar_of
from eegfm.signal.formats.any_file import no_recording
from eegfm.support.words import console, some, visible

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")


def recordings_of(files: object) -> dict[str, Path]:
    """The files of a path, a pattern, or a list of both, by a name of their own: the path below what they share.

    A path that is there is itself, whatever characters it has; any other is a pattern (`*`, `?`, `**`, `[ab]`), which
    takes no file that is no recording of its own, and says so. Raises EegfmError if one names no file.
    """
    patterns = [*files] if isinstance(files, list | tuple | ListConfig) else [files]
    found = [*dict.fromkeys(path for pattern in patterns for path in _files(str(pattern)))]
    shared = os.path.commonpath([path.parent for path in found])
    below = [path.relative_to(shared) for path in found]
    plain = [_without_suffix(path) for path in below]
    names = [
        name if plain.count(name) == 1 else path.as_posix() for name, path in zip(plain, below, strict=True)
    ]
    return dict(zip(names, found, strict=True))


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        raise EegfmError(f"{pattern} is a folder. Say which of its files: files='{path}/*.edf'")
    if path.is_file():
        return [path.absolute()]
    found = [one for one in sorted(map(Path, glob.glob(str(path), recursive=True))) if one.is_file()]
    others = {one: why for one in found if (why := no_recording(one, found))}
    if others:
        said = some([f"{one.name} ({why})" for one, why in others.items()], 3)
        console().print(f"files={pattern}: {len(others)} files are no recordings: {said}", soft_wrap=True)
    found = [one for one in found if one not in others]
    if not found:
        raise EegfmError(
            f"files={pattern}: there is no such file. Name a recording, or several by a pattern: "
            "files='<folder>/*.edf'"
        )
    return [one.absolute() for one in found]


def _without_suffix(path: Path) -> str:
    return path.with_name(path.name.removesuffix(".gz")).with_suffix("").as_posix()


def each(
    recordings: Mapping[str, Path],
    work: Callable[[str, Path, Callable[[float], None]], Outcome],
    doing: str,
) -> Iterable[tuple[str, Outcome | str]]:
    """Go through the recordings under a progress bar: the name, and what `work` gives or why it could not.

    `work` gets the name, the file, and a function that takes the part of it that is done. A recording that fails does
    not end the others.
    """
    with bar_of(True) as bar:
        task = bar.add_task(doing, total=len(recordings), unit="recordings")
        for i, (name, path) in enumerate(recordings.items()):

            def done(part: float, before: int = i) -> None:
                bar.update(task, completed=before + part)

            outcome: Outcome | str
            try:
                outcome = work(name, path, done)
            except EegfmError as error:
                outcome = str(error)
            except MemoryError:
                outcome = (
                    f"{path} does not fit into memory. eegfm stream goes through a recording of any length."
                )
            except OSError as error:
                outcome = f"{path} cannot be read, or its outcome written ({error.strerror or error})."
            except (
                Exception
            ) as error:  # a reader may raise anything on a damaged file; the other recordings go on
                log.debug("%s", path, exc_info=True)
                outcome = f"{path} could not be processed ({type(error).__name__}: {error})."
            if isinstance(outcome, str):
                bar.console.print(f"{visible(name)}: {outcome}", style="yellow")
            done(1)
            yield name, outcome


def end_with_failures(screen: "Console", outcomes: Mapping[str, object], what: str, table: str) -> None:
    """Name the recordings whose outcome is a reason, if there are any, and leave with exit status 1."""
    failed = [name for name, outcome in outcomes.items() if isinstance(outcome, str)]
    if failed:
        screen.print(
            f"{len(failed)} of {len(outcomes)} recordings {what}: {some(failed)}; {table} says why",
            style="bold red",
            soft_wrap=True,
        )
        raise SystemExit(1)
