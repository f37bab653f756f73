"""A mix of corpora: every window once, one corpus in a batch, the right channels, and the facts about each."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.data.mix import Mix
from eegfm.data.mixing.batches import Batches
from eegfm.data.mixing.channels import shared_rows
from eegfm.data.splits import KFold
from eegfm.data.store import SampleStore
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import marks
from eegfm.reporting.run_folders import read_runs
from eegfm.runs.summary import show
from tests.data.small_mix import FIRST, SECOND, SHARED, mix, ready, signal, write
from tests.made_run import make_run

# ---- batches ---------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(0, 40), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 3),
    st.integers(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_every_window_comes_once_in_batches_of_one_corpus_by_seed_and_epoch_alone(sizes, n, seed, epoch):
    sampler = Batches(sizes, n, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert Counter((corpus, i) for corpus, places in batches for i in places) == Counter(
        (corpus, i) for corpus, size in sizes.items() for i in range(size)
    )
    for corpus, size in sizes.items():  # no batch is smaller than it must be
        assert sorted(len(p) for c, p in batches if c == corpus)[1:] == [n] * (-(-size // n) - 1)
    again = Batches(sizes, n, seed)
    list(again)  # what has been drawn before
    torch.rand(7)
    again.set_epoch(epoch)
    assert list(again) == batches
    stored = [
        (corpus, list(range(i, min(i + n, size))))
        for corpus, size in sizes.items()
        for i in range(0, size, n)
    ]
    assert list(Batches(sizes, n)) == stored


def test_seeds_and_epochs_differ_in_windows_and_in_the_order_of_corpora():
    def drawn(seed: int, epoch: int) -> list:
        sampler = Batches({"a": 40, "b": 40}, 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    for other in (drawn(0, 1), drawn(1, 0)):
        assert other != drawn(0, 0)
        assert [corpus for corpus, _ in other] != [corpus for corpus, _ in drawn(0, 0)]


def test_loaders_give_whole_windows_of_the_store_and_one_read_a_batch(places, monkeypatch):
    data = ready(places)
    loader, n_reads, read = data.train_dataloader(), [], SampleStore.read
    monkeypatch.setattr(SampleStore, "read", lambda *given: n_reads.append(1) or read(*given))
    batches = list(loader)
    assert len(n_reads) == len(batches) == len(loader) == 4 + 5
    seen = Counter(
        (data.subjects[i], key) for b in batches for i, key in zip(b.subject, b.key, strict=True)
    )
    assert set(seen.values()) == {1} and len(seen) == 3 * 6 + 2 * 12
    for batch in batches:
        of = {data.subjects[i].split("/")[0] for i in batch.subject}
        assert of == {batch.corpus} and batch.x.shape[2] == {"first": 400, "second": 200}[batch.corpus]
    val = [key for batch in data.val_dataloader() for key in batch.key]
    assert val == [f"Rd/{2 * i}s" for i in range(6)] + [f"Rr/{i}s" for i in range(12)]
    with pytest.raises(EegfmError, match='setup\\("test"\\) only'):
        data.test_dataloader()
    data.setup("test")
    assert sum(len(batch.key) for batch in data.test_dataloader()) == 6 + 12


def test_loader_workers_read_the_same(places):
    ours, theirs = ready(places, num_workers=2).train_dataloader(), ready(places).train_dataloader()
    for epoch in (0, 1):
        ours.sampler.set_epoch(epoch)
        theirs.sampler.set_epoch(epoch)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a.x, b.x) and a.key == b.key and torch.equal(a.subject, b.subject)
            assert a.corpus == b.corpus


# ---- channels --------------------------------------------------------------------------------------------------------


def test_common_channels_are_those_of_the_known_signals_in_the_order_of_the_first(places):
    """T3 and T7 are one electrode; case does not matter; O1 is the second's alone."""
    data = ready(places)
    assert data.spec.montage.names == SHARED and data.spec.shape == (4, 200) and data.spec.classes == ()
    assert data.spec.corpora == ("first", "second") and data.spec.sfreq == 200
    for part in data.datasets("train").values():
        batch = part.__getitems__(range(0, len(part), 4))
        torch.testing.assert_close(batch.coords, torch.tensor(data.spec.montage.coords).float())
        for x, key in zip(batch.x, batch.key, strict=True):
            recording, onset = key.split("/")
            times = float(onset[:-1]) + np.arange(x.shape[1]) / 200
            expected = np.stack([signal(recording, name, times) for name in SHARED])
            np.testing.assert_allclose(x, expected, atol=0.05)


