"""A folder with one of every kind of file that the product writes, made by the product, to be damaged and restored.

`pristine` is never touched again. Commands work in `place`, where each case finds it restored: large files that nothing
writes into are hard links to it, and a damaged one is a copy with the old time, as where a disk has rotted.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tests.command_line import call_forked, start_forked

TRAINING = ("data=synthetic", "trainer.accelerator=cpu", "data.batch_size=16", "data.train_ratio=0.1")
STAMP = (
    *TRAINING,
    "experiment=demo",
    "model.depth=1",
    "model.width=16",
    "model.ff_width=16",
    "trainer.max_epochs=3",
)
SAMBA = (
    *TRAINING, "model=samba", "task=classify", "model.width_scale=8", "model.d_state=8", "trainer.max_epochs=2",
)  # fmt: skip
BANDPOWER = (*TRAINING, "model=bandpower")
SEARCH = ("-m", "search=optuna", "model=bandpower", "model.max_iter=range(200,5000,100)")
LINKED = ("samples.mdb", ".fif", ".npy")  # suffixes of files that nothing writes into


def done(place: Path, module: str, *arguments: str) -> str:
    """What a command says that has to succeed."""
    ended = call_forked(module, *arguments, cwd=place)
    assert ended.returncode == 0, (module, *arguments, ended.stdout, ended.stderr)
    return ended.stdout


class World:
    """The folder; see the module. `make` names the parts that are wanted, in the order of `PARTS`."""

    def __init__(self, root: Path, parts: tuple[str, ...] | None = None) -> None:
        self.pristine, self.place = root / "pristine", root / "place"
        self.place.mkdir(parents=True)
        for name, make in PARTS.items():
            if parts is None or name in parts:
                make(self.place)
        shutil.copytree(self.place, self.pristine)

    @cached_property
    def files(self) -> list[Path]:
        """Every file, relative to the place."""
        return sorted(
            path.relative_to(self.pristine) for path in self.pristine.rglob("*") if path.is_file()
        )

    def restore(self) -> None:
        shutil.rmtree(self.place)
        shutil.copytree(self.pristine, self.place, copy_function=copy)

    def damage(self, file: Path, change: Callable[[bytes], bytes]) -> None:
        """Change the content of a file in the place, and leave its time as it is."""
        path = self.place / file
        before, content = path.stat(), path.read_bytes()
        path.unlink()
        path.write_bytes(change(content))
        os.chmod(path, before.st_mode)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy(source: str, target: str) -> None:
    """Copy a file; a large one that nothing writes into becomes a link, where that is possible."""
    if source.endswith(LINKED):
        with suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copy2(source, target)


def only(place: Path, pattern: str) -> Path:
    """The one folder of a pattern below `runs`."""
    (found,) = (place / "runs").glob(pattern)
    return found


def finished(place: Path) -> None:
    """Two seeds of a small STAMP, with stores, an evaluation, an export, and one fitted in one go."""
    for seed in (1, 2):
        done(place, "eegfm.train", *STAMP, f"seed={seed}")
    done(place, "eegfm.train", *BANDPOWER, "seed=1")
    for pattern in ("demo/stamp-*-s1-*", "single/bandpower-*-s1-*"):
        run = only(place, pattern)
        done(place, "eegfm.evaluate", f"run={run.relative_to(place)}")
        done(place, "eegfm", "export", str(run.relative_to(place)), "--to", f"exported/{run.name[:5]}")


def unfinished(place: Path) -> None:
    """Runs that were killed after their first checkpoint."""
    _until(place, "*/checkpoints/last.ckpt", "eegfm.train", *STAMP, "seed=3", "paths.runs=killed")
    _until(place, "*/checkpoints/last.ckpt", "eegfm.train", *SAMBA, "seed=3", "paths.runs=killed_samba")


def search(place: Path) -> None:
    done(place, "eegfm.train", *SEARCH, "search.n_trials=2", "paths.runs=searched")


def parts(place: Path) -> None:
    """A preparation and an embedding that were killed."""
    prepare = ("eegfm.prepare", "data=synthetic")
    _until(place, "synthetic/*.parts/*S05*.json", *prepare, "paths.cache=windows")
    embed = (*prepare, "encoder=spectrum", "paths.cache=vectors")
    _until(place, "synthetic/*.parts/*S05*.json", *embed, fresh=partial(windows_alone, place))


def sources(place: Path) -> None:
    """What an embedding and a conversion are made from: a cache without vectors, and an LMDB of the reference."""
    from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
    from tests.data.test_convert import complete, write_pickled

    windows_alone(place, place / "windows_alone")
    _, rows = complete(MENTAL_ARITHMETIC, {"form": "{recording}-{i}"}, n=2)
    write_pickled(place / "theirs", rows)


def windows_alone(place: Path, cache: Path) -> None:
    """A cache with the store of the finished runs' windows, and no other."""
    for recipe in (place / "data/cache/synthetic").glob("*/recipe.json"):
        if "encoder" not in json.loads(recipe.read_text())["recipe"]:
            shutil.copytree(recipe.parent, cache / "synthetic" / recipe.parent.name, copy_function=copy)


PARTS = {
    "finished": finished, "unfinished": unfinished, "search": search, "parts": parts, "sources": sources,
}  # fmt: skip


def _until(
    place: Path, pattern: str, module: str, *arguments: str, fresh: Callable[[Path], Any] = Path.mkdir
) -> None:
    """Kill a command as soon as a file is there below the folder that its last argument names; `fresh` makes it."""
    folder = place / arguments[-1].partition("=")[2]
    for _ in range(20):
        fresh(folder)
        with open(place / "killed.log", "wb") as log:
            process = start_forked(module, *arguments, cwd=place, out=log)
        while process.poll() is None and not next(folder.rglob(pattern), None):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            (place / "killed.log").unlink()
            return
        shutil.rmtree(folder)
    raise AssertionError(f"{module} {arguments} ends before it can be killed")
