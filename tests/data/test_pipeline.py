"""The way from files to a store: exact, resumable, and loud about everything that is not as it should be."""

import json
import os
import re
import resource
import signal as signals
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import Census, LeftOut
from eegfm.contracts import EegfmError
from eegfm.data.census import leakage
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.signal.steps import Resample
from tests import corpus
from tests.corpus import TINY


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    corpus.write(tmp_path / "raw")
    return tmp_path / "raw"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run(raw: Path, cache: Path, **options) -> SampleStore:
    return prepare(TINY, raw, cache, progress=False, **options)


def test_a_known_signal_comes_back_at_its_second_under_its_label_in_its_split(raw, tmp_path):
    store = run(raw, tmp_path / "cache")
    assert len(store) == 60 and store.complete and store.shape == (4, 400)
    row = 0
    for source in corpus.sources(raw):
        wanted = corpus.signal(source, sfreq=200.0)
        for onset in range(0, 12, 2):
            index = store.index
            assert index.key(row) == f"{source.recording}/{onset}s"
            assert (index.label[row], index.split[row]) == (int(source.recording[-1]), source.split)
            assert index.subject[row] == source.subject
            if 0 < onset < 10:  # away from the recording's ends, which the resampling has to guess beyond
                got = store.read([row])[0]
                # MNE rounds the padded length to whole samples, so its clock runs wrong by up to 1e-4: 0.7 ms here
                np.testing.assert_allclose(got, wanted[:, onset * 200 : (onset + 2) * 200], atol=5.0)
            row += 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bytes_do_not_depend_on_the_number_of_workers(raw, tmp_path, workers):
    one = run(raw, tmp_path / "one")
    other = run(raw, tmp_path / "other", workers=workers)
    assert files(one.folder) == files(other.folder)


