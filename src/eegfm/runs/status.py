"""`status.json`, the state of a run: written by the process at work on it, read for a sweep's table.

Nothing heavy is imported here: `eegfm sweep status` reads hundreds of these.
"""

import json
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from eegfm.contracts import EegfmError
from eegfm.runs.lock import held, works
from eegfm.runs.slurm import how_it_ended, this_job
from eegfm.support.alive import began_at, lives
from eegfm.support.files import readable, write_json_anyhow
from eegfm.support.summed import with_sum, without_sum

log = logging.getLogger(__name__)

FILE = "status.json"

State = Literal["queued", "running", "preempted", "done", "pruned", "failed", "lost", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of a run. "lost" and "unknown" are never written: a reader finds that the process is gone, or
    that the file cannot be read. A later version may write states that are not here.

    A search has given up a "pruned" run (see `eegfm.search.loop`); trained by itself, the run goes on from
    there.

    `job` is the SLURM job ("12_3" in an array), "" outside of one. `pid` is the process on `host` that works
    on the run or, of a queued one, that hands it over or will begin it; `began` is when that process began
    (see `support.alive`). `step` of `steps` training steps are
    done, `steps_per_s` is the rate of the process that wrote them; `starts` counts the processes that have
    worked on the run. `overrides` are those of the cell, if `eegfm sweep submit` sent it off. Times are
    UTC.
    """

    state: State
    reason: str = ""
    job: str = ""
    host: str = ""
    pid: int = 0
    began: float = 0.0
    starts: int = 0
    step: int = 0
    steps: int = 0
    steps_per_s: float = 0.0
    queued_at: str = ""
    started_at: str = ""
    updated_at: str = ""
    overrides: list[str] = field(default_factory=list)


class Pruned(Exception):
    """Ends a run that a search gives up; its text says why, for `status.json`."""


def read_status(folder: Path) -> Status | None:
    """The status as it was written last; None if there is none, or if it cannot be read."""
    try:
        values = json.loads(readable(folder / FILE).read_text(encoding="utf-8"))
        found = Status(**without_sum(values, folder / FILE))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    pairs = zip(vars(found).values(), vars(Status(state="queued")).values(), strict=True)
    alike = (
        type(one) in (type(usual), int if isinstance(usual, float) else type(usual)) for one, usual in pairs
    )
    return found if all(alike) else None


def write_status(folder: Path, status: Status) -> Status:
    """Write `status.json`."""
    status = replace(status, updated_at=now())
    write_json_anyhow(folder / FILE, with_sum(asdict(status)))
    return status


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# ---- the one that writes ---------------------------------------------------------------------------------------------


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Write a run folder, alone, and leave in `status.json` how it went.

    Raises:
        EegfmError: another process is at work on the folder.
    """
    with held(folder):
        before = read_status(folder) or Status(state="queued")
        if damaged := _damaged(folder):
            log.warning("%s: it is written anew, and its starts are counted from here.", damaged)
        write_status(
            folder,
            replace(
                before,
                state="running",
                reason="",
                job=this_job(),
                host=socket.gethostname(),
                pid=os.getpid(),
                began=began_at(os.getpid()),
                starts=before.starts + 1,
                steps_per_s=0.0,
                started_at=now(),
            ),
        )
        try:
            yield
        except Pruned as why:
            _end(folder, "pruned", str(why))
            raise
        except Exception as error:
            _end(folder, "failed", _sentence(error))
            raise
        except BaseException as stop:  # a signal, or Ctrl-C
            said = stop.args[1] if len(stop.args) > 1 else f"stopped ({type(stop).__name__})"
            _end(folder, "preempted", said)
            raise
        _end(folder, "done", "")


def progress(folder: Path, step: int, steps: int, steps_per_s: float) -> None:
    """Say how far the running run has come."""
    status = read_status(folder)
    if status is not None:
        write_status(folder, replace(status, step=step, steps=steps, steps_per_s=steps_per_s))


def _end(folder: Path, state: State, reason: str) -> None:
    status = read_status(folder) or Status(state=state)
    with suppress(OSError):  # the error that ended the run is already being raised
        write_status(folder, replace(status, state=state, reason=reason))


def _sentence(error: Exception) -> str:
    if isinstance(error, EegfmError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:500]} ({Path(where.filename).name}:{where.lineno})"


# ---- the one that reads ----------------------------------------------------------------------------------------------


def look(folder: Path, jobs: Mapping[str, str] | None = None) -> Status | None:
    """The state of a run: the written status, checked against what still runs. `jobs` is `queue()`.

    None if the folder is no run's. A run whose process or job is gone without a word is "lost", with the
    reason if SLURM knows it: killed, out of memory, out of time, or its node failed.
    """
    status = read_status(folder)
    damaged = "" if status else _damaged(folder)
    if (folder / "result.json").exists() and (status is None or status.state != "running"):
        return replace(status or Status(state="done"), state="done", reason=damaged)
    if status is None:
        return Status(state="unknown", reason=damaged) if damaged else None
    if status.state == "running" and not works(folder, jobs):
        if jobs and jobs.get(status.job, "RUNNING") != "RUNNING":
            return replace(status, state="preempted", reason=f"job {status.job} waits to go on")
        return replace(status, state="lost", reason=_last_words(status))
    gone = status.job and jobs is not None and status.job not in jobs
    here = not status.job and status.pid and status.host == socket.gethostname()
    if status.state == "queued" and (gone or (here and not lives(status.pid, status.began))):
        return replace(status, state="failed", reason=_last_words(status))
    if status.state == "preempted" and gone:
        return replace(status, job="", reason=f"{status.reason}; then {_last_words(status)}")
    return status


def _damaged(folder: Path) -> str:
    """What is wrong with the status of a run; "" if nothing is, or if there is none."""
    path = folder / FILE
    return f"{path} is damaged" if path.exists() and read_status(folder) is None else ""


def _last_words(status: Status) -> str:
    said = how_it_ended(status.job) if status.job else ""
    if said:
        return f"job {status.job}: {said}"
    if status.state == "running":
        return f"process {status.pid} on {status.host} is gone without a word: killed, or out of memory"
    if not status.job:
        return f"process {status.pid} on {status.host}, which was to begin it, is gone"
    if status.state == "queued":
        return f"job {status.job} left the queue before it began: cancelled, or it could not start"
    return f"job {status.job} left the queue"
