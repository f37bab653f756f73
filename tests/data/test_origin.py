"""A store and the raw folder that is named with it: the same files, or a sentence that says which is other."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eegfm.benchmarks.spec import Census
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing import origin
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.ready import Preparation
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore, digests, write_store
from eegfm.encoders.spectrum import Spectrum
from eegfm.runs.same_run import data_at_hand
from tests import corpus
from tests.corpus import TINY

FEWER = replace(TINY, sources=lambda root: corpus.sources(root)[1:], census=Census())
OPEN = replace(TINY, census=Census())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("made")
    corpus.write(place / "raw")
    prepare(TINY, place / "raw", place / "cache", progress=False)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def run(place: Path, raw: str = "raw", benchmark=TINY, **options) -> SampleStore:
    return prepare(benchmark, place / raw, place / "cache", progress=False, **options)


def sources(place: Path):
    return {source.recording: source for source in corpus.sources(place / "raw")}


def swap_bytes(path: Path) -> None:
    """Other samples, of the same size and the same time of change."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1000:] = content[-2000:-1000]
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


# ---- data.raw means what it says -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "said"),
    [(1, "S02_1.edf has other bytes"), (2, "S02_1.edf has [0-9,]+ bytes, then")],
    ids=["bytes", "size"],
)
def test_a_raw_folder_of_other_files_is_refused_and_the_command_that_is_told_takes_them(place, times, said):
    source = sources(place)["S02_1"]
    corpus.write_edf(source.path, np.tile(corpus.signal(source), times), patient="Jo")
    with pytest.raises(EegfmError, match=rf"does not hold the files[\s\S]*{said}") as refusal:
        run(place, allow_partial=True)
    (told,) = re.findall(r"rm -r (\S+)", str(refusal.value))
    shutil.rmtree(told)
    fact = next(one for one in run(place).manifest.recordings if one["recording"] == "S02_1")
    assert fact["files"] == origin.files_of(source)


def test_another_folder_with_files_of_the_same_names_sizes_and_times_is_not_taken_for_the_stores(place):
    shutil.copytree(place / "raw", place / "theirs")
    assert run(place, "theirs").complete  # the same bytes in another place are the same files
    swap_bytes(place / "theirs" / "S03_0.edf")
    shutil.move(place / "theirs", place / "others")
    with pytest.raises(EegfmError, match=r"others does not hold [\s\S]*S03_0\.edf has other bytes"):
        run(place, "others")
    run(place)


def test_a_folder_of_somebody_elses_files_is_refused_and_one_that_is_not_there_is_told(place):
    (place / "theirs").mkdir()
    (place / "theirs" / "holiday.jpg").write_bytes(b"1")
    with pytest.raises(EegfmError, match=r"theirs does not hold .* none of the 10 recordings is in it"):
        run(place, "theirs")
    asked = Preparation(benchmark=TINY, raw=place / "away", cache=place / "cache", progress=False)
    assert asked.store().complete and str(place / "away") in asked.not_compared
    assert not replace(asked, raw=place / "raw").not_compared


def test_a_recording_that_a_complete_store_does_not_know_is_told(place):
    run(place, benchmark=replace(FEWER, name="open"))
    with pytest.raises(EegfmError, match="new: S01_0"):
        run(place, benchmark=replace(OPEN, name="open"))


def test_raw_files_are_read_once_and_deleted_ones_are_not_needed(place, monkeypatch):
    read = []
    digest = origin.sha256_of
    monkeypatch.setattr(origin, "sha256_of", lambda path: read.append(path.name) or digest(path))
    raw = Path(shutil.copytree(place / "raw", place / "copy"))
    run(place, "copy")
    assert len(read) == 10
    run(place, "copy")
    assert len(read) == 10
    os.utime(raw / "S01_0.edf")
    (raw / "S05_0.edf").unlink()
    run(place, "copy")
    assert read[10:] == ["S01_0.edf"]
    for path in place.rglob(origin.FILE):
        path.write_text("{")
    run(place, "copy")
    assert len(read) == 20, "what is remembered is damaged: the files are read"


