"""Training, loading and every command work without the packages of an extra."""

import subprocess
import sys

WITHOUT = """
import importlib, importlib.abc, sys

EXTRAS = {"optuna", "submitit", "braindecode", "pyriemann", "wandb_workspaces", "chronos", "tsfm_public"}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in ("training.run", "export.from_run", "commands.sweep", "commands.dashboard", "commands.export"):
    importlib.import_module(f"eegfm.{name}")
assert not {"eegfm.export.hub", *EXTRAS} & {*sys.modules}, "the hub's package is an extra as well"
"""


def test_what_only_an_extra_needs_is_imported_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
