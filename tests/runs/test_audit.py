"""Published weights declare their training data, and reports tell it; controls measure the person's part in a score."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from eegfm.analysis.controls import refuse_undiagnosable
from eegfm.analysis.persons import drift_told, person_alone, persons_told
from eegfm.config.identity import identity_hash, without_seen
from eegfm.config.make import make
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.store import SampleIndex
from eegfm.report import main
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import controls, marks
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.corpora_seen import corpora_seen, corpora_seen_here
from eegfm.runs.reservations import diagnostic_sentences
from eegfm.runs.results import read_result, write_result
from eegfm.tasks.metrics import scores
from tests.composed import composed
from tests.made_run import facts, make_run

CONF = config_dir()


def plain(*overrides):
    config = composed(*overrides)
    found = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


# ---- corpora ---------------------------------------------------------------------------------------------------------


def nodes(path: Path):
    found = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", sorted((CONF / "encoder").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_encoder_with_weights_declares_what_they_have_seen(path):
    assert ("weights" in nodes(path)) == ("seen" in nodes(path))


@pytest.mark.parametrize(
    "path",
    [*(CONF / "encoder").glob("*.yaml"), *(CONF / "model").glob("*.yaml")],
    ids=lambda path: path.stem,
)
def test_what_is_declared_are_benchmarks_with_a_reason(path):
    benchmarks = {path.stem for path in (CONF / "data").glob("*.yaml")}
    node = nodes(path) or {}
    found = node.get("seen") or {}
    for name, how in found.items():
        of_model = how if isinstance(how, dict) else {name: how}  # of a file of several models, by model
        assert set(of_model) <= benchmarks and all(len(said) > 20 for said in of_model.values())


def test_a_declaration_names_no_run_and_reaches_no_constructor():
    config = plain("model=stamp", "encoder=ttm", "encoder.weights=random")
    other = json.loads(json.dumps(config))
    other["encoder"]["seen"] = {"tuev": "because"}
    other["seen"] = {"tuab": "because"}
    assert identity_hash(config) == identity_hash(other) == identity_hash(without_seen(other))
    node = OmegaConf.create({"encoder": other["encoder"], "inner": {"_target_": "types.SimpleNamespace"}})
    node.inner.encoder = {
        "_target_": "types.SimpleNamespace",
        "seen": {"tuev": "so"},
        "name": "${encoder.seed}",
    }
    OmegaConf.set_struct(node, True)
    made = make(node.inner, "model")
    assert made == SimpleNamespace(encoder=SimpleNamespace(name=0))
    assert node.inner.encoder.seen == {"tuev": "so"}


def test_an_encoder_has_seen_what_it_declares_unless_its_weights_are_random():
    declared = {"_target_": "x", "weights": "folder", "seen": {"tuev": "declared"}}
    beside = {"encoder": declared, "model": {}, "seen": {}, "weights": None}
    inside = {"encoder": {}, "model": {"encoder": declared}, "seen": {}, "weights": None}
    for config in (beside, inside):
        assert corpora_seen(config, None) == {"tuev": "declared"}
    declared["weights"] = "random"
    for config in (beside, inside):
        assert corpora_seen(config, None) == {}


def test_a_model_has_seen_what_it_declares_where_it_starts_from_its_authors_weights(tmp_path):
    """From scratch it has seen nothing; a run that starts from such a run has seen it too."""
    config = plain("model=cbramod", "data=tuev")
    assert corpora_seen(config, None) == {}
    assert set(corpora_seen(config, "published")) == {"tuab", "tuev"}
    theirs = tmp_path / "theirs.pth"
    torch.save({"a": torch.zeros(1)}, theirs)
    assert set(corpora_seen(config, theirs)) == {"tuab", "tuev"}
    for start, seen in ((None, set()), ("published", {"tuab", "tuev"}), (str(theirs), {"tuab", "tuev"})):
        ours = tmp_path / "ours.ckpt"
        text = OmegaConf.to_yaml(OmegaConf.create({**config, "weights": start}))
        torch.save({"state_dict": {}, "config": text}, ours)
        assert set(corpora_seen(config, ours)) == seen
    assert corpora_seen(config, tmp_path / "gone.ckpt") == {}
    tuev = facts(benchmark="tuev")
    mix = facts(benchmark="mix", corpora={name: facts(benchmark=name) for name in ("tuab", "faced")})
    assert set(corpora_seen_here(config, "published", tuev)) == {"tuev"}
    assert set(corpora_seen_here(config, "published", mix)) == {"tuab"}
    for name, seen in (("tuab_eegm2", {"tuab_eegm2"}), ("tuabx", set()), ("tua", set())):
        assert set(corpora_seen_here(config, "published", facts(benchmark=name))) == seen
    assert corpora_seen_here(config, "pretrain", tuev) == {}
    samba = plain("model=samba", "task=classify")
    assert corpora_seen(samba, None) == {}
    assert set(corpora_seen(samba, theirs)) == {"tuab"}


def test_of_a_file_of_several_models_the_named_ones_declaration_holds():
    assert set(corpora_seen(plain("model=braindecode", "model.name=Labram"), "published")) == {
        "physionet_mi"
    }
    assert corpora_seen(plain("model=braindecode", "model.name=EEGNet"), "published") == {}


def test_a_report_says_what_was_seen(tmp_path, capsys):
    folder = tmp_path / "e" / "a"
    write_result(folder, replace(make_run(folder, 1), seen={"tuev": "a part of TUEG"}))
    (group,), _ = group_runs(read_runs(find_runs([tmp_path]))[0])
    (mark,) = [mark for mark in marks(group) if mark.startswith("SEEN")]
    assert "trained on what is tested here" in mark and "tuev: a part of TUEG" in mark
    main([str(tmp_path), "--markdown", str(tmp_path / "table.md")])
    assert "SEEN" in capsys.readouterr().out and mark in (tmp_path / "table.md").read_text()


# ---- persons ---------------------------------------------------------------------------------------------------------


def people(n_persons=5, n=40, apart=3.0, seed=0):
    """Features of persons who differ, and drift: windows near in time are alike."""
    random = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_persons), n)
    x = apart * random.normal(size=(n_persons, 12))[subject] + random.normal(size=(len(subject), 12))
    return x, subject, np.tile(np.arange(n), n_persons)


def test_persons_who_differ_are_told_apart_and_others_are_not():
    found = persons_told(*people())
    assert found["balanced_accuracy"] > 0.95
    assert (found["chance"], found["persons"], found["windows"]) == (0.2, 5.0, 200.0)
    x, subject, when = people(n=400, apart=0.0)
    assert persons_told(x, subject, when)["balanced_accuracy"] == pytest.approx(0.2, abs=0.03)


def test_neighbours_in_time_do_not_tell_a_person():
    """Windows are alike for a while, and persons have nothing that stays: only interleaved halves tell them apart."""
    random = np.random.default_rng(0)
    subject, when = np.repeat(np.arange(4), 100), np.tile(np.arange(100), 4)
    x = random.normal(size=(4, 10, 30))[subject, when // 10] + 0.3 * random.normal(size=(400, 30))
    order = random.permutation(len(x))
    found = persons_told(x[order], subject[order], when[order])
    assert found == persons_told(x, subject, when) and found["balanced_accuracy"] < 0.4
    assert persons_told(x, subject, when % 2)["balanced_accuracy"] > 0.8  # even windows teach, odd ones ask


def test_units_and_the_direction_of_time_change_nothing():
    """If two halves are not equally hard, both count."""
    x, subject, when = people(n_persons=2, n=100, apart=2.0)
    x[when >= 50] *= 0.2
    x[when >= 50] += np.random.default_rng(1).normal(size=(100, 12))
    found = persons_told(x, subject, when)
    assert persons_told(x * 10.0 ** np.arange(-6, 6), subject, when) == pytest.approx(found)
    assert persons_told(x, subject, -when) == pytest.approx(found)
    assert 0.6 < found["balanced_accuracy"] < 0.95


def test_a_person_of_few_windows_is_told_as_well_as_one_of_many():
    """Persons are equally likely, whatever their numbers: with their frequencies the few would never be said."""
    random = np.random.default_rng(0)
    subject = np.repeat([0, 1], [400, 20])
    x = random.normal(size=(420, 3)) + 1.5 * (subject[:, None] * [1, 0, 0])
    assert persons_told(x, subject, np.arange(420))["balanced_accuracy"] > 0.65


def test_too_few_windows_or_persons_say_nothing():
    x, subject, when = people(n_persons=2, n=40)
    keep = (subject == 0) | (when < 3)
    assert persons_told(x[keep], subject[keep], when[keep]) == {}
    keep = (subject == 0) | (when < 4)
    assert persons_told(x[keep], subject[keep], when[keep])["persons"] == 2
    assert persons_told(x[subject == 0], subject[subject == 0], when[subject == 0]) == {}


def test_who_knows_the_person_alone_has_what_persons_differ_in():
    """A diagnosis is told by the person in full, and what all persons do alike not at all."""
    subject = np.repeat(np.arange(4), 10)
    diagnosis, task = subject % 2, np.tile([0, 1], 20)
    for label, wanted in ((diagnosis, 1.0), (task, 0.5)):
        probability = person_alone(label, subject, 2)
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        assert scores(probability, label, 2)["auroc"] == wanted


def test_drift_is_what_tells_pieces_of_one_recording_apart():
    """Persons who are alike, in recordings that drift, and in recordings that do not."""
    random = np.random.default_rng(0)
    subject, when = np.repeat(np.arange(6), 60), np.tile(np.arange(60), 6)
    still = random.normal(size=(360, 8))
    walk = random.normal(size=(6, 60, 8)).cumsum(axis=1).reshape(360, 8)
    drifting = still + 3 * walk
    for x, least, most in ((still, 0.05, 0.3), (drifting, 0.4, 1.0)):
        found = drift_told(x, subject, when)
        assert found["drift_chance"] == pytest.approx(1 / 6) and least < found["drift"] < most
    assert drift_told(still[:6], subject[:6], when[:6]) == {}
    told = {"balanced_accuracy": 0.9, "chance": 0.25, "persons": 4.0, "windows": 160.0}
    one_each = told | {"recordings_each": 1.0, "drift": 0.7, "drift_chance": 0.3}
    (persons,), (recordings,) = (
        diagnostic_sentences({"persons_told": one}, {}) for one in (told, one_each)
    )
    assert persons.startswith("4 test persons told apart") and "drift" not in persons
    assert recordings.startswith("4 recordings, one of each test person, told apart")
    assert recordings.endswith("pieces of one recording, which drift alone tells apart: 0.70 (chance 0.30)")


# ---- labels ----------------------------------------------------------------------------------------------------------


def opened(label, split, subject, seed=0):
    """A data module with an index and nothing behind it."""
    n = len(label)
    index = SampleIndex(
        label=np.asarray(label), subject=np.asarray(subject), session=np.full(n, ""), recording=np.full(n, "r"),
        onset_s=np.arange(n, dtype=float), split=np.asarray(split), digest=np.zeros(n, np.uint64),
    )  # fmt: skip
    data = EEGDataModule.__new__(EEGDataModule)
    data.seed, data.index, data.store = seed, index, SimpleNamespace(index=index)
    return data


@pytest.mark.parametrize("within", [False, True])
def test_labels_are_shuffled_in_training_and_validation_and_keep_their_counts(within):
    random = np.random.default_rng(0)
    label, subject = random.integers(0, 3, 300), np.repeat([f"S{i}" for i in range(10)], 30)
    split = np.where(subject < "S6", "train", np.where(subject < "S8", "val", "test"))
    data = opened(label, split, subject)
    assert data.shuffle_labels(within_subject=within)
    found = data.index.label
    np.testing.assert_array_equal(found, data.store.index.label)
    test = split == "test"
    np.testing.assert_array_equal(found[test], label[test])
    for part in ("train", "val"):
        own = split == part
        np.testing.assert_array_equal(np.bincount(found[own]), np.bincount(label[own]))
        assert 0.15 < (found[own] == label[own]).mean() < 0.55
    kept = [
        (np.bincount(found[subject == s]) == np.bincount(label[subject == s])).all()
        for s in set(subject[~test])
    ]
    assert all(kept) == within
    other = opened(label, split, subject)
    other.shuffle_labels(within_subject=within, draw=1)
    assert (other.index.label != found).mean() > 0.2
    again = opened(label, split, subject)
    again.shuffle_labels(within_subject=within)
    np.testing.assert_array_equal(again.index.label, found)


def test_a_diagnosis_cannot_be_shuffled_within_a_person():
    data = opened([0, 0, 1, 1], ["train"] * 4, ["S1", "S1", "S2", "S2"])
    assert not data.shuffle_labels(within_subject=True) and data.index.label.tolist() == [0, 0, 1, 1]
    assert data.shuffle_labels(within_subject=False)


# ---- in a run --------------------------------------------------------------------------------------------------------


def test_controls_stand_in_summary_report_markdown_and_csv(tmp_path, capsys):
    told = {"balanced_accuracy": 0.9, "chance": 0.25, "persons": 4.0, "windows": 160.0}
    for seed, auroc in ((1, 0.5), (2, 0.6), (3, None)):
        folder = tmp_path / "e" / f"a{seed}"
        result = make_run(folder, seed)
        drawn = {"auroc": auroc, "auroc_deviation": 0.09, "draws": 20.0}
        found = {} if auroc is None else {"shuffled": drawn, "persons_told": told}
        write_result(folder, replace(result, diagnostics=found))
        assert read_result(folder).diagnostics == found
    (group,), _ = group_runs(read_runs(find_runs([tmp_path]))[0])
    shuffled, persons = controls(group)
    ours = np.mean([read_result(tmp_path / "e" / f"a{i}").metrics["test"]["auroc"] for i in (1, 2)])
    assert shuffled == (
        f"labels shuffled in training and validation, 20 draws: AUROC 0.55 ± 0.09 (this {ours:.2f}) (2 of 3 seeds)"
    )
    assert persons.startswith(
        "4 test persons told apart by the features: balanced accuracy 0.90 (chance 0.25)"
    )
    main([str(tmp_path), "--markdown", str(tmp_path / "t.md"), "--csv", str(tmp_path / "t.csv")])
    assert (
        shuffled in " ".join(capsys.readouterr().out.split())
        and shuffled in (tmp_path / "t.md").read_text()
    )
    assert "diagnostics_persons_told_chance" in (tmp_path / "t.csv").read_text().splitlines()[0]
    assert diagnostic_sentences({}, {}) == []


def test_what_tells_no_classes_is_not_diagnosed():
    data = SimpleNamespace(spec=SimpleNamespace(classes=("a", "b")))
    with pytest.raises(EegfmError, match="needs a task that tells classes apart"):
        refuse_undiagnosable(SimpleNamespace(data=data, task=SimpleNamespace(monitor=("loss", "min"))))
    data.spec.classes = ()
    with pytest.raises(EegfmError, match="diagnose"):
        refuse_undiagnosable(SimpleNamespace(data=data, task=SimpleNamespace(monitor=("auroc", "max"))))
