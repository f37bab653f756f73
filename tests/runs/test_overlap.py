"""Nobody is tested on whom the weights have seen: found by subject, through earlier runs, refused or said aloud."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import eegfm
from eegfm.build import build, build_data, pretraining
from eegfm.commands.export import export
from eegfm.config.identity import named
from eegfm.contracts import EegfmError
from eegfm.data.splits import FewShot, KFold
from eegfm.export.model import write
from eegfm.reporting.formats import markdown
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import incomparable, marks
from eegfm.reporting.run_folders import read_runs
from eegfm.runs.overlap import (
    check_overlap,
    facts_beside,
    joined,
    not_told,
    overlap,
    people_of,
    people_seen,
)
from eegfm.runs.results import read_result, write_result
from eegfm.training.run import train
from tests import corpora
from tests.composed import composed, with_choices
from tests.data.small_mix import FIRST, SECOND, SHARED, corpus, places, ready  # noqa: F401
from tests.data.small_mix import write as write_corpus
from tests.stream_runs import untrained_run

STAMP = (
    "data=synthetic", "model=stamp", "encoder=spectrum", "model.depth=1", "model.width=8", "model.ff_width=8",
    "model.input_norm=instance",
)  # fmt: skip


def alone(places, benchmark=FIRST, **own):  # noqa: F811
    """One corpus as a data module of its own."""
    data = ready(places, benchmark, **own).corpora[benchmark.name]
    data.setup("fit")
    return data


# ---- whom ------------------------------------------------------------------------------------------------------------


def test_people_are_those_trained_and_validated_on_by_corpus(places):  # noqa: F811
    people = people_of(ready(places))
    assert {name: facts["subjects"] for name, facts in people.items()} == {
        "first": ["a", "b", "c", "d"],
        "second": ["p", "q", "r"],
    }
    assert overlap(ready(places), people) == []


def test_an_overlap_is_a_test_subject_of_the_same_corpus_and_no_other(places):  # noqa: F811
    tested = alone(places)  # on e
    for people, found in (
        ({"first": {"subjects": ["a", "e"], "beside": []}}, ["first/e"]),
        ({"second": {"subjects": ["e"], "beside": []}}, []),
        ({"first": {"subjects": ["a", "d"], "beside": []}}, []),
    ):
        assert overlap(tested, people) == found
    fold = next(i for i in range(5) if _tests(places, i) == "b")
    other = alone(places, split=KFold(fold=fold, folds=5))
    assert overlap(other, people_of(tested)) == ["first/b"]
    assert overlap(other, people_of(other)) == []


def _tests(places, fold: int) -> str:  # noqa: F811
    index = alone(places, split=KFold(fold=fold, folds=5)).index
    (subject,) = set(index.subject[index.split == "test"].tolist())
    return subject


def test_a_person_of_a_pool_is_found_under_another_corpus(places):  # noqa: F811
    pooled = replace(FIRST, pool="hospital")
    people = {"hospital": {"subjects": ["e"], "beside": []}}
    assert overlap(alone(places, pooled), people) == ["first/e"]
    # a result from before people were kept knows benchmarks alone
    assert overlap(alone(places, pooled), {"first": {"subjects": ["e"], "beside": []}}) == ["first/e"]


def test_a_protocol_within_subjects_may_start_from_what_was_trained_beside_its_own_test_windows(places):  # noqa: F811
    """Its test subjects are training subjects by its own word; other test windows may have been trained on."""
    shots = alone(places, split=FewShot(shots=1, gap_s=0.0))
    assert overlap(shots, people_of(shots)) == []
    other = alone(places, split=FewShot(shots=1, gap_s=0.0, seed=1))
    assert overlap(other, people_of(shots)) == ["first/e"]
    assert overlap(shots, joined(people_of(shots), people_of(other))) == ["first/e"]


# ---- what a checkpoint says ------------------------------------------------------------------------------------------


def test_a_checkpoint_says_whom_it_has_seen_and_other_files_nothing(tmp_path):
    people = {"first": {"subjects": ["a", "b"], "beside": []}}
    path, bare, published = (tmp_path / name for name in ("best.ckpt", "bare.pth", "model.safetensors"))
    for whole in (True, False):
        torch.save({"state_dict": {}, "seen": {"people": people, "whole": whole}}, path)
        assert people_seen(path) == (people, whole)
    torch.save({"state_dict": {}}, bare)
    save_file({"x": torch.ones(1)}, published)
    for other in (bare, published, tmp_path / "nowhere.ckpt"):
        assert people_seen(other) == ({}, False)
    for damaged in ([], {"people": ["a"]}, {"people": {"first": {"subjects": [1]}}, "whole": True}):
        torch.save({"state_dict": {}, "seen": damaged}, path)
        assert people_seen(path) == ({}, False)


def test_what_is_not_known_is_in_the_log_and_what_is_found_is_refused_or_said(places, caplog):  # noqa: F811
    tested, people = alone(places), {"first": {"subjects": ["e"], "beside": []}}
    with caplog.at_level(logging.WARNING):
        assert check_overlap(tested, {}, whole=False, weights="x.ckpt", allowed=False) == []
    assert "not known whom x.ckpt was trained on" in caplog.text
    with pytest.raises(EegfmError, match=r"x\.ckpt was .* 1 of .*: first/e\. (.|\n)*allow_overlap=true"):
        check_overlap(tested, people, whole=True, weights="x.ckpt", allowed=False)
    assert check_overlap(tested, people, whole=True, weights="x.ckpt", allowed=True) == ["first/e"]


def test_what_is_exported_says_whom_its_weights_have_seen_as_their_checkpoint_does(places, tmp_path):  # noqa: F811
    """In a folder, and in its file alone, wherever that was copied."""
    run, tested = untrained_run(tmp_path / "run", *STAMP), alone(places)
    people = {"first": {"subjects": ["d", "e"], "beside": []}}
    write_result(run, replace(read_result(run), people={"people": people, "whole": True}))
    export(run, tmp_path / "out")
    copied = shutil.copy(tmp_path / "out" / "model.safetensors", tmp_path / "copy.safetensors")
    for named_so in (tmp_path / "out", tmp_path / "out" / "model.safetensors", copied):
        started = build(composed(*STAMP), named_so).started_from["weights"]
        assert people_seen(Path(started)) == (people, True)
        with pytest.raises(EegfmError, match=r"1 of this run's test subjects: first/e"):
            check_overlap(tested, *people_seen(Path(started)), weights=started, allowed=False)
    # again into what was read: nothing is lost on the way
    write(eegfm.load(tmp_path / "out"), tmp_path / "again")
    assert people_seen(tmp_path / "again" / "model.safetensors") == (people, True)
    write_result(run, replace(read_result(run), people={"people": people, "whole": False}))
    export(run, tmp_path / "out")
    assert people_seen(tmp_path / "out" / "model.safetensors") == (people, False)


def test_a_raw_file_is_found_under_another_name_in_another_corpus(places, tmp_path):  # noqa: F811
    """Corpora of one pool, one of them with numbers in place of names: x is the file of b, y is nobody's."""
    numbered = corpus("numbered", SHARED, 2.0, {"train": ("p",), "val": ("q",), "test": ("x", "y")}, "N")
    raw = tmp_path / "raw" / "numbered"
    write_corpus(numbered, raw)
    write_corpus(FIRST, tmp_path / "raw" / "first")
    assert overlap(alone(tmp_path, numbered), people_of(alone(tmp_path))) == []
    (raw / "Nx.edf").write_bytes((tmp_path / "raw" / "first" / "Rb.edf").read_bytes())
    shutil.rmtree(tmp_path / "cache" / "numbered")
    assert overlap(alone(tmp_path, numbered), people_of(alone(tmp_path))) == ["numbered/x"]
    assert overlap(alone(tmp_path), people_of(alone(tmp_path, numbered))) == []  # the first tests on e


