"""What it costs that a store is checked: an epoch's reading with and without checksums, and the start of a run.

python -m tests.bench.checked_store [reading] [loading] [opening] [start]      on a quiet machine

Without checks is the loop that one would write with LMDB alone: get, copy. A process checks every value once, so that
only its first epoch pays: that against every other is what checks cost. `loading` is of what a run waits for: batches
of a loader, with labels and names of windows.
"""

import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import torch
from rich.table import Table

from eegfm.benchmarks.synthetic import SYNTHETIC
from eegfm.data import values
from eegfm.data.loaders import Loader, SplitDataset, Windows
from eegfm.data.module import EEGDataModule
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleIndex, SampleStore, write_store
from tests.bench.scan import alternating, console
from tests.corpus import manifest_of

BATCH = 64
EPOCHS = 15  # of the demo
SHAPES = {
    "windows, 32 x 800 float32": ((32, 800), "float32", 3000),
    "vectors, 20 x 5 x 27 float16": ((20, 5, 27), "float16", 20000),
}


def made(folder: Path, shape: tuple[int, ...], dtype: str, n: int) -> SampleStore:
    """A store of noise."""
    rng = np.random.default_rng(0)
    text = np.full(n, "S01_0")
    index = SampleIndex(
        np.zeros(n, dtype=np.int64),
        text,
        text,
        text,
        np.arange(float(n)),
        text,
        np.arange(n, dtype=np.uint64),
    )
    recipe = Recipe({"benchmark": "bench", "dtype": dtype})
    return write_store(
        folder, manifest_of(recipe, shape, n), [(rng.normal(0, 20, (n, *shape)).astype(dtype), index)]
    )


def plain(path: Path, store: SampleStore) -> Callable[[np.ndarray], np.ndarray]:
    """What reads a batch from a copy of the values, by LMDB alone."""
    environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)

    def read(rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *store.shape), dtype=store.dtype)
        flat = out.reshape(len(rows), -1)
        with environment.begin(buffers=True) as transaction:
            for i, row in enumerate(rows):
                flat[i] = np.frombuffer(transaction.get(struct.pack(">Q", int(row))), dtype=store.dtype)
        return out

    return read


def epochs(store: SampleStore) -> dict[str, Callable[[], None]]:
    """An epoch's reading in batches: without checks, the first of a process, and each after it."""
    path = store.folder / values.FILE
    copy = path.with_name("copy.mdb")  # LMDB opens a file once in a process
    copy.write_bytes(path.read_bytes())
    order = np.random.default_rng(0).permutation(len(store))
    batches = [order[start : start + BATCH] for start in range(0, len(store), BATCH)]
    unchecked = plain(copy, store)

    def read(how: Callable[[np.ndarray], np.ndarray]) -> None:
        for rows in batches:
            how(rows)

    def first() -> None:
        values.forget(path)
        read(store.read)

    return {
        "plain LMDB, no checks": lambda: read(unchecked),
        "the first epoch": first,
        "every other epoch": lambda: read(store.read),
    }


def reading(runs: int = 7) -> None:
    table = Table("an epoch's reading, batches of 64", "windows/s", "of no checks", f"over {EPOCHS} epochs")
    for name, (shape, dtype, n) in SHAPES.items():
        with tempfile.TemporaryDirectory() as place:
            works = epochs(made(Path(place) / "store", shape, dtype, n))
            seconds = {what: wall for what, (wall, _) in alternating(works, runs).items()}
        none, once, later = seconds.values()
        many = (once + (EPOCHS - 1) * later) / EPOCHS / none
        for what, wall in seconds.items():
            over = f"{many:.3f}" if what == "the first epoch" else ""
            table.add_row(f"{name}: {what}", f"{n / wall:,.0f}", f"{wall / none:.2f}", over)
    console.print(table)


def loads(store: SampleStore) -> dict[str, Callable[[], None]]:
    """An epoch of a loader over a file that was just mapped, without checks and with them."""
    data = SplitDataset(store, np.arange(len(store)), torch.zeros(store.shape[0], 3))
    loader = Loader(data, Windows(len(store), BATCH, seed=0))

    def epoch(checked: bool) -> None:
        values.forget(store.folder / values.FILE)
        if not checked:
            store._values.open().unchecked[:] = False
        for _ in loader:
            pass

    return {"no checks": lambda: epoch(False), "the first epoch": lambda: epoch(True)}


def loading(runs: int = 7) -> None:
    table = Table("a loader's epoch, batches of 64", "windows/s", "of no checks", f"over {EPOCHS} epochs")
    for name, (shape, dtype, n) in SHAPES.items():
        with tempfile.TemporaryDirectory() as place:
            works = loads(made(Path(place) / "store", shape, dtype, n))
            seconds = {what: wall for what, (wall, _) in alternating(works, runs).items()}
        none, once = seconds.values()
        for what, wall in seconds.items():
            over = "" if what == "no checks" else f"{1 + (once / none - 1) / EPOCHS:.3f}"
            table.add_row(f"{name}: {what}", f"{n / wall:,.0f}", f"{wall / none:.2f}", over)
    console.print(table)


def opening(n: int = 100_000) -> None:
    """A store of many windows, small ones: opened, and its values' file checked and mapped."""
    table = Table(f"opening a store of {n:,} windows of 8 x 200 float32", "ms")
    with tempfile.TemporaryDirectory() as place:
        store = made(Path(place) / "store", (8, 200), "float32", n)
        path = store.folder / values.FILE

        def values_alone() -> None:
            values.forget(path)
            store.open_values()

        works = {"index, recipe and checksums": lambda: SampleStore(store.folder), "values": values_alone}
        for what, (wall, _) in alternating(works, 7).items():
            table.add_row(what, f"{wall * 1e3:.1f}")
        size, sums = path.stat().st_size / 1e6, (store.folder / "checksums.npz").stat().st_size / 1e6
    console.print(table)
    console.print(f"{size:,.0f} MB of values, {sums:.2f} MB of checksums")


def start(runs: int = 7) -> None:
    """From a data module to its first batch, the store of data=synthetic ready and verified."""
    taken = []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(runs + 1):
            begun = time.perf_counter()
            data = EEGDataModule(
                benchmark=SYNTHETIC, raw=f"{place}/raw", cache=f"{place}/cache", seed=0, progress=False
            )
            data.prepare_data()
            data.setup("fit")
            next(iter(data.train_dataloader()))
            if turn:
                taken.append(time.perf_counter() - begun)
    console.print(
        f"from a data module to its first batch, store ready: {statistics.median(taken) * 1e3:.1f} ms"
    )


def main() -> None:
    reading()
    loading()
    opening()
    start()


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ["reading", "loading", "opening", "start"]:
        {"reading": reading, "loading": loading, "opening": opening, "start": start}[chosen]()