KILLED = """
import sys
from pathlib import Path
from eegfm.data.preparing.pipeline import prepare
from tests.corpus import TINY
prepare(TINY, Path(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]), progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "points"), [(1, (0, 3, 7, "assembly")), (2, (4,))])
def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(raw, tmp_path, workers, points):
    """SIGKILL when some parts are done and while the store is assembled; a new process does the rest."""
    whole = run(raw, tmp_path / "whole")
    cache = tmp_path / "killed"
    parts = cache / (str(whole.recipe.folder) + ".parts")
    unfinished = cache / (str(whole.recipe.folder) + ".unfinished")
    for wanted in points:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(raw), str(cache), str(workers)], start_new_session=True
        )
        while process.poll() is None:
            done = (
                unfinished.exists() if wanted == "assembly" else len(list(parts.glob("*.json"))) >= wanted
            )
            if done:
                break
            time.sleep(0.001)
        os.killpg(process.pid, signals.SIGKILL)
        process.wait()
        assert not (cache / whole.recipe.folder / "recipe.json").exists() or wanted == "assembly"
    finished = (cache / whole.recipe.folder).exists()
    assert finished or len(list(parts.glob("*.json"))) >= max(n for n in points if n != "assembly")
    again = run(raw, cache)
    assert files(again.folder) == files(whole.folder)
    assert not parts.exists() and not unfinished.exists()


def test_finished_parts_are_not_made_again(raw, tmp_path, monkeypatch):
    broken = raw / "S04_1.edf"
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(EegfmError, match=r"1 of 10 recordings are not usable[\s\S]*S04_1.edf"):
        run(raw, tmp_path / "cache")
    parts = next((tmp_path / "cache" / "tiny").glob("*.parts"))
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npy")}
    assert len(before) == 9
    broken.write_bytes(content)
    read = []
    counted = replace(TINY, read=lambda source: read.append(source.recording) or corpus.read(source))
    store = prepare(counted, raw, tmp_path / "cache", progress=False)
    assert read == ["S04_1"]
    assert files(store.folder) == files(run(raw, tmp_path / "fresh").folder)


def test_a_finished_store_needs_no_raw_files(raw, tmp_path):
    first = run(raw, tmp_path / "cache")
    for path in raw.iterdir():
        path.unlink()
    assert run(raw, tmp_path / "cache").folder == first.folder


def test_missing_recordings_are_counted_and_refused(raw, tmp_path):
    (raw / "S02_0.edf").unlink()
    (raw / "S05_0.edf").unlink()
    (raw / "S05_1.edf").unlink()
    with pytest.raises(EegfmError) as refusal:
        run(raw, tmp_path / "cache")
    sentence = str(refusal.value)
    assert "3 of 10 recordings are missing" in sentence
    assert "1 of 5 subjects have no file (05), 1 more lack some" in sentence
    assert "data.allow_partial=true" in sentence


def test_a_partial_store_says_so_and_is_not_taken_for_a_complete_one(raw, tmp_path):
    gone = (raw / "S03_0.edf").read_bytes()
    (raw / "S03_0.edf").unlink()
    (raw / "S01_1.edf").write_bytes(b"not an EDF file" * 40)
    store = run(raw, tmp_path / "cache", allow_partial=True)
    assert not store.complete and len(store) == 48
    assert store.manifest.missing == ["S03_0"]
    assert [unusable["recording"] for unusable in store.manifest.unusable] == ["S01_1"]
    with pytest.raises(EegfmError, match="partial"):
        run(raw, tmp_path / "cache")
    (raw / "S03_0.edf").write_bytes(gone)  # what was missing has come: the partial store is made anew
    assert len(run(raw, tmp_path / "cache", allow_partial=True)) == 54


def test_counts_that_are_not_the_censuss_are_refused(raw, tmp_path):
    wrong = replace(TINY, census=Census(windows=61, per_class={"test": (7, 6)}, source="a table"))
    with pytest.raises(
        EegfmError, match=r"60 windows, the census says 61.*test \[6, 6\], the census says \[7, 6\]"
    ):
        prepare(wrong, raw, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache" / Recipe.of(wrong).folder).exists()


def test_a_window_in_two_splits_is_refused(raw, tmp_path):
    (raw / "S05_1.edf").write_bytes((raw / "S01_1.edf").read_bytes())
    with pytest.raises(EegfmError, match=r"the same bytes: S01_1.edf = S05_1.edf"):
        run(raw, tmp_path / "cache")
    # the same signal in a file of other bytes passes for another recording until its windows are compared
    corpus.write_edf(raw / "S05_1.edf", corpus.signal(corpus.sources(raw)[1]), patient="Jo")
    with pytest.raises(EegfmError, match=r"leak: byte-identical window in train \(S01_1/.*test \(S05_1/"):
        run(raw, tmp_path / "cache", allow_partial=True)


def test_declared_duplicates_pass_and_are_reported(raw, tmp_path):
    (raw / "S05_1.edf").write_bytes((raw / "S01_1.edf").read_bytes())
    declared = replace(TINY, duplicates=(("S01_1", "S05_1"),))
    store = prepare(declared, raw, tmp_path / "cache", progress=False)
    found = leakage(store.index, TINY.window_s)
    assert len(found.identical) == 6 and not found.undeclared(declared) and len(found.undeclared(TINY)) == 6


def test_a_recording_that_the_protocol_leaves_out_is_named_and_costs_no_windows(raw, tmp_path):
    def read(source):
        if source.recording == "S02_1":
            raise LeftOut("it lacks a channel that the protocol needs")
        return corpus.read(source)

    census = replace(TINY.census, windows=54, per_split=None)
    store = prepare(replace(TINY, read=read, census=census), raw, tmp_path / "cache", progress=False)
    assert store.complete and len(store) == 54
    assert store.manifest.left_out == [
        {"recording": "S02_1", "reason": "it lacks a channel that the protocol needs"}
    ]


def test_counts_that_are_off_may_be_accepted_and_are_then_marked(raw, tmp_path):
    wrong = replace(TINY, census=Census(windows=61, source="a table"))
    store = prepare(wrong, raw, tmp_path / "cache", progress=False, allow_partial=True)
    assert not store.complete and store.manifest.census_differences == ["60 windows, the census says 61"]


def test_a_file_that_goes_with_a_recording_must_be_there_and_is_remembered(raw, tmp_path):
    def sources(root):
        return [replace(s, beside=(root / f"{s.recording}.txt",)) for s in corpus.sources(root)]

    labelled = replace(TINY, sources=sources)
    for source in sources(raw)[1:]:
        source.beside[0].write_text(source.recording)
    with pytest.raises(EegfmError, match=r"1 of 10 recordings are missing.*S01_0\.txt"):
        prepare(labelled, raw, tmp_path / "cache", progress=False)
    (raw / "S01_0.txt").write_text("S01_0")
    store = prepare(labelled, raw, tmp_path / "cache", progress=False)
    assert [file["name"] for file in store.manifest.recordings[0]["files"]] == ["S01_0.edf", "S01_0.txt"]


def test_windows_of_one_recording_may_belong_to_several_splits_where_the_protocol_says_so(raw, tmp_path):
    def windows(recording, source):
        return [
            replace(w, split=("train", "val", "test")[i % 3])
            for i, w in enumerate(corpus.windows(recording, source))
        ]

    def sources(root):
        return [replace(source, split=None) for source in corpus.sources(root)]

    census = Census(windows=60, per_split={"train": 20, "val": 20, "test": 20}, source="tests")
    shared = replace(
        TINY, windows=windows, sources=sources, census=census, splits=None, split_rule="every third window"
    )
    with pytest.raises(EegfmError, match=r"the splits leak: subject 01 in train and val and test"):
        prepare(shared, raw, tmp_path / "cache", progress=False)
    declared = replace(shared, within_subject=True)
    store = prepare(declared, raw, tmp_path / "cache", progress=False)
    found = leakage(store.index, TINY.window_s)
    assert store.complete and store.manifest.within_subject
    assert found.nearest_s == 0.0 and found.nearest == ("S01_0/0s", "S01_0/2s")
    assert len(found.shared_recordings) == 10 and not found.undeclared(declared)


def test_a_subject_in_two_splits_cannot_be_stated():
    with pytest.raises(EegfmError, match="subject 01 is in train and in test"):
        replace(TINY, splits={"train": ("01",), "val": ("02",), "test": ("01",)})


def data_of(source):
    return corpus.signal(source)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, data: corpus.write_edf(path, data * 1e-6), "volts"),
        (
            lambda path, data: corpus.write_edf(path, np.where(np.arange(4)[:, None] == 2, 3.0, data)),
            "C4.*flat|flat.*C4",
        ),
        (lambda path, data: corpus.write_edf(path, data[:, ::2], sfreq=125.0), "125"),
        (lambda path, data: corpus.write_edf(path, data[:3], names=("C3", "Cz", "C4")), "Pz"),
        (lambda path, data: path.write_bytes(path.read_bytes()[:5000]), "bytes"),
        (lambda path, data: path.write_bytes(os.urandom(5000)), "S02_0.edf"),
    ],
    ids=["volts", "flat", "rate", "channel", "truncated", "noise"],
)
def test_bad_files_are_named_and_cost_nothing_else(raw, tmp_path, spoil, sentence):
    path = raw / "S02_0.edf"
    spoil(path, data_of(corpus.sources(raw)[2]))
    with pytest.raises(EegfmError, match=r"S02_0\.edf") as refusal:
        run(raw, tmp_path / "cache")
    assert re.search(sentence, str(refusal.value)), refusal.value
    assert len(list((tmp_path / "cache" / "tiny").glob("*.parts/*.npy"))) == 9


def _limited(raw: Path, cache: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """A preparation whose files may not grow beyond `limit` bytes: the kernel refuses the write, as on a full disk."""

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", KILLED, str(raw), str(cache), "1"],
        capture_output=True,
        text=True,
        preexec_fn=limit_files,
    )


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 200_000], ids=["part", "store"])
def test_a_full_disk_is_said_and_loses_nothing(raw, tmp_path, limit):
    """Too small for a part (38 kB), or for the assembled store only (480 kB)."""
    cache = tmp_path / "cache"
    refused = _limited(raw, cache, limit)
    assert "is full or failing" in refused.stderr and "Finished recordings are kept" in refused.stderr, (
        refused.stderr
    )
    assert not list(cache.glob("tiny/*/recipe.json"))
    assert files(run(raw, cache).folder) == files(run(raw, tmp_path / "fresh").folder)


@pytest.mark.slow
def test_two_preparations_at_once_make_one_store(raw, tmp_path):
    cache = tmp_path / "cache"
    both = [subprocess.Popen([sys.executable, "-c", KILLED, str(raw), str(cache), "1"]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert files(cache / Recipe.of(TINY).folder) == files(run(raw, tmp_path / "fresh").folder)


def test_another_filter_edge_is_another_folder_and_the_sentence_says_which(raw, tmp_path):
    run(raw, tmp_path / "cache")
    slower = Recipe.of(TINY, steps=(Resample(100.0),))
    assert slower.fingerprint != Recipe.of(TINY).fingerprint
    with pytest.raises(EegfmError) as refusal:
        SampleStore.open(tmp_path / "cache", slower)
    assert "steps[0].sfreq: 200 → 100" in str(refusal.value)
    assert "Prepare it with:  eegfm prepare data=tiny" in str(refusal.value)


def test_a_step_that_came_to_mean_other_bytes_is_another_recipe(raw, tmp_path, monkeypatch):
    store = run(raw, tmp_path / "cache")
    monkeypatch.setattr(Resample, "version", 2)
    with pytest.raises(EegfmError, match=r"steps\[0\]\.version: 1 → 2"):
        SampleStore.open(tmp_path / "cache", Recipe.of(TINY))
    monkeypatch.undo()
    assert SampleStore.open(tmp_path / "cache", Recipe.of(TINY)).folder == store.folder


def test_the_fingerprint_is_pinned():
    """A golden: it changes only with what a stored byte depends on, and then every cache is made anew."""
    assert Recipe.of(TINY).fingerprint == "910f8fe4"


def test_the_recipe_file_can_be_read_by_a_person(raw, tmp_path):
    store = run(raw, tmp_path / "cache")
    manifest = json.loads((store.folder / "recipe.json").read_text())
    assert manifest["recipe"]["steps"] == [{"step": "Resample", "version": 1, "sfreq": 200}]
    assert manifest["census"]["per_class"]["train"] == [18, 18]
    first = manifest["recordings"][0]
    assert first["recording"] == "S01_0" and len(first["files"][0]["sha256"]) == 64
