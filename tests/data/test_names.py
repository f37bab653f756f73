"""Recordings, subjects and files may have any name: it is a text, and never a path, markup or a formula."""

import os
from dataclasses import replace

import numpy as np

from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleStore
from eegfm.prepare import show
from eegfm.runs.predictions import read_predictions, write_predictions
from eegfm.runs.same_run import data_at_hand
from tests import corpus
from tests.corpus import TINY

NAMES = [
    "../../../x",
    "sub-1/ses-1",
    "/x",
    "[/EEG] Fp1",
    "$a$ $b_{$",
    "\udcffz",
    "a\nb",
    "..",
    "x" * 300,
    "a%2Fb",
]


def test_a_recording_may_have_any_name_and_writes_nothing_outside_of_the_cache(tmp_path):
    """A recording named as a path was written there; one with a slash, or not UTF-8, ended in a traceback."""
    raw, cache = tmp_path / "a" / "b" / "raw", tmp_path / "a" / "b" / "cache"
    corpus.write(raw)
    cache.mkdir()
    pairs = zip(NAMES, corpus.sources(raw), strict=True)
    named = [replace(one, recording=f"{name}_{one.recording[-1]}") for name, one in pairs]
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(cache)}
    hostile = replace(TINY, sources=lambda root: named)
    store = prepare(hostile, raw, cache)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(cache)} == before
    found = SampleStore.open(cache, store.recipe)
    assert set(found.index.recording.tolist()) == {one.recording for one in named} and len(found) == 60
    data = EEGDataModule(benchmark=hostile, raw=raw, cache=cache, seed=0)
    data.prepare_data()
    data.setup("fit")
    assert data_at_hand(data)["tiny"]["windows"] == 60
    keys = [found.index.key(row) for row in range(60)]
    probability = np.full((60, 2), 0.5)
    write_predictions(
        tmp_path / "p.csv", keys, found.index.subject.tolist(), found.index.label, probability, TINY.classes
    )
    table = read_predictions(tmp_path / "p.csv")
    assert len(set(table.keys)) == 60
    assert {key for key in keys if key.isprintable()} <= {*table.keys}


def test_what_is_not_usable_is_said_whatever_its_file_is_called(tmp_path, capsys):
    """`[/EEG]` in the name of a file ended the preparation of the whole corpus in an error of markup."""
    raw = tmp_path / "raw[/x]"
    corpus.write(raw)
    names = ["[/EEG] Fp1.edf", os.fsdecode(b"\xff[b].edf")]
    sources = corpus.sources(raw)
    for i, name in enumerate(names):
        broken = raw / name  # the first in a folder called `[`
        broken.parent.mkdir(exist_ok=True)
        broken.write_bytes(b"no EDF file")
        sources[i] = replace(sources[i], path=broken)
    store = prepare(
        replace(TINY, sources=lambda root: sources), raw, tmp_path / "cache", allow_partial=True
    )
    show(store, TINY, None)
    said = capsys.readouterr()
    said = "".join((said.out + said.err).split())
    assert "raw[/x]/[/EEG]Fp1.edf" in said and "\\udcff[b].edf" in said and len(store) == 48
