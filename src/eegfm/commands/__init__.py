"""The table of all `eegfm <command>`s, and the commands themselves except train, prepare, evaluate and report.

Here is one file for each command, named as the command: what a person types, and the text of `--help`. It loads no
torch, so that `--help` answers at once. What a command then does is in `work/`, in a file of the same name.
"""

COMMANDS = {  # name: (module, what it does)
    "new": (
        "eegfm.commands.new",
        "look at a folder of your own recordings, and write the YAML that makes a data set of them",
    ),
    "train": ("eegfm.train", "prepare the data if needed, train, test, and write a run folder"),
    "sweep": (
        "eegfm.commands.sweep",
        "submit many runs, to SLURM or to this machine; watch, collect or cancel them",
    ),
    "prepare": ("eegfm.prepare", "process a benchmark's raw files into a store, ahead of training"),
    "verify": (
        "eegfm.commands.verify",
        "check the raw files and the store of a benchmark, or list all benchmarks",
    ),
    "check": (
        "eegfm.commands.check",
        "hold a model to what every model owes, on one real batch: shape, gradients, saving, cost",
    ),
    "inspect": (
        "eegfm.commands.inspect",
        "draw a page of pictures of a data set, to look at before trusting it",
    ),
    "convert": ("eegfm.commands.convert", "import an LMDB that CBraMod's or STAMP's own scripts made"),
    "evaluate": ("eegfm.evaluate", "score a run folder or a checkpoint on any split"),
    "predict": (
        "eegfm.commands.predict",
        "apply a trained model to recordings: probabilities by window, a decision by recording",
    ),
    "embed": ("eegfm.commands.embed", "write one vector for each window of recordings"),
    "stream": (
        "eegfm.commands.stream",
        "run a trained model over a recording of hours, in constant memory",
    ),
    "export": (
        "eegfm.commands.export",
        "export a trained model as a folder, as a program or to the Hugging Face hub",
    ),
    "report": ("eegfm.report", "print a table of one or many runs, beside the published numbers"),
    "dashboard": (
        "eegfm.commands.dashboard",
        "write the page of an experiment: runs, curves, intervals, figures",
    ),
    "sync": ("eegfm.commands.sync", "send the W&B runs that were logged offline"),
    "completion": (
        "eegfm.commands.completion",
        "print the script that makes bash complete commands, options and keys",
    ),
    "weights": (
        "eegfm.commands.weights",
        "list the published weights that an option can use, or fetch one of them",
    ),
    "doctor": (
        "eegfm.commands.doctor",
        "show what this machine has and lacks, and the commands that repair it",
    ),
}
