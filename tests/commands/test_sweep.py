"""What a sweep submits, and what it tells about its cells. `tests/cluster` runs cells on a real SLURM."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from eegfm.commands.sweep import cancel, collect, expected_end, main, status
from eegfm.commands.work.submit import cells_of, submit, work
from eegfm.contracts import EegfmError
from eegfm.runs.status import Status, read_status, write_status
from tests.made_run import make_run

SWEEP = ["data=synthetic", "model.depth=1,2", "seed=0,1", "experiment=demo"]


@pytest.fixture(scope="module")
def four():
    """The cells of SWEEP; their folders are below the working directory, whatever it is."""
    return cells_of(SWEEP)


def test_a_cell_is_named_by_its_config_wherever_it_is_asked_for(monkeypatch, tmp_path, four):
    monkeypatch.chdir(tmp_path)
    found = four
    assert len({cell.folder for cell in found}) == 4 and {cell.folder.parent.name for cell in found} == {
        "demo"
    }
    (alone,) = cells_of(found[3].overrides)  # what its job will be called with
    assert alone.folder == found[3].folder
    # which changes nothing in a run
    (once,) = cells_of([*found[0].overrides, "trainer.log_every_n_steps=5,10"])
    assert once.folder == found[0].folder


def test_what_an_experiment_sweeps_over_is_sent_off_but_for_what_the_command_line_says(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    found = cells_of(["experiment=three_models", "seed=0,1", "data=synthetic"])
    said = {
        tuple(sorted(text for text in cell.overrides if text[:4] in ("row=", "seed"))) for cell in found
    }
    rows = ("stamp_spectrum", "samba_small", "eegm2_small")
    assert len(found) == 6 and said == {(f"row={m}", f"seed={n}") for m in rows for n in (0, 1)}
    (alone,) = cells_of(found[0].overrides)  # its job does not sweep again
    assert alone.folder == found[0].folder and "hydra.mode=RUN" in alone.overrides


def test_a_word_that_is_wrong_sends_nothing_off(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for wrong in ("model=stampp", "trainer.epochs=3"):
        with pytest.raises(EegfmError, match=r"(?s)Nothing was submitted.*" + wrong.partition("=")[0]):
            submit([*SWEEP, wrong, "hydra/launcher=local"])
    assert not (tmp_path / "runs").exists()


def test_resources_are_from_the_environment_and_the_command_line(monkeypatch):
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra `slurm` is not installed"
    )
    monkeypatch.setenv("EEGFM_SLURM_PARTITION", "a100")
    monkeypatch.setenv("EEGFM_SLURM_GPUS", "2")
    (cell,) = cells_of(["seed=0", "hydra/launcher=slurm", "hydra.launcher.mem_gb=32"])
    told = {
        key: cell.launcher[key]
        for key in ("partition", "gpus_per_node", "mem_gb", "cpus_per_task", "account")
    }
    assert told == {
        "partition": "a100",
        "gpus_per_node": 2,
        "mem_gb": 32,
        "cpus_per_task": 4,
        "account": None,
    }
    assert cell.launcher["max_num_timeout"] > 0 and cell.overrides == ["seed=0"]
    (cell,) = cells_of(["seed=0", "hydra/launcher=local"])
    assert cell.launcher["_target_"].endswith("LocalLauncher") and cell.launcher["timeout_min"] > 60


def test_a_cell_asks_for_what_its_own_model_wants(monkeypatch):
    """Within one sweep the command line beats the model's file, and that beats the environment."""
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra `slurm` is not installed"
    )
    monkeypatch.setenv("EEGFM_SLURM_GPUS", "1")
    slurm = ["seed=0", "model=stamp,bandpower", "hydra/launcher=slurm"]
    assert [cell.launcher["gpus_per_node"] for cell in cells_of(slurm)] == [1, 0]
    said = cells_of([*slurm, "hydra.launcher.gpus_per_node=2"])
    assert [cell.launcher["gpus_per_node"] for cell in said] == [2, 2]
    more = cells_of([*slurm, "resources.mem_gb=64", "trainer=ddp", "hydra.launcher.tasks_per_node=4"])
    assert [(c.launcher["mem_gb"], c.launcher["tasks_per_node"]) for c in more] == [(64, 4)] * 2
    # which changes nothing in a run: neither do devices, and how they work together
    assert [cell.folder for cell in more] == [cell.folder for cell in said]


def test_what_is_finished_runs_or_waits_is_left_alone(monkeypatch, tmp_path, capsys, four):
    """All four are, so that nothing is started here."""
    monkeypatch.chdir(tmp_path)
    cells = four
    for cell in cells[:2]:
        cell.folder.mkdir(parents=True)
        write_status(cell.folder, Status(state="done"))
    for cell in cells[2:]:
        cell.folder.mkdir(parents=True)
        write_status(cell.folder, Status(state="queued", pid=os.getpid(), host=os.uname().nodename))
    submit([*SWEEP, "hydra/launcher=local"])
    assert "4 cells: 0 submitted, 2 queued, 2 done" in capsys.readouterr().out
    assert [read_status(cell.folder).state for cell in cells] == ["done", "done", "queued", "queued"]