def test_a_run_from_weights_says_whom_the_corpora_of_a_pool_do_not_tell(places):  # noqa: F811
    """Of either corpus, as a mix of both says it; a corpus knows its own."""
    named_so = replace(FIRST, pool="hospital")
    numbered = replace(SECOND, pool="hospital", pool_gap="its s has no name")
    alone_first, alone_second = alone(places, named_so), alone(places, numbered)
    gap = {"second": "its s has no name"}
    assert not_told(alone_second, people_of(alone_first)) == gap
    said = facts_beside(alone_second, people_of(alone_first)).leakage.sentence()
    assert "so that they are not recognised in other corpora" in said
    assert said != alone_second.provenance().leakage.sentence()
    assert not_told(alone_first, people_of(alone_second)) == gap
    assert not_told(alone_first, joined(people_of(alone_first), people_of(alone_second))) == gap
    for data, other in (
        (alone_second, alone_second),
        (alone_first, alone_first),
        (alone_second, alone(places)),
    ):
        assert not_told(data, people_of(other)) == {}


# ---- through train and report ----------------------------------------------------------------------------------------


def trained(place: Path, *overrides: str) -> Path:
    """A run by the function of `eegfm train`, on a corpus of six subjects; returns its folder."""
    raw = place / "raw"
    if not raw.exists():
        raw.mkdir()
        small_corpus = corpora.corpora()["mental_arithmetic"]
        small_corpus.write(raw, small_corpus.table)
    here = [f"paths.runs={place}/runs", f"paths.cache={place}/cache", f"data.raw={raw}"]
    small = [
        "data=mental_arithmetic",
        "data.allow_partial=true",
        "model=eegm2",
        "model.width_scale=8",
        "trainer=smoke",
    ]
    small += ["data.benchmark._target_=tests.corpora.made", "+data.benchmark.name=mental_arithmetic"]
    config, choices = with_choices(*small, *here, *overrides)
    folder = Path(config.paths.runs) / named(config, choices)
    folder.mkdir(parents=True, exist_ok=True)
    train(config, folder, choices)
    return folder


