"""A complete store in a cache that may only be read is used, and nothing is written there: by the kernel's own word."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eegfm.contracts import EegfmError
from eegfm.data import values
from eegfm.data.module import EEGDataModule
from eegfm.data.verifying.verify import verify
from eegfm.encoders.spectrum import Spectrum
from tests import corpora, corpus
from tests.command_line import call, environment
from tests.corpus import TINY

KINDS = {"windows": None, "vectors": Spectrum()}
MOUNT = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
WAYS = ["read-only mount", "another user's"]


def module(place: Path, kind: str, **options) -> EEGDataModule:
    return EEGDataModule(
        benchmark=TINY,
        raw=place / "raw",
        cache=place / "cache",
        seed=0,
        encoder=KINDS[kind],
        progress=False,
        **options,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """The corpus and an empty cache in a folder that every user may read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        corpus.write(Path(name) / "raw")
        (Path(name) / "cache").mkdir()
        yield Path(name)


def may_mount() -> bool:
    """Whether this process may mount, in a name space of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = ["unshare", "--mount", "sh", "-c", MOUNT, place]
        return (
            bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0
        )


def reading_only(way: str, cache: Path, work: Callable[[], None]) -> None:
    """Do a work in a forked process that may only read the cache; its assertions hold here."""
    if os.geteuid() != 0 or (way == "read-only mount" and not may_mount()):
        pytest.skip("only root can mount, or become another user")
    before = listed(cache)
    said, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if way == "read-only mount":
                assert ctypes.CDLL(None, use_errno=True).unshare(0x00020000) == 0  # CLONE_NEWNS
                subprocess.run(["sh", "-c", MOUNT, str(cache)], check=True)
            else:
                os.setgid(65534)
                os.setuid(65534)
            with pytest.raises(OSError):
                (cache / "anything").touch()
            work()
        except BaseException:
            os.write(says, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(says)
    os.waitpid(child, 0)
    with open(said) as file:
        assert not (text := file.read()), text
    assert listed(cache) == before


def listed(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("without", ["", "checksums.npz", "verified.json", "raw_files.json"])
def test_a_store_is_used(place, kind, way, without):
    """Also one that lacks what a first use would write into it."""
    module(place, kind).prepare_data()
    for path in place.glob(f"cache/*/*/{without or 'none'}"):
        path.unlink()
    for lock in place.glob("cache/*/*.lock"):
        lock.unlink()

    def use() -> None:
        data = module(place, kind)
        data.prepare_data()
        data.setup("fit")
        for loader in (data.train_dataloader(), data.val_dataloader()):
            assert sum(len(batch.key) for batch in loader) in (36, 12)
        checks = verify(TINY, place / "raw", place / "cache", progress=False)
        assert not [check for check in checks if check.verdict == "off"]

    reading_only(way, place / "cache", use)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_not_there_is_a_sentence(place, kind, way):
    if kind == "vectors":
        module(place, "windows").prepare_data()

    def use() -> None:
        with pytest.raises(
            EegfmError, match=r"no.* store at .*/cache/tiny/.* may only be read .*paths\.cache="
        ):
            module(place, kind).prepare_data()

    reading_only(way, place / "cache", use)


def test_a_partial_store_that_could_be_completed_is_a_sentence(place):
    kept = (place / "raw" / "S02_1.edf").read_bytes()
    (place / "raw" / "S02_1.edf").unlink()
    module(place, "windows", allow_partial=True).prepare_data()
    (place / "raw" / "S02_1.edf").write_bytes(kept)

    def use() -> None:
        with pytest.raises(EegfmError, match=r"none can be made: .* may only be read .*paths\.cache="):
            module(place, "windows", allow_partial=True).prepare_data()

    reading_only("another user's", place / "cache", use)


def test_a_store_that_may_not_be_read_is_a_sentence(place):
    module(place, "windows").prepare_data()
    for name in ("samples.mdb", "index.npz", "recipe.json", "checksums.npz"):
        (path,) = place.glob(f"cache/tiny/*/{name}")
        path.chmod(0o600)

        def use(path: Path = path) -> None:
            values.forget(path)
            with pytest.raises(EegfmError, match=rf"{path} cannot be read \(Permission denied\)"):
                data = module(place, "windows")
                data.setup("fit")
                list(data.val_dataloader())

        reading_only("another user's", place / "cache", use)
        path.chmod(0o644)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or not may_mount(), reason="only root can mount")
def test_every_command_uses_a_store_in_a_read_only_cache(tmp_path):
    made = corpora.corpora()["mental_arithmetic"]
    (tmp_path / "raw").mkdir()
    made.write(tmp_path / "raw", made.table)
    words = ["data=mental_arithmetic", "data.raw=raw", "paths.cache=stores", "data.allow_partial=true"]
    vectors = [*words, "encoder=spectrum"]
    assert call("eegfm", "prepare", *vectors, cwd=tmp_path).returncode == 0
    stores = tmp_path / "stores"
    before = listed(stores)
    run = "hydra.run.dir=run"
    read_only = ["unshare", "--mount", "sh", "-c", MOUNT + ' && exec "$@"', str(stores)]
    for command in (
        ["train", *vectors, "model=stamp", "trainer=cpu", "trainer.max_epochs=1", run],
        ["evaluate", "run=run", "paths.cache=stores"],
        ["verify", *words],
        ["inspect", *words],
        ["prepare", *vectors],
    ):
        done = subprocess.run(
            [*read_only, sys.executable, "-m", "eegfm", *command],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert listed(stores) == before
