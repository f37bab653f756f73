"""A folder is one run, on one state of its data: another config or other data are refused, and both are said."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from eegfm.contracts import EegfmError
from eegfm.runs.results import read_result, sums_of_files, write_result
from eegfm.runs.same_run import data_at_hand, refuse_another_run, refuse_other_data
from eegfm.tasks.weights import read_checkpoint
from tests.command_line import call, start
from tests.data.small_mix import FIRST, ready, write
from tests.made_run import config, make_run

SMALL = (
    "experiment=demo",
    "model.depth=1",
    "model.width=16",
    "model.ff_width=16",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=4",
    "data.batch_size=16",
    "save_steps=2",
    "hydra.run.dir=mine",
)


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_config_is_refused_and_the_difference_said(tmp_path, finished):
    make_run(tmp_path / "mine", 3)
    if not finished:
        (tmp_path / "mine" / "result.json").unlink()
    refuse_another_run(tmp_path / "mine", config(3))
    refuse_another_run(tmp_path / "mine", config(3, **{"data.cache": "elsewhere", "data.num_workers": 4}))
    with pytest.raises(EegfmError, match=r"another run.*model\.width: 128 → 64; seed: 3 → 7"):
        refuse_another_run(tmp_path / "mine", config(7, **{"model.width": 64}))
    refuse_another_run(tmp_path / "empty", config(7))


def test_the_result_of_another_run_is_refused_in_a_finished_one(tmp_path):
    """`train` would show the scores of another seed as this one's."""
    for seed in (3, 7):
        folder = tmp_path / f"of {seed}"
        make_run(folder, seed)
        write_result(folder, replace(read_result(folder), files=sums_of_files(folder)))
        refuse_another_run(folder, config(seed))
    shutil.copy(tmp_path / "of 7" / "result.json", tmp_path / "of 3" / "result.json")
    with pytest.raises(EegfmError, match=r"of 3/config\.yaml is not as the run wrote it.*another run's"):
        refuse_another_run(tmp_path / "of 3", config(3))


def test_a_config_that_cannot_be_read_is_a_sentence(tmp_path):
    make_run(tmp_path / "mine", 3)
    for text in ("model: {width: [", "data: 3"):
        (tmp_path / "mine" / "config.yaml").write_text(text)
        with pytest.raises(EegfmError, match=r"config\.yaml.* Delete .*mine and train that run again"):
            refuse_another_run(tmp_path / "mine", config(3))


def test_data_are_known_by_all_that_they_hold(tmp_path):
    """One file changed, one subject less: the same recipe, and other data."""
    found = {}
    for name in ("as it was", "again", "changed", "fewer"):
        place = tmp_path / name
        write(FIRST, place / "raw" / "first")
        (file, *_), gone = (
            sorted((place / "raw" / "first").glob("*a.edf")),
            place / "raw" / "first" / "Rb.edf",
        )
        if name == "changed":
            samples = bytearray(file.read_bytes())
            samples[-200] ^= 1
            file.write_bytes(samples)
        if name == "fewer":
            gone.unlink()
        found[name] = data_at_hand(ready(place, FIRST, own={"allow_partial": True}))
    assert found["as it was"] == found["again"]
    refuse_other_data(tmp_path, found["as it was"], found["again"])
    assert len({one["first"]["store"] for one in found.values()}) == 1
    for name, said in (
        ("changed", r"30 windows of 5 subjects.*and now 30 windows of 5 subjects.*content"),
        ("fewer", r"30 windows of 5 subjects.*and now 24 windows of 4 subjects"),
    ):
        with pytest.raises(EegfmError, match=said):
            refuse_other_data(tmp_path, found["as it was"], found[name])
    with pytest.raises(EegfmError, match="first: absent, and now 30 windows"):
        refuse_other_data(tmp_path, {}, found["again"])


@pytest.fixture(scope="module")
def killed(tmp_path_factory, simulated) -> Path:
    """A place with the run `mine`, killed after its first steps."""
    place = simulated(tmp_path_factory.mktemp("place"))
    with open(place / "log", "w") as log:
        process = start("eegfm.train", *SMALL, cwd=place, out=log)
    while not (place / "mine" / "checkpoints" / "last.ckpt.sha256").exists():
        assert process.poll() is None, (place / "log").read_text()
        time.sleep(0.01)
    time.sleep(0.2)
    process.kill()
    process.wait()
    assert not (place / "mine" / "result.json").exists()
    return place


@pytest.mark.slow
def test_an_unfinished_run_goes_on_as_itself_alone_on_its_own_data(killed):
    last = killed / "mine" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    done = call("eegfm.train", *SMALL, "seed=7", cwd=killed)
    assert done.returncode == 1 and "seed: 654 → 7" in done.stderr, done.stderr
    shutil.copytree(killed / "data" / "raw", killed / "others")
    one, two, *_ = sorted((killed / "others").rglob("*.fif"))
    one_s, two_s = one.read_bytes(), two.read_bytes()
    one.write_bytes(two_s)
    two.write_bytes(one_s)
    (one.parent / "SHA256SUMS.txt").unlink()
    others = ("data.raw=others/synthetic", "data.cache=others/cache")
    done = call("eegfm.train", *SMALL, *others, cwd=killed)
    assert done.returncode == 1 and "began on other data" in done.stderr, done.stderr
    assert last.read_bytes() == before
    assert read_checkpoint(last)["data"]["synthetic"]["windows"] == 840
    done = call("eegfm.train", *SMALL, cwd=killed)
    assert done.returncode == 0 and "Going on from" in done.stdout, done.stderr
    assert "Warning" not in done.stderr and "Checkpoint directory" not in done.stdout + done.stderr
    assert "resuming" not in done.stdout + done.stderr
    assert read_result(killed / "mine").seed == 654
    done = call("eegfm.train", *SMALL, "seed=7", cwd=killed)
    assert done.returncode == 1 and "seed: 654 → 7" in done.stderr, "of a finished one as well"
