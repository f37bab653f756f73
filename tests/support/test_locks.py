"""Locks: one process at a time, whether the file system has locks or not, and where nothing can be written."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from eegfm.support.locks import locked, only_one

ASK = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""
# A file system without locks cannot be made everywhere: here the kernel's answer is put in the place of the call.
WITHOUT = """
import fcntl, sys
from pathlib import Path
def none(*_):
    raise OSError(int(sys.argv[2]), "no locks here")
fcntl.flock = none
from eegfm.support.locks import locked
"""
HOLD = (
    WITHOUT
    + """
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
)
COUNT = (
    WITHOUT
    + """
path = Path(sys.argv[1]).with_name("count")
for _ in range(25):
    with locked(Path(sys.argv[1])):
        n = int(path.read_text())
        path.write_text("")
        path.write_text(str(n + 1))
"""
)
ERRORS = [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS]


def child(code: str, path: Path, number: int = errno.ENOLCK) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(path), str(number)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def without(monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)


def test_a_lock_is_one_process_s_and_ends_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"

    def another_has_it() -> int:
        return subprocess.run([sys.executable, "-c", ASK, str(path)]).returncode

    with locked(path):
        assert another_has_it() == 3
    assert another_has_it() == 0


def test_another_error_than_that_there_are_no_locks_is_told(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"), locked(tmp_path / "a.lock"):
        pass


# ---- a file system without locks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_without_locks_another_process_is_waited_for_and_named(tmp_path, without, caplog, number):
    path, got = tmp_path / "a.lock", threading.Event()
    holder = child(HOLD, path, number)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"

    def wait() -> None:
        with locked(path, "Another process is at work."):
            got.set()

    thread = threading.Thread(target=wait)
    with caplog.at_level(logging.WARNING):
        thread.start()
        assert not got.wait(1)
        holder.communicate()
        assert got.wait(10)
        thread.join()
    (said,) = [record.message for record in caplog.records]  # once
    assert said.startswith("Another process is at work.") and f"process {holder.pid} of" in said
    assert said.endswith(f"rm {path}.held")
    assert [*tmp_path.iterdir()] == [path]


def test_without_locks_what_a_killed_process_has_left_is_taken_over(tmp_path, without):
    path = tmp_path / "a.lock"
    holder = child(HOLD, path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    assert (tmp_path / "a.lock.held").exists()
    with locked(path):
        assert json.loads((tmp_path / "a.lock.held").read_text())["pid"] == os.getpid()
    assert [*tmp_path.iterdir()] == [path]


def test_without_locks_another_machines_process_is_not_taken_for_dead(tmp_path, without):
    held = tmp_path / "a.lock.held"
    held.write_text(json.dumps({"host": "another", "pid": 2**22 + 1, "began": 1.0}))
    got = threading.Event()

    def wait() -> None:
        with locked(tmp_path / "a.lock"):
            got.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not got.wait(1)
    held.unlink()  # as it is told to
    assert got.wait(10)


def test_without_locks_no_two_processes_are_in_at_once(tmp_path):
    (tmp_path / "count").write_text("0")
    many = [child(COUNT, tmp_path / "a.lock") for _ in range(3)]
    assert [process.wait(60) for process in many] == [0] * 3
    assert (tmp_path / "count").read_text() == "75"


# ---- where nothing can be written ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("there", [False, True])
def test_another_users_folder_is_used_and_its_owner_waited_for(tmp_path, there):
    """A process of user nobody: without the owner's lock it goes on at once, with it when the owner is done."""
    for folder in (*tmp_path.parents, tmp_path):
        if folder.stat().st_uid == 0 and folder.is_relative_to(Path(tmp_path.parents[2])):
            folder.chmod(0o755)
    if there:
        with only_one(tmp_path / "store"):
            pass

    def enter() -> int:
        """A forked process that enters as user nobody, and the pipe on which it says so."""
        told, says = os.pipe()
        if os.fork() == 0:
            try:
                os.setuid(65534)
                with only_one(tmp_path / "store"):
                    os.write(says, b"in")
            finally:
                os._exit(0)
        os.close(says)
        return told

    assert os.read(enter(), 9) == b"in"
    with only_one(tmp_path / "store"):
        told = enter()
        time.sleep(0.5)
        os.set_blocking(told, False)
        with pytest.raises(BlockingIOError):
            os.read(told, 9)
    os.set_blocking(told, True)
    assert os.read(told, 9) == b"in"
