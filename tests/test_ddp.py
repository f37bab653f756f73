"""Two processes train one run as one does, through the real command, and go on with each other's checkpoints."""

import csv
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from eegfm.runs.status import read_status
from eegfm.tasks.metrics import scores
from tests.command_line import Process, call, environment, start, start_afresh

pytestmark = [pytest.mark.slow, pytest.mark.long]
RUN = ["eegfm.train", "experiment=demo", "data.batch_size=7", "model.depth=1", "model.width=16",
       "model.ff_width=16", "model.dropout=0", "trainer.max_epochs=2", "data.train_ratio=0.5"]  # fmt: skip
DEVICES = {
    1: ["trainer.accelerator=cpu"],
    2: ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
}
INTERFACE = {"GLOO_SOCKET_IFNAME": "lo"}


def started(place: Path, runs: str, processes: int) -> Process:
    env = {k: v for k, v in environment(**INTERFACE).items() if not k.startswith("SLURM_")}
    begin = start_afresh if processes > 1 else start
    with open(place / f"{runs}.log", "a") as log:
        return begin(*RUN, *DEVICES[processes], f"paths.runs={runs}", cwd=place, out=log, env=env)


def folder_of(place: Path, runs: str) -> Path:
    (folder,) = (place / runs / "demo").iterdir()
    return folder


def trained(place: Path, runs: str, processes: int) -> Path:
    assert started(place, runs, processes).wait(1800) == 0, (place / f"{runs}.log").read_text()
    return folder_of(place, runs)


def stopped(place: Path, runs: str, processes: int, signum: int) -> int:
    """The exit status of a run that is told to stop some steps after its training began."""
    process = started(place, runs, processes)
    while process.poll() is None:
        written = [*(place / runs).glob("demo/*/loss.csv")]
        if written and (found := read_status(written[0].parent)) and found.steps:
            break
        time.sleep(0.02)
    time.sleep(0.25)  # the whole fit takes less than a second
    process.send_signal(signum)
    return process.wait(600)


def losses(folder: Path) -> list[float]:
    with open(folder / "loss.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    return [float(row["loss"]) for row in rows]


def same(folder: Path, one: Path) -> None:
    """To rounding, since a mean over two halves is not added up in the order of a mean over all."""
    assert folder.name == one.name and read_status(folder).state == "done"
    assert losses(folder) == pytest.approx(losses(one), rel=1e-4)
    for split in ("val", "test"):
        ours, theirs = (read_predictions(place / f"predictions_{split}.csv") for place in (folder, one))
        assert ours.keys == theirs.keys, "every window once, in the order of the store"
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    for a, b in zip(*(metrics(place) for place in (folder, one)), strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def metrics(folder: Path) -> list[dict[str, float]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_two_processes_are_one_run(tmp_path):
    """One process has three of the seven windows of a batch."""
    one = trained(tmp_path, "one", 1)
    two = trained(tmp_path, "two", 2)
    assert (read_result(one).devices, read_result(two).devices) == (1, 2)
    same(two, one)
    log = (tmp_path / "two.log").read_text()
    assert log.count("epoch 2/2") == 1 and "Warning" not in log and log.count("run folder") == 1
    assert files(two) == files(one)

    # the same weights, scored by one process
    before = read_result(two).metrics
    cache = f"paths.cache={tmp_path}/data/cache"
    done = call("eegfm.evaluate", f"run={two}", "split=val", cache, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (home,) = two.glob("evaluations/val-*")
    again = read_predictions(home / "predictions_val.csv")
    assert scores(again.probabilities, again.labels, 2) == pytest.approx(before["val"], abs=1e-6)

    for begun, ended, signum, status in ((2, 1, signal.SIGUSR2, 140), (1, 2, signal.SIGTERM, 143)):
        runs = f"cut{begun}"
        assert stopped(tmp_path, runs, begun, signum) == status, (tmp_path / f"{runs}.log").read_text()
        cut = read_status(folder_of(tmp_path, runs))
        assert cut.state == "preempted" and 0 < cut.step < cut.steps, cut
        same(trained(tmp_path, runs, ended), one)


def test_a_process_that_is_killed_takes_the_others_with_it(tmp_path):
    for victim in ("first", "other"):
        process = started(tmp_path, victim, 2)
        while not (children := _children(process.pid)) or not [
            *(tmp_path / victim).glob("demo/*/loss.csv")
        ]:
            assert process.poll() is None, (tmp_path / f"{victim}.log").read_text()
            time.sleep(0.1)
        os.kill(process.pid if victim == "first" else children[0], signal.SIGKILL)
        assert process.wait(120) in (-9, 1)
        end = time.monotonic() + 60
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < end
            time.sleep(0.1)
        (folder,) = (tmp_path / victim / "demo").iterdir()
        assert read_status(folder).state == ("running" if victim == "first" else "failed")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
