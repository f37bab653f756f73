"""The prepared store: a cache that explains itself.

Each store's recipe (`eegfm.data.recipe`) has a folder, `<cache>/<benchmark>/<fingerprint>/`:

- `samples.mdb`  one LMDB environment; key: the window's row as 8 big-endian bytes; value: its raw little-endian bytes
- `index.npz`    label, subject, session, recording, onset, split and digest of every row, as plain arrays
- `recipe.json`  the manifest: the recipe, the recordings with their hashes, what is missing, counts, versions

Nothing is pickled, so opening a store runs no code. The fingerprint depends on the recipe alone: with another filter
edge, the folder is another. A store is written under another name and renamed at the end, so a folder is complete.
"""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import lmdb
import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import EegfmError
from eegfm.data.manifest import FILE, Manifest
from eegfm.data.recipe import Recipe
from eegfm.support.files import sync_to_disk, write_json

PAGE = 4096  # bytes of an LMDB page on common platforms; only the size estimate depends on it


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """The facts about every row, as arrays of equal length.

    `digest` is a 64-bit BLAKE2 hash of the raw window, to find equal windows without reading them. In a store of an
    encoder's vectors it is still the hash of the raw window.
    """

    label: Int[np.ndarray, " row"]
    subject: np.ndarray
    session: np.ndarray
    recording: np.ndarray
    onset_s: Float[np.ndarray, " row"]
    split: np.ndarray
    digest: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, split: str) -> Int[np.ndarray, " row"]:
        """Rows of a split, in stored order."""
        return np.flatnonzero(self.split == split)

    def key(self, row: int) -> str:
        """The window's name, such as "Subject05_2/35s"; it is the same in every store of the benchmark."""
        onset = f"{self.onset_s[row]:.4f}".rstrip("0").rstrip(".")
        return f"{self.recording[row]}/{onset}s"

    @property
    def content(self) -> str:
        """Sixteen hexadecimal digits of a digest of every window's name, subject, split, label and bytes."""
        digest = hashlib.sha256()
        for names in (self.recording, self.subject, self.split):
            digest.update("\n".join(names.tolist()).encode("utf-8", "surrogatepass"))
        for numbers in (self.onset_s, self.label, self.digest):
            digest.update(numbers.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def concatenate(cls, parts: Sequence["SampleIndex"]) -> "SampleIndex":
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def save(self, path: Path, *, sync: bool = True) -> None:
        with open(path, "wb") as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})
            if sync:
                sync_to_disk(file)

    @classmethod
    def load(cls, path: Path) -> "SampleIndex":
        with np.load(path, allow_pickle=False) as arrays:
            return cls(*(arrays[f.name] for f in fields(cls)))


def digests(windows: np.ndarray) -> np.ndarray:
    """64-bit BLAKE2 of every window's bytes."""
    hashes = [hashlib.blake2b(np.ascontiguousarray(w).tobytes(), digest_size=8).digest() for w in windows]
    return np.array([int.from_bytes(h, "big") for h in hashes], dtype=np.uint64)


