"""The values of a store, `samples.mdb`: one LMDB environment that is written once and then only read.

LMDB maps its file and trusts it: behind the end of a file that was cut short the process dies, and a damaged page leads
to other values. So the size of the file and the pages by which LMDB finds its way are held against the store's
checksums before it is opened, and each value when it is read for the first time.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import xxhash
from jaxtyping import Bool, Int, UInt64

from eegfm.data.checksums import Checksums, damaged, sum_of, unreadable

FILE = "samples.mdb"
PAGE = 4096  # bytes of an LMDB page on common platforms; only the size estimate depends on it
PIECE = 256  # pages that are read at a time
HEADER = struct.Struct(
    "<10x H I"
)  # of an LMDB page: its flags and, of one that begins a value, the value's pages
VALUE = (
    0x04  # the flag of a page that begins a value (P_OVERFLOW); a small value lies among the others instead
)


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


def pages_of(path: Path, n_rows: int) -> tuple[Int[np.ndarray, " page"], int]:
    """The pages of a whole file that hold no value, and the bytes of a page."""
    forget(path)
    environment = _opened(path)
    page_bytes = environment.stat()["psize"]
    environment.close()
    content = np.memmap(path, np.uint8, "r").data
    found, values, page = [], 0, 0
    while page * page_bytes < len(content):
        flags, n = HEADER.unpack_from(content, page * page_bytes)
        values += bool(flags & VALUE)
        if not flags & VALUE:
            found.append(page)
        page += n if flags & VALUE else 1
    assert values in (0, n_rows), (values, n_rows)  # 0: all are small
    return np.array(found, dtype=np.int64), page_bytes


def _key(row: int) -> bytes:
    return struct.pack(">Q", row)


def stored_values(path: Path, n_rows: int) -> Iterator[memoryview]:
    """The values of a file that LMDB wrote and of which no more is known. Raises EegfmError where it is cut short."""
    forget(path)
    try:
        environment = _opened(path)
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


def sum_of_pages(path: Path, pages: Int[np.ndarray, " page"], page_bytes: int) -> int:
    """The XXH3 of some pages of a file, in their order."""
    digest = xxhash.xxh3_64()
    with open(path, "rb", buffering=0) as file:
        for run in np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1):
            for start in range(0, len(run), PIECE):
                piece = run[start : start + PIECE]
                digest.update(os.pread(file.fileno(), len(piece) * page_bytes, int(piece[0]) * page_bytes))
    return digest.intdigest()


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
    """The values of a finished store, open for reading."""

    def __init__(self, path: Path, sums: Checksums) -> None:
        self.path, self.sums = path, sums

    def open(self) -> "_Opened":
        """The open environment. Raises EegfmError if the size of the file or a page that LMDB goes by is another."""
        return _open(self.path, self.sums)

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray, *, again: bool = False) -> list[int]:
        """Read the values of some rows into `out`, [len(rows), n] in the stored type, in one transaction.

        A value is held against its checksum when it is read for the first time, by this process or one that it has
        forked, or `again`. Returns the rows that have other bytes than were written.

        Raises:
            EegfmError: see `open`.
        """
        rows, opened = np.asarray(rows), self.open()
        unchecked = opened.unchecked
        todo = np.ones(len(rows), dtype=bool) if again else unchecked[rows]
        sums = self.sums.values[rows].tolist() if todo.any() else []
        wrong = []
        with opened.environment.begin(buffers=True) as transaction:
            for i, (row, first) in enumerate(zip(rows.tolist(), todo.tolist(), strict=True)):
                value = transaction.get(_key(row))
                assert value is not None, f"{self.path} has no row {row}"
                if first and sum_of(value) != sums[i]:
                    wrong.append(row)
                out[i] = np.frombuffer(value, dtype=out.dtype)
        if sums and not wrong:
            unchecked[rows] = False
        return wrong


@dataclass
class _Opened:
    """An environment, the process and the state of the file that it belongs to, and the rows that were not yet read.

    LMDB allows one for each file and process, and none survives a fork. `unchecked` lies in memory that forked
    processes share, so that the workers of a loader do not check the same values again.
    """

    environment: lmdb.Environment
    process: int
    file: tuple[int, ...]
    unchecked: Bool[np.ndarray, " row"]


_OPENED: dict[str, _Opened] = {}


def _open(path: Path, sums: Checksums) -> _Opened:
    place, process = os.path.realpath(path), os.getpid()
    file = _state(place)
    known = _OPENED.get(place)
    if known is not None and (known.process, known.file) == (process, file):
        return known
    if known is not None:
        known.environment.close()  # the copy that a forked child inherited, or of a file that has changed
        del _OPENED[place]
    _refuse_damaged(path, sums)
    if known is not None and known.file == file:
        unchecked = known.unchecked
    else:
        unchecked = np.frombuffer(mmap.mmap(-1, max(1, len(sums.values))), dtype=bool)
        unchecked[:] = True
    _OPENED[place] = _Opened(_opened(Path(place)), process, file, unchecked)
    return _OPENED[place]


def _state(place: str) -> tuple[int, ...]:
    try:
        stat = os.stat(place)
    except OSError:  # what opens it says so
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _opened(path: Path) -> lmdb.Environment:
    # lock=False: a finished store is never written again, and lock files fail on many clusters' network disks
    return lmdb.open(
        str(path), subdir=False, readonly=True, lock=False, readahead=False, meminit=False, max_readers=1024
    )


def forget(path: Path) -> None:
    """Close the environment of a path whose file is about to be replaced, or opened otherwise."""
    known = _OPENED.pop(os.path.realpath(path), None)
    if known is not None:
        known.environment.close()