@pytest.mark.slow
def test_a_run_is_refused_weights_that_know_its_test_subjects_and_allowed_they_show(tmp_path):
    before = trained(tmp_path, "task=reconstruct")
    kept = torch.load(before / "checkpoints" / "best.ckpt", weights_only=True)["seen"]
    facts = read_result(before).benchmark
    known = sorted(facts.subjects["train"] + facts.subjects["val"])
    assert kept["people"]["mental_arithmetic"]["subjects"] == known and kept["whole"]

    probe = ("task=probe", f"weights={before}")
    assert read_result(trained(tmp_path, *probe)).overlap == []
    folds = ("split=kfold", "split.fold=0", "split.folds=3")
    with pytest.raises(EegfmError, match=r"of this run's test subjects: mental_arithmetic/"):
        trained(tmp_path, *probe, *folds)
    run = trained(tmp_path, *probe, *folds, "allow_overlap=true")
    result = read_result(run)
    tested = set(result.benchmark.subjects["test"])
    assert result.overlap == [f"mental_arithmetic/{s}" for s in known if s in tested] != []
    (group,), _ = group_runs(read_runs([run])[0])
    assert any(
        mark.startswith(f"OVERLAP: the weights have seen {len(result.overlap)}") for mark in marks(group)
    )
    assert "test subjects in pre-training" in incomparable(group)
    assert "**OVERLAP: " in markdown([group], [], by_subject=False)

    # fine-tuned on top, it carries the people of both
    tuned = trained(tmp_path, f"weights={before}", *folds, "allow_overlap=true")
    seen = torch.load(tuned / "checkpoints" / "best.ckpt", weights_only=True)["seen"]["people"]
    own = read_result(tuned).benchmark.subjects
    assert set(seen["mental_arithmetic"]["subjects"]) == {*known, *own["train"], *own["val"]}


@pytest.mark.slow
def test_a_pre_training_that_would_see_test_subjects_is_not_begun(tmp_path):
    kfold = "{_target_: eegfm.data.splits.KFold, _partial_: false, fold: 0, folds: 3, seed: 0}"
    with pytest.raises(EegfmError, match=r"^The pre-training was .*mental_arithmetic/"):
        trained(tmp_path, "adapt=eegm2_probe", f"+pretrain.split={kfold}")
    assert not list((tmp_path / "runs").rglob("result.json"))
    assert read_result(trained(tmp_path, "adapt=eegm2_probe")).overlap == []


# ---- pre-training on other data --------------------------------------------------------------------------------------


OTHER = ("adapt=eegm2_probe", "data=tuab", "+data@pretrain.data=mix")


def test_a_pre_training_on_a_mix_replaces_the_data_as_a_whole():
    chosen = "data/corpora@pretrain.data.corpora=[tuab,tuev]"
    config, choices = with_choices(*OTHER, chosen, "pretrain.data.batch_size=16")
    before, its_choices = pretraining(config, choices)
    plain, _ = with_choices("data=mix", "data/corpora=[tuab,tuev]", "data.batch_size=16")
    assert before.data == plain.data
    assert its_choices["data"] == "mix" and choices["data"] == "tuab"
    assert "eegm2-raw-mix-" in named(before, its_choices) and "eegm2-raw-tuab-" in named(config, choices)


def test_the_pre_training_s_data_are_part_of_the_name_of_what_follows():
    def names(*overrides: str) -> tuple[str, str]:
        config, choices = with_choices(*overrides)
        return named(config, choices), named(*pretraining(config, choices))

    base = names(*OTHER, "data/corpora@pretrain.data.corpora=[tuab,tuev]")
    raw = names(
        *OTHER, "data/corpora@pretrain.data.corpora=[tuab,tuev]", "pretrain.data.corpora.tuab.raw=/a"
    )
    assert raw == base
    for other in (
        names("adapt=eegm2_probe", "data=tuab"),
        names(*OTHER, "data/corpora@pretrain.data.corpora=[tuev,tuab]"),
        names(*OTHER, "data/corpora@pretrain.data.corpora=[tuab,tuev]", "pretrain.data.epoch_windows=100"),
    ):
        assert other[0] != base[0] and other[1] != base[1]
    allowed = names(*OTHER, "data/corpora@pretrain.data.corpora=[tuab,tuev]", "allow_overlap=true")
    assert allowed[0] != base[0] and allowed[1] == base[1]


def test_shares_are_typed_on_the_command_line():
    """A mapping reaches the mix as it was typed; a default that is typed changes no name."""
    pair = ("model=eegm2", "data=tuh")
    config, choices = with_choices(*pair, "data.weights={tuab: 1, tuev: 3}", "data.epoch_windows=64")
    data = build_data(config)
    assert data.weights == {"tuab": 1, "tuev": 3} and data.epoch_windows == 64
    assert named(config, choices) != named(*with_choices(*pair))
    for same in ("data.weights=null", "save_steps=5", "allow_overlap=false"):
        assert named(*with_choices(*pair, same)) == named(*with_choices(*pair))
    for wrong in ("data.weights={tuab: 1}", "data.weights={tuab: 1, tuev: much}"):
        with pytest.raises(EegfmError, match=r"data\.weights=\{tuab: 1, tuev: 1\}"):
            build_data(with_choices(*pair, wrong)[0])
