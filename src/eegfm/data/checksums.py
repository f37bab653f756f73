"""The checksums of a store, `checksums.npz`: whatever changes in its files is told before it is used.

They are XXH3 (64 bits), at the speed of memory: they find what a disk, a copy or a killed process has changed, not what
somebody has forged. The file itself is a zip archive, whose members have a CRC-32.
"""

import io
import os
import shlex
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from jaxtyping import Int, UInt64

from eegfm.contracts import EegfmError
from eegfm.support.files import sync_to_disk, whole

FILE = "checksums.npz"


@dataclass(frozen=True, eq=False)
class Checksums:
    """What the files of a store held when they were written.

    `values` has the sum of every row's value. `pages` are the numbers of those pages of `samples.mdb`, of `page_bytes`
    each, that hold no value: by them LMDB finds its way. `tree` is the sum of them all, `size` the length of the file.
    `index` and `recipe` are the sums of `index.npz` and `recipe.json`.
    """

    values: UInt64[np.ndarray, " row"]
    pages: Int[np.ndarray, " page"]
    page_bytes: int
    tree: int
    size: int
    index: int
    recipe: int

    @cached_property
    def sum(self) -> int:
        """The sum of the sums of values: two stores with the same one hold the same values."""
        return sum_of(self.values)

    def save(self, folder: Path) -> None:
        arrays = {
            one.name: np.asarray(getattr(self, one.name), dtype=_DTYPES.get(one.name, np.uint64))
            for one in fields(self)
        }
        with whole(folder / FILE) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
            sync_to_disk(file)

    @classmethod
    def read(cls, folder: Path) -> "Checksums | None":
        """The checksums in a store's folder; None where there are none. Raises EegfmError if they are damaged."""
        path = folder / FILE
        if not path.exists():
            return None
        content = read_whole(path)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found = {one.name: arrays[one.name] for one in fields(cls)}
            arrays = {name: found.pop(name) for name in ("values", "pages")}
            numbers: dict[str, Any] = {name: int(one) for name, one in found.items()}
            return cls(**arrays, **numbers)
        except Exception as error:  # a reader may raise anything on a damaged file
            raise damaged(path, f"it cannot be read ({type(error).__name__}: {error})") from None


_DTYPES = {"pages": np.int64}


def sum_of(data: Any) -> int:
    """The XXH3 of some bytes, or of an array's."""
    return xxhash.xxh3_64_intdigest(data)


def read_whole(path: Path) -> bytes:
    """The content of a small file of a store. Raises EegfmError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise damaged(path, "it is gone") from None
    except OSError as error:
        raise unreadable(path, error) from None


REMEDY = "To make the store anew:"


def damaged(path: Path, what: str) -> EegfmError:
    """The error that a file of a store is not as it was written, with what to type."""
    return EegfmError(
        f"{path} is damaged: {what}. {REMEDY} rm -r {shlex.quote(str(path.parent))}  and the same command again (if "
        "it was imported: eegfm convert)."
    )


def without_remedy(error: EegfmError) -> str:
    """What the error of a damaged file says, for whoever knows better what to type."""
    return str(error).partition(f". {REMEDY}")[0]


def unreadable(path: Path, error: OSError) -> EegfmError:
    """The error that this process may not read a file of a store."""
    return EegfmError(
        f"{path} cannot be read ({os.strerror(error.errno or 0)}). Ask its owner for the right to read it, or name "
        "another cache: paths.cache=<folder>"
    )
