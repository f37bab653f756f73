"""Intervals over test subjects: every draw is scored as scikit-learn scores its windows, and the draws are right."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from eegfm.runs.intervals import (
    ALL_UP_TO,
    DRAWS,
    Drawn,
    draws,
    ends,
    intervals,
    scores_by_draw,
    student,
)
from eegfm.runs.predictions import PredictionTable
from eegfm.tasks.metric_names import NO_SCORE
from eegfm.tasks.metrics import scores
from tests.bench.coverage import WORLDS, covered


def table(
    n_subjects: int, n_classes: int, seed: int, *, each: int = 12, digits: int = 1
) -> PredictionTable:
    """Noise that knows a little of the class; rounded, so that many windows tie."""
    rng = np.random.default_rng(seed)
    label = rng.integers(n_classes, size=n_subjects * each)
    raw = rng.random((len(label), n_classes)) + 0.3 * np.eye(n_classes)[label]
    probability = np.round(raw / raw.sum(1, keepdims=True), digits)
    if n_classes == 2:
        probability[:, 0] = 1 - probability[:, 1]
    subject = [f"S{i // each:02d}" for i in range(len(label))]
    return PredictionTable(
        [str(i) for i in range(len(label))], subject, label, probability, ("a", "b", "c")[:n_classes]
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.sampled_from([2, 3]), st.integers(0, 1000))
def test_a_draw_is_scored_as_scikit_learn_scores_its_windows(n_subjects, n_classes, seed):
    one = table(n_subjects, n_classes, seed)
    names = sorted(set(one.subjects))
    counts, _ = draws(n_subjects)
    found = scores_by_draw(one, names, counts)
    subject = np.array([names.index(name) for name in one.subjects])
    for draw in np.random.default_rng(seed).choice(len(counts), 5):
        rows = np.repeat(np.arange(len(subject)), counts[draw][subject])
        expected = scores(one.probabilities[rows], one.labels[rows], n_classes)
        for metric, values in found.items():
            assert values[draw] == pytest.approx(expected[metric], abs=1e-12, nan_ok=True), metric
    assert set(found) == set(scores(one.probabilities, one.labels, n_classes)) - {*NO_SCORE}


@pytest.mark.parametrize("n", range(2, ALL_UP_TO + 1))
def test_few_subjects_are_drawn_in_every_way_with_its_probability(n):
    counts, weight = draws(n)
    assert len(counts) == math.comb(2 * n - 1, n) == len({tuple(row) for row in counts})
    assert (counts.sum(1) == n).all() and weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(weight @ counts, 1)
    alone = weight[(counts == n).any(1)]
    np.testing.assert_allclose(alone, n**-n)


def test_many_subjects_are_drawn_alike_every_time():
    counts, weight = draws(20)
    assert ALL_UP_TO == 6 and DRAWS == len(draws(7)[0]) == 2000, "as every page says"
    assert counts.shape == (DRAWS, 20) and (counts.sum(1) == 20).all() and weight.sum() == pytest.approx(1)
    draws.cache_clear()
    np.testing.assert_array_equal(draws(20)[0], counts)


def test_of_subjects_of_equal_size_it_is_students_interval_of_their_logits():
    """Scores near each other: a subject's logit is linear in its score, and textbook Student remains."""
    each = 0.7 + 0.001 * np.array([0.3, -1.0, 2.0, 0.1, -0.9])
    counts, weight = draws(5)
    low, high = student(counts @ each / 5, weight, np.array([each.mean()]), 5, 1000)
    half = t.ppf(0.975, 4) * each.std(ddof=1) / math.sqrt(5)
    assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half), abs=1e-5)


def test_seeds_alone_give_students_interval_over_seeds():
    """All subjects alike: what is uncertain is what other seeds would do."""
    seeds = 0.6 + 0.001 * np.array([1.0, -2.0, 0.5, 0.1])
    low, high = student(np.full(10, seeds.mean()), np.full(10, 0.1), seeds, 9, 1000)
    half = t.ppf(0.975, 3) * seeds.std(ddof=1) / 2
    assert (low, high) == pytest.approx((seeds.mean() - half, seeds.mean() + half), abs=1e-5)


