"""Several processes that train one run: the rank of this process, and how the others are started.

`srun` with several tasks, or `torchrun`, starts them all. Otherwise rank 0 starts the others on its machine
when it begins to train, in a sweep for every run anew. Each reads run and folder from its standard input,
and ends when that closes, so that none outlives a killed rank 0. (Lightning's own launcher repeats the
command line instead, which in a multirun is that of the whole sweep.)

Only rank 0 holds the folder's lock and writes; the others compute.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.runs.slurm import this_job
from eegfm.runs.status import read_status, write_status
from eegfm.support.process import environment

LEAVE_S = 60  # for the others to end after rank 0, or for rank 0 to see that one has died
STOP_S = 15  # for the others to end after rank 0 was asked to stop
KNOWN_BY = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK", "RANK")


def rank() -> int:
    """The rank of this process in its run; 0 if it is the only one."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    return int(os.environ["SLURM_PROCID"]) if _by_slurm() else 0


def cluster() -> list[Any]:
    """The plugin that tells Lightning which processes belong together; it would take any SLURM job."""
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    if _by_slurm():
        return [SLURMEnvironment(auto_requeue=False)]
    return [] if "TORCHELASTIC_RUN_ID" in os.environ else [LightningEnvironment()]


@contextmanager
def together(
    trainer: Any, config: Mapping[str, Any], folder: Path, choices: Mapping[str, Any]
) -> Iterator[None]:
    """Train with the other processes of a run, and start them unless a launcher has.

    Raises:
        EegfmError: several processes were started for a run of one, or one for a run of several nodes.
    """
    n = trainer.num_devices * trainer.num_nodes
    if n == 1 and rank():
        raise EegfmError(
            f"This is process {rank()} of several, and the run is of one. Type trainer=ddp, or start one process."
        )
    if _by_slurm() or "RANK" in os.environ:
        yield
        return
    if trainer.num_nodes > 1:
        raise EegfmError(
            f"trainer.num_nodes={trainer.num_nodes}: the processes of several nodes are started by srun, with "
            "--nodes and --ntasks-per-node, or by torchrun."
        )
    # Lightning reads these if a launcher has started the processes, and writes some of them itself
    with environment(**dict.fromkeys(KNOWN_BY) | (_as_first(n) if n > 1 else {})):
        others, ended = _start(n, config, folder, choices), threading.Event()
        if others:
            threading.Thread(target=_watch, args=(others, ended, folder), daemon=True).start()
        patience = LEAVE_S
        try:
            yield
        except BaseException as stop:
            # after an error the others wait for messages that will not come
            patience = 0 if isinstance(stop, Exception) else STOP_S
            raise
        finally:
            ended.set()
            _end(others, patience)


@contextmanager
def until_first_works(folder: Path) -> Iterator[None]:
    """Wait until rank 0 is at work on an unfinished folder, so that this process takes the same path."""
    while not (folder / "result.json").exists():
        status = read_status(folder)
        if status is not None and status.state == "running" and status.job == this_job():
            break
        time.sleep(1)
    yield


def stay_alone() -> None:
    """Leave the processes that a launcher started: from here only rank 0 works."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def told_by_first() -> tuple[dict[str, Any], Path, dict[str, Any]]:
    """The message of rank 0 to this process: config, run folder, and the options chosen by group."""
    told = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    return told["config"], Path(told["folder"]), told["choices"]


def _by_slurm() -> bool:
    """Whether `srun` has started this process, beside others."""
    return "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def _as_first(n: int) -> dict[str, str]:
    """Environment variables of rank 0 of n processes on this machine, and its address for the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return dict(zip(KNOWN_BY, ("127.0.0.1", port, str(n), "0", "0", "0"), strict=True))


def _start(
    n: int, config: Mapping[str, Any], folder: Path, choices: Mapping[str, Any]
) -> list[subprocess.Popen[str]]:
    others = []
    told = {"config": config, "folder": str(folder.resolve()), "choices": {**choices}}
    for i in range(1, n):
        process = subprocess.Popen(
            [sys.executable, "-m", "eegfm.training.run"],
            stdin=subprocess.PIPE,
            text=True,
            env={**os.environ, "LOCAL_RANK": str(i), "RANK": str(i)},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        others.append(process)
    return others


def _end(others: list[subprocess.Popen[str]], patience: float) -> None:
    """Wait for the others, kill those that stay, and be the only process again."""
    end = time.monotonic() + patience
    for process in others:
        try:
            process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
    stay_alone()


def _watch(others: list[subprocess.Popen[str]], ended: threading.Event, folder: Path) -> None:
    """End the run if another process has died unseen by rank 0: the GPUs would wait long for it."""
    while not ended.wait(1):
        died = [(i, p.returncode) for i, p in enumerate(others, 1) if p.poll()]
        if died:
            if ended.wait(LEAVE_S):
                return
            status = read_status(folder)
            if status is not None:
                reason = f"process {died[0][0]} of the run ended with exit status {died[0][1]}"
                write_status(folder, replace(status, state="failed", reason=reason))
            os._exit(1)


def _end_with_the_first() -> None:
    sys.stdin.read()
    os._exit(1)
