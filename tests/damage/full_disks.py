"""Run a command on a small disk, of ten sizes: a sentence, nothing lost, and with room the same command goes on."""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from eegfm.runs.status import read_status
from eegfm.support.files import sha256_of
from tests.damage.outcomes import counted
from tests.damage.uses import Said
from tests.damage.works import WORKS, Work
from tests.damage.world import World

SIZES = 10  # from a tenth of what a command writes to nearly all of it
NEEDS = ("finished", "sources")
ROOM = "400m"
LEAVING_S = 30


class FullDisks:
    """Small disks in a world that is made once; each is mounted on `new`."""

    def __init__(self, root: Path, parts: tuple[str, ...] = NEEDS) -> None:
        if os.geteuid() != 0:
            raise SystemExit("Only root may mount a small file system.")
        self.world = World(root, parts)
        self.disk = self.world.place / "new"

    def mount(self, size: str, *more: str) -> None:
        options = ",".join([f"size={size}", *more])
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.disk], check=True)

    def unmount(self) -> None:
        """Workers of a sweep leave the disk a moment after their last cell."""
        deadline = time.monotonic() + LEAVING_S
        while subprocess.run(["umount", self.disk]).returncode:
            assert time.monotonic() < deadline, f"a process still works on {self.disk}"
            time.sleep(0.2)

    def whole(self, work: Work) -> tuple[Said, int, int]:
        """What a command gives on a large disk, the bytes that lie there before it, and those that it adds."""
        self._lay(work)
        try:
            before = _used(self.disk)
            said = work.run(self.world.place)
            assert said.status == 0 and said.numbers, (work.use.name, said.text)
            return said, before, _used(self.disk) - before
        finally:
            self.unmount()

    def _lay(self, work: Work) -> None:
        self.world.restore()
        self.disk.mkdir()
        self.mount(ROOM)
        work.lay(self.world.place)

    def run(self, work: Work, wanted: Said, size: int) -> str:
        """ "refused, went on", "fits", or what is wrong."""
        self._lay(work)
        try:
            finished = _sums(self.disk)
            self.mount(str(size), "remount")
            first = work.run(self.world.place)
            wrong = self._refusal(work, first)
            lost = [
                path for path, sha256 in finished.items() if not path.exists() or sha256_of(path) != sha256
            ]
            if lost:
                wrong = wrong or f"lost: {lost[0]}"
            self.mount(ROOM, "remount")
            second = work.run(self.world.place)
            if wrong:
                return f"FAILED: {wrong}"
            if second.status:
                return f"FAILED: does not go on: {second.text.strip()[-500:]}"
            if second.numbers != wanted.numbers:
                keys = second.numbers.keys() | wanted.numbers.keys()
                other = [key for key in keys if second.numbers.get(key) != wanted.numbers.get(key)]
                return f"FAILED: {len(other)} results are other: {', '.join(sorted(other)[:3])}"
            return "refused, went on" if first.status else "fits"
        finally:
            self.unmount()

    def _refusal(self, work: Work, said: Said) -> str:
        """What is wrong with how a command ended on a full disk; "" if nothing is."""
        if "Traceback (most recent call last)" in said.text:
            return f"traceback: {said.text.strip().splitlines()[-1][:300]}"
        if said.status < 0:
            return f"signal {-said.status}"
        if not said.status:
            return ""
        if "full" not in said.text and "No space left" not in said.text:
            return f"no sentence of a full disk: {said.text.strip()[-300:]}"
        states = [read_status(path.parent) for path in self.disk.rglob("status.json")]
        if work.status and not work.starts and any(one and one.state == "running" for one in states):
            return "status.json says running"
        return ""


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _sums(folder: Path) -> dict[Path, str]:
    return {path: sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def sizes_of(before: int, added: int) -> list[int]:
    """Sizes of disks, in whole pages: what lies there, and a part of what will be added."""
    return [(before + added * (i + 1) // (SIZES + 1)) // 4096 * 4096 + 4096 for i in range(SIZES)]


def main(kinds: str) -> int:
    """Every command on every size; prints the failures as they come, then a table; returns how many failed."""
    began = time.monotonic()
    outcomes: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="eegfm-damage-") as root:
        disks = FullDisks(Path(root))
        for work in (one for one in WORKS if kinds in one.use.name):
            wanted, before, added = disks.whole(work)
            for size in sizes_of(before, added):
                verdict = disks.run(work, wanted, size)
                outcomes.setdefault(work.use.name, Counter())[verdict.partition(":")[0]] += 1
                if verdict.startswith("FAILED"):
                    print(f"{work.use.name}, {size:,} bytes: {verdict}", flush=True)
            print(
                f"{work.use.name}: {dict(outcomes[work.use.name])}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
        shutil.rmtree(disks.world.place, ignore_errors=True)
    names = ("refused, went on", "fits", "FAILED")
    print(f"\nfull disks: {time.monotonic() - began:.0f} s")
    return counted(outcomes, names)
