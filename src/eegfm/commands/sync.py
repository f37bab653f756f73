"""`eegfm sync runs/<experiment>`: send the W&B runs that were logged offline.

Type it where there is a network. Runs go to your own account, and to the project that W&B's settings name, or `eegfm`.
One that names another place is not sent until you type where it shall go: --entity, --project. An interrupted run has
left several fragments; they go into one W&B run, in order of time. W&B's mark `.synced` beside a fragment says that it
was sent, so nothing is sent twice, and after a failure the same command sends the rest. A run that is still being
written is not sent yet. Nothing is deleted: `wandb clean` does that.
"""

import os
import shlex
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.runs.wandb_place import WandbPlace, add_options, outside_of, own_place
from eegfm.support.parser import Parser
from eegfm.support.process import environment

ANSWER_S = 15
EMPTY = 7  # bytes of a fragment with only W&B's signature: its process was killed before it wrote anything


def main(argv: Sequence[str] | None = None) -> None:
    """Send the runs. Exits with 1 if anything is left to send."""
    parser = Parser(prog="eegfm sync", description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a run folder, or a folder of runs"
    )
    add_options(parser)
    options = parser.parse_args(argv)
    folders = [folder.absolute() for folder in options.folders]
    try:
        with outside_of(folders):
            sync(folders, options.entity, options.project)
    except EegfmError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. Type the same command again to send the rest.")


@environment(WANDB_MODE="online")  # a cluster may set offline for all commands
def sync(folders: Sequence[Path], entity: str | None = None, project: str | None = None) -> None:
    """Send what was not sent yet, one run after another, and print a line for each run.

    Runs go to the entity and the project that are given, or else to the person's own, unless they name another place.

    Raises:
        EegfmError: no run was logged offline there, W&B does not answer or knows no account, or a run was not sent.
    """
    from eegfm.runs.slurm import queue
    from eegfm.runs.wandb_log import place_named

    jobs = queue()
    runs = offline_runs(folders)
    left = {run: unsent(fragments) for run, fragments in runs.items() if not all(map(_is_sent, fragments))}
    running = {run for run in left if _is_running(run, jobs)}
    todo = {run: fragments for run, fragments in left.items() if fragments and run not in running}
    for run in left:
        if run in running:
            print(f"waits       {run}: it is still being written")
        elif run not in todo:
            print(f"empty       {run}: its process was killed before W&B had written anything")
    if not todo:
        print(f"Nothing to send: {len(runs) - len(left)} of {len(runs)} runs were sent before.")
        return
    to = account(entity, project)
    failed = 0
    for run, fragments in todo.items():
        others = {place_named(file) for file in fragments}
        others = sorted({str(one): one for one in others if not to.takes(one)}.items())
        if others and not (entity or project):
            failed += 1
            named, other = others[0]
            print(
                f"not sent    {run}: it names {named} at W&B, and yours is {to}. Type where it shall go: "
                f"{other.typed}  or  {to.typed}",
                flush=True,
            )
            continue
        reason = send(fragments, to)
        failed += bool(reason)
        n = f"{len(fragments)} {'fragment' if len(fragments) == 1 else 'fragments'}"
        print(f"not sent    {run}: {reason}" if reason else f"sent        {run}: {n} to {to}", flush=True)
    if failed:
        raise EegfmError(
            f"{failed} of {len(todo)} runs were not sent completely. The same command again sends what is left."
        )


def offline_runs(folders: Sequence[Path]) -> dict[Path, list[Path]]:
    """The fragments of every run at or below the folders, by run folder, in order of time.

    Raises:
        EegfmError: a folder does not exist, or none holds a fragment.
    """
    runs: dict[Path, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise EegfmError(f"There is no folder {folder}. Runs lie in runs/<experiment>/<name>.")
        for file in sorted(folder.rglob("offline-run-*/*.wandb")):  # the names begin with date and time
            fragments = runs.setdefault(file.parents[2], [])
            if file not in fragments:
                fragments.append(file)
    if not runs:
        names = ", ".join(map(str, folders))
        raise EegfmError(
            f"No run at or below {names} was logged for W&B offline. To log one: eegfm train ... logger=wandb"
        )
    return runs


def unsent(fragments: Sequence[Path]) -> list[Path]:
    """The fragments that are not empty and lack W&B's mark."""
    return [file for file in fragments if not _is_sent(file) and file.stat().st_size > EMPTY]


def _is_sent(fragment: Path) -> bool:
    return fragment.with_name(fragment.name + ".synced").exists()


def _is_running(run: Path, jobs: Mapping[str, str] | None) -> bool:
    from eegfm.runs.status import look

    status = look(run, jobs)
    return status is not None and status.state == "running"


def account(entity: str | None, project: str | None) -> WandbPlace:
    """The person's place at W&B. Raises EegfmError if W&B does not answer or knows no account.

    It is asked once, before any run: W&B's client would try for many minutes, run by run.
    """
    import wandb

    url = wandb.setup().settings.base_url
    nothing = "Nothing was sent, and nothing is lost."
    try:
        urllib.request.urlopen(url, timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        pass  # this too is an answer
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # W&B may know this server's certificate
            raise EegfmError(
                f"{url} does not answer ({reason}). {nothing} Type the same command where there is a network."
            ) from None
    try:
        if not wandb.login(prompt=False, verify=True):
            raise EegfmError(f"W&B has no key for {url}. {nothing} Type: wandb login")
        return own_place(entity, project)
    except wandb.Error as error:
        raise EegfmError(f"{nothing} {error}") from None


def send(fragments: Sequence[Path], to: WandbPlace) -> str:
    """Send the fragments of one run to a place. Returns "" if all were sent, else the reason.

    `wandb sync` sends them in order of time and stops at the first failure, but exits with 0 even then; so its marks
    tell what was sent.
    """
    import wandb

    from eegfm.runs.wandb_log import damaged_at

    for file in fragments:
        if not _is_sent(file) and (place := damaged_at(file.read_bytes())) is not None:
            return (
                f"{file} is damaged at byte {place}, and W&B's client would send none of what follows. Put a good copy "
                f"in its place; or send the rest without it: mv {shlex.quote(str(file.parent))} <elsewhere>"
            )
    # wandb starts its own service then: if a fragment crashes it, ours goes on
    variables = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    # the server that was asked for the account
    variables["WANDB_BASE_URL"] = wandb.setup().settings.base_url
    options = ["--project", to.project, *(["--entity", to.entity] if to.entity else [])]
    folders = [str(file.parent.resolve()) for file in fragments]
    # it writes its log in the working folder, and would take a run folder's settings
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", *options, *folders],
            cwd=empty,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    left = [file for file in fragments if not _is_sent(file)]
    if not left:
        return ""
    lines = [line.removeprefix("wandb:").strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR").strip() for line in lines if line.startswith(("ERROR", "Error"))]
    reason = (errors or lines or [f"wandb sync ended with {done.returncode}"])[-1]
    return f"{len(left)} of {len(fragments)} fragments were not sent ({reason})"
