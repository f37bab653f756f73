"""What is written into a run folder stays in it, wherever the links lead that somebody laid there."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import eegfm
from eegfm.commands.dashboard import main as dashboard
from eegfm.commands.export import main as export
from eegfm.contracts import EegfmError
from eegfm.drawing import style
from eegfm.runs.lock import LOCK
from eegfm.runs.predictions import write_predictions
from eegfm.runs.status import at_work
from eegfm.support.locks import locked
from tests.made_run import make_run
from tests.runs.test_hostile import SMALL
from tests.stream_runs import untrained_run


@pytest.fixture
def letter(tmp_path) -> Path:
    """A file and a folder of somebody's, which must not change."""
    path = tmp_path / "home" / "letter"
    path.parent.mkdir()
    path.write_text("dear")
    return path


@pytest.fixture(autouse=True)
def unchanged(letter):
    yield
    assert letter.read_text() == "dear" and [*letter.parent.iterdir()] == [letter]


@pytest.fixture
def run(tmp_path) -> Path:
    make_run(tmp_path / "runs" / "a", 1)
    return tmp_path / "runs" / "a"


def test_files_that_are_written_whole_replace_a_link(run, letter):
    (run / "predictions_test.csv").unlink()
    (run / "predictions_test.csv").symlink_to(letter)
    write_predictions(run / "predictions_test.csv", [], [], np.zeros(0, int), np.zeros((0, 2)), ("a", "b"))
    assert not (run / "predictions_test.csv").is_symlink()
    (run / "dashboard.html").symlink_to(letter)
    dashboard([str(run), "--to", str(run / "dashboard.html")])
    assert not (run / "dashboard.html").is_symlink()


def test_figures_go_into_no_folder_that_is_a_link(run, letter):
    (run / "figures").symlink_to(letter.parent)
    with pytest.raises(EegfmError, match="figures is a symbolic link"):
        style.save(Figure(), run / "figures" / "roc.png")
    (run / "figures").unlink()
    (run / "figures").mkdir()
    (run / "figures" / "roc.png").symlink_to(letter)
    style.save(Figure(), run / "figures" / "roc.png")
    assert not (run / "figures" / "roc.png").is_symlink()


@pytest.mark.parametrize("name", [LOCK, "loss.csv", "wandb_open", "figures", "checkpoints/last.ckpt"])
def test_no_training_begins_in_a_folder_with_links(run, letter, name):
    (run / "checkpoints").mkdir()
    (run / name).symlink_to(letter)
    with pytest.raises(EegfmError, match=f"{name} is a symbolic link.*rm "), at_work(run):
        raise AssertionError("at work")


def test_a_lock_is_no_link(run, letter):
    (run / "a.lock").symlink_to(letter)
    with pytest.raises(EegfmError, match="symbolic link"), locked(run / "a.lock"):
        raise AssertionError("locked")


@pytest.mark.parametrize("name", ["", "config.json", "model.safetensors", "README.md"])
def test_an_export_goes_into_no_link(tmp_path, letter, name):
    run = untrained_run(tmp_path / "runs" / "single" / "theirs", *SMALL)
    place = run / "export" / name
    place.parent.mkdir(exist_ok=True)
    if not name:
        place = run / "export"
        place.rmdir() if place.exists() else None
        letter.rename(letter.parent.parent / "kept")  # a folder that an export could fill
    place.symlink_to(letter if name else letter.parent)
    with pytest.raises(SystemExit, match="symbolic link"):
        export([str(run)])
    if not name:
        assert not [*letter.parent.iterdir()]
        (letter.parent.parent / "kept").rename(letter)
    assert eegfm.load(run).kind == "classify"
