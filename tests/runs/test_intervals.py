"""Intervals over test subjects: every draw is scored as scikit-learn scores its windows, and the draws are right."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.runs.intervals import (
    ALL_UP_TO,
    DRAWS,
    Drawn,
    draws,
    ends,
    intervals,
    percentiles,
    scores_by_draw,
)
from eegfm.runs.predictions import PredictionTable
from eegfm.tasks.metrics import scores


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
    assert set(found) == set(scores(one.probabilities, one.labels, n_classes)) - {"prevalence"}


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


def test_an_interval_leaves_out_a_fortieth_on_either_side():
    """Of 999 equal draws it leaves out those below the 25th and above the 975th, 24 on either side; 25 are too many."""
    values = np.random.default_rng(0).permutation(999).astype(float)
    assert percentiles(values, np.full(999, 1 / 999)) == (24, 974)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_ends_are_the_quantiles_of_numpy(n, seed):
    """The weights do not sum to one, as if some draws had no score."""
    random = np.random.default_rng(seed)
    values, weight = random.normal(size=n), random.random(n) + 0.01
    expected = np.quantile(values, [0.025, 0.975], method="inverted_cdf", weights=weight)
    assert percentiles(values, weight) == tuple(expected)


def test_an_interval_of_few_subjects_is_that_of_all_ordered_draws():
    """Four subjects have 4^4 equally likely draws: the quantiles of their accuracies are computed by hand."""
    one = table(4, 3, 5)
    right = (one.probabilities.argmax(1) == one.labels).reshape(4, 12).mean(1)
    every = [right[list(draw)].mean() for draw in itertools.product(range(4), repeat=4)]
    expected = np.quantile(every, [0.025, 0.975], method="inverted_cdf")
    assert intervals([one])["accuracy"] == pytest.approx(tuple(expected))
    assert intervals([one])["accuracy"] != pytest.approx((min(every), max(every)))


def test_a_metric_that_half_of_the_draws_do_not_have_has_no_interval():
    values = {"rare": np.array([0.7, 0.6, math.nan]), "rarer": np.array([0.7, math.nan, math.nan])}
    found = ends([Drawn(values, np.array([0.5, 0.2, 0.3]))])
    assert found == {"rare": (0.6, 0.7)}


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


def test_the_ends_of_two_subjects_are_the_subjects_themselves():
    one = table(2, 2, 3)
    each = [
        scores(one.probabilities[rows], one.labels[rows], 2)["balanced_accuracy"]
        for rows in (slice(0, 12), slice(12, 24))
    ]
    assert intervals([one])["balanced_accuracy"] == pytest.approx((min(each), max(each)))


def test_persons_of_one_class_have_an_auroc_together():
    """Patients and controls are such persons. Draws of only one group are left out, if they are the minority."""
    one = table(8, 2, 1)
    one.labels[:48], one.labels[48:] = 0, 1
    low, high = intervals([one])["auroc"]
    assert 0 <= low < high <= 1
    one.labels[:] = 0
    assert "auroc" not in intervals([one]) and "balanced_accuracy" in intervals([one])
