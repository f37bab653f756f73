"""Files that are written whole or not at all, and the locks that let one process at a time do a thing."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def whole(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all: write to the path that this gives, and it gets its name at the end.

    Where the block raises, what was written is removed, and what was there before stays. `sync` forces the content to
    the disk first, for files that have to outlive a power failure.
    """
    # in the same folder, with the same end of its name, which some writers go by; of this process alone
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                sync_to_disk(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    with whole(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write readable JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", sync=sync)


def sync_to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the kernel gives this process the lock of an open file.

    It is a POSIX record lock: NFS carries it from node to node, forked workers do not inherit it, and it is gone with
    its process, or as soon as the process closes the file, wherever else it has it open.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.lockf(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock of the file `path`, which is made for it; say `waiting` where another process has it."""
    with open(path, "w") as file:
        try:  # flock is of this opening of the file, so threads of one process wait for each other as well
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                log.warning("%s", waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time make a folder; the others wait and then find it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, f"Another process is at work on {folder}; waiting for it."):
        yield
