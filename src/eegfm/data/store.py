"""The prepared store: a cache that explains itself.

Each store's recipe (`eegfm.data.recipe`) has a folder, `<cache>/<benchmark>/<fingerprint>/`:

- `samples.mdb`    one LMDB environment; key: the window's row as 8 big-endian bytes; value: its raw little-endian bytes
- `index.npz`      label, subject, session, recording, onset, split and digest of every row, as plain arrays
- `recipe.json`    the manifest: the recipe, the recordings with their hashes, what is missing, counts, versions
- `checksums.npz`  the checksum of every value and of the other files (`eegfm.data.checksums`)

Nothing is pickled, so opening a store runs no code. The fingerprint depends on the recipe alone: with another filter
edge, the folder is another. What a store is made of has a digest of its own, its `content`. A store is written under
another name and renamed at the end, so a folder is complete.
"""

import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt64

from eegfm.contracts import EegfmError
from eegfm.data.checksums import Checksums, damaged, read_whole, sum_of
from eegfm.data.manifest import FILE, Manifest
from eegfm.data.recipe import Recipe
from eegfm.data.values import FILE as VALUES
from eegfm.data.values import Values, checksums_of, forget, stored_values, write_values
from eegfm.support.files import sync_to_disk, write_json
from eegfm.support.words import some

log = logging.getLogger(__name__)

INDEX = "index.npz"


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
        """The index in a file. Raises EegfmError if it is damaged."""
        return cls.of_bytes(read_whole(path), path)

    @classmethod
    def of_bytes(cls, content: bytes, path: Path) -> "SampleIndex":
        """The index that the file at `path` holds. Raises EegfmError if it is damaged."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return cls(*(arrays[f.name] for f in fields(cls)))
        except Exception as error:  # a reader may raise anything on a damaged file
            raise damaged(path, f"it is no index ({type(error).__name__}: {error})") from None


def digests(windows: np.ndarray) -> np.ndarray:
    """64-bit BLAKE2 of every window's bytes."""
    return np.array(
        [_digest(np.ascontiguousarray(window).tobytes()) for window in windows], dtype=np.uint64
    )


def _digest(window: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(window, digest_size=8).digest(), "big")