def test_the_preparation_itself_remembers_its_files(tmp_path, monkeypatch):
    corpus.write(tmp_path / "raw")
    run(tmp_path)
    monkeypatch.setattr(origin, "sha256_of", None)
    run(tmp_path)


# ---- a partial store is completed ------------------------------------------------------------------------------------


def cut_short(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


def test_a_file_that_is_put_right_completes_the_store_and_one_that_is_not_is_not_read_again(tmp_path):
    corpus.write(tmp_path / "raw")
    path = tmp_path / "raw" / "S02_1.edf"
    content = cut_short(path)
    partial = run(tmp_path, allow_partial=True)
    assert not partial.complete
    before = (partial.folder / "index.npz").stat().st_mtime_ns
    assert not run(tmp_path, allow_partial=True).complete
    assert (partial.folder / "index.npz").stat().st_mtime_ns == before
    path.write_bytes(content)
    assert run(tmp_path).complete


def test_a_partial_store_is_not_replaced_by_files_that_lack_some_of_its_own(tmp_path):
    corpus.write(tmp_path / "raw")
    gone = (tmp_path / "raw" / "S02_1.edf").read_bytes()
    (tmp_path / "raw" / "S02_1.edf").unlink()
    run(tmp_path, allow_partial=True)
    (tmp_path / "raw" / "S02_1.edf").write_bytes(gone)
    (tmp_path / "raw" / "S04_0.edf").unlink()
    with pytest.raises(EegfmError, match=r"new: S02_1; gone: S04_0"):
        run(tmp_path, allow_partial=True)


def test_a_file_that_the_sums_beside_it_refuse_is_left_out_and_the_store_passes_its_own_check(tmp_path):
    corpus.write(tmp_path / "raw")
    path = tmp_path / "raw" / "S02_1.edf"
    (tmp_path / "raw" / "SHA256SUMS.txt").write_text(f"{'0' * 64}  S02_1.edf\n")
    asked = Preparation(
        benchmark=TINY, raw=path.parent, cache=tmp_path / "cache", allow_partial=True, progress=False
    )
    for _ in range(2):
        store = asked.store()
        assert [one["recording"] for one in store.manifest.unusable] == ["S02_1"] and len(store) == 54


# ---- what a store is known by ----------------------------------------------------------------------------------------


def facts(place: Path, raw: str = "raw", cache: str = "cache", encoder=None, benchmark=TINY):
    data = EEGDataModule(
        benchmark=benchmark,
        raw=place / raw,
        cache=place / cache,
        seed=0,
        encoder=encoder,
        allow_partial=True,
        progress=False,
    )
    data.prepare_data()
    data.setup("fit")
    return data.provenance()


def test_a_store_is_known_by_its_content_and_an_encoders_by_that_of_its_windows(place):
    shutil.copytree(place / "raw", place / "noisy")
    swap_bytes(place / "noisy" / "S03_0.edf")
    shutil.copytree(place / "raw", place / "fewer")
    (place / "fewer" / "S03_0.edf").unlink()
    found = [facts(place, name, name) for name in ("raw", "noisy", "fewer")]
    found.append(facts(place, "raw", "raw", Spectrum()))
    assert len({one.fingerprint for one in found[:3]}) == 1 and len({one.content for one in found[:3]}) == 3
    assert found[3].content == found[0].content and found[3].fingerprint != found[0].fingerprint
    assert facts(place, "raw", "again").content == found[0].content


def forged(store: SampleStore, **changes: Any) -> SampleStore:
    """The same store as another machine has made it: every sample is the next number up."""
    windows = np.nextafter(store.read(range(len(store))), np.float32(np.inf))
    index = replace(store.index, digest=digests(windows))
    return write_store(store.folder, replace(store.manifest, **changes), [(windows, index)])


def test_the_last_bits_of_another_machine_do_not_make_other_data_of_the_same_files(place):
    data = EEGDataModule(benchmark=TINY, raw=place / "raw", cache=place / "cache", seed=0, progress=False)
    data.setup("fit")
    content, before = data.open().content, data_at_hand(data)
    store = forged(data.open())
    assert store.content == content
    data = EEGDataModule(benchmark=TINY, raw=place / "raw", cache=place / "cache", seed=0, progress=False)
    data.setup("fit")
    assert data_at_hand(data) == before
    assert data.shuffle_labels(within_subject=False) and data_at_hand(data) != before


def test_imported_windows_are_known_by_their_bytes(place):
    """The raw files were not seen; and every machine takes the windows over as they are."""
    folder = place / "cache" / Recipe.of(TINY).folder
    windows = SampleStore(folder).read(range(60))

    def content(windows: np.ndarray, modified_ns: int) -> str:
        store = SampleStore(folder)
        files = [{"name": "data.mdb", "bytes": 1, "modified_ns": modified_ns}]
        manifest = replace(store.manifest, imported={"said": "imported", "files": files})
        return write_store(
            folder, manifest, [(windows, replace(store.index, digest=digests(windows)))]
        ).content

    assert content(windows, 1) == content(windows, 2)
    assert content(windows, 1) != content(np.nextafter(windows, np.float32(np.inf)), 1)


def test_a_simulated_corpus_is_known_by_its_protocol_since_its_files_hold_the_time(tmp_path):
    def made_at(hour: str):
        def make(root: Path) -> None:
            root.mkdir(parents=True, exist_ok=True)
            for source in corpus.sources(root):
                corpus.write_edf(source.path, corpus.signal(source), patient=hour)

        return replace(TINY, simulated=True, make=make)

    one = facts(tmp_path / "1", benchmark=made_at("noon"))
    other = facts(tmp_path / "2", benchmark=made_at("night"))
    files = [(tmp_path / name / "raw" / "S01_0.edf").read_bytes() for name in "12"]
    assert files[0] != files[1] and one.content == other.content
    newer = replace(made_at("noon"), protocol="tests@2")
    assert facts(tmp_path / "3", benchmark=newer).content != one.content


# ---- more files, and fewer again -------------------------------------------------------------------------------------


def keep(place: Path, subjects: set[str]) -> None:
    """Only these subjects' files in the raw folder; the others wait beside it."""
    for source in corpus.sources(place / "raw"):
        beside = place / "beside" / source.path.name
        beside.parent.mkdir(exist_ok=True)
        here, there = (beside, source.path) if source.subject in subjects else (source.path, beside)
        if here.exists():
            here.rename(there)


@pytest.mark.parametrize("encoder", [None, Spectrum()], ids=["windows", "vectors"])
@pytest.mark.parametrize("of", ["partial", "complete"])
def test_fewer_subjects_then_more_then_fewer_again_are_their_own_windows_each_time(tmp_path, encoder, of):
    """A refusal where the store has more, with three ways to go on, each of which does what it says."""
    corpus.write(tmp_path / "raw")
    few, many = {"01", "04", "05"}, {"01", "02", "04", "05"} | ({"03"} if of == "complete" else set())

    def subjects(**where: str) -> tuple[set[str], str]:
        found = facts(tmp_path, encoder=encoder, **where)
        return {subject for ids in found.subjects.values() for subject in ids}, found.content

    keep(tmp_path, few)
    first = subjects()
    keep(tmp_path, many)
    second = subjects()
    assert (first[0], second[0]) == (few, many) and first[1] != second[1]
    keep(tmp_path, few)
    with pytest.raises(
        EegfmError, match=r"allow_partial=true asks for [\s\S]* more: S02_0, S02_1"
    ) as refusal:
        subjects()
    said = str(refusal.value)
    assert "paths.cache=<another folder>" in said
    assert subjects(cache="another") == first
    if of == "complete":
        assert "leave data.allow_partial=true out" in said
        assert run(tmp_path).complete
    else:
        assert "one that is not there: data.raw=<folder>" in said
        assert subjects(raw="not there") == second
    (told,) = re.findall(r"rm -r (\S+)  and the same command", said)
    shutil.rmtree(told)
    assert subjects() == first
