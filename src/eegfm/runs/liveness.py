"""Who is still there: processes of this machine, and the jobs of SLURM. Nothing heavy is imported here."""

import shutil
import subprocess

import psutil

ANSWER_S = 20  # SLURM's controller must not stop a table by not answering
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


def queue() -> dict[str, str] | None:
    """The state of every job in SLURM's queue, by id ("12_3" in an array); None if there is no SLURM."""
    text = _ask("squeue", "--noheader", "--array", "--all", "--format=%i %T")
    return (
        None if text is None else {line.split()[0]: line.split()[1] for line in text.splitlines() if line}
    )


def how_it_ended(job: str) -> str:
    """The last state and exit code of a job, as SLURM tells them; "" if it does not."""
    text = _ask(
        "sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={job}", "--format=State,ExitCode"
    )
    if text:
        return text.splitlines()[-1].replace("|", ", exit code ")
    text = _ask("scontrol", "--oneliner", "show", "job", job) or ""  # SLURM remembers it for some minutes
    facts = dict(word.split("=", 1) for word in text.split() if "=" in word)
    return f"{facts['JobState']}, exit code {facts['ExitCode']}" if "JobState" in facts else ""


def _ask(*command: str) -> str | None:
    """The output of one of SLURM's programs; None if it is not installed or does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
