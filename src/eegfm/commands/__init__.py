"""Every `eegfm <command>` (`COMMANDS`), and what each does that is not prepare, train, evaluate or report.

A command that Hydra configures has two files: `verify.py` names its work by path, so that `--help` loads no torch, and
`verifying.py` does it.
"""

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
    "completion": ("eegfm.commands.completion", "what bash needs to complete commands, options and keys"),
    "doctor": ("eegfm.commands.doctor", "what this machine has and lacks, and the command that repairs it"),
}
