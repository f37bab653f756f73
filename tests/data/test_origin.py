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
from eegfm.data.preparing import origin
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.ready import Preparation
from eegfm.data.store import SampleStore
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
