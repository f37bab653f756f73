"""Twenty runs of the real command, each stopped at a random moment, end as the one that was left alone."""

import random
import signal
import time
from pathlib import Path

import pytest

from eegfm.runs.results import read_result
from eegfm.runs.status import look, read_status
from tests.command_line import start, start_afresh

pytestmark = [pytest.mark.slow, pytest.mark.long]
STATUS = {signal.SIGUSR2: 140, signal.SIGTERM: 143, signal.SIGKILL: -9}


def command(runs: str, workers: int = 0) -> tuple[str, ...]:
    small = (
        "model.depth=1",
        "model.width=16",
        "model.ff_width=16",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=12",
    )
    return ("eegfm.train", "experiment=demo", "data.batch_size=8", *small, f"paths.runs={runs}",
            f"data.num_workers={workers}", "save_steps=13")  # fmt: skip


def trained(
    place: Path, runs: str, stop: tuple[int, float] | None = None, workers: int = 0, begin=start
) -> tuple[int, float]:
    """Exit status and seconds of training; with a signal and a delay it is stopped so long after its training began."""
    with open(place / f"{runs}.log", "a") as log:
        process = begin(*command(runs, workers), cwd=place, out=log)
    while process.poll() is None and not any(
        (found := read_status(path.parent)) and found.state == "running" and found.steps
        for path in (place / runs).glob("demo/*/status.json")
    ):
        time.sleep(0.01)
    begun = time.monotonic()
    if stop is not None:
        time.sleep(stop[1])
        process.send_signal(stop[0])
    return process.wait(), time.monotonic() - begun


def stopped(place: Path, name: str, signum: int, delay: float, workers: int) -> tuple[int, str, Path]:
    """A run's exit status, place and folder. One that was through before (the machine has become faster) is no case."""
    while True:
        runs = f"{name}-{delay:.2f}"
        status, _ = trained(place, runs, (signum, delay), workers)
        (folder,) = (place / runs / "demo").iterdir()
        if not (folder / "result.json").exists():
            return status, runs, folder
        delay /= 2


def test_stopped_at_random_moments_every_run_has_the_trace_of_the_uninterrupted_one(tmp_path):
    # by an interpreter of its own: its hashes are not those of the runs that are stopped
    status, seconds = trained(tmp_path, "whole", begin=start_afresh)
    assert status == 0, (tmp_path / "whole.log").read_text()
    (whole,) = (tmp_path / "whole" / "demo").iterdir()
    draw, mid_training = random.Random(7), 0
    for i in range(20):
        signum = [signal.SIGUSR2, signal.SIGTERM, signal.SIGKILL][i % 3]
        workers = 2 if i % 5 == 4 else 0
        delay = draw.uniform(0, 0.6 * seconds)
        status, runs, cut = stopped(tmp_path, f"cut{i}", signum, delay, workers)
        assert status == STATUS[signum], (i, status, (tmp_path / f"{runs}.log").read_text())
        assert look(cut).state == ("lost" if signum == signal.SIGKILL else "preempted")
        mid_training += 0 < read_status(cut).step < read_status(cut).steps
        status, _ = trained(tmp_path, runs, workers=workers)
        assert status == 0, (tmp_path / f"{runs}.log").read_text()
        for name in ("loss.csv", "metrics.csv", "predictions_test.csv"):
            assert (cut / name).read_bytes() == (whole / name).read_bytes(), (i, signum, name)
        assert read_result(cut).metrics == read_result(whole).metrics
    assert mid_training >= 10, "most of them have to be stopped in the middle"