class SampleStore:
    """A finished store, open for reading. All instances of one path and process share one LMDB environment."""

    def __init__(self, folder: Path) -> None:
        """Raises EegfmError if `index.npz`, `recipe.json` or `checksums.npz` is not as it was written."""
        self.folder, sums = folder, Checksums.read(folder)
        content = read_whole(folder / INDEX)
        if sums is not None:
            for name, is_now, was in (
                (FILE, sum_of(read_whole(folder / FILE)), sums.recipe),
                (INDEX, sum_of(content), sums.index),
            ):
                if is_now != was:
                    raise damaged(folder / name, "it has other bytes than were written")
        self.manifest = Manifest.read(folder)
        self.recipe = self.manifest.recipe
        self.index = self._stored = SampleIndex.of_bytes(content, folder / INDEX)
        self.shape = self.manifest.shape
        self.dtype = np.dtype(self.recipe.facts["dtype"]).newbyteorder("<")
        self.subjects: list[str] = sorted(set(self.index.subject.tolist()))
        value_bytes = self.dtype.itemsize * int(np.prod(self.shape))
        self._values = Values(folder / VALUES, sums or self._late_checksums(), value_bytes)

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
        others = []
        for path in folder.parent.glob(f"*/{FILE}"):
            with suppress(EegfmError, OSError):  # a damaged one is told of when it is asked for
                others.append(Manifest.read(path.parent).recipe)
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
                f"Prepare it with:  eegfm prepare data={recipe.facts['benchmark']}"
                + (f" encoder={encoder}" if encoder else "")
                + (" data.imported=true" if recipe.facts.get("imported") else "")
            )
        raise EegfmError("\n".join(lines))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def nbytes(self) -> int:
        """The bytes of all samples."""
        return len(self) * int(np.prod(self.shape)) * self.dtype.itemsize

    @cached_property
    def content(self) -> str:
        """The content of the store as it lies in the folder, whatever a data module makes of `index`."""
        return self.content_of(self._stored)

    def content_of(self, index: SampleIndex) -> str:
        """What the store, under an index of its rows, is made of: sixteen hexadecimal digits.

        They are of every raw file's name and SHA-256, and of every window's recording, onset, subject, split and label.
        The bytes of windows are not in it, since another machine may make others in the last bits. A simulated corpus
        is known by its protocol, as its files hold the time of writing. Imported windows are known by their bytes,
        which every machine takes over as they are.
        """
        manifest, digest = self.manifest, hashlib.sha256()
        files = [
            [one["recording"], *([file["name"], file["sha256"]] for file in one.get("files", ()))]
            for one in manifest.recordings
        ]
        made_of = manifest.protocol if manifest.simulated else files
        digest.update(json.dumps(made_of).encode())
        for names in (index.recording, index.subject, index.split):
            digest.update("\n".join(names.tolist()).encode("utf-8", "surrogatepass"))
        for numbers in (index.onset_s, index.label, *([index.digest] if manifest.imported else [])):
            digest.update(numbers.tobytes())
        return digest.hexdigest()[:16]

    @property
    def complete(self) -> bool:
        """Whether every recording of the protocol is in it."""
        return self.manifest.complete

    def open_values(self) -> None:
        """Raise EegfmError if the file of the values is damaged. What is forked afterwards checks no value twice."""
        self._values.open()

    def read(
        self, rows: Sequence[int] | np.ndarray, *, damaged_rows: list[int] | None = None
    ) -> np.ndarray:
        """Samples of the given rows, [len(rows), *shape] in the stored type, read in one step.

        Each is held against its checksum when it is read for the first time. With `damaged_rows`, every one is, and
        those with other bytes than were written are put there instead of being refused.

        Raises:
            EegfmError: the file of the values is damaged, or a sample has other bytes than were written.
        """
        values, wrong = self._values.read(rows, again=damaged_rows is not None)
        if damaged_rows is not None:
            damaged_rows += wrong
        elif wrong:
            named = some([self._stored.key(row) for row in dict.fromkeys(wrong)], 3)
            raise damaged(self._values.path, f"other bytes than were written in {named}")
        return values.view(self.dtype).reshape(len(rows), *self.shape)

    def _late_checksums(self) -> Checksums:
        """The checksums of a store of an earlier version, of what it holds now; they are kept if they can be.

        Windows must be those whose digests are in the index. Vectors have no digest there.
        """
        log.warning(
            "%s has no checksums, as an earlier version made it. They are made of what it holds.",
            self.folder,
        )
        windows, sums = "encoder" not in self.recipe.facts, np.zeros(len(self), dtype=np.uint64)
        for row, value in enumerate(stored_values(self.folder / VALUES, len(self))):
            if windows and _digest(value) != self.index.digest[row]:
                raise damaged(
                    self.folder / VALUES, f"other bytes than were written in {self.index.key(row)}"
                )
            sums[row] = sum_of(value)
        found = _checksums(self.folder, sums)
        try:
            found.save(self.folder)
        except OSError as error:  # another person's store
            log.warning(
                "%s cannot be written (%s): next time they are made again.", self.folder, error.strerror
            )
        return found


def write_store(
    folder: Path, manifest: Manifest, parts: Iterable[tuple[np.ndarray, SampleIndex]]
) -> SampleStore:
    """Write a store, and give it its name at the end.

    The same parts in the same order give the same bytes, however often the work before was interrupted.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    replaced = folder.with_name(folder.name + ".replaced")
    for left in (unfinished, replaced):
        shutil.rmtree(left, ignore_errors=True)
    unfinished.mkdir(parents=True)
    dtype = np.dtype(manifest.recipe.facts["dtype"]).newbyteorder("<")
    indices: list[SampleIndex] = []

    def samples() -> Iterator[np.ndarray]:
        for values, index in parts:
            yield values
            indices.append(index)

    try:
        path = unfinished / VALUES
        sums = write_values(
            path, samples(), manifest.windows, int(np.prod(manifest.shape)) * dtype.itemsize, dtype
        )
        SampleIndex.concatenate(indices).save(unfinished / INDEX)
        write_json(unfinished / FILE, manifest.values())
        _checksums(unfinished, sums).save(unfinished)
    except BaseException:  # a damaged part, a full disk, a signal
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    forget(folder / VALUES)
    if folder.exists():  # a partial store that is replaced by a fuller one
        os.rename(folder, replaced)
    os.rename(unfinished, folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return SampleStore(folder)


def _checksums(folder: Path, values: UInt64[np.ndarray, " row"]) -> Checksums:
    """The checksums of a whole store, given those of its values."""
    index, recipe = (sum_of(read_whole(folder / name)) for name in (INDEX, FILE))
    return checksums_of(folder / VALUES, values, index=index, recipe=recipe)
