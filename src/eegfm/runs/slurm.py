"""What SLURM says: the job of this process, the queue, and how a job ended. Nothing heavy is imported here."""

import os
import shutil
import subprocess

ANSWER_S = 20  # SLURM's controller must not stop a table by not answering


def this_job() -> str:
    """The SLURM job of this process, as `squeue -r` names it; "" outside of one."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


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
