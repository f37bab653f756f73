"""The splits of a mix hold across its corpora: no person, file or window is in two."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.benchmarks.spec import SPLITS
from eegfm.contracts import EegfmError
from eegfm.data.mixing.apart import in_a_later_split
from tests.corpus import write_edf
from tests.data.small_mix import FIRST, SECONDS, SHARED, corpus, ready, signal, write

ROWS = st.lists(st.tuples(st.sampled_from("pqrstu"), st.sampled_from(["", *SPLITS])), max_size=12)


@given(st.lists(ROWS, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_what_is_left_out_is_just_what_another_corpus_has_in_a_later_split(corpora):
    names = {str(i): np.array([n for n, _ in rows], dtype="<U1") for i, rows in enumerate(corpora)}
    splits = {str(i): np.array([s for _, s in rows], dtype="<U5") for i, rows in enumerate(corpora)}
    order = ["", *SPLITS]
    found = in_a_later_split(names, splits)
    for i, rows in enumerate(corpora):
        others = [row for j, other in enumerate(corpora) if j != i for row in other]
        expected = [
            split != "" and any(n == name and order.index(s) > order.index(split) for n, s in others)
            for name, split in rows
        ]
        assert found[str(i)].tolist() == expected


def test_a_person_of_a_pool_is_in_one_split_of_the_mix(places):
    """The third tests on b and validates on c, whom the first trains on; it trains on e, whom the first tests on."""
    subjects = {"train": ("p", "e"), "val": ("c",), "test": ("b",)}
    pooled = replace(FIRST, pool="hospital")
    third = corpus("third", SHARED, 2.0, subjects, "T", pool="hospital", pool_gap="its p has no name")
    write(third, places / "raw" / "third")
    assert ready(places, FIRST, third).provenance().leakage.left_out == []  # nothing in common
    data = ready(places, pooled, third)
    facts = data.provenance()
    found = {split: set(ids) for split, ids in facts.subjects.items()}
    assert found["train"] == {"first/a", "third/p"}
    assert found["val"] == {"first/d", "third/c"} and found["test"] == {"first/e", "third/b"}
    assert {key.split("/")[0] for batch in data.train_dataloader() for key in batch.key} == {"Ra", "Tp"}
    said = facts.leakage.sentence()
    assert "left out of first, train: 12 windows of 2 subjects (person in a later split" in said
    assert (
        "left out of third, train: 6 windows of 1 subjects" in said
        and "third: its p has no name, so" in said
    )
    assert data.corpora["first"].store is not None
    assert (data.corpora["first"].store.index.split == "train").sum() == 18, "the store stays as it is"
    fourth = corpus(
        "fourth", SHARED, 2.0, {"train": ("p",), "val": ("c",), "test": ("d",)}, "T", pool="hospital"
    )
    write(fourth, places / "raw" / "fourth")
    with pytest.raises(EegfmError, match=r"first: its whole val split .*data/corpora"):
        ready(places, pooled, fourth)


def test_the_same_file_and_the_same_windows_are_in_one_split_of_the_mix(places, tmp_path):
    """Under another name in another corpus: x is b's file, y holds the signal of c in a file of its own."""
    copy = corpus("copy", SHARED, 2.0, {"train": ("p",), "val": ("q",), "test": ("x", "y")})
    raw = tmp_path / "raw" / "copy"
    write(replace(FIRST, sources=FIRST.sources), tmp_path / "raw" / "first")
    write(copy, raw)
    (raw / "Rx.edf").write_bytes((tmp_path / "raw" / "first" / "Rb.edf").read_bytes())
    times = np.arange(SECONDS * 200) / 200
    rows = np.stack([signal("Rc", name, times) for name in SHARED])
    write_edf(raw / "Ry.edf", rows, 200.0, names=SHARED, patient="another")
    data = ready(tmp_path, FIRST, copy)
    left = data.provenance().leakage.left_out
    assert [(gone["what"], gone["subjects"], gone["windows"]) for gone in left] == [
        ("raw file", ["b"], 6),
        ("window", ["c"], 6),
    ]
