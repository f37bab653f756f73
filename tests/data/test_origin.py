"""A store and the raw folder that is named with it: the same files, or a sentence that says which is other."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import Census
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing import origin
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.ready import Preparation
from eegfm.data.store import SampleStore
from eegfm.encoders.spectrum import Spectrum
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


def test_a_store_is_known_by_its_content_and_an_encoders_by_that_of_its_windows(place, tmp_path):
    def facts(raw: str, cache: str, encoder=None):
        data = EEGDataModule(
            benchmark=TINY,
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

    shutil.copytree(place / "raw", place / "noisy")
    swap_bytes(place / "noisy" / "S03_0.edf")
    shutil.copytree(place / "raw", place / "fewer")
    (place / "fewer" / "S03_0.edf").unlink()
    found = [facts(name, name) for name in ("raw", "noisy", "fewer")] + [facts("raw", "raw", Spectrum())]
    assert len({one.fingerprint for one in found[:3]}) == 1 and len({one.content for one in found[:3]}) == 3
    assert found[3].content == found[0].content and found[3].fingerprint != found[0].fingerprint
    assert facts("raw", "again").content == found[0].content
