"""`eegfm sweep submit|status|collect|cancel`: train many runs on SLURM or in the background of this machine.

  eegfm sweep submit model=stamp,samba seed=0,1,2 data=tuev folder=mine hydra/launcher=slurm
  eegfm sweep status runs/mine      a row for each cell: state, steps, rate, expected end, reason of a failure
  eegfm sweep collect runs/mine     the report of the finished cells, and a list of the missing ones
  eegfm sweep cancel runs/mine      stop waiting and running cells; submit them again to continue

A cell is one `eegfm train` with one combination of the values; its config names its folder, which holds `status.json`
as soon as the cell is submitted. `submit` returns at once. Type the same command again to submit only the cells that
are neither finished, nor running, nor waiting.

In a search (search=optuna) a cell is a process that tries one setting after another; `--parallel 4` submits four
processes that share one study. `status` shows their trials as well.

Without SLURM (hydra/launcher=local, the default if there is no sbatch) a background process trains one cell after
another, or as many at a time as `--parallel` says.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eegfm.commands.work.submit import SEARCHES, count_of, mark_as, states_of, submit, work
from eegfm.contracts import EegfmError
from eegfm.runs.slurm import queue
from eegfm.runs.status import Status, look
from eegfm.support.alive import lives
from eegfm.support.parser import Parser
from eegfm.support.words import console, print_anything, visible

NONE = "–"
STYLE = {"done": "green", "running": "cyan", "failed": "bold red", "lost": "red", "preempted": "yellow"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the four subcommands."""
    print_anything()
    parser = Parser(prog="eegfm sweep", description=__doc__)
    subcommands = parser.add_subparsers(dest="what", required=True, metavar="submit|status|collect|cancel")
    about = "submit the cells that are not finished, and return at once"
    submitting = subcommands.add_parser("submit", help=about, description=about)
    submitting.add_argument("--parallel", type=int, metavar="N", help="cells to train at the same time")
    submitting.add_argument(
        "overrides",
        nargs="+",
        metavar="key=value",
        help="as for eegfm train -m; a list of values: seed=0,1,2",
    )
    for name, about in (("status", "show a row for each cell"),
                        ("collect", "report the finished cells, and list the missing ones"),
                        ("cancel", "stop the cells that wait or run")):  # fmt: skip
        subcommand = subcommands.add_parser(name, help=about, description=about)
        subcommand.add_argument("folder", type=Path, help="runs/<experiment>")
    subcommands.add_parser("work").add_argument("cells", type=Path)  # started by submit, in the background
    options, more = parser.parse_known_args(argv)
    try:
        if options.what == "submit":
            submit([*options.overrides, *more], options.parallel)
        elif options.what == "work":
            work(options.cells)
        elif more:
            parser.error(f"unknown arguments: {' '.join(more)}")
        else:
            {"status": status, "collect": collect, "cancel": cancel}[options.what](options.folder)
    except EegfmError as error:
        sys.exit(str(error))


def cells_below(folder: Path, jobs: Mapping[str, str] | None) -> dict[Path, Status]:
    """The status of every run below a folder, by the run's folder.

    Raises:
        EegfmError: there is no run.
    """
    runs = {path.parent for name in ("status.json", "result.json") for path in folder.rglob(name)}
    # the control fits in a run's `diagnostics` folder are no cells
    statuses = {
        run: look(run, jobs) for run in sorted(runs) if "diagnostics" not in run.relative_to(folder).parts
    }
    statuses = {run: status for run, status in statuses.items() if status is not None}
    if not statuses:
        raise EegfmError(f"No run in {folder}. Submit some: eegfm sweep submit folder=<name> seed=0,1,2")
    return statuses


def status(folder: Path) -> dict[Path, Status]:
    """Print a row for each cell, running cells first, and how many cells there are in each state."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = cells_below(folder, queue())
    screen = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("cell", "state", "steps", "steps/s", "ends (UTC)", "starts", "job", "reason"):
        table.add_column(name, overflow="fold")
    states = states_of(cells)
    for run, status in sorted(cells.items(), key=lambda cell: states.index(cell[1].state)):
        style = STYLE.get(status.state, "default")
        table.add_row(
            str(run.relative_to(folder)) if run != folder else run.name,
            Text(visible(status.state), style=style),
            f"{status.step}/{status.steps}" if status.steps else NONE,
            f"{status.steps_per_s:.3g}" if status.state == "running" and status.steps_per_s else NONE,
            expected_end(status),
            f"{status.starts}x" if status.starts else NONE,
            status.job or NONE,
            status.reason,
        )
    screen.print(table)
    screen.print(", ".join(f"{count_of(cells, state)} {state}" for state in states))
    return cells


def expected_end(status: Status) -> str:
    """The time at which the training of a running cell will end, at its present rate."""
    if status.state != "running" or not status.steps or not status.steps_per_s:
        return NONE
    left_s = (status.steps - status.step) / status.steps_per_s
    try:
        at = datetime.fromisoformat(status.updated_at) + timedelta(seconds=left_s)
    except (ValueError, OverflowError):
        return NONE
    return at.astimezone(UTC).strftime("%m-%d %H:%M")


def collect(folder: Path) -> None:
    """Print the report of the finished cells, then each missing cell and the reason."""
    cells = {
        run: status for run, status in cells_below(folder, queue()).items() if SEARCHES not in run.parts
    }
    pruned = count_of(cells, "pruned")
    if pruned:
        print(f"A search gave up {pruned} cells; the report leaves them out.")
        cells = {run: status for run, status in cells.items() if status.state != "pruned"}
        if not cells:
            return
    if count_of(cells, "done"):
        subprocess.run([sys.executable, "-m", "eegfm.report", str(folder)], check=False)
    missing = {run: status for run, status in cells.items() if status.state != "done"}
    if not missing:
        print(f"Complete: {len(cells)} cells.")
        return
    print(f"Missing: {len(missing)} of {len(cells)} cells")
    for run, status in missing.items():
        print(f"  {run}  {status.state}{': ' * bool(status.reason)}{status.reason}")
    sys.exit(1)


def cancel(folder: Path) -> None:
    """Cancel the waiting cells and stop the running ones, which save first."""
    cells = cells_below(folder, queue())
    waiting = {run: status for run, status in cells.items() if status.state == "queued"}
    running = {run: status for run, status in cells.items() if status.state == "running"}
    requeued = {run: status for run, status in cells.items() if status.state == "preempted" and status.job}
    affected = (*waiting.values(), *running.values(), *requeued.values())
    jobs = [status.job for status in affected if status.job]
    if jobs:
        done = subprocess.run(["scancel", *jobs], capture_output=True, text=True)
        if done.returncode:
            raise EegfmError(f"scancel: {done.stderr.strip()}")
    for run in waiting:
        mark_as(run, "failed", "cancelled before it began")
    elsewhere = []
    for run, status in running.items():
        if status.job:
            continue
        if status.host == socket.gethostname():
            if lives(status.pid, status.began):
                os.kill(status.pid, signal.SIGTERM)
        else:
            elsewhere.append(f"  {run}: kill {status.pid} on {status.host}")
    n_stopped = len(running) + len(requeued) - len(elsewhere)
    print(f"Cells: {len(waiting)} waiting cancelled, {n_stopped} running told to save and stop.")
    if elsewhere:
        sys.exit("\n".join(["These run on other machines and were not stopped:", *elsewhere]))


if __name__ == "__main__":
    main()
