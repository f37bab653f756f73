"""What `eegfm evaluate` leaves behind: a folder of its own, and nothing else in the run."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from tests.command_line import call, environment

pytestmark = pytest.mark.slow

FITTED = ("model=bandpower", "data=synthetic", "trainer=smoke")


@pytest.fixture(scope="module")
def place(tmp_path_factory, simulated):
    """Where a fitted model was trained, with its cache at `first`."""
    place = simulated(tmp_path_factory.mktemp("evaluations"))
    (place / "data" / "cache").rename(place / "first")
    done = call("eegfm.train", *FITTED, cwd=place, env=environment(EEGFM_CACHE="first"))
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def run(place):
    (folder,) = (place / "runs" / "single").iterdir()
    shutil.rmtree(folder / "evaluations", ignore_errors=True)
    return folder


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "evaluations" not in path.parts
    }


def evaluated(run, place, *more, **variables):
    done = call("eegfm.evaluate", f"run={run}", *more, cwd=place, env=environment(**variables))
    assert done.returncode == 0, done.stderr
    found = sorted((run / "evaluations").iterdir(), key=lambda folder: folder.stat().st_mtime)
    return found[-1]


def test_a_finished_run_keeps_its_bytes_and_the_outcome_says_what_it_was_made_from(run, place):
    before, result = bytes_of(run), read_result(run)
    folder = evaluated(run, place, EEGFM_CACHE="first")
    assert bytes_of(run) == before
    assert {path.name for path in folder.iterdir()} == {
        "made_from.json",
        "scores.json",
        "predictions_test.csv",
    }
    assert (folder / "predictions_test.csv").read_bytes() == before["predictions_test.csv"]
    scores, made_from = (
        json.loads((folder / name).read_text()) for name in ("scores.json", "made_from.json")
    )
    assert scores["metrics"] == result.metrics["test"]
    assert set(scores["by_subject"]) == set(result.by_subject["test"])
    assert made_from["weights"] == "checkpoints/fitted.skops"
    assert made_from["sha256"] == hashlib.sha256(before["checkpoints/fitted.skops"]).hexdigest()
    assert made_from["data"]["synthetic"]["store"] == result.benchmark.fingerprint
    assert made_from["data"]["synthetic"]["windows"] == sum(map(sum, result.benchmark.census.values()))
    assert folder.name.startswith("test-fitted-")
    written = bytes_of(folder)
    assert evaluated(run, place, EEGFM_CACHE="first") == folder and bytes_of(folder) == written
    assert evaluated(run, place, "split=val", EEGFM_CACHE="first").name.startswith("val-fitted-")


def test_on_other_data_the_kept_fit_is_applied_and_the_outcome_lies_beside_the_first(run, place, tmp_path):
    """The labels of the store are exchanged now: a new fit would find other weights."""
    before, first = bytes_of(run), evaluated(run, place, EEGFM_CACHE="first")
    cache = tmp_path / "cache"
    shutil.copytree(place / "first", cache)
    (index,) = [p / "index.npz" for p in cache.glob("synthetic/*") if (p / "raw_files.json").exists()]
    with np.load(index) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["label"] = 1 - arrays["label"]
    np.savez(index, **arrays)
    (index.parent / "checksums.npz").unlink()  # as in a store of an earlier version
    second = evaluated(run, place, EEGFM_CACHE=str(cache))
    assert second != first and bytes_of(run) == before
    was, now = (read_predictions(folder / "predictions_test.csv") for folder in (first, second))
    assert (was.probabilities == now.probabilities).all() and (was.labels == 1 - now.labels).all()


def test_the_cache_is_where_the_stores_are_now_whatever_the_variable_said_before(run, place):
    evaluated(run, place, EEGFM_CACHE="first")
    (place / "first").rename(place / "second")
    try:
        evaluated(run, place, EEGFM_CACHE="second")
        assert not (place / "first").exists()
    finally:
        (place / "second").rename(place / "first")
    assert not (place / "data" / "cache").exists()
