"""The result of a verification: one `Check` for each property that was examined, and shared sentences."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.progress import Progress, TaskID

from eegfm.benchmarks.spec import BenchmarkSpec

Verdict = Literal["ok", "warning", "off"]


@dataclass(frozen=True)
class Check:
    """One examined property; `remedy` says what to type or to do if it is not ok."""

    name: str
    found: str
    wanted: str
    verdict: Verdict = "ok"
    remedy: str = ""


@dataclass
class Meter:
    """A progress bar in megabytes; `expect` raises its total while the work goes on."""

    bar: Progress
    task: TaskID
    total: float = 0.0

    def expect(self, n_bytes: float) -> None:
        self.total += n_bytes / 1e6
        self.bar.update(self.task, total=self.total)

    def did(self, n_bytes: float) -> None:
        self.bar.update(self.task, advance=n_bytes / 1e6, visible=True)

    def finish(self) -> None:
        self.bar.update(self.task, completed=self.total)


@dataclass(frozen=True)
class Remedies:
    """What to type, with the words of the command that verifies: its data, folders and choices.

    `words` are those behind `eegfm prepare`; None where the same command prepares, as `eegfm train` does. What was
    `imported` from an LMDB of the reference is imported again.
    """

    words: str | None
    imported: bool = False

    @property
    def prepare(self) -> str:
        """To make the store, or a fuller one."""
        if self.imported:
            return "import it: eegfm convert data=<benchmark> lmdb=<the reference's LMDB>"
        return (
            "run the same command again"
            if self.words is None
            else f"type: eegfm prepare {self.words}".rstrip()
        )

    def anew(self, folder: Path) -> str:
        """To make a store that is there once more."""
        return f"rm -r {shlex.quote(str(folder))}  and then {self.prepare}"


def how_to_get(benchmark: BenchmarkSpec) -> str:
    if benchmark.own:
        return f"These are {benchmark.access} If they lie elsewhere: data.raw=<folder>"
    fetch = " data.download=true fetches it." if benchmark.open_files else ""
    return f"{benchmark.access}{fetch} If the files lie elsewhere: data.raw=<folder>"
