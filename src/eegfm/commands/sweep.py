"""`eegfm sweep submit|status|collect|cancel`: many runs, on SLURM or here, that nobody has to wait for.

  eegfm sweep submit model=stamp,samba seed=0,1,2 data=tuev experiment=mine hydra/launcher=slurm
  eegfm sweep status runs/mine      a row a cell: state, how far, how fast, when it will end, what went wrong
  eegfm sweep collect runs/mine     the report of what is done, and what is missing
  eegfm sweep cancel runs/mine      take back what waits, stop what runs; both go on when they are submitted again

submit returns at once, and can be typed again: what is finished, runs or waits is left alone, the rest is sent off.
Each cell is one `eegfm train`, named by its config; its folder holds `status.json` from the moment it is sent off.
Of a search (`search=optuna`) a cell is a process that tries one setting after another; `--parallel 4` sends off
four that share one study. Their trials come up in the status by themselves.
Without SLURM (`hydra/launcher=local`, the default where there is no sbatch) a process in the background works on one
cell after another, or on `--parallel` at a time.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eegfm.commands.submitting import ORDER, SEARCHES, count_of, mark_as, submit, work
from eegfm.contracts import EegfmError
from eegfm.runs.status import Status, look, queue

NONE = "–"
STYLE = {"done": "green", "running": "cyan", "failed": "bold red", "lost": "red", "preempted": "yellow"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the four subcommands."""
    parser = argparse.ArgumentParser(
        prog="eegfm sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doors = parser.add_subparsers(dest="what", required=True, metavar="submit|status|collect|cancel")
    one = doors.add_parser("submit", help="send off what is not finished, and return")
    one.add_argument("--parallel", type=int, help="cells at a time")
    one.add_argument("overrides", nargs="+", help="as for eegfm train -m")
    for name, help in (("status", "a row a cell"), ("collect", "the report, and what is missing"),
                       ("cancel", "stop what runs and waits")):  # fmt: skip
        doors.add_parser(name, help=help).add_argument("folder", type=Path, help="runs/<experiment>")
    doors.add_parser("work").add_argument("cells", type=Path)  # the process in the background
    options, more = parser.parse_known_args(argv)
    try:
        if options.what == "submit":
            submit([*options.overrides, *more], options.parallel)
        elif options.what == "work":
            work(options.cells)
        elif more:
            parser.error(f"not understood: {' '.join(more)}")
        else:
            {"status": status, "collect": collect, "cancel": cancel}[options.what](options.folder)
    except EegfmError as error:
        sys.exit(str(error))


def cells_below(folder: Path, jobs: Mapping[str, str] | None) -> dict[Path, Status]:
    """Every run below a folder, and what has become of it.

    Raises:
        EegfmError: there is none.
    """
    places = {path.parent for name in ("status.json", "result.json") for path in folder.rglob(name)}
    # the fits that a run makes for its controls are in its folder, and are no cells
    found = {place: look(place, jobs) for place in sorted(places) if place.parent.name != "diagnostics"}
    found = {place: one for place, one in found.items() if one is not None}
    if not found:
        raise EegfmError(
            f"No run in {folder}. Send some off: eegfm sweep submit experiment=<name> seed=0,1,2"
        )
    return found


def status(folder: Path) -> dict[Path, Status]:
    """Print a row a cell, those that run first, and a line of how many there are of each."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = cells_below(folder, queue())
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("cell", "state", "steps", "a second", "ends (UTC)", "begun", "job", ""):
        table.add_column(name, overflow="fold")
    for place, one in sorted(found.items(), key=lambda item: ORDER.index(item[1].state)):
        style = STYLE.get(one.state, "default")
        table.add_row(
            escape(str(place.relative_to(folder)) if place != folder else place.name),
            f"[{style}]{one.state}[/]",
            f"{one.step}/{one.steps}" if one.steps else NONE,
            f"{one.steps_per_s:.3g}" if one.state == "running" and one.steps_per_s else NONE,
            expected_end(one),
            f"{one.starts}x" if one.starts else NONE,
            one.job or NONE,
            escape(one.reason),
        )
    console.print(table)
    console.print(", ".join(f"{n} {state}" for state in ORDER if (n := count_of(found, state))))
    return found


def expected_end(one: Status) -> str:
    """When the training of a run that works will be through, at the rate of its last process."""
    if one.state != "running" or not one.steps or not one.steps_per_s:
        return NONE
    at = datetime.fromisoformat(one.updated_at) + timedelta(
        seconds=(one.steps - one.step) / one.steps_per_s
    )
    return at.astimezone(UTC).strftime("%m-%d %H:%M")


def collect(folder: Path) -> None:
    """Print the report of what is done, then every cell that is missing in it and why."""
    found = {
        place: one for place, one in cells_below(folder, queue()).items() if SEARCHES not in place.parts
    }
    pruned = count_of(found, "pruned")
    if pruned:
        print(f"{pruned} cells were given up by a search; they are no part of the report.")
        found = {place: one for place, one in found.items() if one.state != "pruned"}
        if not found:
            return
    if count_of(found, "done"):
        subprocess.run([sys.executable, "-m", "eegfm.report", str(folder)], check=False)
    missing = {place: one for place, one in found.items() if one.state != "done"}
    if not missing:
        print(f"Complete: {len(found)} cells.")
        return
    print(f"Missing: {len(missing)} of {len(found)} cells")
    for place, one in missing.items():
        print(f"  {place}  {one.state}{': ' * bool(one.reason)}{one.reason}")
    sys.exit(1)


def cancel(folder: Path) -> None:
    """Take back the cells that wait and stop those that run, which save first."""
    found = cells_below(folder, queue())
    waiting = {place: one for place, one in found.items() if one.state == "queued"}
    stopped = {place: one for place, one in found.items() if one.state == "running"}
    again = {place: one for place, one in found.items() if one.state == "preempted" and one.job}
    jobs = [one.job for one in (*waiting.values(), *stopped.values(), *again.values()) if one.job]
    if jobs:
        done = subprocess.run(["scancel", *jobs], capture_output=True, text=True)
        if done.returncode:
            raise EegfmError(f"scancel: {done.stderr.strip()}")
    for place in waiting:
        mark_as(place, "failed", "cancelled before it began")
    elsewhere = []
    for place, one in stopped.items():
        if one.job:
            continue
        if one.host == socket.gethostname():
            os.kill(one.pid, signal.SIGTERM)
        else:
            elsewhere.append(f"  {place}: kill {one.pid} on {one.host}")
    print(f"{len(waiting)} taken back, {len(stopped) + len(again) - len(elsewhere)} told to save and stop.")
    if elsewhere:
        sys.exit("\n".join(["On other machines:", *elsewhere]))


if __name__ == "__main__":
    main()
