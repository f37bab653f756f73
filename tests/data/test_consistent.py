"""Recordings and windows that contradict each other or the protocol are refused by name, before a store is made."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import Census, Window
from eegfm.contracts import EegfmError
from eegfm.data.preparing.pipeline import prepare
from tests import corpus
from tests.corpus import TINY


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    corpus.write(tmp_path / "raw")
    return tmp_path / "raw"


def refused(benchmark, raw: Path, match: str, **options) -> None:
    with pytest.raises(EegfmError, match=match):
        prepare(benchmark, raw, raw.parent / "cache", progress=False, **options)
    assert not list(raw.parent.glob("cache/*/*/recipe.json"))


def changed(**of):
    """The corpus's recordings, some of them with other fields."""
    return lambda root: [replace(source, **of.get(source.recording, {})) for source in corpus.sources(root)]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            {"S02_0": {"recording": "S01_0"}},
            r"two files are recording S01_0: .*S01_0\.edf and .*S02_0\.edf",
        ),
        (
            {"S02_0": {"split": "test"}},
            r"S02_0\.edf: subject 02 was put in test; tests@1 has subject 02 in train",
        ),
        ({"S02_0": {"subject": "9"}}, "subject 9 was put in train; tests@1 has no subject 9"),
    ],
)
def test_recordings_that_contradict_the_protocol_or_each_other(raw, of, said):
    refused(replace(TINY, sources=changed(**of)), raw, said, allow_partial=True)


def test_two_spellings_of_a_subject_in_two_splits(raw):
    free = replace(TINY, splits=None, split_rule="as the files say", census=Census())
    spelt = {"S02_0": {"subject": "S3"}, "S04_0": {"subject": "s3"}}
    refused(
        replace(free, sources=changed(**spelt)), raw, "subject 'S3' is in train and subject 's3' in val"
    )
    by_window = {name: {**fields, "split": None} for name, fields in spelt.items()}

    def windows(recording, source):
        split = source.split or ("train" if source.recording == "S02_0" else "val")
        return [replace(window, split=split) for window in corpus.windows(recording, source)]

    other = replace(free, sources=changed(**by_window), windows=windows)
    refused(other, raw, "subject 'S3' is in train and subject 's3' in val")


@pytest.mark.parametrize("label", [-1, 2, 0.5, True, np.nan])
def test_labels_that_are_no_index(raw, label):
    one = replace(TINY, windows=lambda recording, source: [Window(0.0, label)])
    refused(
        one, raw, r"S01_0\.edf: the window at 0 s has label .*; A tiny corpus has 0 to 1 \(rest, task\)"
    )


def test_windows_of_no_split_and_of_another_than_the_protocols(raw):
    for split, said in (("", "has split None"), ("test", "subject 01 was put in test")):
        one = replace(
            TINY,
            sources=changed(S01_0={"split": None}),
            windows=lambda *_, s=split: [Window(0.0, 0, s or None)],
        )
        refused(one, raw, said)


def test_a_raw_folder_that_goes_away_and_a_file_that_is_replaced_while_they_are_read(raw):
    def vanishing(source):
        if source.recording == "S03_0" and raw.exists():
            shutil.move(raw, raw.parent / "away")
        return corpus.read(source)

    def replaced(source):
        recording = corpus.read(source)
        if source.recording == "S03_0":
            other = corpus.signal(source)[::-1]
            corpus.write_edf(raw / "new", other)
            os.replace(raw / "new", source.path)
        return recording

    refused(replace(TINY, read=vanishing), raw, "raw went away while it was read", allow_partial=True)
    shutil.move(raw.parent / "away", raw)
    refused(
        replace(TINY, read=replaced), raw, r"S03_0\.edf or what belongs to it changed while it was read"
    )


def test_relative_paths_are_those_of_the_directory_where_they_were_typed(raw, monkeypatch):
    """Whatever the working directory becomes in between, and in workers of their own."""
    from eegfm.data.ready import Preparation

    monkeypatch.chdir(raw.parent)
    asked = Preparation(
        benchmark=TINY, raw=Path("raw"), cache=Path("cache"), prepare_workers=2, progress=False
    )
    (raw.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert asked.store().folder.is_relative_to(raw.parent / "cache")


def test_a_simulated_benchmark_keeps_off_a_folder_of_somebodys_recordings(tmp_path):
    """`data=` was forgotten beside data.raw=<their folder>: nothing is written there, and no old store is served."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "night.edf").write_bytes(b"")
    before = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    made = replace(TINY, make=corpus.write)
    prepare(made, tmp_path / "own", tmp_path / "cache", progress=False)
    with pytest.raises(EegfmError, match=r"night\.edf.*data=<name>"):
        prepare(made, tmp_path / "theirs", tmp_path / "cache", progress=False)
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == before
