"""The small forms of the damage scripts, and what they found, each by itself."""

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eegfm.contracts import EegfmError
from eegfm.reporting.dashboard_facts import collected
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.curves import read_curves
from eegfm.runs.results import read_result, sums_of_files, write_result
from eegfm.runs.status import Status, look, read_status, write_status
from eegfm.support.checksums import write_with_sum
from eegfm.support.summed import with_sum, without_sum
from eegfm.tasks.weights import SUM, read_state, sum_of_tensors
from tests.damage.flips import DAMAGES, Tried, case_of
from tests.damage.full_disks import FullDisks, sizes_of
from tests.damage.kills import Killed, kill_of
from tests.damage.works import WORKS
from tests.made_run import make_run


def damaged(path: Path, how: str, draw: random.Random) -> bytes:
    """Damage a file as the scripts do; the bytes from before."""
    good = path.read_bytes()
    path.write_bytes(DAMAGES[how](draw)[1](good))
    return good


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run as training leaves it: its result names its files."""
    folder = tmp_path / "runs" / "one"
    make_run(folder, 1)
    write_with_sum(folder / "metrics.csv", b"epoch,step,val/auroc\r\n0,9,0.51\r\n1,18,0.62\r\n")
    write_status(folder, Status(state="done", step=18, steps=18, starts=1))
    write_result(folder, replace(read_result(folder), files=sums_of_files(folder)))
    return folder


def numbers(folder: Path) -> dict[str, object]:
    """What a report and a dashboard say of a run, but for sentences and its place among others."""
    (cell,) = collected(folder.parent, folder.parent / "page.html")["cells"]
    return {
        k: v
        for k, v in cell.items()
        if k not in ("why", "state", "marks", "group") and v not in ("", [], {}, None)
    }


@pytest.mark.parametrize("how", ["flips", "cuts"])
@pytest.mark.parametrize(
    "name", ["result.json", "config.yaml", "predictions_test.csv", "metrics.csv", "status.json"]
)
def test_a_damaged_file_of_a_run_gives_its_numbers_or_is_named(run, name, how):
    wanted, draw, found = numbers(run), random.Random(f"{name} {how}"), []
    for _ in range(6):
        good = damaged(run / name, how, draw)
        now = numbers(run)
        assert {key: now[key] for key in now if now[key] != wanted.get(key)} == {}
        if now != wanted:
            (cell,) = collected(run.parent, run.parent / "page.html")["cells"]
            assert name in cell["why"], cell["why"]
            found.append(name)
        (run / name).write_bytes(good)
    assert found and numbers(run) == wanted
    assert not read_runs(find_runs([run.parent]))[1]


def test_a_status_knows_when_it_was_changed(tmp_path):
    write_status(tmp_path, Status(state="preempted", step=100, steps=700, starts=3))
    path = tmp_path / "status.json"
    path.write_text(path.read_text().replace('"step": 100', '"step": 500'))
    assert read_status(tmp_path) is None
    found = look(tmp_path)
    assert found is not None and found.state == "unknown" and "status.json is damaged" in found.reason


def test_curves_with_a_sum_beside_them_are_read_only_as_they_were_written(tmp_path):
    path = tmp_path / "metrics.csv"
    write_with_sum(path, b"epoch,val/auroc\r\n0,0.61\r\n")
    assert read_curves(path) == [{"epoch": "0", "val/auroc": "0.61"}]
    path.write_bytes(path.read_bytes().replace(b"0.61", b"0.81"))
    with pytest.raises(EegfmError, match=r"metrics\.csv is not as it was written"):
        read_curves(path)


@pytest.mark.parametrize("value", [{"a": 1.5, "b": [1, None, "é"]}, {"1": {"x": True}}, {}])
def test_a_sum_is_of_the_values_however_they_are_spaced(value, tmp_path):
    text = json.dumps(with_sum(value), indent=3, ensure_ascii=False)
    assert without_sum(json.loads(text), tmp_path) == value
    with pytest.raises(EegfmError, match="not those of its sha256"):
        without_sum({**json.loads(text), "c": 1}, tmp_path)
    assert without_sum(value, tmp_path) == value, "of an earlier version"


def test_exported_weights_know_their_own_sum_wherever_they_are_moved(tmp_path):
    state, about = (
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(2)},
        {"format": "pt", "seen": "{}"},
    )
    save_file(state, tmp_path / "x.safetensors", metadata={**about, SUM: sum_of_tensors(state, about)})
    moved = Path(shutil.move(tmp_path / "x.safetensors", tmp_path / "y.safetensors"))
    assert torch.equal(read_state(moved)["a"], state["a"])
    draw, good, refused = random.Random(5), moved.read_bytes(), 0
    for _ in range(60):
        damaged(moved, "flips", draw)
        try:
            found = read_state(moved)
        except EegfmError as error:
            assert "y.safetensors" in str(error)
            refused += 1
        else:
            assert all(torch.equal(found[key], state[key]) for key in state)
        moved.write_bytes(good)
    assert refused > 40 and load_file(moved).keys() == state.keys()


# ---- the scripts, in small -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Tried:
    """The undamaged world of flips and cuts, which takes a minute."""
    return Tried(tmp_path_factory.mktemp("world"))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("how", ["flips", "cuts"])
def test_no_damage_gives_another_number_in_silence(how, tried):
    for number in range(20):
        case = case_of(tried.world, how, 1, number, "^(?!store)", 1)
        for use, verdict in zip(case.uses, tried.run(case), strict=True):
            assert not verdict.startswith("FAILED"), (case.file, case.damage, use.name, verdict)


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_command_that_is_typed_again_ends_with_the_same_bytes(tmp_path):
    killed = Killed(tmp_path)
    works = tuple(work for work in WORKS if not work.starts)
    for number in range(len(works)):
        kill = kill_of(1, number, works)
        verdict = killed.run(kill)
        assert not verdict.startswith("FAILED"), (kill.work.use.name, kill.at, verdict)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_loses_nothing(tmp_path):
    disks = FullDisks(tmp_path)
    for work in (one for one in WORKS if one.use.name in ("embed", "fit", "evaluate", "export")):
        wanted, before, added = disks.whole(work)
        for size in sizes_of(before, added)[::5]:
            verdict = disks.run(work, wanted, size)
            assert not verdict.startswith("FAILED"), (work.use.name, size, verdict)
