"""One process writes a run folder, and whatever becomes of it, the folder says so: real processes, really killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eegfm.commands.sweep import expected_end
from eegfm.contracts import EegfmError
from eegfm.runs.lock import LOCK, STALE_S
from eegfm.runs.status import Status, at_work, look, progress, read_status, write_status
from eegfm.support.alive import began_at, lives

WORKER = """
import sys, time
from pathlib import Path
from eegfm.runs.status import at_work
with at_work(Path(sys.argv[1])):
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process at work on the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_a_run_says_that_it_works_and_how_it_ended(tmp_path):
    with at_work(tmp_path):
        running = read_status(tmp_path)
        assert running.state == "running" and running.pid == os.getpid() and running.starts == 1
        progress(tmp_path, 5, 20, 2.5)
    done = look(tmp_path)
    assert (done.state, done.step, done.steps) == ("done", 5, 20)
    for error, state, reason in (
        (EegfmError("No such folder: type another."), "failed", "No such folder: type another."),
        (KeyError("x"), "failed", "KeyError: 'x' (test_status.py:"),
        (SystemExit(143, "SIGTERM at step 7"), "preempted", "SIGTERM at step 7"),
        (KeyboardInterrupt(), "preempted", "stopped (KeyboardInterrupt)"),
    ):
        with pytest.raises(type(error)), at_work(tmp_path):
            raise error
        found = look(tmp_path)
        assert found.state == state and found.reason.startswith(reason)
    assert found.starts == 5 and not (tmp_path / LOCK).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_one_process_at_a_time_and_at_once_when_it_was_killed(tmp_path, other):
    assert look(tmp_path).state == "running"
    before = read_status(tmp_path)
    with pytest.raises(EegfmError, match=rf"process {other.pid}.*rm .*{LOCK}"), at_work(tmp_path):
        raise AssertionError("two at once")
    assert read_status(tmp_path) == before  # what was refused has not said so in the other's place
    other.send_signal(signal.SIGKILL)
    other.wait()
    lost = look(tmp_path)
    assert lost.state == "lost" and f"process {other.pid}" in lost.reason
    with at_work(tmp_path):
        assert read_status(tmp_path).starts == 2


def of_another_node(folder: Path, job: str = "") -> None:
    (folder / LOCK).write_text(json.dumps({"host": "another", "pid": 1, "job": job}), encoding="utf-8")
    write_status(folder, Status(state="running", host="another", pid=1, job=job))


def test_a_lock_of_another_node_is_stale_after_ten_minutes_without_a_sign(tmp_path):
    """If locks do not reach from node to node, the kernel would give us the lock at any time."""
    of_another_node(tmp_path)
    assert look(tmp_path).state == "running"
    with pytest.raises(EegfmError, match="host another"), at_work(tmp_path):
        raise AssertionError("two at once")
    os.utime(tmp_path / LOCK, (time.time() - STALE_S - 60,) * 2)
    assert look(tmp_path).state == "lost"
    with at_work(tmp_path):
        pass


def test_a_lock_of_a_job_is_as_good_as_the_job(tmp_path, monkeypatch):
    of_another_node(tmp_path, "7_3")
    assert look(tmp_path, {"7_3": "RUNNING"}).state == "running"
    assert look(tmp_path, {"7_3": "PENDING"}).state == "preempted"
    assert look(tmp_path, {}).state == "lost"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with at_work(tmp_path):  # the same job, on another node
        assert read_status(tmp_path).job == "7_3"


def test_a_lock_that_was_cut_short_holds_nobody_up(tmp_path):
    (tmp_path / LOCK).write_text('{"host": "ano')
    with at_work(tmp_path):
        pass


RACER = """
import sys
from pathlib import Path
from eegfm.contracts import EegfmError
from eegfm.runs.status import at_work
folder, mine = Path(sys.argv[1]), 0
while mine < 4:
    try:
        with at_work(folder):
            (folder / "inside").touch(exist_ok=False)
            (folder / "inside").unlink()
            mine += 1
    except EegfmError:
        pass
"""


def test_of_several_that_race_for_a_folder_there_is_never_more_than_one_inside(tmp_path):
    racers = [subprocess.Popen([sys.executable, "-c", RACER, tmp_path]) for _ in range(3)]
    assert [racer.wait(timeout=120) for racer in racers] == [0, 0, 0]
    assert read_status(tmp_path).starts == 12


def test_a_queued_run_whose_job_or_process_is_gone_has_failed(tmp_path):
    write_status(tmp_path, Status(state="queued", job="12_0"))
    assert look(tmp_path, {"12_0": "PENDING"}).state == "queued"
    assert look(tmp_path, None).state == "queued"  # nobody to ask
    assert look(tmp_path, {}).state == "failed" and "12_0" in look(tmp_path, {}).reason
    ended = subprocess.Popen(["true"])
    ended.wait()
    write_status(tmp_path, Status(state="queued", pid=ended.pid, host=os.uname().nodename))
    assert look(tmp_path).state == "failed"


def test_a_number_that_another_process_has_now_is_not_the_one_that_was_to_begin_a_run(tmp_path):
    """This process has the number of the status, and began at another time."""
    here = {"pid": os.getpid(), "host": os.uname().nodename}
    write_status(tmp_path, Status(state="queued", **here, began=began_at(os.getpid())))
    assert look(tmp_path).state == "queued"
    write_status(tmp_path, Status(state="queued", **here, began=began_at(os.getpid()) - 3600))
    assert look(tmp_path).state == "failed"
    assert not lives(2**30, 0.0) and began_at(2**30) == 0.0


@pytest.mark.parametrize(
    "content", [b"", b'{"state": "run', b"\xff", b"[]", b'{"state": 3}', b'{"state": "x", "new": 1}']
)
def test_a_damaged_status_is_told_and_does_not_hide_its_run(tmp_path, content):
    (tmp_path / "status.json").write_bytes(content)
    status = look(tmp_path)
    assert status.state == "unknown" and "status.json is damaged" in status.reason


def test_the_expected_end_is_what_is_left_at_the_present_rate(tmp_path):
    one = Status(
        state="running", step=100, steps=700, steps_per_s=0.5, updated_at="2026-01-02T10:00:00+00:00"
    )
    assert expected_end(one) == "01-02 10:20"
    assert (
        expected_end(Status(state="running")) == expected_end(Status(state="done", steps=5, step=5)) == "–"
    )
