"""Embed a store of windows with a frozen encoder into a store of vectors."""

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eegfm.contracts import EegfmError, Encodes
from eegfm.data.preparing.embed_ranks import over_ranks
from eegfm.data.preparing.parts import (
    bar_of,
    part_stamp,
    read_part,
    write_part,
    writing_explained,
)
from eegfm.data.store import SampleIndex, SampleStore, write_store
from eegfm.support.locks import only_one

log = logging.getLogger(__name__)

# Series in a batch of the encoder: enough to fill a GPU, few enough for the progress bar on a CPU. It is fixed, since
# another batch may change the last bits of a vector, and a resumed store must have the same bytes.
BLOCK = 4096


def embed(
    source: SampleStore,
    encoder: Encodes,
    cache: Path,
    *,
    progress: bool = True,
    processes: int | None = None,
) -> SampleStore:
    """The store of an encoder's vectors, [channel, second, width] in float16; made if it is not in the cache.

    Every (channel, second) is embedded alone, in the order window, channel, second; rows and index are those of the
    source store. A window with the same bytes as an earlier one gets the same vectors, without embedding it again.
    Like `prepare`, an interrupted embedding continues with the next recording. Recordings are divided among
    `processes` (default: `processes_for`); the store does not depend on their number.

    Raises:
        EegfmError: the encoder needs another sampling rate, or float16 cannot hold its vectors.
    """
    recipe = source.recipe.encoded(encoder)
    folder = cache / recipe.folder
    channels, n_times = source.shape
    per_second = round(encoder.sfreq)
    if source.recipe.facts["sfreq"] != encoder.sfreq or n_times % per_second:
        raise EegfmError(
            f"encoder={encoder.name} reads seconds of {per_second} samples at {encoder.sfreq:g} Hz; "
            f"{source.recipe.facts['benchmark']} has windows of {n_times} samples at "
            f"{source.recipe.facts['sfreq']:g} Hz. Choose another encoder (at 128 Hz: "
            "encoder=spectrum_128), or encoder=raw."
        )
    shape = (channels, n_times // per_second, encoder.width)
    with only_one(folder):
        if SampleStore.is_at(folder):
            store = SampleStore(folder)
            if store.recipe.fingerprint != recipe.fingerprint:
                raise EegfmError(
                    f"{folder} holds the store {store.recipe.fingerprint}, which somebody has put there. Take it away."
                )
            if store.manifest.source == _source_facts(source):
                return store
        stamp = {"source": _source_facts(source)}
        work = Embedding(
            source, encoder, folder.with_name(folder.name + ".parts"), shape=shape, stamp=stamp
        )
        with writing_explained(folder):
            work.folder.mkdir(parents=True, exist_ok=True)
            _write_parts(work, processes or processes_for(encoder), progress=progress)
            manifest = replace(
                source.manifest,
                fingerprint=recipe.fingerprint,
                recipe=recipe,
                shape=shape,
                windows=len(source),
                source=_source_facts(source),
            )
            parts = (read_part(work.folder, name) for name, _ in work.recordings)
            store = write_store(folder, manifest, parts)
            shutil.rmtree(work.folder, ignore_errors=True)
    return store


def _source_facts(store: SampleStore) -> dict[str, Any]:
    """The facts that tie an embedded store to its source store."""
    content = hashlib.sha256(store.index.digest.tobytes()).hexdigest()[:16]
    return {"fingerprint": store.recipe.fingerprint, "windows": len(store), "content": content}


class Embedding:
    """The recordings to embed, and the folder of parts where their vectors are written."""

    def __init__(
        self,
        source: SampleStore,
        encoder: Encodes,
        folder: Path,
        *,
        shape: tuple[int, int, int],
        stamp: dict[str, Any],
    ) -> None:
        self.source, self.encoder, self.shape = source, encoder, shape
        self.folder, self.stamp = folder, stamp
        self.recordings = _runs(source.index.recording)
        self.origin = _first_of(source.index.digest)
        sizes = [len(rows) for _, rows in self.recordings]
        self.home = np.repeat(np.arange(len(sizes)), sizes)  # the recording of every row
        self.per_window = shape[0] * shape[1]

    def todo(self) -> list[int]:
        """The recordings that have no part yet, in stored order."""
        return [
            i for i, (name, _) in enumerate(self.recordings) if part_stamp(self.folder, name) != self.stamp
        ]

    def n_series(self, which: list[int]) -> int:
        """The number of series to embed for these recordings."""
        rows = [self.recordings[i][1] for i in which]
        return sum(int((self.origin[some] == some).sum()) for some in rows) * self.per_window

    def borrows(self, i: int) -> bool:
        """Whether a recording repeats windows of another one."""
        return bool((self.home[self.origin[self.recordings[i][1]]] != i).any())

    def write(self, i: int, advance: Callable[[int], None] = lambda _: None) -> None:
        """Embed and write a recording; the parts it borrows from must exist. `advance` gets the number of series."""
        name, rows = self.recordings[i]
        origin, step = self.origin, max(1, BLOCK // self.per_window)
        vectors = np.empty((len(rows), *self.shape), "<f2")
        new = np.flatnonzero(origin[rows] == rows)
        for start in range(0, len(new), step):
            block = new[start : start + step]
            windows = torch.from_numpy(self.source.read(rows[block]).astype(np.float32, copy=False))
            encoded = self.encoder.encode(windows.reshape(len(block) * self.per_window, -1)).cpu().numpy()
            with np.errstate(over="ignore"):  # infinite values are refused below
                vectors[block] = encoded.reshape(len(block), *self.shape)
            advance(len(encoded))
        if not np.isfinite(vectors[new]).all():
            benchmark = self.source.recipe.facts["benchmark"]
            raise EegfmError(
                f"encoder={self.encoder.name} gives numbers for {benchmark}/{name} that a float16 store cannot hold. "
                "If encoder.precision is float16, the network itself may overflow: use bfloat16 or float32."
            )
        known = {name: vectors}
        for k in np.flatnonzero(origin[rows] != rows):
            there, first = self.recordings[self.home[origin[rows[k]]]]
            if there not in known:
                known[there] = read_part(self.folder, there)[0]
            vectors[k] = known[there][origin[rows[k]] - first[0]]
        write_part(self.folder, name, vectors, _take(self.source.index, rows), self.stamp)


def _write_parts(work: Embedding, processes: int, *, progress: bool) -> None:
    """Write the parts that are missing."""
    benchmark, n_series, started = work.source.recipe.facts["benchmark"], 0, time.monotonic()

    def rate() -> str:
        return f"{n_series / (time.monotonic() - started):,.0f}"

    # the loop below does the recordings that borrow, and repeats those that failed here, to tell why
    alone = [i for i in work.todo() if not work.borrows(i)] if processes > 1 else []
    if len(alone) > 1:
        over_ranks(work.write, alone, min(processes, len(alone)), progress=progress)
        n_series = work.n_series(sorted(set(alone) - set(work.todo())))
    todo = work.todo()
    with bar_of(progress) as bar:
        task = bar.add_task(f"Embedding {benchmark}", total=work.n_series(todo), unit="series")

        def advance(n: int) -> None:
            nonlocal n_series
            n_series += n
            bar.update(task, advance=n, unit=f"series, {rate()}/s")

        for i in todo:
            work.write(i, advance)
    if n_series:
        log.info(
            "%s: %s series through %s, %s a second", benchmark, f"{n_series:,}", work.encoder.name, rate()
        )


def processes_for(encoder: Encodes) -> int:
    """One process for each GPU if encoder.device=auto; one if a launcher has already divided the GPUs.

    An interactive Python is one process too, since it cannot start others.
    """
    if getattr(encoder, "device", None) != "auto" or "LOCAL_RANK" in os.environ or hasattr(sys, "ps1"):
        return 1
    return max(1, torch.cuda.device_count())


def _first_of(digest: np.ndarray) -> np.ndarray:
    """For every row the first row with the same digest: the row itself if its window is new."""
    _, first, which = np.unique(digest, return_index=True, return_inverse=True)
    return first[which]


def _runs(names: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Each stretch of equal names with its rows; the rows of a recording are consecutive."""
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    return [(str(names[rows[0]]), rows) for rows in np.split(np.arange(len(names)), starts[1:])]


def _take(index: SampleIndex, rows: np.ndarray) -> SampleIndex:
    return SampleIndex(*(getattr(index, name)[rows] for name in SampleIndex.__dataclass_fields__))
