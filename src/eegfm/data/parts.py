"""Finished pieces of a preparation, one a recording, so that stopping it at any point loses one recording at most.

A part is three files in `<store>.parts/`: the samples, their index, and a stamp that is written last and says from what
the part was made. A part counts as there when its stamp is the expected one.
"""

import errno
import fcntl
import json
import logging
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
from eegfm.data.store import SampleIndex, write_json

log = logging.getLogger(__name__)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# how LMDB and NumPy say it, without a number; LMDB calls a write that was cut short an I/O error
SAID = ("No space left", "File too large", "Input/output error", "requested and")


def write_part(
    parts: Path, name: str, samples: np.ndarray, index: SampleIndex, stamp: dict[str, Any], **facts: Any
) -> None:
    """Write a part; `stamp` says from what it was made, `facts` are kept beside it."""
    with open(parts / f"{name}.npy", "wb") as file:
        np.save(file, samples)
        file.flush()
        os.fsync(file.fileno())
    index.save(parts / f"{name}.npz")
    write_json(parts / f"{name}.json", {"stamp": stamp, **facts})  # last: a part is there when its stamp is


def part_facts(parts: Path, name: str) -> dict[str, Any]:
    """What was written beside a part; empty where there is none."""
    path = parts / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def part_stamp(parts: Path, name: str) -> dict[str, Any] | None:
    """From what a part was made, or None where there is none."""
    return part_facts(parts, name).get("stamp")


def read_part(parts: Path, name: str) -> tuple[np.ndarray, SampleIndex]:
    index = SampleIndex.load(parts / f"{name}.npz")
    mapped = "r" if len(index) else None  # nothing cannot be mapped
    return np.load(parts / f"{name}.npy", mmap_mode=mapped, allow_pickle=False), index


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time make a store; the others wait and then find it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("Another process is preparing %s; waiting for it.", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_full_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, lmdb.Error) as error:
        if getattr(error, "errno", None) not in DISK_FULL and not any(text in str(error) for text in SAID):
            raise
        free = shutil.disk_usage(folder.parent).free
        raise EegfmError(
            f"The disk of {folder.parent} is full or failing ({free / 1e6:,.0f} MB free). Finished recordings are "
            "kept: make room and run the same command again, or move the cache with paths.cache=<folder>."
        ) from error


def bar_of(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        disable=not shown,
    )
