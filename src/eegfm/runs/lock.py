"""`running.lock`: the lock of the one process that writes a run folder.

It exists while a process writes the folder. The kernel holds it for the process (POSIX record locks, which
NFS carries from node to node and forked loader workers do not inherit), so a killed process loses it. Some
file systems keep such locks on one node, or have none: the file therefore names its owner, and the owner
sets its time every half minute. A lock of another node is stale when SLURM says that its job no longer
runs, or else when its time is more than ten minutes old.
"""

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.runs.slurm import queue, this_job
from eegfm.support.files import readable, refuse_links
from eegfm.support.locks import try_lock

LOCK = "running.lock"
BEAT_S, STALE_S = 30, 600


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made if it is missing. Raises EegfmError if another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(*folder.iterdir(), *(folder / "checkpoints").glob("*"))
    path, me = folder / LOCK, {"host": socket.gethostname(), "pid": os.getpid(), "job": this_job()}
    descriptor = _take(path, me)
    stop = threading.Event()
    threading.Thread(target=_beat, args=(path, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        # unlinked before it is unlocked: a process that opened it meanwhile sees that the name is gone
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
        return not _locked(descriptor, shared=True) or _alive_elsewhere(owner, path, jobs)
    finally:
        os.close(descriptor)


def _take(path: Path, me: Mapping[str, Any]) -> int:
    # try again: a killed process holds it until the kernel is done with it, a reader for an instant
    for _ in range(20):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _locked(descriptor) and _is(descriptor, path):
            owner = _parsed(os.pread(descriptor, 4096, 0))
            alive = owner is not None and _alive_elsewhere(owner, path, queue())
            if alive:
                os.close(descriptor)
                break
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(me).encode(), 0)
            os.fsync(descriptor)
            if not me["job"]:
                return descriptor
            time.sleep(1)  # if nodes do not see each other's locks, the last to write has it
            if _record(path) == me and _locked(descriptor):
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


def _locked(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the kernel gives the lock; also True if the file system has no locks."""
    try:
        return try_lock(descriptor, shared=shared)
    except OSError:
        return True


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


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(OSError):  # the file server may be away for a while
            os.utime(path)
