"""A command that is forked for the tests finds itself as one that Python was started for."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.command_line import call, call_afresh, environment, start

pytestmark = pytest.mark.slow

TOLD = """
import json, os, signal, sys, threading
import numpy as np, torch
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv[1:], "path": sys.path, "name": __name__, "file": __file__,
    "spec": __spec__.name, "main": sys.modules["__main__"].__dict__ is globals(), "cwd": os.getcwd(),
    "environment": dict(os.environ), "stdin": sys.stdin.read(), "terminal": sys.stdout.isatty(),
    "handlers": [str(signal.getsignal(number)) for number in (10, 15)], "threads": threading.active_count(),
    "own": [name for name in sys.modules if name.startswith("tests")],
    "torch threads": torch.get_num_threads(),
    "files": sorted(os.readlink(f"/proc/self/fd/{n}").split("/")[-1] for n in (0, *range(3, 40))
                    if os.path.exists(f"/proc/self/fd/{n}")),
}))
"""  # fmt: skip


@pytest.mark.parametrize(
    "said", ["", "import sys; sys.exit(3)", "raise KeyError('x')", "import sys; sys.exit('no')"]
)
def test_a_forked_command_sees_and_leaves_what_a_started_one_does(tmp_path, said):
    (tmp_path / "place").mkdir()
    (tmp_path / "told.py").write_text(TOLD + said)
    env = environment(PYTHONPATH=str(tmp_path), COLUMNS="77")
    one, other = (how("told", "a=1", "-m", cwd=tmp_path / "place", env=env) for how in (call, call_afresh))
    assert one.returncode == other.returncode == {"": 0, "import sys; sys.exit(3)": 3}.get(said, 1)
    assert one.stderr.splitlines()[-1:] == other.stderr.splitlines()[-1:]
    forked, started = json.loads(one.stdout), json.loads(other.stdout)
    assert forked == started and forked["environment"]["COLUMNS"] == "77"


def test_two_forked_commands_draw_different_numbers(tmp_path):
    (tmp_path / "draw.py").write_text(
        "import numpy, random, torch\nprint(numpy.random.rand(), random.random(), torch.initial_seed())"
    )
    drawn = [number for _ in range(2) for number in call("draw", cwd=tmp_path).stdout.split()]
    assert len(set(drawn)) == 6


def test_a_forked_command_is_a_process_that_can_be_asked_stopped_and_waited_for(tmp_path):
    (tmp_path / "sleep.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)")
    # Ctrl-C is an exception of Python's, which ends the process by the signal or with 1
    for number, statuses in ((signal.SIGTERM, {-15}), (signal.SIGKILL, {-9}), (signal.SIGINT, {-2, 1})):
        with open(tmp_path / "out", "w+") as out:
            process = start("sleep", cwd=tmp_path, out=out, err=out)
            while "begun" not in (tmp_path / "out").read_text():
                assert process.poll() is None
                time.sleep(0.01)
            assert os.path.samefile(f"/proc/{process.pid}/cwd", tmp_path)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
            process.send_signal(number)
            assert process.wait(20) == process.poll() and process.returncode in statuses
            assert ("KeyboardInterrupt" in (tmp_path / "out").read_text()) == (number == signal.SIGINT)
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        call("sleep", cwd=tmp_path, timeout=1)
    assert time.monotonic() - began < 30
