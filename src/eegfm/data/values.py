"""The values of a store, `samples.mdb`: one LMDB environment that is written once and then only read.

LMDB writes it, and whoever has LMDB can read it. Here the file is mapped, and a batch is copied from the places of its
values (`eegfm.data.pages`), which is faster than asking LMDB for one value after the other. Behind the end of a file
that was cut short a process would die, and a damaged page leads to other values. So the size of the file and the pages
by which LMDB finds its way are held against the store's checksums before it is mapped, and each value when it is read
for the first time.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64

from eegfm.data.checksums import Checksums, damaged, sum_of, unreadable
from eegfm.data.pages import pages_of, places_of, sum_of_pages

FILE = "samples.mdb"
PAGE = 4096  # bytes of an LMDB page on common platforms; only the size estimate depends on it


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_values(
    path: Path, parts: Iterable[np.ndarray], n_rows: int, value_bytes: int, dtype: np.dtype
) -> UInt64[np.ndarray, " row"]:
    """Write the values of all rows, part by part; returns the checksum of each.

    The same parts in the same order give the same bytes, however often the work before was interrupted: each part is
    one transaction, the map size follows from the counts, and pages are zeroed.
    """
    pages = -(-(value_bytes + 16) // PAGE)
    map_size = (n_rows * pages * PAGE + n_rows * 64) * 5 // 4 + 2**22
    sums, row = np.zeros(n_rows, dtype=np.uint64), 0
    environment = lmdb.open(
        str(path), subdir=False, map_size=map_size, lock=False, sync=False, meminit=True
    )
    try:
        for samples in parts:
            with environment.begin(write=True) as transaction:
                for sample in samples:
                    value = np.ascontiguousarray(sample, dtype=dtype).tobytes()
                    sums[row] = sum_of(value)
                    transaction.put(_key(row), value, append=True)
                    row += 1
        assert row == n_rows, (row, n_rows)
        environment.sync(True)
    finally:
        environment.close()
    return sums


def _key(row: int) -> bytes:
    return struct.pack(">Q", row)


def stored_values(path: Path, n_rows: int) -> Iterator[memoryview]:
    """The values of a file that LMDB wrote and of which no more is known. Raises EegfmError where it is cut short."""
    try:
        # lock=False: a finished store is never written again, and lock files fail on many clusters' network disks
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)
    except (lmdb.Error, OSError) as error:
        raise damaged(path, f"LMDB cannot open it ({error})") from None
    with environment:
        lacking = lacking_bytes(environment, path)
        if lacking > 0:
            raise damaged(path, f"it is cut short by {lacking:,} bytes")
        with environment.begin(buffers=True) as transaction:
            for row in range(n_rows):
                value = transaction.get(_key(row))
                if value is None:
                    raise damaged(path, f"it has no row {row}")
                yield value


# ---- checking --------------------------------------------------------------------------------------------------------


def checksums_of(path: Path, values: UInt64[np.ndarray, " row"], *, index: int, recipe: int) -> Checksums:
    """The checksums of a whole store, given those of its values and of its other files."""
    content = _content(path)
    pages, page_bytes = pages_of(content, len(values))
    tree = sum_of_pages(path, pages, page_bytes)
    return Checksums(values, pages, page_bytes, tree, len(content), index, recipe)


def _refuse_damaged(path: Path, sums: Checksums) -> None:
    try:
        size = path.stat().st_size
        if size != sums.size:
            raise damaged(path, f"it has {size:,} bytes, and {sums.size:,} were written")
        tree = sum_of_pages(path, sums.pages, sums.page_bytes)
    except FileNotFoundError:
        raise damaged(path, "it is gone") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if tree != sums.tree:
        raise damaged(path, "the pages by which LMDB finds its values have other bytes than were written")


def lacking_bytes(environment: lmdb.Environment, path: Path) -> int:
    """How many bytes the file of an environment is shorter than LMDB believes; at most 0 if it is whole."""
    pages = environment.info()["last_pgno"] + 1
    return pages * environment.stat()["psize"] - path.stat().st_size


# ---- reading ---------------------------------------------------------------------------------------------------------


class Values:
    """The values of a finished store, of `value_bytes` each, open for reading."""

    def __init__(self, path: Path, sums: Checksums, value_bytes: int) -> None:
        self.path, self.sums, self.value_bytes = path, sums, value_bytes
        self._place = str(path)

    def open(self) -> "_Opened":
        """The mapped file, which all instances of one path and process share, and those that are forked from it.

        A file that has changed since is mapped and checked anew. Raises EegfmError if its size or a page that LMDB goes
        by is another.
        """
        file = _state(self._place)
        known = _OPENED.get(self._place)
        if known is None or known.file != file or known.sum != self.sums.sum:
            _OPENED.pop(self._place, None)
            known = _OPENED[self._place] = self._mapped(file)
        return known

    def read(
        self, rows: Sequence[int] | np.ndarray, *, again: bool = False
    ) -> tuple[UInt8[np.ndarray, "row byte"], list[int]]:
        """The values of some rows, and the rows that have other bytes than were written.

        A value is held against its checksum when it is read for the first time, by this process or one that it has
        forked, or `again`.

        Raises:
            EegfmError: see `open`.
        """
        rows, opened = np.asarray(rows, dtype=np.int64), self.open()
        places = opened.places[rows]
        first = np.ones(len(rows), dtype=bool) if again else opened.unchecked[rows]
        if not first.any():
            return opened.values[places], []
        out, n = np.empty((len(rows), self.value_bytes), dtype=np.uint8), self.value_bytes
        found = self.sums.values[rows]
        content, to = opened.content, out.reshape(-1).data
        for i, (place, check) in enumerate(zip(places.tolist(), first.tolist(), strict=True)):
            value = content[place : place + n]
            if check:  # just before it is copied, so that it comes from memory once
                found[i] = sum_of(value)
            to[i * n : (i + 1) * n] = value
        wrong = rows[found != self.sums.values[rows]].tolist()
        if not wrong:
            opened.unchecked[rows] = False
        return out, wrong

    def _mapped(self, file: tuple[int, ...]) -> "_Opened":
        _refuse_damaged(self.path, self.sums)
        content = _content(self.path)
        try:
            places = places_of(content, self.sums.page_bytes, self.value_bytes)
        except ValueError as error:
            raise damaged(self.path, f"it has {error}") from None
        if len(places) != len(self.sums.values):
            raise damaged(self.path, f"it has {len(places)} values for {len(self.sums.values)} rows")
        n = len(content) - self.value_bytes + 1
        values = np.lib.stride_tricks.as_strided(
            content, (max(0, n), self.value_bytes), (1, 1), writeable=False
        )
        unchecked = np.frombuffer(mmap.mmap(-1, max(1, len(places))), dtype=bool)
        unchecked[:] = True
        return _Opened(content.data, values, places, unchecked, file, self.sums.sum)


@dataclass
class _Opened:
    """A mapped file, where each row's value lies in it, and the rows that were not yet read.

    `values` are the bytes from every place of the file on, without a copy. `unchecked` lies in memory that forked
    processes share, so that the workers of a loader do not check the same values again. `file` is the state of the file
    and `sum` the sum of the checksums that all this belongs to.
    """

    content: memoryview
    values: UInt8[np.ndarray, "place byte"]
    places: Int[np.ndarray, " row"]
    unchecked: Bool[np.ndarray, " row"]
    file: tuple[int, ...]
    sum: int


_OPENED: dict[str, _Opened] = {}


def _state(place: str) -> tuple[int, ...]:
    try:
        stat = os.stat(place)
    except OSError:  # what maps it says so
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _content(path: Path) -> UInt8[np.ndarray, " byte"]:
    """The bytes of a whole file, mapped."""
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, dtype=np.uint8)


def forget(path: Path) -> None:
    """Close the file of a path, which is about to be replaced."""
    _OPENED.pop(str(path), None)
