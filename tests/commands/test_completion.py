"""Completion: the words for a line, and the script in bash itself."""

import os
import shutil
import subprocess
import sys

import pytest

from eegfm.commands import COMMANDS
from eegfm.commands.completion import SCRIPT, candidates

WORDS = [
    ("eegfm tr", ["train"]),
    ("eegfm train mod", ["model.", "model="]),
    ("eegfm train model=sta", ["model=stamp", "model=stamp_lora"]),
    (
        "eegfm train data=published/tu",
        ["data=published/tuab", "data=published/tuab_eegm2", "data=published/tuev"],
    ),
    ("eegfm train model=eegm2 model.wi", ["model.width_scale="]),
    ("eegfm train model=stamp model.wi", ["model.width="]),
    ("eegfm train task.optimizer.", ["task.optimizer.lr=", "task.optimizer.weight_decay="]),
    ("eegfm train -m model=stamp see", ["seed=", "seen."]),
    ("eegfm train modle=stamp sav", ["save_steps="]),  # also behind a word that is wrong
    ("eegfm sweep submit model=eegm2 model.wi", ["model.width_scale="]),
    ("eegfm prepare enc", ["encoder.", "encoder="]),
    ("python -m eegfm.train model=eegm2 model.wi", ["model.width_scale="]),
    ("python -m eegfm train model=eegm2 model.wi", ["model.width_scale="]),
    ("python script.py mod", []),
    ("eegfm report runs/", []),  # a file, which bash knows
    ("eegfm train --cf", []),
]


@pytest.mark.parametrize(("line", "words"), WORDS)
def test_a_word_goes_on_as_the_config_tree_does(line, words):
    assert candidates(line) == words


def test_every_command_is_there():
    assert candidates("eegfm ") == sorted(COMMANDS)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [("eegfm tr", ["train"]), ("eegfm train model=sta", ["stamp", "stamp_lora"]),  # bash breaks a line at =
     ("eegfm train model.wid", ["model.width="]), ("python -m eegfm.train encoder=spec", ["spectrum", "spectrum_128"]),
     ("eegfm report runs/", [])],
)  # fmt: skip
def test_bash_completes_it(line, words, tmp_path):
    """Through the function that the script defines, with the variables that bash sets when TAB is pressed."""
    (tmp_path / "eegfm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m eegfm "$@"\n')
    (tmp_path / "eegfm").chmod(0o755)
    pressed = f"""
        {SCRIPT}
        compopt() {{ :; }}  # outside of a completion there is nothing to set
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        _eegfm; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    where = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", pressed], env=where, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == words, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script_for_eegfm_and_leaves_a_completion_of_python_alone():
    def registered(name: str, before: str = "") -> str:
        script = f"{before}\n{SCRIPT}\ncomplete -p {name}"
        return subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True).stdout

    assert "-F _eegfm eegfm" in registered("eegfm") and "-F _eegfm python" in registered("python")
    assert "-F other python" in registered("python", "complete -F other python")
