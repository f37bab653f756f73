"""Store -> frozen encoder -> store of vectors."""

import hashlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eegfm.contracts import EegfmError, Encodes
from eegfm.data.parts import bar_of, disk_full_explained, only_one, part_stamp, read_part, write_part
from eegfm.data.store import Recipe, SampleIndex, SampleStore, plain, write_store

log = logging.getLogger(__name__)

# Series an encoder is given at once: enough to fill a GPU, and on a CPU the progress still moves. Fixed, because
# another batch may change the last bits of a vector, and a resumed store is the same bytes.
BLOCK = 4096


def embed(source: SampleStore, encoder: Encodes, cache: Path, *, progress: bool = True) -> SampleStore:
    """The store of an encoder's vectors, [channel, second, width] in float16, made where it is not in the cache yet.

    Every (channel, second) is embedded alone, in the order window, channel, second; rows and index are those of the
    source store. A window that came before, bit by bit, has the vectors it had there. Resumable by recording, like
    `prepare`.

    Raises:
        EegfmError: the encoder reads another rate, or the store's type cannot hold what it gives.
    """
    recipe = encoded_recipe(source.recipe, encoder)
    folder = cache / recipe.folder
    channels, n_times = source.shape
    per_second = round(encoder.sfreq)
    if source.recipe.facts["sfreq"] != encoder.sfreq or n_times % per_second:
        raise EegfmError(
            f"encoder={encoder.name} reads seconds of {per_second} samples at {encoder.sfreq:g} Hz; "
            f"{source.recipe.facts['benchmark']} has windows of {n_times} samples at "
            f"{source.recipe.facts['sfreq']:g} Hz. Choose another encoder, or encoder=raw."
        )
    shape = (channels, n_times // per_second, encoder.width)
    with only_one(folder):
        if (folder / "recipe.json").exists():
            store = SampleStore(folder)
            if store.manifest["source"] == _source_facts(source):
                return store
        recordings = _runs(source.index.recording)
        parts = folder.with_name(folder.name + ".parts")
        with disk_full_explained(folder):
            parts.mkdir(parents=True, exist_ok=True)
            stamp = {"source": _source_facts(source)}
            _write_parts(source, encoder, recordings, parts, shape=shape, stamp=stamp, progress=progress)
            keep = (
                "protocol",
                "complete",
                "simulated",
                "within_subject",
                "census",
                "census_differences",
                "recordings",
                "missing",
                "unusable",
                "left_out",
                "imported",
                "subjects_total",
                "prepared_with",
            )
            manifest = {**{key: source.manifest[key] for key in keep if key in source.manifest}, **stamp}
            store = write_store(
                folder,
                recipe,
                manifest,
                (read_part(parts, name) for name, _ in recordings),
                shape=shape,
                n_rows=len(source),
            )
            shutil.rmtree(parts, ignore_errors=True)
    return store


def encoded_recipe(raw: Recipe, encoder: Encodes) -> Recipe:
    """The recipe of an encoder's vectors of a store with the given recipe."""
    facts = {**raw.facts, "dtype": "float16", "encoder": {"name": encoder.name, **encoder.settings()}}
    return Recipe(plain(facts))


def _source_facts(store: SampleStore) -> dict[str, Any]:
    """What ties an embedded store to the one it was made from."""
    content = hashlib.sha256(store.index.digest.tobytes()).hexdigest()[:16]
    return {"fingerprint": store.recipe.fingerprint, "windows": len(store), "content": content}


def _write_parts(
    source: SampleStore,
    encoder: Encodes,
    recordings: list[tuple[str, np.ndarray]],
    parts: Path,
    *,
    shape: tuple[int, int, int],
    stamp: dict[str, Any],
    progress: bool,
) -> None:
    """The part of every recording that has none yet, in stored order."""
    benchmark = source.recipe.facts["benchmark"]
    origin = _first_of(source.index.digest)
    home = np.repeat(np.arange(len(recordings)), [len(rows) for _, rows in recordings])  # of every row
    todo = [(name, rows) for name, rows in recordings if part_stamp(parts, name) != stamp]
    per_window, started, n_done = shape[0] * shape[1], time.monotonic(), 0
    with bar_of(progress) as bar:
        task = bar.add_task(
            f"Embedding {benchmark}",
            total=sum(int((origin[rows] == rows).sum()) for _, rows in todo) * per_window,
            unit="series",
        )
        for name, rows in todo:
            vectors = np.empty((len(rows), *shape), "<f2")
            new = np.flatnonzero(origin[rows] == rows)
            for start in range(0, len(new), max(1, BLOCK // per_window)):
                block = new[start : start + max(1, BLOCK // per_window)]
                windows = torch.from_numpy(source.read(rows[block]).astype(np.float32, copy=False))
                found = encoder.encode(windows.reshape(len(block) * per_window, -1)).cpu().numpy()
                with np.errstate(over="ignore"):  # looked for below
                    vectors[block] = found.reshape(len(block), *shape)
                n_done += len(found)
                rate = n_done / (time.monotonic() - started)
                bar.update(task, advance=len(found), unit=f"series, {rate:,.0f}/s")
            if not np.isfinite(vectors[new]).all():
                raise EegfmError(
                    f"encoder={encoder.name} gives numbers for {benchmark}/{name} that a float16 store cannot hold. "
                    "With encoder.precision=float16 it is the network that overflows: use bfloat16 or float32."
                )
            for i in np.flatnonzero(origin[rows] != rows):  # earlier, so that its part is there
                there, first = recordings[home[origin[rows[i]]]]
                known = vectors if there == name else read_part(parts, there)[0]
                vectors[i] = known[origin[rows[i]] - first[0]]
            write_part(parts, name, vectors, _take(source.index, rows), stamp)
    if n_done:
        rate = n_done / (time.monotonic() - started)
        log.info(
            "%s: %s series through %s, %s a second", benchmark, f"{n_done:,}", encoder.name, f"{rate:,.0f}"
        )


def _first_of(digest: np.ndarray) -> np.ndarray:
    """Of every row the first one with the same digest, which is itself where the window is new."""
    _, first, which = np.unique(digest, return_index=True, return_inverse=True)
    return first[which]


def _runs(names: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Stretches of equal names with their rows; a recording's rows lie together."""
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    return [(str(names[rows[0]]), rows) for rows in np.split(np.arange(len(names)), starts[1:])]


def _take(index: SampleIndex, rows: np.ndarray) -> SampleIndex:
    return SampleIndex(*(getattr(index, name)[rows] for name in SampleIndex.__dataclass_fields__))
