"""Whether a process of this machine is still there."""

import psutil

SAME_S = 2.0  # clocks are set; a number is not given again within this time


def began_at(pid: int) -> float:
    """When a process of this machine began, in seconds since 1970; 0 if there is no such process."""
    try:
        return psutil.Process(pid).create_time()
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
        return not began or abs(process.create_time() - began) < SAME_S
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.Error:  # of another user
        return True
