"""Store -> frozen encoder -> store of vectors."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eegfm.contracts import EegfmError, Encodes
from eegfm.data.parts import bar_of, disk_full_explained, only_one, part_stamp, read_part, write_part
from eegfm.data.store import Recipe, SampleIndex, SampleStore, plain, write_store


def embed(source: SampleStore, encoder: Encodes, cache: Path, *, progress: bool = True) -> SampleStore:
    """The store of an encoder's vectors, [channel, second, width] in float16, made where it is not in the cache yet.

    Every (channel, second) is embedded alone, in the order window, channel, second; rows and index are those of the
    source store. Resumable by recording, like `prepare`.
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
            with bar_of(progress) as bar:
                task = bar.add_task(
                    f"Embedding {recipe.facts['benchmark']} with {encoder.name}",
                    total=len(recordings),
                    unit="recordings",
                )
                for name, rows in recordings:
                    if part_stamp(parts, name) != stamp:
                        windows = torch.from_numpy(source.read(rows).astype(np.float32, copy=False))
                        series = windows.reshape(len(rows) * channels * shape[1], per_second)
                        vectors = encoder.encode(series).reshape(len(rows), *shape)
                        write_part(
                            parts,
                            name,
                            vectors.cpu().numpy().astype("<f2"),
                            _take(source.index, rows),
                            stamp,
                        )
                    bar.advance(task)
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


def _runs(names: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Stretches of equal names with their rows; a recording's rows lie together."""
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    return [(str(names[rows[0]]), rows) for rows in np.split(np.arange(len(names)), starts[1:])]


def _take(index: SampleIndex, rows: np.ndarray) -> SampleIndex:
    return SampleIndex(*(getattr(index, name)[rows] for name in SampleIndex.__dataclass_fields__))
