"""Kill a command at a random point of its time, once or twice, and type it again: it ends with the same bytes."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from eegfm.runs.status import look
from tests.command_line import start_forked
from tests.damage.outcomes import counted
from tests.damage.uses import Said, surroundings
from tests.damage.works import WORKS, Work
from tests.damage.world import World

NEEDS = ("finished", "sources")
LEFT = (".tmp.", ".unfinished", ".parts")  # in names of what a killed process was writing


@dataclass(frozen=True)
class Kill:
    """A command, and when it is killed: fractions of the time that it takes."""

    number: int
    work: Work
    at: tuple[float, ...]


def kill_of(seed: int, number: int, works: tuple[Work, ...]) -> Kill:
    draw = random.Random(f"kills {seed} {number}")
    work = works[number % len(works)]
    return Kill(number, work, tuple(draw.random() for _ in range(draw.choice((1, 1, 2)))))


class Killed:
    """Kills and what comes of them, in a world that is made once."""

    def __init__(self, root: Path) -> None:
        self.world = World(root, NEEDS)
        self.whole = cache(self._whole)

    def _whole(self, work: Work) -> tuple[Said, float]:
        """What a command gives that is never killed, and its seconds."""
        self._lay(work)
        began = time.monotonic()
        said = work.run(self.world.place)
        seconds = self.seconds_of(work) if work.starts else time.monotonic() - began
        assert said.status == 0, (work.use.name, said.text)
        assert said.numbers, work.use
        return said, seconds

    def seconds_of(self, work: Work) -> float:
        """How long the command itself takes, once its cells are done."""
        began = time.monotonic()
        work.use.run(self.world.place)
        return time.monotonic() - began

    def _lay(self, work: Work) -> None:
        self.world.restore()
        (self.world.place / "new").mkdir()
        work.lay(self.world.place)

    def run(self, kill: Kill) -> str:
        """ "same", "same, litter" (files are left that nobody needs), "ended" before every kill, or what is wrong."""
        place, work = self.world.place, kill.work
        wanted, seconds = self.whole(work)
        self._lay(work)
        killed = 0
        for at in kill.at:
            with tempfile.TemporaryFile() as out:
                process = start_forked(*work.use.words(place), cwd=place, out=out, env=surroundings())
                time.sleep(at * seconds)
                process.kill()
                killed += process.wait() == -signal.SIGKILL
            if work.starts:
                _kill_workers(place / "new", random.Random(f"{kill.number} {at}"))
        found = work.run(place)
        if found.status or "Traceback (most recent call last)" in found.text:
            return f"FAILED: {found.status}: {found.text.strip()[-600:]}"
        if found.numbers != wanted.numbers:
            keys = found.numbers.keys() | wanted.numbers.keys()
            other = [key for key in keys if found.numbers.get(key) != wanted.numbers.get(key)]
            return f"FAILED: {len(other)} results are other: {', '.join(sorted(other)[:3])}"
        if not killed:
            return "ended"
        left = [path for path in (place / "new").rglob("*") if any(mark in path.name for mark in LEFT)]
        return f"same, litter: {left[0].relative_to(place)}" if left else "same"


def _kill_workers(folder: Path, draw: random.Random) -> None:
    """Half of the time: kill the processes that a killed submission has started, too."""
    if draw.random() < 0.5:
        return
    for path in folder.rglob("status.json"):
        status = look(path.parent)
        if status and status.state in ("queued", "running") and status.pid:
            try:
                os.killpg(status.pid, signal.SIGKILL) if os.getpgid(status.pid) == status.pid else os.kill(
                    status.pid, signal.SIGKILL
                )
            except ProcessLookupError:
                continue


def main(n: int, seed: int, kinds: str, only: int | None) -> int:
    """Run the kills and print the failures as they come, then a table; returns how many failed."""
    began = time.monotonic()
    works = tuple(work for work in WORKS if kinds in work.use.name)
    outcomes: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="eegfm-damage-") as root:
        killed = Killed(Path(root))
        print(f"The undamaged world took {time.monotonic() - began:.0f} s.", flush=True)
        for number in range(n) if only is None else [only]:
            if number and not number % 20:
                whole = dict(sum(outcomes.values(), Counter()))
                print(f"{number} cases in {time.monotonic() - began:.0f} s: {whole}", flush=True)
            kill = kill_of(seed, number, works)
            verdict = killed.run(kill)
            outcomes.setdefault(kill.work.use.name, Counter())[verdict.partition(":")[0]] += 1
            if not verdict.startswith(("same", "ended")) or only is not None:
                at = ", ".join(f"{one:.3f}" for one in kill.at)
                print(f"{number}: {kill.work.use.name}, killed at {at}: {verdict}", flush=True)
                kept = Path(tempfile.gettempdir(), f"eegfm-killed-{number}")
                shutil.copytree(killed.world.place / "new", kept, dirs_exist_ok=True)
    names = ("same", "same, litter", "ended", "FAILED")
    print(f"\nkills, seed {seed}: {n} in {time.monotonic() - began:.0f} s")
    return counted(outcomes, names)
