"""`eegfm` and `python -m eegfm`: every command on one screen; `eegfm train ...` is `python -m eegfm.train ...`."""

import sys
from importlib import import_module

COMMANDS = {  # name: (module, what it does)
    "train": ("eegfm.train", "prepare where needed, train, test, and leave a run folder"),
    "sweep": (
        "eegfm.commands.sweep",
        "send off many runs, on SLURM or here; watch, collect or cancel them",
    ),
    "prepare": ("eegfm.prepare", "make a benchmark's store ahead of training"),
    "verify": ("eegfm.commands.verify", "check raw files and store of a benchmark, or list them all"),
    "inspect": ("eegfm.commands.inspect", "a page of pictures to look at before trusting a data set"),
    "convert": ("eegfm.commands.convert", "take over the LMDB of CBraMod's or STAMP's own scripts"),
    "evaluate": ("eegfm.evaluate", "score a run folder or a checkpoint on any split"),
    "stream": ("eegfm.commands.stream", "a trained model over hours of recording, in constant memory"),
    "export": ("eegfm.commands.export", "a trained model as a folder, a program or a model of the hub"),
    "report": ("eegfm.report", "a table of one run or of a folder of runs, beside the published numbers"),
    "dashboard": ("eegfm.commands.dashboard", "a page of an experiment: runs, curves, intervals, figures"),
    "sync": ("eegfm.commands.sync", "send W&B runs that were written offline"),
    "doctor": ("eegfm.commands.doctor", "what this machine has and lacks, and the command that repairs it"),
}

HELP = """eegfm: pre-train, adapt and honestly compare EEG foundation models

  eegfm train model=stamp data=mental_arithmetic data.raw=<folder>
  eegfm train --help          every option of a command

Commands
{commands}

The same by module: python -m eegfm.train ...  Several runs at once: eegfm train -m seed=654,114,25,759,281"""


def main() -> None:
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
        print(f"eegfm has no command {command!r}. It has: {', '.join(COMMANDS)}.", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"eegfm {command}", *sys.argv[2:]]
    import_module(COMMANDS[command][0]).main()


if __name__ == "__main__":
    main()
