"""`eegfm` and `python -m eegfm`: list all commands, or run one."""

import os
import select
import signal
import sys
from importlib import import_module
from pathlib import Path

from eegfm.commands import COMMANDS
from eegfm.support.files import refused_by_disk
from eegfm.support.process import arguments
from eegfm.support.words import print_anything, unknown

HELP = """eegfm: pre-train, adapt and honestly compare EEG foundation models
  eegfm train model=stamp data=mental_arithmetic data.raw=<folder>
  eegfm train --help          all options of a command

Commands
{commands}
`python -m eegfm train ...` does the same. Several runs, one after another: eegfm train -m seed=654,114,25,759,281"""


def main() -> None:
    try:
        _run()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _unread():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        sys.exit(128 + signal.SIGPIPE)


def _unread() -> bool:
    """Whether nobody reads what is printed any more: `eegfm train --help | head`."""
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)  # an error is told in any case
    return any(event & select.POLLERR for _, event in pipe.poll(0))


def _run() -> None:
    print_anything()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(
            HELP.format(commands="\n".join(f"  {name:<12}{what}" for name, (_, what) in COMMANDS.items()))
        )
        return
    command = sys.argv[1]
    if command in ("-V", "--version"):
        from eegfm.version import __version__

        print(__version__)
        return
    if command not in COMMANDS:
        print(
            unknown(f"eegfm {command}", f"there is no {command}", command, list(COMMANDS)), file=sys.stderr
        )
        raise SystemExit(2)
    with arguments(f"eegfm {command}", *sys.argv[2:]):
        try:
            import_module(COMMANDS[command][0]).main()
        except Exception as error:  # a full disk is told by whatever library meets it
            if not (refused := refused_by_disk(error, Path.cwd())):
                raise
            sys.exit(refused)


if __name__ == "__main__":
    main()
