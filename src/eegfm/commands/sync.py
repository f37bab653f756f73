"""`eegfm sync runs/<experiment>`: send the W&B runs that were written offline, later, from where there is a network.

A run that was interrupted has left several fragments; they go into the same W&B run in the order of their making. What
was sent is marked beside it (W&B's own `.synced`) and is not sent twice, so that the same command goes on after a
failure. A run that is still being written waits for its end. Nothing is deleted: `wandb clean` does that.
"""

import argparse
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.process import environment

ANSWER_S = 15
EMPTY = 7  # bytes of a fragment whose process was killed before it wrote anything: W&B's signature alone


def main(argv: Sequence[str] | None = None) -> None:
    """Send the runs. Exits with 1 where anything is left to send."""
    parser = argparse.ArgumentParser(
        prog="eegfm sync", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="a run folder, or a folder of runs"
    )
    options = parser.parse_args(argv)
    try:
        sync(options.folders)
    except EegfmError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. What was sent is marked: the same command goes on.")


@environment(WANDB_MODE="online")  # offline on this cluster, perhaps; but to send is what is asked for
def sync(folders: Sequence[Path]) -> None:
    """Send what was not sent yet, one run after another, and print a line a run.

    Raises:
        EegfmError: nothing was ever written there, W&B does not answer or does not know who sends, or some run failed.
    """
    from eegfm.runs.status import queue

    jobs = queue()
    found = offline_runs(folders)
    left = {run: unsent(fragments) for run, fragments in found.items() if not all(map(_is_sent, fragments))}
    works = {run for run in left if _works(run, jobs)}
    todo = {run: fragments for run, fragments in left.items() if fragments and run not in works}
    for run in left:
        if run in works:
            print(f"waits       {run}: it is still being written")
        elif run not in todo:
            print(f"empty       {run}: its process was killed before W&B had written anything")
    if not todo:
        print(f"Nothing to send: {len(found) - len(left)} of {len(found)} runs were sent before.")
        return
    account()
    failed = 0
    for run, fragments in todo.items():
        reason = send(fragments)
        failed += bool(reason)
        n = f"{len(fragments)} {'fragment' if len(fragments) == 1 else 'fragments'}"
        print(f"not sent    {run}: {reason}" if reason else f"sent        {run}: {n}", flush=True)
    if failed:
        raise EegfmError(
            f"{failed} of {len(todo)} runs were not sent, or not wholly. Nothing is lost: the same command goes on."
        )


def offline_runs(folders: Sequence[Path]) -> dict[Path, list[Path]]:
    """The fragments of every run at or below the folders, by run folder, in the order of their making.

    Raises:
        EegfmError: a folder that is not there, or no fragment in any.
    """
    found: dict[Path, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise EegfmError(f"There is no folder {folder}. Runs lie in runs/<experiment>/<name>.")
        for file in sorted(folder.rglob("offline-run-*/*.wandb")):  # the names begin with date and time
            fragments = found.setdefault(file.parents[2], [])
            if file not in fragments:
                fragments.append(file)
    if not found:
        said = ", ".join(map(str, folders))
        raise EegfmError(
            f"No run at or below {said} was written for W&B offline. One is by eegfm train ... logger=wandb"
        )
    return found


def unsent(fragments: Sequence[Path]) -> list[Path]:
    """Those without W&B's mark, and with anything in them."""
    return [one for one in fragments if not _is_sent(one) and one.stat().st_size > EMPTY]


def _is_sent(fragment: Path) -> bool:
    return fragment.with_name(fragment.name + ".synced").exists()


def _works(run: Path, jobs: Mapping[str, str] | None) -> bool:
    from eegfm.runs.status import look

    found = look(run, jobs)
    return found is not None and found.state == "running"


def account() -> None:
    """Raise EegfmError where W&B does not answer, or does not know who sends.

    Asked once and first: W&B's client goes on trying for many minutes, run by run.
    """
    import wandb

    url = wandb.setup().settings.base_url
    lost = "Nothing was sent, and nothing is lost."
    try:
        urllib.request.urlopen(url, timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        pass  # an answer
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # whose certificates W&B may know otherwise
            raise EegfmError(
                f"{url} does not answer ({reason}). {lost} Type the same command from where there is a network."
            ) from None
    try:
        known = wandb.login(prompt=False, verify=True)
    except wandb.Error as error:
        raise EegfmError(f"{lost} {error}") from None
    if not known:
        raise EegfmError(f"W&B has no key for {url}. {lost} Type: wandb login")


def send(fragments: Sequence[Path]) -> str:
    """Send fragments of one run; returns why not all of them are sent, "" where they are.

    `wandb sync` takes them by the time that they began, stops at the first that fails, and ends with 0 all the same:
    its marks say what was sent.
    """
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *(str(one.parent.resolve()) for one in fragments)],
        cwd=fragments[0].parents[2],  # where it leaves its log
        # with a service of its own: this process's would be gone with one that crashes
        env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    left = [one for one in fragments if not _is_sent(one)]
    if not left:
        return ""
    said = [line.removeprefix("wandb:").strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR").strip() for line in said if line.startswith(("ERROR", "Error"))]
    reason = (errors or said or [f"wandb sync ended with {done.returncode}"])[-1]
    return f"{len(left)} of {len(fragments)} fragments are left ({reason})"
