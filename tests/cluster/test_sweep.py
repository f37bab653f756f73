"""Six cells through a real SLURM: one cancelled, one requeued in the middle, one out of time, one that fails.

It starts a SLURM of its own (`start-slurm`), which wants root and Debian's slurm-wlm and munge: `make test-cluster`.
"""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eegfm.runs.slurm import queue
from eegfm.runs.status import Status, look

pytestmark = [pytest.mark.slow, pytest.mark.long]
pytest.importorskip("submitit", reason="the extra `slurm` is not installed")

HERE = Path(__file__).parent
PATIENCE_S = float(os.environ.get("EEGFM_TEST_SLURM_S", "600"))
CELLS = ["seed=0,1,2,3,4,-1", "experiment=demo", "model.width=16", "model.depth=1", "model.ff_width=16",
         "trainer.max_epochs=6", "trainer.accelerator=cpu"]  # fmt: skip
JOBS = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=30"]


@pytest.fixture
def slurm(monkeypatch) -> Iterator[None]:
    place = Path(tempfile.mkdtemp(prefix="slurm-"))  # pytest's own folders are closed to munge's user
    place.chmod(0o755)
    started = subprocess.run([HERE / "start-slurm", place], stderr=subprocess.PIPE, text=True)
    if started.returncode == 3:
        pytest.skip(started.stderr.strip().splitlines()[-1])
    assert started.returncode == 0, started.stderr
    monkeypatch.setenv("SLURM_CONF", str(place / "slurm.conf"))
    yield
    subprocess.run(["scancel", "--user=root"], check=False)
    for _ in range(90):  # what has only begun is deaf to TERM, and killed a minute later
        if not queue():
            break
        time.sleep(1)
    subprocess.run([HERE / "stop-slurm", place], check=True)
    shutil.rmtree(place, ignore_errors=True)


def sweep(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eegfm", "sweep", *words],
        cwd=place, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def cells(place: Path) -> dict[str, Status]:
    """The cells of the sweep, by seed."""
    jobs, found = queue(), {}
    for folder in (place / "runs" / "demo").iterdir():
        status, seed = look(folder, jobs), re.search(r"-s(-?\d+)-\w{8}$", folder.name)
        if status is not None and seed is not None:
            found[seed[1]] = status
    return found


def wait_for(place: Path, what, end: float) -> dict[str, Status]:
    while not what(found := cells(place)):
        assert time.monotonic() < end, {seed: (one.state, one.reason) for seed, one in found.items()}
        time.sleep(0.1)
    return found


def test_a_sweep_of_six_cells_through_sbatch(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    end = time.monotonic() + PATIENCE_S
    sent = sweep(tmp_path, "submit", "--parallel", "2", *CELLS, *JOBS)
    assert sent.returncode == 0 and "6 cells: 6 submitted" in sent.stdout, sent.stderr
    found = cells(tmp_path)
    assert len(found) == 6 and all(one.job and one.state in ("queued", "running") for one in found.values())

    subprocess.run(["scancel", found["4"].job], check=True)
    assert cells(tmp_path)["4"].state == "failed" and "cancelled" in cells(tmp_path)["4"].reason
    both = ("0", "1")
    found = wait_for(
        tmp_path, lambda found: all(found[s].state == "running" and found[s].steps for s in both), end
    )
    os.kill(found["1"].pid, signal.SIGUSR2)  # as SLURM does before a job's time is up
    subprocess.run(["scontrol", "requeue", found["0"].job], check=True)
    interrupted = wait_for(tmp_path, lambda found: all(found[s].state == "preempted" for s in both), end)
    for seed, name in zip(both, ("SIGTERM", "SIGUSR2"), strict=True):
        one = interrupted[seed]
        assert 0 < one.step < one.steps and f"{name} at step" in one.reason, one

    still = ("queued", "running", "preempted")
    found = wait_for(tmp_path, lambda found: not any(one.state in still for one in found.values()), end)
    assert {seed: one.state for seed, one in found.items()} == {
        **dict.fromkeys("0123", "done"), "4": "failed", "-1": "failed",
    }  # fmt: skip
    assert [found[seed].starts for seed in "0123"] == [2, 2, 1, 1] and found["-1"].reason
    for seed in both:
        (folder,) = (tmp_path / "runs" / "demo").glob(f"*-s{seed}-*")
        with open(folder / "loss.csv", newline="") as file:
            assert [int(row["step"]) for row in csv.DictReader(file)] == list(
                range(1, found[seed].steps + 1)
            )

    table = sweep(tmp_path, "status", "runs/demo")
    assert "2 failed, 4 done" in table.stdout and "2x" in table.stdout, table.stdout + table.stderr
    collected = sweep(tmp_path, "collect", "runs/demo")
    assert collected.returncode == 1 and "Missing: 2 of 6 cells" in collected.stdout
    assert "SIMULATED" in collected.stdout  # the report of the four

    again = sweep(tmp_path, "submit", *CELLS, *JOBS)
    assert "6 cells: 2 submitted, 4 done" in again.stdout, again.stdout + again.stderr
    cancelled = sweep(tmp_path, "cancel", "runs/demo")
    assert cancelled.returncode == 0, cancelled.stderr
    found = wait_for(
        tmp_path, lambda found: not any(one.state in ("queued", "running") for one in found.values()), end
    )
    assert found["4"].state in ("failed", "preempted", "lost") and found["0"].state == "done"
