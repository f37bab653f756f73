"""A run of two tasks that SLURM starts beside each other, requeued in the middle."""

import csv
import os
import subprocess
import time

import pytest

from eegfm.runs.results import read_result
from eegfm.runs.slurm import queue
from eegfm.runs.status import Status, look
from tests.cluster.test_sweep import PATIENCE_S, slurm, sweep  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.long]
CELL = ["experiment=demo", "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=6"]
JOB = ["hydra/launcher=slurm", "hydra.launcher.tasks_per_node=2", "hydra.launcher.cpus_per_task=1",
       "hydra.launcher.timeout_min=30"]  # fmt: skip


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two tasks beside each other want two cores")
def test_two_tasks_train_one_run_and_go_on_after_a_requeue(slurm, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    end = time.monotonic() + PATIENCE_S
    sent = sweep(tmp_path, "submit", *CELL, *JOB)
    assert sent.returncode == 0 and "1 cells: 1 submitted" in sent.stdout, sent.stderr
    (folder,) = (tmp_path / "runs" / "demo").iterdir()

    def wait_for(what) -> Status:
        while not what(found := look(folder, queue())):
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found

    begun = wait_for(lambda one: one.state == "running" and one.steps > 0)
    subprocess.run(["scontrol", "requeue", begun.job], check=True)
    interrupted = wait_for(lambda one: one.state == "preempted")
    assert 0 < interrupted.step < interrupted.steps and "SIGTERM at step" in interrupted.reason
    ended = wait_for(lambda one: one.state not in ("running", "queued", "preempted"))
    assert (ended.state, ended.starts) == ("done", 2), ended
    assert read_result(folder).devices == 2
    with open(folder / "loss.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, ended.steps + 1))
