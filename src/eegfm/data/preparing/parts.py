"""The parts of a preparation, one for each finished recording: stopping it at any point loses one recording at most.

A part is three files in `<store>.parts/`: the samples, their index, and the facts about them with a stamp, written
last, that says from what the part was made. A part is whole if its stamp is the expected one and the other two files
have the noted sizes. The sizes are needed because the files are not forced to the disk one by one, which would cost
as much as a filter: after a power failure the last may exist without the first.
"""

import errno
import json
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
from eegfm.data.store import SampleIndex
from eegfm.support.files import file_name, write_json
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
    facts = {"stamp": stamp, "sizes": _sizes(parts, name), **facts}
    write_json(_file(parts, name, ".json"), facts, sync=False)  # last, since the stamp makes the part count


def part_facts(parts: Path, name: str) -> dict[str, Any]:
    """The facts of a part; empty if there is no whole part."""
    try:
        facts = json.loads(_file(parts, name, ".json").read_text(encoding="utf-8"))
        return facts if facts["sizes"] == _sizes(parts, name) else {}
    except (OSError, ValueError):
        return {}


def _sizes(parts: Path, name: str) -> list[int]:
    return [_file(parts, name, suffix).stat().st_size for suffix in (".npy", ".npz")]


def part_stamp(parts: Path, name: str) -> dict[str, Any] | None:
    """The stamp that says from what a part was made; None if there is no part."""
    return part_facts(parts, name).get("stamp")


def read_part_index(parts: Path, name: str) -> SampleIndex:
    return SampleIndex.load(_file(parts, name, ".npz"))


def read_part(parts: Path, name: str) -> tuple[np.ndarray, SampleIndex]:
    index = read_part_index(parts, name)
    mapped = "r" if len(index) else None  # an empty array cannot be mapped
    return np.load(_file(parts, name, ".npy"), mmap_mode=mapped, allow_pickle=False), index


def _file(parts: Path, name: str, suffix: str) -> Path:
    return parts / f"{file_name(name)}{suffix}"


@contextmanager
def disk_full_explained(folder: Path, kept: str = "Finished recordings are kept") -> Iterator[None]:
    """Turn errors of a full disk into one sentence; `kept` says what is not lost."""
    try:
        yield
    except (OSError, lmdb.Error) as error:
        if getattr(error, "errno", None) not in DISK_FULL and not any(
            text in str(error) for text in DISK_FULL_TEXTS
        ):
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