def test_a_seed_that_learnt_nothing_is_in_the_interval():
    """Three seeds of 0.500, 0.956 and 0.967: their mean is known to no digit."""
    low, high = student(
        np.array([0.80, 0.81, 0.815]), np.full(3, 1 / 3), np.array([0.5, 0.956, 0.967]), 6, 600
    )
    assert low < 0.2 and high > 0.98


def test_subjects_and_seeds_together_are_wider_than_either():
    by_draw, weight = np.random.default_rng(0).normal(0.7, 0.02, 200), np.full(200, 1 / 200)
    seeds = np.array([0.68, 0.70, 0.72])
    width = [
        high - low
        for low, high in (
            student(by_draw, weight, seeds, 12, 1000),
            student(by_draw, weight, seeds[1:2], 12, 1000),
            student(np.full(200, 0.7), weight, seeds, 12, 1000),
        )
    ]
    assert width[0] > width[1] and width[1] < width[2] < 1.5 * width[0]


@pytest.mark.parametrize(("n_subjects", "n_classes", "metric"), [(2, 2, "auroc"), (4, 3, "cohen_kappa")])
def test_an_interval_holds_the_true_score_as_often_as_it_says(n_subjects, n_classes, metric):
    """`make bench ARGS=coverage` in small: 150 studies at 0.95 hold at least 0.90 (three standard errors below)."""
    share, _, percentiles = covered(n_subjects, n_classes, WORLDS["weak, biased subjects"], studies=150)[
        metric
    ]
    assert share >= 0.90 and percentiles < share


def test_a_metric_that_half_of_the_draws_do_not_have_has_no_interval():
    values = {"rare": np.array([0.7, 0.6, math.nan]), "rarer": np.array([0.7, math.nan, math.nan])}
    found = ends([Drawn({"rare": 0.65, "rarer": 0.7}, values, np.array([0.5, 0.2, 0.3]), 3, 100)])
    assert [*found] == ["rare"] and found["rare"][0] < 0.6 < 0.7 < found["rare"][1]


def test_an_interval_holds_the_score_and_is_of_the_mean_over_seeds():
    seeds = [table(4, 2, seed) for seed in range(3)]
    for one in seeds[1:]:
        one.labels[:] = seeds[0].labels
    both = intervals(seeds)
    for metric, (low, high) in both.items():
        centre = np.mean([scores(one.probabilities, one.labels, 2)[metric] for one in seeds])
        assert low < centre < high, metric
    first = intervals(seeds[:1])
    assert intervals([seeds[0]] * 3)["auroc"] == pytest.approx(first["auroc"])
    assert both["auroc"] != pytest.approx(first["auroc"])


def test_alike_subjects_leave_no_interval():
    one = table(1, 2, 0)
    copies = PredictionTable(
        one.keys * 5,
        [f"S{i}" for i in range(5) for _ in one.keys],
        np.tile(one.labels, 5),
        np.tile(one.probabilities, (5, 1)),
        one.classes,
    )
    for metric, (low, high) in intervals([copies]).items():
        assert low == pytest.approx(high), metric
    assert intervals([one]) == {}


def test_two_subjects_say_little():
    low, high = intervals([table(2, 2, 3)])["balanced_accuracy"]
    assert high - low > 0.3


def test_a_perfect_score_has_no_interval():
    """Nothing shows how much less than perfect another subject would be."""
    one = table(4, 2, 0)
    one.probabilities[:] = np.eye(2)[one.labels]
    assert intervals([one]) == {}


def test_persons_of_one_class_have_an_auroc_together():
    """Patients and controls are such persons. Draws of only one group are left out, if they are the minority."""
    one = table(8, 2, 1)
    one.labels[:48], one.labels[48:] = 0, 1
    low, high = intervals([one])["auroc"]
    assert 0 <= low < high <= 1
    one.labels[:] = 0
    assert "auroc" not in intervals([one]) and "balanced_accuracy" in intervals([one])
