"""A store that changed after it was made, windows or vectors: it is told by file, with what to type; or it is not used.

Files are changed as a disk or a copy does it: size and time of change may stay as they were.
"""

import multiprocessing
import os
import random
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eegfm.contracts import EegfmError
from eegfm.data import values
from eegfm.data.checksums import Checksums
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleStore, write_store
from eegfm.data.verifying.verify import verify
from eegfm.encoders.spectrum import Spectrum
from tests import corpora, corpus
from tests.command_line import call
from tests.corpus import TINY

KINDS = {"windows": None, "vectors": Spectrum()}
FILES = ("samples.mdb", "index.npz", "recipe.json", "checksums.npz")
FLIPS = 120  # of each kind; 300 were tried when this was written


def module(place: Path, kind: str = "windows", **options: Any) -> EEGDataModule:
    return EEGDataModule(
        benchmark=TINY,
        raw=place / "raw",
        cache=place / "cache",
        seed=0,
        encoder=KINDS[kind],
        progress=False,
        **options,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("made")
    corpus.write(place / "raw")
    for kind in KINDS:
        module(place, kind).prepare_data()
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def folder_of(place: Path, kind: str) -> Path:
    return place / "cache" / module(place, kind).recipe.folder


def used(place: Path, kind: str) -> list[Any]:
    """All that a run takes from a store."""
    data = module(place, kind)
    data.prepare_data()
    data.setup("fit")
    store, index = data.open(), data.index
    facts = asdict(replace(data.provenance(), store=""))
    return [
        store.read(range(len(store))).tobytes(),
        {name: array.tolist() for name, array in vars(index).items()},
        facts,
        store.subjects,
    ]


def change(path: Path, content: bytes) -> None:
    """Another content in the same file, with the same time of change."""
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    change(path, bytes(content))


def flip_value(store: SampleStore, row: int) -> None:
    path = store.folder / "samples.mdb"
    flip(path, path.read_bytes().index(store.read([row])[0].tobytes()) + 50)
    values.forget(path)  # this process has read the value as it was


# ---- whatever is changed ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_and_no_cut_gives_another_number_in_silence(made, tmp_path, kind):
    right, rng, refused = used(made, kind), random.Random(1), 0
    files = sorted(folder_of(made, kind).iterdir())
    for i in range(FLIPS):
        place = Path(shutil.copytree(made, tmp_path / f"{i}"))
        path = folder_of(place, kind) / (rng.choice(files).name if i % 2 else "samples.mdb")
        content = path.read_bytes()
        if i % 6 == 5:
            change(path, content[: rng.randrange(len(content))])
        else:
            flip(path, rng.randrange(len(content)), rng.randrange(8))
        try:
            assert used(place, kind) == right, path.name
        except EegfmError as error:
            assert f"{path} is damaged: " in str(error) or f"{path.name} have other bytes" in str(error)
            assert f"rm -r {path.parent}  and" in str(error)
            refused += 1
        shutil.rmtree(place)
    assert refused > FLIPS / 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_by_which_lmdb_finds_its_values_is_checked(place, kind):
    path = folder_of(place, kind) / "samples.mdb"
    sums = Checksums.read(path.parent)
    assert sums is not None and path.stat().st_size == sums.size
    for page in sums.pages.tolist()[:10]:
        copy = Path(shutil.copytree(place, place.with_name(f"{page}")))
        flip(folder_of(copy, kind) / "samples.mdb", page * sums.page_bytes + 100)
        with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: the pages by which LMDB finds"):
            used(copy, kind)
    if kind == "windows":  # which lie on pages of their own
        pages, values_ = len(sums.pages), len(sums.values)
        assert 3 <= pages < 10 and path.stat().st_size == (pages + 2 * values_) * sums.page_bytes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change_by", [-1, -5000, 1, 5000])
def test_a_file_of_values_of_another_length_is_told_before_it_is_mapped(place, kind, change_by):
    """It would end the process (SIGBUS)."""
    path = folder_of(place, kind) / "samples.mdb"
    stat = path.stat()
    os.truncate(path, stat.st_size + change_by)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    data = module(place, kind)
    data.setup("fit")
    wanted = (
        rf"samples\.mdb is damaged: it has {stat.st_size + change_by:,} bytes, and {stat.st_size:,} were"
    )
    with pytest.raises(EegfmError, match=wanted):
        list(data.val_dataloader())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"{}", bytes(5000)], ids=["empty", "json", "zeros"])
