"""One table says what metrics are called and what a guess gets: it has every metric that is computed, and is right."""

import subprocess
import sys

import numpy as np
import pytest

from eegfm.runs.outputs import subject_scores
from eegfm.tasks.metric_names import (
    METRICS,
    NEEDS_TWO_CLASSES,
    NO_SCORE,
    WITH_CHANCE,
    chance,
    in_order,
    one_side,
    short,
    spoken,
)
from eegfm.tasks.metrics import scores


def drawn(n_classes: int, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels of unequal classes, and probabilities that know nothing of them."""
    rng = np.random.default_rng(n_classes)
    label = rng.choice(n_classes, size=n, p=np.arange(1, n_classes + 1) / sum(range(n_classes + 1)))
    return rng.dirichlet(np.ones(n_classes), size=n), label


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_table_has_every_metric_and_a_guess_gets_what_it_says(n_classes):
    found = scores(*drawn(n_classes), n_classes)
    assert found.keys() <= METRICS.keys()
    judged = [name for name in WITH_CHANCE if name in found]
    assert len(judged) == 2
    for name in judged:
        assert found[name] == pytest.approx(chance(name, n_classes), abs=0.015)
    if n_classes == 2:  # these are held against the share of the second class
        for name in ("auc_pr", "average_precision"):
            assert chance(name, 2) is None and found[name] == pytest.approx(found["prevalence"], abs=0.015)


def test_the_better_end_of_a_score_is_that_of_an_oracle():
    """The true labels as probabilities, against ones that know nothing."""
    probability, label = drawn(3)
    guessed, told = scores(probability, label, 3), scores(np.eye(3)[label], label, 3)
    for name in set(guessed) - {*NO_SCORE}:
        assert METRICS[name].better == "max" and told[name] > guessed[name]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_what_needs_two_classes_is_undefined_for_a_subject_of_one(n_classes):
    probability, _ = drawn(n_classes, 20)
    rows = subject_scores(probability, np.zeros(20, dtype=int), ["a"] * 20, list("wxyz")[:n_classes])
    undefined = {name for name, value in rows["a"].items() if name in METRICS and value != value}
    assert undefined == set(NEEDS_TWO_CLASSES) & rows["a"].keys() and undefined


def test_columns_stand_as_published_and_others_follow():
    present = ["loss", "zz", "accuracy", "cohen_kappa", "balanced_accuracy/tuab", "balanced_accuracy", "aa"]
    assert in_order(present) == ["balanced_accuracy", "cohen_kappa", "accuracy", "aa", "zz"]
    assert (short("cohen_kappa"), spoken("balanced_accuracy"), spoken("my_own")) == (
        "Cohen's kappa", "balanced accuracy", "my own",
    )  # fmt: skip


def test_the_trapezoid_stands_beside_rows_of_papers_alone():
    present = ["auroc", "auc_pr", "average_precision", "prevalence"]
    assert in_order(present) == ["auroc", "average_precision", "prevalence"]
    assert in_order(present, cited=["auc_pr"]) == ["auroc", "average_precision", "auc_pr", "prevalence"]
    assert short("average_precision") == "AUC-PR"


def test_one_side_is_every_window_of_the_same_class():
    labels = np.array([0, 1, 2, 1])
    assert one_side(scores(np.eye(3)[[1, 1, 1, 1]], labels, 3))
    assert not one_side(scores(np.eye(3)[[1, 1, 1, 2]], labels, 3))
    for said, expected in (([0.6, 0.9], True), ([0.1, 0.4], True), ([0.4, 0.6], False)):
        columns = np.stack([1 - np.array(said), np.array(said)], axis=1)
        assert one_side(scores(columns, labels[:2], 2)) == expected


def test_the_table_is_read_without_torch_and_scikit_learn():
    code = "import sys, eegfm.tasks.metric_names; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
