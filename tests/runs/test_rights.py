"""Runs that may only be read: what only reads works, and what would write says where, and what to type instead."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import call

RUN = "runs/fitted"
RECORDING = "data/raw/synthetic/synthetic_S14_raw.fif"
READ = [("eegfm", "report", "runs"), ("eegfm", "export", RUN, "--to", "elsewhere")]
WRITTEN = [
    ("eegfm.evaluate", f"run={RUN}"),
    ("eegfm.train", "data=synthetic", "model=bandpower", "paths.runs=runs"),
    ("eegfm", "export", RUN),
    ("eegfm", "predict", f"run={RUN}", f"files={RECORDING}"),
    ("eegfm", "embed", f"run={RUN}", f"files={RECORDING}"),
    ("eegfm", "sweep", "submit", "data=synthetic", "model=majority", "paths.runs=runs"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, simulated) -> Iterator[Path]:
    """A fitted run in `runs/`, which the kernel lets nobody write."""
    place = simulated(tmp_path_factory.mktemp("rights"))
    done = call("eegfm.train", "data=synthetic", "model=bandpower", f"hydra.run.dir={RUN}", cwd=place)
    assert done.returncode == 0, done.stderr
    runs = str(place / "runs")
    if os.geteuid() != 0 or subprocess.run(["mount", "--bind", runs, runs], capture_output=True).returncode:
        pytest.skip("only root may mount a folder anew")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", runs], check=True)
        yield place
    finally:
        subprocess.run(["umount", runs], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", READ, ids=lambda command: command[1])
def test_what_only_reads_works(place, command):
    done = call(*command, cwd=place)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", WRITTEN, ids=lambda command: " ".join(command[:3])[:20])
def test_what_would_write_says_where_and_what_to_type(place, command):
    done = call(*command, cwd=place)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "runs/" in done.stderr and "Read-only file system" in done.stderr, done.stderr
    assert "elsewhere" in done.stderr, done.stderr
