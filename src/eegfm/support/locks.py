"""Let one process at a time do a work; the others wait for it."""

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eegfm.support.alive import began_at, lives
from eegfm.support.files import refuse_links

try:
    import fcntl
except ImportError:  # Windows: as on a file system without locks
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_LOCKS = (
    errno.ENOLCK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    524,
)  # 524: ENOTSUPP, of the kernel alone
AGAIN_S = 0.2  # between two looks at a file that stands for a lock


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the kernel gives this process the lock of an open file.

    It is a POSIX record lock: NFS carries it from node to node, and forked workers do not inherit it. It
    ends with its process, or as soon as the process closes the file, even if the process has it open
    elsewhere.

    Raises:
        OSError: the file system has no locks, or this system has none of this kind (Windows).
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    try:
        fcntl.lockf(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time make a folder; the others wait and then find it.

    Where nothing can be written, nothing can be made: there the block runs with whatever lock can be had.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
    if not folder.parent.is_dir():
        yield
        return
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, f"Another process is at work on {folder}; waiting for it."):
        yield


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock of the file `path`, which is made for it; log `waiting` if another process holds it.

    In a folder that may only be read, the lock that another person's process made is waited for; if there is none, the
    block runs without. On a file system without locks, a file stands for the lock (see `_standing_for`).
    """
    refuse_links(path)
    descriptor = _opened(path)
    if descriptor is None:
        yield
        return
    try:  # flock belongs to this opening of the file, so threads of one process wait as well
        if fcntl is not None and _flock(descriptor, waiting):
            try:
                yield
            finally:  # closing it would leave the lock to whatever was forked meanwhile
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        elif os.access(path.parent, os.W_OK):
            with _standing_for(path, waiting):
                yield
        else:
            yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def _flock(descriptor: int, waiting: str) -> bool:
    """Wait for the lock of an open file. False if its file system has none."""
    assert fcntl is not None
    how = fcntl.LOCK_EX
    for also in (fcntl.LOCK_NB, 0):
        try:
            fcntl.flock(descriptor, how | also)
            return True
        except BlockingIOError:
            if waiting:
                log.warning("%s", waiting)
        except OSError as error:
            if error.errno not in (*NO_LOCKS, errno.EBADF):  # EBADF: of a file opened to be read, on NFS
                raise
            return False
    raise AssertionError("unreachable: the second call waits")


# ---- without locks ---------------------------------------------------------------------------------------------------


@contextmanager
def _standing_for(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock by a file beside `path` that only one process can make and that says which, by host and number.

    What a killed process of this machine has left is taken over. Of another machine's process nobody here can tell
    whether it lives: it is waited for, and the log says what to delete where it is certainly gone.
    """
    held = path.with_name(path.name + ".held")
    me = {"host": socket.gethostname(), "pid": os.getpid(), "began": began_at(os.getpid())}
    said = False
    while not _made(held, me):
        owner = _owner(held)
        if _gone(owner):
            _take_away(held, owner)
            continue
        if not said:
            log.warning(
                "%s %s has no locks, and %s is held by process %s of %s; where that is certainly gone: rm %s",
                waiting or "Waiting.",
                path.parent,
                held.name,
                owner.get("pid", "unknown"),
                owner.get("host", "unknown"),
                held,
            )
            said = True
        time.sleep(AGAIN_S)
    try:
        yield
    finally:
        held.unlink(missing_ok=True)


def _made(path: Path, content: Mapping[str, Any]) -> bool:
    """Whether this process has made a file, which was not there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with open(descriptor, "w") as file:
        json.dump(content, file)
    return True


def _owner(held: Path) -> dict[str, Any]:
    try:
        found = json.loads(held.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):  # gone by now, or not yet written
        return {}


def _gone(owner: Mapping[str, Any]) -> bool:
    """Whether the process that holds a lock was one of this machine and is no more."""
    return owner.get("host") == socket.gethostname() and not lives(
        owner.get("pid", 0), owner.get("began", 0)
    )


def _take_away(held: Path, owner: Mapping[str, Any]) -> None:
    """Remove what a process that is gone has left, unless another has done so and holds the lock."""
    taking = held.with_name(held.name + ".taking")
    if not _made(taking, {}):  # another is at it: only one may look and remove
        time.sleep(AGAIN_S)
        return
    try:
        if _owner(held) == owner:
            held.unlink(missing_ok=True)
    finally:
        taking.unlink(missing_ok=True)
