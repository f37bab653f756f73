"""A checkpoint is whole or not there, and known by its sum: real small disks, real kills, flips of one bit."""

import os
import random
import subprocess
from pathlib import Path

import pytest
import torch

import eegfm
from eegfm.contracts import EegfmError
from eegfm.runs.results import read_result
from eegfm.runs.status import read_status
from eegfm.support.checksums import refuse_changed, wanted_sums, write_with_sum
from eegfm.support.files import remove_unfinished, sha256_of
from eegfm.training.checkpoints import WholeCheckpoints
from tests.command_line import call, environment, start

SMALL = (
    "experiment=demo",
    "model.depth=1",
    "model.width=16",
    "model.ff_width=16",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "data.batch_size=16",
)


@pytest.fixture
def small_disk(tmp_path):
    """Makes a file system of a size, or another size of it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str, *more: str) -> Path:
        options = ",".join([f"size={size}", *more])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)


def test_equal_values_are_equal_bytes_wherever_their_texts_come_from(tmp_path):
    """The texts of a resumed run come from its checkpoint, and are other objects than those of the program."""
    read = "".join(["st", "ep"])
    shared = [1, "step"]
    for name, text in {"whole": "step", "resumed": read}.items():
        kept = {"a": {"step": torch.ones(2)}, "b": [{text: torch.ones(2)}, (text, shared, shared)]}
        WholeCheckpoints().save_checkpoint(kept, tmp_path / "x.ckpt")
        (tmp_path / "x.ckpt").rename(tmp_path / name)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()
    _, (_, first, second) = torch.load(tmp_path / "whole", weights_only=True)["b"]
    assert first is second == shared


def trained(place: Path, runs: Path):
    return call("eegfm.train", *SMALL, f"paths.runs={runs}", cwd=place)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, simulated) -> Path:
    """The run of `SMALL` that nothing disturbs; its place has the prepared store."""
    place = simulated(tmp_path_factory.mktemp("wanted"))
    done = trained(place, place / "runs")
    assert done.returncode == 0, done.stderr
    (folder,) = (place / "runs" / "demo").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", ["120k", *(pytest.param(size, marks=pytest.mark.long) for size in ("60k", "200k", "300k"))]
)
def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on(small_disk, wanted, size):
    """At the first checkpoint, at the second, at the figures: what was saved before is there and whole."""
    runs, place = small_disk(size), wanted.parents[2]
    done = trained(place, runs)
    assert done.returncode == 1 and "A disk is full" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = (runs / "demo").iterdir()
    status = read_status(folder)
    assert status is not None and status.state == "failed" and "A disk is full" in status.reason
    for path in (folder / "checkpoints").glob("*.ckpt"):
        refuse_changed(path)
        torch.load(path, weights_only=True)
    small_disk("20m", "remount")
    done = trained(place, runs)
    assert done.returncode == 0, done.stderr
    for name in ("loss.csv", "metrics.csv", "predictions_val.csv", "predictions_test.csv"):
        assert (folder / name).read_bytes() == (wanted / name).read_bytes(), name


@pytest.mark.slow
def test_a_checkpoint_that_is_killed_while_it_is_written_is_the_old_one_or_the_new_one(tmp_path):
    """Also where the temporary folder is on another file system, from which Lightning would copy."""
    draw, path = random.Random(3), tmp_path / "last.ckpt"
    elsewhere = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    for _ in range(4):
        ours, theirs = os.pipe()
        with open(ours) as told:
            with open(theirs, "wb") as out:
                saving = start("tests.training.saver", str(path), cwd=Path(__file__).parents[2], out=out,
                               env=environment(TMPDIR=str(elsewhere)))  # fmt: skip
            for _ in range(1 + draw.randrange(30)):
                said = int(told.readline())
            saving.kill()
            saving.wait()
            said = int((told.read().split() or [said])[-1])
        refuse_changed(path)
        held = WholeCheckpoints().load_checkpoint(path, weights_only=True)
        assert held["n"] in (said, said + 1) and (held["x"] == held["n"]).all()
    remove_unfinished(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {"last.ckpt", "last.ckpt.sha256"}


def test_a_checkpoint_never_goes_through_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    WholeCheckpoints().save_checkpoint({"n": 1}, tmp_path / "a" / "last.ckpt")
    assert WholeCheckpoints().load_checkpoint(tmp_path / "a" / "last.ckpt", weights_only=True) == {"n": 1}


def test_one_changed_bit_is_refused_by_name(tmp_path):
    path = tmp_path / "best.ckpt"
    WholeCheckpoints().save_checkpoint({"x": torch.arange(500.0)}, path)
    good, draw = path.read_bytes(), random.Random(11)
    for _ in range(40):
        position, damaged = draw.randrange(8 * len(good)), bytearray(good)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(EegfmError, match=r"best\.ckpt is not as it was written"):
            WholeCheckpoints().load_checkpoint(path, weights_only=True)
    path.write_bytes(good)
    refuse_changed(path)


def test_a_changed_sum_is_not_taken_for_a_changed_file(tmp_path):
    path = tmp_path / "best.ckpt"
    write_with_sum(path, b"weights")
    beside = tmp_path / "best.ckpt.sha256"
    assert beside.read_text() == f"{sha256_of(path)}  best.ckpt\n", "as sha256sum writes it"
    for text in ("", "abc", beside.read_text().replace("  ", " ")):
        beside.write_text(text)
        with pytest.raises(EegfmError, match=r"best\.ckpt\.sha256 does not hold"):
            refuse_changed(path)


def test_while_a_file_is_replaced_both_have_their_sum(tmp_path, monkeypatch):
    """A kill between the two writings must not make a good file a stranger."""
    path = tmp_path / "last.ckpt"
    write_with_sum(path, b"old")
    old = sha256_of(path)

    def killed(*_):
        raise KeyboardInterrupt

    for n in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_bytes", killed)
            with pytest.raises(KeyboardInterrupt):
                write_with_sum(path, b"new %d" % n)
        refuse_changed(path)
        assert wanted_sums(path)[-1] == old
    write_with_sum(path, b"newest")
    assert wanted_sums(path) == [sha256_of(path)]


def flipped(path: Path, draw: random.Random) -> bytes:
    """Change one bit of a file, anywhere; the bytes from before."""
    good = path.read_bytes()
    position, damaged = draw.randrange(8 * len(good)), bytearray(good)
    damaged[position // 8] ^= 1 << position % 8
    path.write_bytes(damaged)
    return good


@pytest.mark.slow
def test_weights_that_have_changed_are_not_evaluated_exported_or_started_from(wanted):
    """Where the sum beside them is gone, the run's result knows them."""
    folder, place, draw = wanted, wanted.parents[2], random.Random(2)
    best, beside = (folder / "checkpoints" / name for name in ("best.ckpt", "best.ckpt.sha256"))
    held = read_result(folder).checkpoints
    assert held == {name: sha256_of(folder / "checkpoints" / name) for name in ("best.ckpt", "last.ckpt")}
    for known in (True, False):
        good = flipped(best, draw)
        kept = beside.read_bytes()
        if not known:
            beside.unlink()
        for command in (
            ("eegfm", "export", str(folder), "--to", str(place / "export")),
            ("eegfm.evaluate", f"run={folder}"),
            ("eegfm.evaluate", f"run={best}"),
            ("eegfm.train", *SMALL, f"weights={folder}", f"paths.runs={place / 'others'}"),
        ):
            done = call(*command, cwd=place)
            assert done.returncode == 1 and "best.ckpt is not as it was written" in done.stderr, command
            assert "Traceback" not in done.stderr
        with pytest.raises(EegfmError, match="is not as it was written"):
            eegfm.load(folder)
        best.write_bytes(good)
        beside.write_bytes(kept)
    assert call("eegfm.evaluate", f"run={folder}", cwd=place).returncode == 0