def test_a_file_that_is_damaged_is_a_sentence_wherever_the_store_is_used(place, kind, name, content):
    path = folder_of(place, kind) / name
    change(path, content)
    for use in (used, lambda place, kind: module(place, kind).preparation.store().read([0])):
        with pytest.raises(EegfmError, match=rf"{path} is damaged: ") as error:
            use(place, kind)
        assert re.search(rf"rm -r {path.parent}  and (then run )?the same command", str(error.value))
        assert len(str(error.value)) < 900
    checks = verify(TINY, place / "raw", place / "cache", progress=False)
    off = {check.name: check for check in checks if check.verdict == "off"}
    row = {"windows": "digests" if name == "samples.mdb" else "store", "vectors": "vectors"}[kind]
    if (kind, name) == ("vectors", "recipe.json"):  # nobody can tell whose vectors they are
        assert not off
    else:
        assert list(off) == [row] and f"{path} is damaged" in off[row].found
        assert f"rm -r {path.parent}" in off[row].remedy
    shutil.rmtree(path.parent)  # as it says
    used(place, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_gone_is_told(place, kind):
    for name in ("samples.mdb", "index.npz"):
        copy = Path(shutil.copytree(place, place.with_name(name)))
        (folder_of(copy, kind) / name).unlink()
        with pytest.raises(EegfmError, match=rf"{name} is damaged: it is gone"):
            module(copy, kind).preparation.store().read([0])
    (folder_of(place, kind) / "recipe.json").unlink()  # then it is no store, and made again
    used(place, kind)


def test_another_damaged_store_does_not_hide_that_there_is_none(place):
    change(folder_of(place, "vectors") / "recipe.json", b"")
    with pytest.raises(EegfmError, match="No prepared store for tiny"):
        EEGDataModule(
            benchmark=TINY, raw=place, cache=place / "cache", seed=0, encoder=Spectrum(tapers=1)
        ).setup("fit")


# ---- values are checked when they are read for the first time -------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_flipped_bit_in_a_value_is_told_with_its_window_in_one_sentence(place, kind, workers):
    data = module(place, kind, num_workers=workers)
    data.setup("fit")
    store = data.open()
    row = int(data.index.rows("val")[3])
    copy = Path(shutil.copytree(place, place.with_name("copy")))
    flip_value(SampleStore(copy / store.folder.relative_to(place)), row)
    data = module(copy, kind, num_workers=workers)
    data.setup("fit")
    if kind == "windows":
        list(data.train_dataloader())
    said = f"samples.mdb is damaged: other bytes than were written in {store.index.key(row)}. To make"
    if kind == "vectors":  # so small that they lie on the pages by which LMDB finds them
        said = "samples.mdb is damaged: the pages by which LMDB finds its values"
    before = set(multiprocessing.active_children())
    with pytest.raises(EegfmError) as error:
        list(data.val_dataloader())
    assert said in str(error.value) and "Traceback" not in str(error.value)
    assert set(multiprocessing.active_children()) <= before  # they would keep the process from ending


def test_no_value_is_checked_twice_by_a_process_and_the_workers_of_its_loaders(place, monkeypatch):
    counted = values.np.zeros(1, dtype=int)
    shared = values.np.frombuffer(values.mmap.mmap(-1, 1000), dtype=np.uint8)
    sum_of = values.sum_of

    def counting(value):
        counted[0] += 1
        shared[shared.argmin()] = 1
        return sum_of(value)

    data = module(place)
    data.setup("fit")
    monkeypatch.setattr(values, "sum_of", counting)
    n = len(data.index.rows("train"))
    for _ in range(2):
        list(data.train_dataloader())
        assert counted[0] == n
    apart = module(place, num_workers=2)  # another instance, whose workers are forked from this process
    apart.setup("fit")
    for _ in range(2):
        list(apart.val_dataloader())
        list(apart.train_dataloader())
    assert counted[0] == n and shared.sum() == n + len(data.index.rows("val"))


def test_a_store_that_changes_while_it_is_open_is_checked_again(place):
    data = module(place)
    data.setup("fit")
    list(data.train_dataloader())
    path = folder_of(place, "windows") / "samples.mdb"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: it has "):
        list(data.train_dataloader())


def test_a_store_in_the_place_of_another_is_read_and_not_the_one_before(tmp_path):
    corpus.write(tmp_path / "raw")
    kept = (tmp_path / "raw" / "S02_1.edf").read_bytes()
    (tmp_path / "raw" / "S02_1.edf").unlink()
    partial = prepare(TINY, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
    partial.read(range(len(partial)))
    (tmp_path / "raw" / "S02_1.edf").write_bytes(kept)
    whole = prepare(TINY, tmp_path / "raw", tmp_path / "cache", progress=False)
    assert len(whole) == 60 and np.isfinite(whole.read(range(60))).all()
    assert not list(tmp_path.glob("cache/tiny/*.replaced"))


def test_a_store_that_is_still_open_is_not_read_from_the_files_of_another_with_the_same_pages(place):
    """Of equally many windows of the same length, so that LMDB finds them at the same places."""
    first = module(place).open()
    before, rows = first.read(range(len(first))), np.arange(len(first))
    store = write_store(first.folder, first.manifest, [(before, first.index)])
    store.read(rows)
    made = write_store(place / "made", store.manifest, [(before + 1, store.index)])
    shutil.rmtree(store.folder)
    os.rename(made.folder, store.folder)
    assert (SampleStore(store.folder).read(rows) == before + 1).all()
    with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: other bytes than were written in"):
        store.read(rows)


# ---- stores of earlier versions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_without_checksums_gets_them_when_it_is_first_used(place, kind, caplog):
    folder = folder_of(place, kind)
    right, before = used(place, kind), (folder / "checksums.npz").read_bytes()
    for _ in range(2):
        shutil.copytree(place, place.with_name("copy"))
        (folder_of(place.with_name("copy"), kind) / "checksums.npz").unlink()
        assert used(place.with_name("copy"), kind) == right
        again = folder_of(place.with_name("copy"), kind) / "checksums.npz"
        assert again.read_bytes() == before and "has no checksums" in caplog.text
        shutil.rmtree(place.with_name("copy"))


def test_windows_without_checksums_must_be_those_of_the_index(place):
    folder = folder_of(place, "windows")
    path = folder / "samples.mdb"
    flip_value(module(place).open(), 17)
    (folder / "checksums.npz").unlink()
    content = path.read_bytes()
    with pytest.raises(
        EegfmError, match=r"samples\.mdb is damaged: other bytes than were written in S02_0/10s"
    ):
        SampleStore(folder)
    change(path, content[: len(content) // 2])
    with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: it is cut short by"):
        SampleStore(folder)
    change(path, b"")
    with pytest.raises(EegfmError, match=r"samples\.mdb is damaged: LMDB cannot open it"):
        SampleStore(folder)


# ---- by the commands -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_command_says_it_and_what_is_told_to_type_puts_it_right(tmp_path):
    made = corpora.corpora()["mental_arithmetic"]
    (tmp_path / "raw").mkdir()
    made.write(tmp_path / "raw", made.table)
    words = ["data=mental_arithmetic", "data.raw=raw", "paths.cache=stores", "data.allow_partial=true"]
    vectors = [*words, "encoder=spectrum"]
    train = ["eegfm", "train", *vectors, "model=stamp", "trainer=cpu", "trainer.max_epochs=1"]

    def sentence(*command: str) -> str:
        done = call(*command, cwd=tmp_path)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        return done.stderr if command[1] != "verify" else done.stdout

    assert call("eegfm", "prepare", *vectors, cwd=tmp_path).returncode == 0
    stores = [SampleStore(path.parent) for path in tmp_path.glob("stores/*/*/recipe.json")]
    of_vectors = next(store for store in stores if "encoder" in store.recipe.facts)
    of_windows = next(store for store in stores if store is not of_vectors)
    flip_value(of_vectors, int(of_vectors.index.rows("train")[0]))
    told = sentence(*train)
    assert "samples.mdb is damaged: other bytes than were written in" in told
    assert "vectors" in sentence("eegfm", "verify", *words)
    (typed,) = re.findall(r"(rm -r \S+)  and the same command", told)
    subprocess.run(typed, shell=True, check=True, cwd=tmp_path)
    assert call(*train, cwd=tmp_path).returncode == 0
    assert call("eegfm", "verify", *words, cwd=tmp_path).returncode == 0
    change(of_windows.folder / "index.npz", b"")
    for command in (train, ["eegfm", "prepare", *words], ["eegfm", "inspect", *words]):
        if command is train:
            shutil.rmtree(tmp_path / "runs")
        assert "index.npz is damaged" in sentence(*command)
    (typed,) = re.findall(r"(rm -r \S+)  and the same command", sentence("eegfm", "inspect", *words))
    subprocess.run(typed, shell=True, check=True, cwd=tmp_path)
    assert call("eegfm", "inspect", *words, cwd=tmp_path).returncode == 0
