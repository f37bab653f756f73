"""Flip a bit of a file, or cut it, and use it: the same numbers, or a sentence that names the file."""

import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.damage.outcomes import counted
from tests.damage.uses import USES, Said, Use
from tests.damage.world import World

# kinds of files, by patterns of their paths; the first that fits
KINDS = {
    "raw file": r"^data/raw/.*\.fif$",
    "raw file's sums": r"^data/raw/.*SHA256SUMS.txt$",
    "store: samples": r"^data/cache/.*samples\.mdb$",
    "store: index": r"^data/cache/.*index\.npz$",
    "store: recipe": r"^data/cache/.*recipe\.json$",
    "store: what was verified": r"^data/cache/.*verified\.json$",
    "store: its raw files": r"^data/cache/.*raw_files\.json$",
    "part: windows or vectors": r"\.parts/.*\.npy$",
    "part: index": r"\.parts/.*\.npz$",
    "part: facts": r"\.parts/.*\.json$",
    "evaluation": r"/evaluations/",
    "export: weights": r"^exported/.*\.safetensors$",
    "export: config": r"^exported/.*\.json$",
    "export: card": r"^exported/.*\.md$",
    "search: journal": r"^searched/.*\.journal$",
    "search: results": r"^searched/.*/searches/.*(search\.json|search\.csv)$",
    "search: status": r"^searched/.*status\.json$",
    "search: a trial's result": r"^searched/.*result\.json$",
    "search: a trial's files": r"^searched/.*(csv|yaml)$",
    "unfinished: config": r"^killed.*/config\.yaml$",
    "unfinished: checkpoint": r"^killed.*\.ckpt$",
    "unfinished: its sum": r"^killed.*\.sha256$",
    "unfinished: loss.csv": r"^killed.*/loss\.csv$",
    "unfinished: metrics.csv": r"^killed.*/metrics\.csv",
    "unfinished: status": r"^killed.*/status\.json$",
    "unfinished: spatial.npz": r"^killed.*/spatial\.npz",
    "run: config": r"^runs/.*/config\.yaml$",
    "run: result": r"^runs/.*/result\.json$",
    "run: predictions": r"^runs/.*/predictions_\w+\.csv$",
    "run: metrics.csv": r"^runs/.*/metrics\.csv",
    "run: loss.csv": r"^runs/.*/loss\.csv$",
    "run: status": r"^runs/.*/status\.json$",
    "run: checkpoint": r"^runs/.*\.ckpt$",
    "run: its sum": r"^runs/.*\.sha256$",
    "run: fitted": r"^runs/.*\.skops$",
    "run: other files": r"^runs/",
}


@dataclass(frozen=True)
class Case:
    """One damage of one file, and the commands that use it afterwards."""

    number: int
    kind: str
    file: Path
    damage: str
    change: Callable[[bytes], bytes]
    uses: tuple[Use, ...]


def kind_of(file: Path) -> str | None:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, file.as_posix())), None)


def flip(draw: random.Random) -> tuple[str, Callable[[bytes], bytes]]:
    where, bit = draw.random(), draw.randrange(8)

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        if changed:
            changed[int(where * len(changed))] ^= 1 << bit
        return bytes(changed)

    return f"bit {bit} at {where:.6f}", change


def cut(draw: random.Random) -> tuple[str, Callable[[bytes], bytes]]:
    where = draw.choice((0.0, draw.random(), draw.random(), 1.0))
    return f"cut at {where:.6f}", lambda content: content[
        : min(int(where * len(content)), len(content) - 1)
    ]


DAMAGES = {"flips": flip, "cuts": cut}


def case_of(world: World, how: str, seed: int, number: int, kinds: str, most: int) -> Case:
    """The case of a number: its kind is drawn first, so that a kind of few small files has as many cases."""
    draw = random.Random(f"{how} {seed} {number}")
    by_kind: dict[str, list[Path]] = {}
    for file in world.files:
        kind = kind_of(file)
        if kind and re.search(kinds, kind) and any(use.of(file) for use in USES):
            by_kind.setdefault(kind, []).append(file)
    kind = draw.choice(sorted(by_kind))
    file = draw.choice(by_kind[kind])
    damage, change = DAMAGES[how](draw)
    uses = [use for use in USES if use.of(file)]
    return Case(number, kind, file, damage, change, tuple(draw.sample(uses, min(most, len(uses)))))


def judge(file: Path, wanted: Said, found: Said) -> str:
    """ "same", "refused" (a sentence names the file, and nothing else came), "told", or what is wrong."""
    if found.status < 0:
        return f"FAILED: signal {-found.status}"
    if "Traceback (most recent call last)" in found.text:
        return f"FAILED: traceback: {found.text.strip().splitlines()[-1][:160]}"
    if (wanted.status, wanted.lines, wanted.numbers) == (found.status, found.lines, found.numbers):
        return "same"
    new = re.sub(r"\s", "", "\n".join(line for line in found.lines if line not in wanted.lines))
    other = [key for key, value in found.numbers.items() if wanted.numbers.get(key) != value]
    if found.status:  # what it has written, not what it has left as it was
        other = [key for key in other if found.before.get(key) != found.numbers[key]]
    if file.name.removesuffix(".sha256") not in new:  # of a file and its sum either may be the damaged one
        what = f"{other[0]} and {len(other) - 1} more" if other else new[:200]
        return f"FAILED: {'another number in silence' if not found.status else 'the file is not named'}: {what}"
    if other:
        return f"FAILED: the file is named, but {other[0]} is {found.numbers[other[0]]:.60}"
    return "refused" if found.status else "told"


class Tried:
    """Cases and their outcomes, in a world that is made once."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.undamaged = cache(self._undamaged)

    def _undamaged(self, use: Use) -> Said:
        """What a command says without any damage."""
        self.world.restore()
        said = use.run(self.world.place)
        assert said.status == 0, (use, said.text)
        return said

    def run(self, case: Case) -> list[str]:
        """The verdict of every command of a case."""
        verdicts = []
        for use in case.uses:
            wanted = self.undamaged(use)
            self.world.restore()
            self.world.damage(case.file, case.change)
            verdicts.append(judge(case.file, wanted, use.run(self.world.place)))
        return verdicts


def main(how: str, n: int, seed: int, kinds: str, only: int | None, most: int) -> int:
    """Run the cases and print the failures as they come, then a table; returns how many failed."""
    began = time.monotonic()
    outcomes: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="eegfm-damage-") as root:
        tried = Tried(Path(root))
        print(f"The undamaged world took {time.monotonic() - began:.0f} s.", flush=True)
        for number in range(n) if only is None else [only]:
            if number and not number % 20:
                whole = dict(sum(outcomes.values(), Counter()))
                print(f"{number} cases in {time.monotonic() - began:.0f} s: {whole}", flush=True)
            case = case_of(tried.world, how, seed, number, kinds, most)
            for use, verdict in zip(case.uses, tried.run(case), strict=True):
                outcomes.setdefault(case.kind, Counter())[verdict.partition(":")[0]] += 1
                if verdict.startswith("FAILED") or only is not None:
                    print(
                        f"[{case.kind}] {number}: {case.file}, {case.damage}; {use.name}: {verdict}",
                        flush=True,
                    )
    names = ("same", "refused", "told", "FAILED")
    print(f"\n{how}, seed {seed}: {n} cases in {time.monotonic() - began:.0f} s")
    return counted({kind: outcomes[kind] for kind in filter(outcomes.get, KINDS)}, names)
