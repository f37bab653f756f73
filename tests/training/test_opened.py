"""Nothing is written through a link, or into another run's folder, before the command is refused."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eegfm.runs.status import read_status
from tests.command_line import call
from tests.made_run import make_run
from tests.own.folder import folder as recordings

SMALL = (
    "experiment=demo",
    "model.depth=1",
    "model.width=16",
    "model.ff_width=16",
    "trainer=smoke",
    "seed=3",
)


def tree(folder: Path) -> dict[str, bytes | str]:
    """All that is at or below a folder, links as where they lead."""
    return {
        path.relative_to(folder).as_posix(): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def place(tmp_path) -> Path:
    """A working directory beside somebody's home."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    return tmp_path


@pytest.mark.slow
def test_another_runs_folder_stays_as_it_is(place):
    make_run(place / "theirs", 7)
    before = tree(place)
    done = call("eegfm.train", *SMALL, "hydra.run.dir=theirs", cwd=place)
    assert done.returncode == 1 and "holds another run than the one asked for" in done.stderr
    assert tree(place) == before
    (place / "theirs" / "config.yaml").unlink()
    before = tree(place)
    done = call("eegfm.train", *SMALL, "hydra.run.dir=theirs", cwd=place)
    assert done.returncode == 1 and "no config.yaml that says of which" in done.stderr
    assert tree(place) == before
    before = tree(place / "theirs")
    cells = ("-m", "hydra.sweep.dir=.", "hydra.sweep.subdir=theirs")
    done = call("eegfm.train", *cells, *SMALL, cwd=place)
    assert done.returncode == 1 and "no config.yaml that says of which" in done.stderr
    assert tree(place / "theirs") == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [".hydra", ".hydra/config.yaml", "train.log"])
def test_what_is_written_first_goes_through_no_link(place, name):
    link = place / "mine" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(place / "home" / ("letter" if "." in name[1:] else ""))
    before = tree(place)
    done = call("eegfm.train", *SMALL, "hydra.run.dir=mine", cwd=place)
    assert done.returncode == 1 and f"{Path(name).name} is a symbolic link" in done.stderr, done.stderr
    assert tree(place) == before


@pytest.mark.slow
def test_the_record_of_a_sweep_goes_through_no_link(place):
    (place / "runs").mkdir()
    (place / "runs" / "multirun.yaml").symlink_to(place / "home" / "letter")
    before = tree(place)
    done = call("eegfm.train", "-m", *SMALL, cwd=place)
    assert done.returncode == 1 and "multirun.yaml is a symbolic link" in done.stderr, done.stderr
    assert tree(place) == before


@pytest.mark.slow
def test_a_run_keeps_what_hydra_composed_and_what_was_logged_and_nothing_half_written(place):
    (place / "mine" / "figures").mkdir(parents=True)
    for name in ("figures/.7.tmp.loss.png", ".7.tmp.metrics.csv"):  # what a killed process was writing
        (place / "mine" / name).write_bytes(b"half")
    cells = ("-m", "hydra.sweep.dir=.", "hydra.sweep.subdir=two")
    for more, folder in ((["hydra.run.dir=mine"], "mine"), (cells, "two")):
        done = call("eegfm.train", *more, *SMALL, cwd=place)
        assert done.returncode == 0, done.stderr
        record = place / folder / ".hydra"
        assert sorted(path.name for path in record.iterdir()) == [
            "config.yaml",
            "hydra.yaml",
            "overrides.yaml",
        ]
        assert OmegaConf.load(record / "overrides.yaml") == [*SMALL]
        assert OmegaConf.load(record / "config.yaml").seed == 3
        assert OmegaConf.load(record / "hydra.yaml").hydra.job.config_name == "train"
        log = (place / folder / "train.log").read_text()
        assert re.fullmatch(r"(\d\d:\d\d:\d\d .*\n)+", log) and "epoch 1/" in log, log
        assert not [*(place / folder).rglob(".*.tmp.*")]


LACKING = """defaults: [shared/own@_here_, _self_]
benchmark:
  name: mine
  files: "{subject}/{label}.edf"
  labels: {from: path}
  classes: {rest: rest, task: task}
  windows: {cut: end_to_end, length_s: 1}
  channels: [C3, Nz]
raw: recordings
"""


@pytest.mark.slow
def test_a_run_that_is_refused_before_it_begins_leaves_no_folder(place):
    recordings(place / "recordings")
    (place / "conf" / "data").mkdir(parents=True)
    (place / "conf" / "data" / "mine.yaml").write_text(LACKING)
    (place / "mine").mkdir()
    typed = ("data=mine", "model=bandpower")
    for more in ([], ["hydra.run.dir=mine"], ["split=kfold", "split.fold=???"]):
        done = call("eegfm", "train", *typed, *more, cwd=place)
        assert done.returncode == 1 and ("Nz" in done.stderr or more), done.stderr
    assert not [*(place / "runs").glob("*/*")] and not (place / "mine").exists()
    done = call("eegfm", "train", "-m", *typed, cwd=place)
    assert done.returncode == 1
    (cell,) = (place / "runs" / "single").glob("*/")
    status = read_status(cell)
    assert status is not None and status.state == "failed" and "Nz" in status.reason
