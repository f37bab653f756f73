"""The pages of an LMDB file: where its values lie, and which pages hold none.

A tree of pages leads from a key to its value. LMDB walks it for every value; here it is walked once, so that a batch is
read in one step. The format is that of LMDB 0.9 (mdb.c), which has not changed since 2012, of a little-endian machine.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Int, UInt8

PIECE = 256  # pages that are read at a time
HEAD = 16  # bytes of a page's head, before the places of its nodes or before its value
HEADER = struct.Struct("<10x H I")  # its flags and, of one that begins a value, the value's pages
BRANCH, VALUE = 0x01, 0x04  # flags of a page of the tree, and of one that begins a value
LOWER = 12  # where in a page's head the end of its nodes' places stands
NODE = (
    8  # bytes of a node before its key: the length of the value in two halves, flags, the length of the key
)
CHILD = struct.Struct("<HHH")  # of a node of a branch: the page it leads to, in three parts
APART = 0x01  # the flag of a node whose value has pages of its own; a small value lies in the node instead
PAGE_BYTES = struct.Struct("<40x I")  # in the first page
META = struct.Struct("<128x Q 8x Q")  # of either of the first two pages: the tree's root, the transaction
NOWHERE = 2**64 - 1  # the root of an empty tree


def pages_of(content: UInt8[np.ndarray, " byte"], n_rows: int) -> tuple[Int[np.ndarray, " page"], int]:
    """The pages of a whole file that hold no value, and the bytes of a page."""
    (page_bytes,) = PAGE_BYTES.unpack_from(content.data)
    found, values, page = [], 0, 0
    while page * page_bytes < len(content):
        flags, n = HEADER.unpack_from(content.data, page * page_bytes)
        values += bool(flags & VALUE)
        if not flags & VALUE:
            found.append(page)
        page += n if flags & VALUE else 1
    assert values in (0, n_rows), (values, n_rows)  # 0: all are small
    return np.array(found, dtype=np.int64), page_bytes


def sum_of_pages(path: Path, pages: Int[np.ndarray, " page"], page_bytes: int) -> int:
    """The XXH3 of some pages of a file, in their order."""
    digest = xxhash.xxh3_64()
    with open(path, "rb", buffering=0) as file:
        for run in np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1):
            for start in range(0, len(run), PIECE):
                piece = run[start : start + PIECE]
                file.seek(int(piece[0]) * page_bytes)
                digest.update(file.read(len(piece) * page_bytes))
    return digest.intdigest()


def places_of(
    content: UInt8[np.ndarray, " byte"], page_bytes: int, value_bytes: int
) -> Int[np.ndarray, " row"]:
    """Where the value of every row begins in a file whose pages are as they were written.

    Raises ValueError if its keys are not 0, 1, 2 ... or a value has another length.
    """
    metas = (META.unpack_from(content.data, page * page_bytes) for page in (0, 1))
    root, _ = max(metas, key=lambda meta: meta[1])  # the later transaction's
    leaves = np.array([] if root == NOWHERE else list(_leaves(content, page_bytes, root)), dtype=np.int64)
    n = (_at(content, leaves + LOWER, "<u2") - HEAD) // 2  # the places of a page's nodes end at `lower`
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    nodes = np.repeat(leaves, n)
    nodes += _at(content, nodes + HEAD + 2 * within, "<u2")
    low, high, flags, key_bytes = (_at(content, nodes + at, "<u2") for at in (0, 2, 4, 6))
    keys = _at(content, nodes + NODE, ">u8")
    if not np.array_equal(keys, np.arange(len(keys))) or (low + (high << 16) != value_bytes).any():
        raise ValueError(f"{len(keys)} values, not all of {value_bytes} bytes or not of the rows in turn")
    places, apart = nodes + NODE + key_bytes, (flags & APART) > 0
    places[apart] = _at(content, places[apart], "<u8") * page_bytes + HEAD
    return places


def _leaves(content: UInt8[np.ndarray, " byte"], page_bytes: int, page: int) -> Iterator[int]:
    """The places of the leaves under a page of the tree, in the order of their keys."""
    start = page * page_bytes
    flags, lower = HEADER.unpack_from(content.data, start)
    if not flags & BRANCH:
        yield start
        return
    pointers = np.frombuffer(content.data, "<u2", ((lower & 0xFFFF) - HEAD) // 2, start + HEAD)
    for node in (start + pointers.astype(np.int64)).tolist():
        low, middle, high = CHILD.unpack_from(content.data, node)
        yield from _leaves(content, page_bytes, low | middle << 16 | high << 32)


def _at(
    content: UInt8[np.ndarray, " byte"], places: Int[np.ndarray, " n"], dtype: str
) -> Int[np.ndarray, " n"]:
    """The numbers of a type that lie at some places of a file."""
    size = np.dtype(dtype).itemsize
    every = np.ndarray(len(content) - size + 1, dtype, content.data, strides=(1,))  # from each place on
    return every[places].astype(np.int64)
