"""A program that imports what trains, loads and commands where no package of an extra can be imported."""

import importlib
import importlib.abc
import sys

EXTRAS = {
    "optuna",
    "submitit",
    "braindecode",
    "pyriemann",
    "wandb_workspaces",
    "chronos",
    "tsfm_public",
    "mne_bids",
    "mne_lsl",
    "moabb",
}


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())
    for name in (
        "training.run",
        "export.from_run",
        "commands.sweep",
        "commands.dashboard",
        "commands.export",
        "commands.work.stream",
    ):
        importlib.import_module(f"eegfm.{name}")
    assert not {"eegfm.export.hub", *EXTRAS} & {*sys.modules}, "the hub's package is an extra as well"
