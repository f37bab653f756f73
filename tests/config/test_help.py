"""`--help` of a command whose config Hydra composes: what it shows of the config tree."""

import pytest

from eegfm.config.doors import help_screen
from eegfm.config.schema import config_dir


@pytest.mark.parametrize("columns", [80, 120])
def test_options_stand_in_a_column_of_their_own_and_lines_fit_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = help_screen("train", "Purpose.").splitlines()
    options = [line for line in lines if line.startswith("  ") and "=" in line.split()[0]]
    column = max(len(line.split()[0]) for line in options) + 4
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in options)
    shown = [line for line in lines[2:-1] if line]
    assert all(line in options or not line[:column].strip() for line in shown)
    assert all(len(line) <= columns for line in shown)


def test_every_option_is_there_with_a_whole_first_sentence(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = " ".join(help_screen("train", "Purpose.").split())
    for group in ("data", "model", "task", "trainer", "callbacks", "row", "adapt", "experiment"):
        for path in (config_dir() / group).glob("*.yaml"):
            assert f" {group}={path.stem} " in shown
    assert (
        "SAMBA (Hong et al. 2025, arXiv:2511.18571), a differential-Mamba U-Net that reads coordinates:"
        in shown
    )
    assert "CBraMod (Wang et al. 2025, arXiv:2412.07236), a criss-cross transformer model=" in shown
    assert "linear head on its bottleneck adapt=" in shown  # a sentence of two lines


def test_a_command_without_groups_says_its_purpose():
    assert help_screen("evaluate", "Scores a run.").startswith("Scores a run.\n")
