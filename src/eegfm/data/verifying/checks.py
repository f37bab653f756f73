"""The result of a verification: one `Check` for each property that was examined, and shared sentences."""

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


def prepare_again(benchmark: BenchmarkSpec, folder: Path) -> str:
    return f"Delete {folder}, then type: eegfm prepare data={benchmark.name}"


def how_to_get(benchmark: BenchmarkSpec) -> str:
    fetch = (
        f" eegfm prepare data={benchmark.name} data.download=true fetches it."
        if benchmark.open_files
        else ""
    )
    return f"{benchmark.access}{fetch} If the files lie elsewhere: data.raw=<folder>"
