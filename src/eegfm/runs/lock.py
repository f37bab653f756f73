"""`running.lock`: the lock of the one process that writes a run folder.

It exists while a process writes the folder. The kernel holds it for the process (POSIX record locks, which
NFS carries from node to node and forked loader workers do not inherit), so a killed process loses it. Some
file systems keep such locks on one node, or have none: the file therefore names its owner, and the owner
sets its time every half minute. A lock of another node is stale when SLURM says that its job no longer
runs, or else when its time is more than ten minutes old; where there are no locks at all (Windows as well), a
lock of this node is stale when its process is gone.
"""

import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.runs.slurm import queue, this_job
from eegfm.support.alive import began_at, lives
from eegfm.support.files import readable, refuse_links
from eegfm.support.locks import try_lock

LOCK = "running.lock"
BEAT_S, STALE_S = 30, 600


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made if it is missing. Raises EegfmError if another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(*folder.iterdir(), *(folder / "checkpoints").glob("*"))
    path, pid = folder / LOCK, os.getpid()
    me = {"host": socket.gethostname(), "pid": pid, "job": this_job(), "began": began_at(pid)}
    descriptor = _take(path, me)
    stop = threading.Event()
    threading.Thread(target=_beat, args=(path, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        if sys.platform == "win32":  # where no open file can be unlinked
            os.close(descriptor)
            path.unlink(missing_ok=True)
        else:  # unlinked before it is unlocked: a process that opened it meanwhile sees that the name is gone
            path.unlink(missing_ok=True)
            os.close(descriptor)


def works(folder: Path, jobs: Mapping[str, str] | None) -> bool:
    """Whether a process is at work on a run folder."""
    path = folder / LOCK
    owner = _record(path)
    if owner is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        given = _locked(descriptor, shared=True)
        return (
            given is False or _alive_elsewhere(owner, path, jobs) or (given is None and _alive_here(owner))
        )
    finally:
        os.close(descriptor)


def _take(path: Path, me: Mapping[str, Any]) -> int:
    # try again: a killed process holds it until the kernel is done with it, a reader for an instant
    for _ in range(20):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        given = _locked(descriptor)
        if given is not False and _is(descriptor, path):
            os.lseek(descriptor, 0, os.SEEK_SET)
            owner = _parsed(os.read(descriptor, 4096))
            if owner is not None and (
                _alive_elsewhere(owner, path, queue()) or (given is None and _alive_here(owner))
            ):
                os.close(descriptor)
                break
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(me).encode())
            os.fsync(descriptor)
            if given and not me["job"]:
                return descriptor
            time.sleep(
                1
            )  # if nodes do not see each other's locks, or there are none, the last to write has it
            if _record(path) == me and _locked(descriptor) is not False:
                return descriptor
        os.close(descriptor)
        time.sleep(0.1)
    owner = _record(path) or {}
    raise EegfmError(
        f"Another process is at work on {path.parent} (host {owner.get('host', 'unknown')}, process "
        f"{owner.get('pid', 'unknown')}{', job ' + owner['job'] if owner.get('job') else ''}). Leave it to that one; "
        f"where it is certainly gone: rm {path}"
    )


def _is(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _locked(descriptor: int, *, shared: bool = False) -> bool | None:
    """Whether the kernel gives the lock; None if there are no locks."""
    try:
        return try_lock(descriptor, shared=shared)
    except OSError:
        return None


def _record(path: Path) -> dict[str, Any] | None:
    """The owner of the lock. An owner that reads it must lock again: closing the file unlocks it."""
    try:
        return _parsed(readable(path).read_bytes())
    except OSError:
        return None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
        return found if {"host", "pid", "job"} <= found.keys() else None
    except (ValueError, AttributeError):  # empty, or cut short: its process died over it
        return None


def _alive_elsewhere(owner: Mapping[str, Any], path: Path, jobs: Mapping[str, str] | None) -> bool:
    """Whether the owner of a lock that the kernel would give us still works, on a node it does not see."""
    if owner["host"] == socket.gethostname() or (owner["job"] and owner["job"] == this_job()):
        return False  # the second: this job was sent off again
    if owner["job"] and jobs is not None:
        return jobs.get(owner["job"]) in ("RUNNING", "COMPLETING")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent) as probe:  # by the clock of the file server
            return os.stat(probe.name).st_mtime - path.stat().st_mtime < STALE_S
    except OSError:
        return path.exists() and time.time() - path.stat().st_mtime < STALE_S


def _alive_here(owner: Mapping[str, Any]) -> bool:
    """Whether the owner of a lock is another process of this machine that still works."""
    if owner["host"] != socket.gethostname() or owner["pid"] == os.getpid():
        return False
    return lives(owner["pid"], owner.get("began", 0))


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(OSError):  # the file server may be away for a while
            os.utime(path)
