"""Three real folders, each by its YAML in `tests/own/conf/data`: the examples of the documentation, kept working."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy

from eegfm.data.store import SampleStore
from eegfm.runs.results import read_result
from tests.command_line import call

HERE = Path(__file__).parent
FOLDERS = {"kalunga": "ssvep_kalunga2016", "alcoholism": "alcoholism_uci", "feis": "feis_fixation"}


@pytest.fixture
def place(tmp_path) -> Path:
    """A person's working folder: conf, and beside it the module of their readers."""
    shutil.copytree(HERE / "conf", tmp_path / "conf")
    shutil.copy(HERE / "readers.py", tmp_path / "readers.py")
    return tmp_path


def run(place: Path, eeg_data: Path, command: str, name: str, *typed: str) -> str:
    raw = eeg_data / FOLDERS[name]
    if not raw.is_dir():
        pytest.skip(f"no {raw}")
    done = call("eegfm", command, f"data={name}", f"data.raw={raw}", *typed, cwd=place)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def trained(place: Path, eeg_data: Path, name: str, *typed: str):
    run(place, eeg_data, "train", name, *typed)
    (folder,) = (place / "runs" / "single").iterdir()
    return read_result(folder)


@pytest.mark.slow
def test_events_in_another_file_a_wrong_unit_and_square_brackets(eeg_data, place):
    said = run(place, eeg_data, "prepare", "kalunga")
    assert "train 320 windows [80, 80, 80, 80], 5 subjects" in said
    assert "left out: subject08-record-[2013.04.06-16.22.32]_raw: the authors leave it out" in said
    assert "20 ok, 0 warnings, 0 off" in run(place, eeg_data, "verify", "kalunga")
    result = trained(place, eeg_data, "kalunga", "model=tangent", "split=loso", "split.fold=0")
    assert result.benchmark.subjects["test"] == ["subject01"]
    assert result.benchmark.census["test"] == [16, 16, 16, 16]


@pytest.mark.slow
@pytest.mark.long
def test_the_stimulus_is_in_the_windows_of_its_class(eeg_data, place):
    """The labels are those of the events: at Oz a class of 13, 17 or 21 Hz has more power there than the other two."""
    run(place, eeg_data, "prepare", "kalunga")
    (folder,) = (path for path in (place / "data" / "cache" / "kalunga").iterdir() if path.is_dir())
    store = SampleStore(folder)
    classes = store.recipe.facts["classes"]
    windows = store.read(range(len(store)))[:, 0]
    hz, power = scipy.signal.periodogram(windows, 200.0)
    at = np.stack([power[:, np.argmin(abs(hz - f))] for f in (13, 17, 21)], axis=1)
    at /= at.mean(axis=0)
    for i, name in enumerate(("13 Hz", "17 Hz", "21 Hz")):
        of_class = at[store.index.label == classes.index(name)].mean(axis=0)
        assert of_class.argmax() == i, (name, of_class)


@pytest.mark.slow
@pytest.mark.long
def test_a_reader_of_ones_own_and_a_diagnosis_by_person(eeg_data, place):
    said = run(place, eeg_data, "prepare", "alcoholism", "data.prepare_workers=2")
    assert "train 239 windows [119, 120], 8 subjects" in said
    result = trained(place, eeg_data, "alcoholism", "model=bandpower", "split=kfold", "split.folds=5")
    assert len(result.benchmark.subjects["test"]) == 3


@pytest.mark.slow
def test_no_labels_for_pre_training(eeg_data, place):
    assert "train 800 windows [800], 5 subjects" in run(place, eeg_data, "prepare", "feis")
    result = trained(
        place,
        eeg_data,
        "feis",
        "model=eegm2",
        "task=reconstruct",
        "model.width_scale=8",
        "trainer.max_epochs=1",
    )
    assert result.metrics["test"]["hidden_rmse_uv"] > 0