@given(
    st.lists(st.permutations("ABCDEF").map(lambda names: names[:4]), min_size=2, max_size=4),
    st.sampled_from(["all", "common"]),
)
@settings(max_examples=60, deadline=None)
def test_shared_rows_have_the_same_names_everywhere(corpora, channels):
    names = {str(i): tuple(rows) for i, rows in enumerate(corpora)}
    common = set.intersection(*map(set, corpora))
    if len(common) < (4 if channels == "all" else 2):
        with pytest.raises(EegfmError, match=f"{len(common)} in common"):
            shared_rows(names, channels)
        return
    rows = shared_rows(names, channels)
    found = {tuple(names[c][i] for i in chosen) for c, chosen in rows.items()}
    assert found == {tuple(name for name in corpora[0] if name in common)}


def test_what_does_not_go_together_is_a_sentence(places):
    for sentence, benchmarks, options in (
        (r"first 4 \(Fz, T3, C3, Cz\); second 5 .*data\.channels=common", (), {"channels": "all"}),
        (r"first 200 Hz, slow 100 Hz", (FIRST, replace(FIRST, name="slow", sfreq=100.0)), {}),
        (r"data\.batch_size=7", (), {"own": {"batch_size": 7}}),
        (r"device_cache=True: .*Leave it out", (), {"own": {"device_cache": True}}),
        (r"data\.channels=some", (), {"channels": "some"}),
    ):
        with pytest.raises(EegfmError, match=sentence):
            mix(places, *benchmarks, **options)
    with pytest.raises(EegfmError, match=r"data/corpora=\[tuab,tuev\]"):
        Mix(corpora={}, seed=0)


# ---- what a run says of it -------------------------------------------------------------------------------------------


def test_facts_name_every_corpus_and_what_is_the_matter_with_one_shows(tmp_path, capsys):
    simulated = replace(SECOND, simulated=True)
    for benchmark in (FIRST, SECOND):
        write(benchmark, tmp_path / "raw" / benchmark.name)
    (tmp_path / "raw" / "first" / "Ra.edf").unlink()
    with pytest.raises(EegfmError, match=r"Ra(.|\n)*data\.corpora\.first\.<setting>="):
        mix(tmp_path, FIRST, simulated)
    data = ready(tmp_path, FIRST, simulated, own={"allow_partial": True})
    facts = data.provenance()
    assert (facts.title, facts.complete, facts.simulated) == ("First + Second", False, True)
    assert facts.census == {"train": [12, 24], "val": [6, 12], "test": [6, 12]}
    assert facts.missing == ["first: Ra"] and facts.subjects["val"] == ["first/d", "second/r"]
    assert facts.corpora["second"].fingerprint in facts.fingerprint
    assert facts.corpora["first"].corpora == {}
    assert (facts.which("complete", False), facts.which("simulated", True)) == (" (first)", " (second)")
    make_run(tmp_path / "runs" / "made", 0, benchmark=vars(facts))
    runs, _ = read_runs([tmp_path / "runs" / "made"])
    assert runs[0].result.benchmark == facts
    (group,), _ = group_runs(runs)
    said = " ".join(marks(group))
    assert "SIMULATED (second)" in said and "PARTIAL corpus (first): 8 of 9 subjects" in said
    show(group.first, group.runs[0].folder)
    printed = " ".join(capsys.readouterr().out.split())
    assert "SIMULATED (second)" in printed and "PARTIAL corpus (first)" in printed
    for name in ("first", "second"):
        assert f"{name}: tests@1, store {facts.corpora[name].fingerprint}" in printed


def test_another_division_and_a_part_of_one_corpus_are_told(places):
    facts = ready(places, split=KFold(fold=1, folds=4), own={"train_ratio": 0.5}).provenance()
    assert facts.split["name"] == "KFold"
    assert facts.split["train_ratio of first"] == facts.split["train_ratio of second"] == 0.5