class SampleStore:
    """A finished store, open for reading. All instances of one path and process share one LMDB environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self.recipe = self.manifest.recipe
        self.index = self._stored = SampleIndex.load(folder / "index.npz")
        self.shape = self.manifest.shape
        self.dtype = np.dtype(self.recipe.facts["dtype"]).newbyteorder("<")
        self.subjects: list[str] = sorted(set(self.index.subject.tolist()))

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a store lies in this folder: one that does is whole."""
        return (folder / FILE).is_file()

    @classmethod
    def open(cls, cache: Path, recipe: Recipe) -> "SampleStore":
        """The store of a recipe; if there is none, the error says how the nearest one differs."""
        folder = cache / recipe.folder
        if cls.is_at(folder):
            return cls(folder)
        lines = [f"No prepared store for {recipe.facts['benchmark']} at {folder}."]
        others = [
            Recipe(json.loads(path.read_text(encoding="utf-8"))["recipe"])
            for path in folder.parent.glob(f"*/{FILE}")
        ]
        encoder = recipe.facts.get("encoder", {}).get("name")
        alike = [other for other in others if other.facts.get("encoder", {}).get("name") == encoder]
        if alike:
            nearest = min(alike, key=lambda other: len(recipe.diff(other)))
            lines.append(
                f"The nearest one ({nearest.fingerprint}) differs: {'; '.join(recipe.diff(nearest))}."
            )
        if recipe.facts.get("imported") and not encoder:
            lines.append(
                f"Import it with:  eegfm convert data={recipe.facts['benchmark']} lmdb=<the reference's LMDB>"
            )
        else:
            lines.append(
                f"Prepare it with:  python -m eegfm.prepare data={recipe.facts['benchmark']}"
                + (f" encoder={encoder}" if encoder else "")
                + (" data.imported=true" if recipe.facts.get("imported") else "")
            )
        raise EegfmError("\n".join(lines))

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def content(self) -> str:
        """The content of the index as it lies in the folder, whatever a data module makes of `index`."""
        return self._stored.content

    @property
    def complete(self) -> bool:
        """Whether every recording of the protocol is in it."""
        return self.manifest.complete

    @property
    def lacks_bytes(self) -> int:
        """How many bytes `samples.mdb` is shorter than LMDB believes; at most 0 if the file is whole."""
        path = self.folder / "samples.mdb"
        return lacking_bytes(_environment(path), path)

    def read(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of the given rows, [len(rows), *shape] in the stored type, read in one transaction."""
        out = np.empty((len(rows), *self.shape), dtype=self.dtype)
        flat = out.reshape(len(rows), -1)
        with _environment(self.folder / "samples.mdb").begin(buffers=True) as transaction:
            for i, row in enumerate(rows):
                value = transaction.get(_key(int(row)))
                assert value is not None, f"{self.folder} has no row {row}"
                flat[i] = np.frombuffer(value, dtype=self.dtype)
        return out


def lacking_bytes(environment: lmdb.Environment, path: Path) -> int:
    """How many bytes the file of an environment is shorter than LMDB believes; at most 0 if it is whole."""
    pages = environment.info()["last_pgno"] + 1
    return pages * environment.stat()["psize"] - path.stat().st_size


_ENVIRONMENTS: dict[str, tuple[int, lmdb.Environment]] = {}


def _environment(path: Path) -> lmdb.Environment:
    """The read-only environment of a path. LMDB allows one for each path and process, and none survives a fork."""
    place, process = os.path.realpath(path), os.getpid()
    owner, environment = _ENVIRONMENTS.get(place, (None, None))
    if environment is not None and owner != process:
        environment.close()  # the copy that a forked child inherited
    if environment is None or owner != process:
        # lock=False: a finished store is never written again, and lock files fail on many clusters' network disks
        environment = lmdb.open(
            place, subdir=False, readonly=True, lock=False, readahead=False, meminit=False, max_readers=1024
        )
        _ENVIRONMENTS[place] = (process, environment)
    return environment


def _forget(path: Path) -> None:
    """Close the environment of a path whose file is about to be replaced."""
    owner, environment = _ENVIRONMENTS.pop(os.path.realpath(path), (None, None))
    if environment is not None and owner == os.getpid():
        environment.close()


def _key(row: int) -> bytes:
    return struct.pack(">Q", row)


def write_store(
    folder: Path, manifest: Manifest, parts: Iterable[tuple[np.ndarray, SampleIndex]]
) -> SampleStore:
    """Write a store, and give it its name at the end.

    The same parts in the same order give the same bytes, however often the work before was interrupted: each part is
    one transaction, the map size follows from the counts, and pages are zeroed.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    dtype, n_rows = np.dtype(manifest.recipe.facts["dtype"]).newbyteorder("<"), manifest.windows
    value_bytes = int(np.prod(manifest.shape)) * dtype.itemsize
    pages = -(-(value_bytes + 16) // PAGE)
    map_size = (n_rows * pages * PAGE + n_rows * 64) * 5 // 4 + 2**22
    indices: list[SampleIndex] = []
    environment = lmdb.open(
        str(unfinished / "samples.mdb"),
        subdir=False,
        map_size=map_size,
        lock=False,
        sync=False,
        meminit=True,
    )
    try:
        row = 0
        for samples, index in parts:
            with environment.begin(write=True) as transaction:
                for sample in samples:
                    transaction.put(
                        _key(row), np.ascontiguousarray(sample, dtype=dtype).tobytes(), append=True
                    )
                    row += 1
            indices.append(index)
        assert row == n_rows, (row, n_rows)
        environment.sync(True)
    finally:
        environment.close()
    SampleIndex.concatenate(indices).save(unfinished / "index.npz")
    write_json(unfinished / FILE, manifest.values())
    if folder.exists():  # a partial store that is replaced by a fuller one
        shutil.rmtree(folder)
    _forget(folder / "samples.mdb")
    os.rename(unfinished, folder)
    return SampleStore(folder)
