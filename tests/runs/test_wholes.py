"""Scores of persons and recordings, held against scikit-learn on what their windows say together."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from eegfm.runs.predictions import PredictionTable, write_predictions
from eegfm.runs.wholes import sentences, wholes, wholes_of


def table(n_persons=8, n_recordings=2, n_windows=5, of="person", seed=0) -> PredictionTable:
    """Persons with recordings of windows, one label for each `of`, and noisy probabilities of two classes."""
    draw = np.random.default_rng(seed)
    person, recording, window = (
        axis.ravel()
        for axis in np.meshgrid(*map(np.arange, (n_persons, n_recordings, n_windows)), indexing="ij")
    )
    label = {"person": person, "recording": recording, "window": window}[of] % 2
    positive = 1 / (1 + np.exp(-draw.normal(1.5 * (label - 0.5), 2)))
    keys = [f"P{p}_{r}/{w}.0s" for p, r, w in zip(person, recording, window, strict=True)]
    return PredictionTable(
        keys, [f"P{p}" for p in person], label, np.stack([1 - positive, positive], axis=1), ("well", "sick")
    )


@pytest.mark.parametrize("of", ["person", "recording"])
@pytest.mark.parametrize("way", ["mean", "vote"])
def test_the_windows_of_one_decide_together(of, way):
    given = table(of=of)
    found = wholes([given])
    names = np.array(given.subjects if of == "person" else [key.split("/")[0] for key in given.keys])
    each = np.unique(names)
    positive = given.probabilities[:, 1]
    said = positive if way == "mean" else (positive > 0.5).astype(float)
    share = np.array([said[names == name].mean() for name in each])
    label = np.array([given.labels[names == name][0] for name in each])
    scores = found[of][way]
    assert scores["balanced_accuracy"]["score"] == pytest.approx(
        balanced_accuracy_score(label, share > 0.5)
    )
    if way == "mean":  # among equal votes the mean decides
        assert scores["auroc"]["score"] == pytest.approx(roc_auc_score(label, share))
    assert found[of]["n"] == len(each) and found[of]["persons"] == 8
    for one in scores.values():
        assert one["low"] <= one["score"] <= one["high"]


def test_a_tie_of_votes_goes_to_the_mean():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.6, 0.4]])
    given = PredictionTable(
        ["a/0s", "a/1s", "b/0s", "b/1s"],
        ["a", "a", "b", "b"],
        np.array([0, 0, 1, 1]),
        probabilities,
        ("x", "y"),
    )
    assert wholes([given])["person"]["vote"]["balanced_accuracy"]["score"] == 1


def test_what_is_of_a_window_has_no_scores_of_persons():
    assert wholes([table(of="window")]) == {}
    assert set(wholes([table(of="recording")])) == {"recording"}
    assert set(wholes([table(n_recordings=1)])) == {"person"}  # a recording a person says nothing new
    assert wholes([table(n_recordings=1, n_windows=1)]) == {}  # a window a person neither
    one = wholes([table(n_persons=1, of="person")])["person"]["mean"]
    assert one["balanced_accuracy"]["low"] is None and "auroc" not in one


def test_of_seeds_the_mean_is_told_with_one_interval_and_in_words(tmp_path):
    seeds = [table(seed=seed) for seed in range(3)]
    found = wholes(seeds)["person"]["mean"]["auroc"]["score"]
    assert found == pytest.approx(
        np.mean([wholes([one])["person"]["mean"]["auroc"]["score"] for one in seeds])
    )
    one, path = seeds[0], tmp_path / "predictions_test.csv"
    write_predictions(path, one.keys, one.subjects, one.labels, one.probabilities, one.classes)
    none = tmp_path / "none.csv"
    assert wholes_of(path, none) == wholes([one]) and wholes_of(none, path) == {}
    assert wholes_of(path, path) == wholes([one], [one])
    first, *_ = sentences(wholes([one]))
    assert first.startswith("by person (8 persons), mean probability: balanced accuracy 0.")


@pytest.mark.parametrize("of", ["person", "recording"])
def test_a_cut_is_fitted_on_validation_alone_and_tests_stand_against_it(of):
    """Every cut between validation wholes is tried: none has a higher balanced accuracy."""
    given, validation = table(of=of), table(n_persons=12, of=of, seed=1)
    shifted = validation.probabilities**3  # the second class is rare in probability
    validation = PredictionTable(
        validation.keys,
        validation.subjects,
        validation.labels,
        shifted / shifted.sum(axis=1, keepdims=True),
        validation.classes,
    )

    def shares(one: PredictionTable) -> tuple[np.ndarray, np.ndarray]:
        names = np.array(one.subjects if of == "person" else [key.split("/")[0] for key in one.keys])
        each = np.unique(names)
        mean = np.array([one.probabilities[names == name, 1].mean() for name in each])
        return mean, np.array([one.labels[names == name][0] for name in each])

    found = wholes([given], [validation])[of]
    mean, label = shares(validation)
    best = max(balanced_accuracy_score(label, mean > cut) for cut in [0, *mean])
    assert found["rule"]["balanced_accuracy"] == pytest.approx(best) and found["rule"]["n"] == len(label)
    assert balanced_accuracy_score(label, mean > found["rule"]["cut"]) == pytest.approx(best)
    mean, label = shares(given)
    score = found["fitted"]["balanced_accuracy"]["score"]
    assert score == pytest.approx(balanced_accuracy_score(label, mean > found["rule"]["cut"]))
    assert found["fitted"]["auroc"]["score"] == pytest.approx(roc_auc_score(label, mean))
    assert any(f"validation {of}s: balanced accuracy" in line for line in sentences({of: found}))


def test_no_cut_is_fitted_where_validation_cannot_say_one():
    given = table()
    for validation in (table(n_persons=1), table(of="window")):
        found = wholes([given], [validation])["person"]
        assert "fitted" not in found and "rule" not in found
    three = PredictionTable(
        given.keys, given.subjects, given.labels, np.eye(3)[given.labels], ("a", "b", "c")
    )
    assert "fitted" not in wholes([three], [three])["person"]
