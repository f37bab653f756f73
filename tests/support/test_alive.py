"""Whether a process is still there, however the clock is set meanwhile."""

import os
import sys

import psutil
import pytest

from eegfm.support.alive import began_at, lives


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel keeps the time of day of a start")
def test_a_process_lives_on_when_the_clock_is_set(monkeypatch):
    """The kernel says when the machine started, by today's clock: it is an hour earlier when the clock is set back."""
    began, at = began_at(os.getpid()), psutil.Process().create_time()
    for jump in (-3600, 3600):
        with monkeypatch.context() as clock:
            start = psutil.boot_time() + jump
            clock.setattr("psutil._pslinux.boot_time", lambda start=start: start)
            assert psutil.Process().create_time() == pytest.approx(at + jump, abs=2)
            assert lives(os.getpid(), began)
            assert not lives(os.getpid(), began - 3600)
