"""The parts of a preparation, one for each finished recording: stopping it at any point loses one recording at most.

A part is three files in `<store>.parts/`: the samples, their index, and the facts about them with a stamp, written
last, that says from what the part was made. A part is whole if its stamp is the expected one, the other two files have
the noted sizes, and their bytes and those of the facts the noted checksums. Sizes are looked at first because the files
are not forced to the disk one by one, which would cost as much as a filter: after a power failure the last may exist
without the first. What has other bytes is told when it is read, and then made anew.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eegfm.contracts import EegfmError
from eegfm.data.checksums import sum_of
from eegfm.data.store import SampleIndex
from eegfm.support.files import file_name, write_json
from eegfm.support.locks import READ_ONLY
from eegfm.support.words import console

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# the same errors as texts of LMDB and NumPy, which give no number; LMDB calls a cut write an I/O error
DISK_FULL_TEXTS = ("No space left", "File too large", "Input/output error", "requested and")


def write_part(
    parts: Path, name: str, samples: np.ndarray, index: SampleIndex, stamp: dict[str, Any], **facts: Any
) -> None:
    """Write a part. `stamp` says from what it was made; `facts` are kept with it."""
    np.save(_file(parts, name, ".npy"), samples)
    index.save(_file(parts, name, ".npz"), sync=False)
    sums = {"samples": sum_of(np.ascontiguousarray(samples)), "index": sum_of(_bytes(parts, name, ".npz"))}
    facts = {"stamp": stamp, "sizes": _sizes(parts, name), "sums": sums, **facts}
    # last, since the stamp makes the part count
    write_json(_file(parts, name, ".json"), {**facts, "sum": _sum_of_facts(facts)}, sync=False)


def part_facts(parts: Path, name: str) -> dict[str, Any]:
    """The facts of a part; empty if there is no whole part."""
    try:
        facts = json.loads(_file(parts, name, ".json").read_text(encoding="utf-8"))
        whole = facts.pop("sum") == _sum_of_facts(facts) and facts["sizes"] == _sizes(parts, name)
        return facts if whole else {}
    except (OSError, LookupError, TypeError, ValueError):
        return {}


def _sum_of_facts(facts: dict[str, Any]) -> int:
    return sum_of(json.dumps(facts, sort_keys=True).encode())


def _sums(parts: Path, name: str) -> dict[str, int]:
    return part_facts(parts, name).get("sums", {})


def _sizes(parts: Path, name: str) -> list[int]:
    return [_file(parts, name, suffix).stat().st_size for suffix in (".npy", ".npz")]


def part_stamp(parts: Path, name: str) -> dict[str, Any] | None:
    """The stamp that says from what a part was made; None if there is no part."""
    return part_facts(parts, name).get("stamp")


def read_part_index(parts: Path, name: str) -> SampleIndex:
    """Raises EegfmError if the part is damaged; it then counts no more."""
    content = _bytes(parts, name, ".npz")
    if sum_of(content) != _sums(parts, name).get("index"):
        raise _damaged(parts, name, ".npz")
    return SampleIndex.of_bytes(content, _file(parts, name, ".npz"))


def read_part(parts: Path, name: str) -> tuple[np.ndarray, SampleIndex]:
    """Raises EegfmError if the part is damaged; it then counts no more."""
    index = read_part_index(parts, name)
    mapped = "r" if len(index) else None  # an empty array cannot be mapped
    try:
        samples = np.load(_file(parts, name, ".npy"), mmap_mode=mapped, allow_pickle=False)
    except ValueError:
        raise _damaged(parts, name, ".npy") from None
    if sum_of(samples) != _sums(parts, name).get("samples"):
        raise _damaged(parts, name, ".npy")
    return samples, index


def _damaged(parts: Path, name: str, suffix: str) -> EegfmError:
    _file(parts, name, ".json").unlink(missing_ok=True)
    return EegfmError(
        f"{_file(parts, name, suffix)} is damaged: it has other bytes than were written. Type the same command again: "
        "the part of that recording is made anew, and the others are kept."
    )


def _bytes(parts: Path, name: str, suffix: str) -> bytes:
    return _file(parts, name, suffix).read_bytes()


def _file(parts: Path, name: str, suffix: str) -> Path:
    return parts / f"{file_name(name)}{suffix}"


@contextmanager
def writing_explained(folder: Path, kept: str = "Finished recordings are kept") -> Iterator[None]:
    """Turn errors of a full disk, or of a cache that may only be read, into one sentence; `kept` says what is not lost.

    `folder` is that of the store.
    """
    try:
        yield
    except (OSError, lmdb.Error) as error:
        number, name = getattr(error, "errno", None), str(getattr(error, "filename", None) or "")
        if number in READ_ONLY and name and (name.startswith(str(folder)) or str(folder).startswith(name)):
            raise EegfmError(
                f"There is no finished store at {folder}, and none can be made: {name} may only be read "
                f"({os.strerror(number)}). Ask its owner to prepare it, or name a cache of your own: "
                "paths.cache=<folder>"
            ) from None
        if number not in DISK_FULL and not any(text in str(error) for text in DISK_FULL_TEXTS):
            raise
        free = shutil.disk_usage(folder.parent).free
        raise EegfmError(
            f"The disk of {folder.parent} is full or failing ({free / 1e6:,.0f} MB free). {kept}: "
            "make room and run the same command again, or move the cache with paths.cache=<folder>."
        ) from error


def bar_of(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        disable=not shown,
        console=console(),
    )
