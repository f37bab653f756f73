"""Somebody's own recordings by the real commands: prepared, trained on, reported, streamed, under their own name."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eegfm.config.from_file import buildable
from eegfm.config.identity import plain
from eegfm.contracts import EegfmError
from eegfm.runs.results import read_result
from tests.command_line import call
from tests.composed import composed
from tests.own.folder import folder

YAML = """# Rest or task, six people, recorded here.
defaults: [shared/own@_here_, _self_]
benchmark:
  name: mine
  title: My recordings
  files: "{subject}/{label}.edf"
  labels: {from: path}
  classes: {rest: rest, task: task}
  windows: {cut: end_to_end, length_s: 1}
  channels: [C3, Cz, C4, Pz]
  steps: [{_target_: eegfm.signal.steps.BandPass, low: 1.0, high: 40.0}]
  split: {by: subject, shares: [0.5, 0.25, 0.25]}
raw: recordings
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("own")
    folder(place / "recordings")
    (place / "conf" / "data").mkdir(parents=True)
    (place / "conf" / "data" / "mine.yaml").write_text(YAML)
    return place


def run(place: Path, command: str, *typed: str) -> str:
    done = call("eegfm", command, *typed, cwd=place)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_from_a_folder_to_a_table_under_its_own_name_everywhere(place):
    assert "My recordings (mine@own) is prepared" in run(place, "prepare", "data=mine")
    assert "0 off" in run(place, "verify", "data=mine")
    run(place, "inspect", "data=mine")
    page = (place / "inspect-mine.html").read_text(encoding="utf-8")
    assert "My recordings" in page and "{subject}/{label}.edf" in page
    said = run(place, "train", "data=mine", "model=bandpower")
    assert "bandpower on My recordings" in said
    (folder,) = (place / "runs" / "single").glob("bandpower-*-mine-s654-*")
    result = read_result(folder)
    assert (result.data, result.benchmark.benchmark, result.benchmark.title) == (
        "mine",
        "mine",
        "My recordings",
    )
    assert [path.name for path in (place / "data" / "cache").iterdir()] == ["mine"]
    run(
        place,
        "train",
        "-m",
        "data=mine",
        "model=bandpower",
        "split=loso",
        "split.val_subjects=1",
        "split.fold=0,1",
    )
    run(place, "train", "data=mine", "model=bandpower", "split=kfold", "split.folds=3")
    assert len(list((place / "runs" / "single").glob("bandpower-*-mine-*"))) == 4
    run(place, "train", "data=mine", "model=majority", "data.window_s=2.0")
    assert "My recordings" in run(place, "report", "runs")
    run(place, "dashboard", "runs/single")
    assert "My recordings" in (place / "runs" / "single" / "dashboard.html").read_text(encoding="utf-8")
    assert "synthetic" not in "".join(path.name for path in (place / "runs" / "single").iterdir())


@pytest.mark.slow
@pytest.mark.long
def test_it_pre_trains_alone_and_in_a_mix_and_streams(place):
    small = ("model=eegm2", "model.width_scale=8", "trainer.max_epochs=1")
    run(place, "train", "data=mix", "data/corpora=[mine,synthetic]", "task=reconstruct", "data.channels=common", *small,
        "data.corpora.synthetic.window_s=1.0")  # fmt: skip
    alone = run(place, "train", "data=mine", "encoder=spectrum", "trainer.max_epochs=1")
    assert "stamp on My recordings" in alone
    (folder,) = (place / "runs" / "single").glob("stamp-*-mine-s654-*")
    run(place, "stream", f"run={folder}", "file=recordings/S6/task.edf")
    assert json.loads((folder / "leakage.json").read_text())["shared_subjects"] == {}


def config_of(**benchmark) -> str:
    config = composed("data=synthetic")
    config.search = {}
    found = plain(config)
    found["data"]["benchmark"] = {
        "_target_": "eegfm.benchmarks.own.declared.benchmark",
        "name": "mine",
        **benchmark,
    }
    return OmegaConf.to_yaml(OmegaConf.create(found))


def test_a_reader_out_of_somebodys_run_wants_a_word_and_steps_do_not():
    assert buildable(config_of(steps=[{"_target_": "eegfm.signal.steps.RemoveMean"}]), "config.yaml")
    for reader in ("evil.read", {"_target_": "evil.read"}, ["evil.read"]):
        with pytest.raises(EegfmError, match=r"data\.benchmark\.reader"):
            buildable(config_of(reader=reader), "config.yaml")
    with pytest.raises(EegfmError, match=r"type trust=lab\.files"):
        buildable(config_of(reader="lab.files.read"), "config.yaml")
    assert buildable(config_of(reader="lab.files.read"), "config.yaml", trust=["lab"])
    with pytest.raises(EegfmError, match="no such argument"):
        buildable(config_of(rader="lab.files.read"), "config.yaml", trust=["lab"])
