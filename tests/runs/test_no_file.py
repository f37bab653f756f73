"""What lies in a stranger's run under the name of a file, and is none: reading it would never end."""

import errno
import os
from pathlib import Path

import pytest

from eegfm.support.files import readable, sha256_of
from tests.command_line import call, environment
from tests.made_run import make_run

NAMES = (
    "result.json", "config.yaml", "status.json", "metrics.csv", "loss.csv", "predictions_test.csv", "leakage.json",
    "running.lock", "metrics.csv.sha256", "train.log", "wandb_id",
)  # fmt: skip
COMMANDS = [("report", "runs"), ("dashboard", "runs", "--to", "page.html"), ("sweep", "status", "runs")]


def laid(how: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    if how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    else:
        with open(path, "wb") as file:
            file.truncate(2**40)  # without a block on the disk


@pytest.mark.parametrize("how", ["pipe", "device", "a terabyte"])
def test_what_is_no_file_is_not_read(tmp_path, how):
    path = tmp_path / "x"
    laid(how, path)
    with pytest.raises(OSError, match=r"pipe or a device|at most 1,073,741,824 are read.*/x") as error:
        readable(path)
    assert error.value.errno in (errno.EINVAL, errno.EFBIG) and error.value.filename == str(path)
    if how != "a terabyte":
        with pytest.raises(OSError, match="pipe or a device"):
            sha256_of(path)
    for other in (tmp_path, tmp_path / "nowhere", Path(__file__)):
        assert readable(other) == other, "what reads it says what is wrong"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["pipe", "device"])
def test_no_command_waits_for_it_and_the_other_runs_are_shown(tmp_path, how):
    for seed, name in enumerate((*NAMES, "sound")):
        make_run(tmp_path / "runs" / f"with-{name}", seed)
        if name != "sound":
            laid(how, tmp_path / "runs" / f"with-{name}" / name)
    for command in COMMANDS:
        done = call("eegfm", *command, cwd=tmp_path, env=environment(COLUMNS="300"), timeout=120)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (command, done.stdout, done.stderr)
        said = (tmp_path / "page.html").read_text() if command[0] == "dashboard" else done.stdout
        assert "with-result.json" in said, said