KILLED = """
import os, signal, sys
from eegfm.commands.work import submit
real, n = submit.{function}, 0
def until(*args, **kwargs):
    global n
    n += 1
    if n > {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
submit.{function} = until
submit.submit(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "after"), [("write_status", 0), ("write_status", 1), ("write_json", 0)]
)
def test_what_a_killed_submission_has_not_handed_over_is_sent_when_it_is_typed_again(
    monkeypatch, tmp_path, capsys, function, after
):
    """Killed before any cell is marked, in between, and behind all of them, before a worker is started."""
    monkeypatch.chdir(tmp_path)
    words = ["data=synthetic", "model=bandpower", "seed=0,1", "hydra/launcher=local"]
    killed = subprocess.run([sys.executable, "-c", KILLED.format(function=function, after=after), *words])
    assert killed.returncode == -signal.SIGKILL
    sent = []
    monkeypatch.setattr(
        "eegfm.commands.work.submit._to_the_background", lambda cells, n: sent.extend(cells)
    )
    submit(words)
    assert "2 cells: 2 submitted" in capsys.readouterr().out and len(sent) == 2
    assert {read_status(cell.folder).state for cell in sent} == {"queued"}
    sent.clear()
    submit(words)  # they wait for this process, which is there
    assert "2 cells: 0 submitted, 2 queued" in capsys.readouterr().out and not sent


def test_a_worker_says_at_once_which_cells_are_its_own_and_leaves_the_others_alone(
    monkeypatch, tmp_path, four
):
    """Whoever started it may have been killed before it could; two workers never share a cell."""
    monkeypatch.chdir(tmp_path)
    mine, other = four[:2]
    for cell in (mine, other):
        cell.folder.mkdir(parents=True)
        write_status(
            cell.folder,
            Status(state="queued", pid=1, host=os.uname().nodename, overrides=["seed=x"]),
        )
    todo = mine.folder / "sweep.json"
    todo.write_text(json.dumps({"cells": [str(mine.folder), str(other.folder)]}))
    seen = []

    def training(command, **_):
        seen.append(command[-1])
        assert {read_status(cell.folder).pid for cell in (mine, other)} == {os.getpid()}
        write_status(other.folder, Status(state="queued", pid=1))

    monkeypatch.setattr("eegfm.commands.work.submit.subprocess.run", training)
    work(todo)
    assert seen == ["seed=x"] and not todo.exists()
    assert (read_status(mine.folder).state, read_status(other.folder).state) == ("failed", "queued")


@pytest.fixture
def cells(tmp_path):
    """A cell of each kind, the running one an idle process."""
    make_run(tmp_path / "stamp-a-s0-00000000", 0)
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, tmp_path / "b"], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None and worker.stdout.readline() == "begun\n"
        for name, one in {
            "c": Status(state="queued"),
            "d": Status(state="failed", reason="[No epoch] was kept"),
            "e": Status(state="preempted", reason="SIGTERM at step 3", step=3, steps=9, starts=1),
            "f": Status(
                state="running", host=os.uname().nodename, pid=2**22 + 1, step=5, steps=9, starts=1
            ),
        }.items():
            (tmp_path / name).mkdir()
            write_status(tmp_path / name, one)
        yield tmp_path, worker
        worker.kill()


WORKER = """
import sys, time
from pathlib import Path
from eegfm.runs.status import at_work, progress
with at_work(Path(sys.argv[1])):
    progress(Path(sys.argv[1]), 10, 40, 0.5)
    print("begun", flush=True)
    time.sleep(60)
"""


def test_the_table_says_of_every_cell_what_has_become_of_it(cells, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    found = status(cells[0])
    assert {place.name[0]: one.state for place, one in found.items()} == {
        "s": "done", "b": "running", "c": "queued", "d": "failed", "e": "preempted", "f": "lost",
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "10/40" in out and "0.5" in out and "[No epoch] was kept" in out and "SIGTERM at step 3" in out
    assert "1 running, 1 queued, 1 preempted, 1 lost, 1 failed, 1 done" in out


def test_the_table_stands_whatever_a_status_says(tmp_path, monkeypatch, capsys):
    """A state of a later version, one that is markup, a cut file, and times that are none."""
    monkeypatch.setenv("COLUMNS", "160")
    later = Status(state="hibernating", reason="until [dawn]")
    begun = Status(state="running", steps=9, steps_per_s=1.0)
    for name, one in {
        "a": later,
        "b": replace(later, state="[/x]", job="[/y]"),
        "c": begun,
        "d": None,
    }.items():
        (tmp_path / name).mkdir()
        if one is None:
            (tmp_path / name / "status.json").write_text('{"state": "que')
        else:
            write_status(tmp_path / name, one)
    assert len(status(tmp_path)) == 4
    out = capsys.readouterr().out
    assert "hibernating" in out and "[dawn]" in out and "[/x]" in out and "[/y]" in out
    assert "1 lost, 1 unknown, 1 [/x], 1 hibernating" in out
    assert expected_end(replace(begun, updated_at="noon")) == "–"


def test_what_is_missing_is_listed_below_the_report(cells, capsys):
    with pytest.raises(SystemExit) as left:
        collect(cells[0])
    out = capsys.readouterr().out
    assert left.value.code == 1 and "Missing: 5 of 6 cells" in out and "failed: [No epoch] was kept" in out


def test_cancelling_takes_back_what_waits_and_stops_what_runs(cells, capsys):
    folder, worker = cells
    cancel(folder)
    assert "1 waiting cancelled, 1 running told to save and stop" in capsys.readouterr().out
    assert worker.wait(timeout=10) == -signal.SIGTERM
    assert read_status(folder / "c").state == "failed" and "cancelled" in read_status(folder / "c").reason


def test_a_folder_without_runs_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="No run in"):
        main(["status", str(tmp_path)])
