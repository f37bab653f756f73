"""What only Unix has is not needed to import, train and resume: see `tests.without_unix`."""

import json
import os
import subprocess
import sys

import pytest

from eegfm.contracts import EegfmError
from eegfm.runs import lock
from tests.command_line import call_afresh, environment


@pytest.mark.slow
def test_a_run_without_what_only_unix_has_ends_and_is_found_finished(tmp_path, simulated):
    place = simulated(tmp_path)
    env = environment(PYTHONPATH=os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    done = call_afresh("tests.without_unix", "row=bandpower", cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    (run,) = (place / "runs" / "single").glob("bandpower-*")
    assert (
        json.loads((run / "status.json").read_text())["state"] == "done" and not (run / lock.LOCK).exists()
    )


def test_without_locks_a_living_process_of_this_machine_keeps_a_run_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_locked", lambda descriptor, shared=False: None)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        record = {
            "host": lock.socket.gethostname(),
            "pid": other.pid,
            "job": None,
            "began": lock.began_at(other.pid),
        }
        (tmp_path / lock.LOCK).write_text(json.dumps(record))
        assert lock.works(tmp_path, None)
        with pytest.raises(EegfmError, match=f"process {other.pid}"), lock.held(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
    assert not lock.works(tmp_path, None)
    with lock.held(tmp_path):  # what a killed process has left is taken over
        assert json.loads((tmp_path / lock.LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / lock.LOCK).exists()
