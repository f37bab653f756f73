"""Whether a process of this machine is still there."""

import signal
import sys

import psutil

SAME_S = 2.0  # a number is not given again within this time


def began_at(pid: int) -> float:
    """When a process of this machine began, in seconds; 0 if there is no such process."""
    try:
        return _began(psutil.Process(pid))
    except (psutil.Error, ValueError, OverflowError):
        return 0.0


def lives(pid: int, began: float) -> bool:
    """Whether the process of that number is there, and is the one that began then (0: whenever it began).

    The kernel gives the numbers of ended processes again.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return not began or abs(_began(process) - began) < SAME_S
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.Error:  # of another user
        return True


def _began(process: psutil.Process) -> float:
    """The same for as long as the process lives, even if the clock is set meanwhile.

    Linux counts from the start of the machine, and its time of day moves with the clock; others keep the time of day.
    """
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask a run to stop: TERM, USR1 and USR2, of which Windows has the first alone."""
    names = ("SIGTERM", "SIGUSR1", "SIGUSR2")
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)
