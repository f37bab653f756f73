"""Tests of pairs and of ranks: exact where they are called exact, and the numbers of SciPy and of Demšar's paper."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eegfm.reporting.comparisons import (
    ALL_SIGNS_UP_TO,
    FEWEST,
    FEWEST_DATA,
    compare,
    d_z,
    holm,
    nemenyi,
    p_value,
    rank_biserial,
    ranks,
    stretches,
)

tenths = st.integers(-5, 5).map(lambda n: n / 10)  # many ties, and sums that are rounded


@settings(max_examples=25, deadline=None)
@given(st.lists(tenths, min_size=FEWEST, max_size=8))
def test_the_sign_flip_test_is_scipys_permutation_test_of_pairs(difference):
    d = np.array(difference)
    whole = np.round(
        10 * d
    )  # whole numbers for SciPy: to it, sums that differ by rounding alone are not equal
    found = stats.permutation_test(
        (whole, np.zeros_like(d)),
        lambda x, y: np.sum(x - y),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=False,
    )
    assert p_value(d) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", range(FEWEST, ALL_SIGNS_UP_TO + 1))
def test_the_smallest_p_of_an_exact_test_is_that_of_all_subjects_on_one_side(n):
    d = np.random.default_rng(n).random(n) + 0.1
    assert p_value(d) == p_value(-d) == 2 / 2**n


@given(st.lists(st.floats(0.01, 1), min_size=FEWEST, max_size=7))
@settings(max_examples=20, deadline=None)
def test_no_level_is_exceeded_where_the_models_are_alike(sizes):
    """Every sign is as likely as the other then: of all 2^n, no more than a share of p have a p-value up to p."""
    every = [p_value(np.array(signs) * sizes) for signs in itertools.product((1, -1), repeat=len(sizes))]
    for p in set(every):
        assert np.mean(np.array(every) <= p) <= p + 1e-12


def test_beyond_it_is_wilcoxons_test():
    n = ALL_SIGNS_UP_TO + 1
    d = np.random.default_rng(0).normal(0.4, 1, n)
    rank = stats.rankdata(np.abs(d))
    sums = [
        sum(r for r, up in zip(rank, ups, strict=True) if up) for ups in itertools.product((0, 1), repeat=n)
    ]
    middle = rank.sum() / 2
    expected = np.mean(np.abs(np.array(sums) - middle) >= abs(rank[d > 0].sum() - middle))
    assert p_value(d) == pytest.approx(expected)


def test_equal_models_are_not_apart():
    assert p_value(np.zeros(7)) == p_value(np.zeros(20)) == 1.0
    assert math.isnan(rank_biserial(np.zeros(7))) and math.isnan(d_z(np.zeros(7)))
    # a sum over seeds in another order
    family = compare({"a": {f"S{i}": 0.1 + 0.2 for i in range(6)}, "b": {f"S{i}": 0.3 for i in range(6)}})
    assert (family.pairs[0].better, family.pairs[0].worse, family.pairs[0].p) == (0, 0, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(p):
    """A pair is told apart where every set of pairs that holds it is, by its smallest p times its size."""
    n = len(p)
    sets = [one for size in range(1, n + 1) for one in itertools.combinations(range(n), size)]
    for i, corrected in enumerate(holm(p)):
        expected = max(min(1.0, len(one) * min(p[j] for j in one)) for one in sets if i in one)
        assert corrected == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(tenths, min_size=FEWEST, max_size=15).filter(lambda d: len({*d}) > 1))
def test_effects_are_those_of_the_t_test_and_of_wilcoxons_sums(difference):
    d = np.array(difference)
    t = stats.ttest_rel(d + 1, np.ones_like(d)).statistic
    assert d_z(d) == pytest.approx(t / math.sqrt(len(d)), abs=1e-9)
    above = stats.wilcoxon(d, alternative="greater", method="asymptotic").statistic
    n = int((d != 0).sum())
    assert rank_biserial(d) == pytest.approx(2 * above / (n * (n + 1) / 2) - 1, abs=1e-12)


def scores(n_models, n_subjects, seed=0):
    random = np.random.default_rng(seed)
    return {f"m{i}": {f"S{j}": float(random.random()) for j in range(n_subjects)} for i in range(n_models)}


@pytest.mark.parametrize("n", range(1, FEWEST))
def test_few_subjects_have_differences_and_nothing_else(n):
    family = compare(scores(3, n))
    assert not family.tested and len(family.pairs) == 3
    for pair in family.pairs:
        assert all(math.isnan(x) for x in (pair.p, pair.p_holm, pair.d_z, pair.rank_biserial))
        assert pair.difference >= 0 and pair.better + pair.worse == n
        assert math.isnan(pair.low) if n == 1 else pair.low <= pair.difference <= pair.high


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_interval_of_a_difference_is_scipys_of_a_paired_t_test(n):
    random = np.random.default_rng(n)
    a, b = random.random(n), random.random(n)
    (pair,) = compare(
        {k: dict(zip("abcdefgh", v.tolist(), strict=False)) for k, v in (("a", a), ("b", b))}
    ).pairs
    sign = 1 if pair.first == "a" else -1
    low, high = stats.ttest_rel(sign * a, sign * b).confidence_interval(0.95)
    assert (pair.low, pair.high) == pytest.approx((low, high))


def test_a_family_is_all_pairs_or_those_with_the_reference():
    table = scores(4, 7)
    every, some = compare(table), compare(table, reference="m2")
    assert len(every.pairs) == 6 and [pair.first for pair in some.pairs] == ["m2"] * 3
    assert list(every.means.values()) == sorted(every.means.values(), reverse=True)
    twins = {frozenset((pair.first, pair.second)): pair for pair in every.pairs}
    for pair in some.pairs:
        twin = twins[frozenset((pair.first, pair.second))]
        assert pair.p == twin.p and abs(pair.difference) == pytest.approx(twin.difference)
        assert pair.p_holm <= twin.p_holm  # fewer pairs to correct for
    assert [pair.p_holm for pair in every.pairs] == holm([pair.p for pair in every.pairs])


def test_a_subject_without_a_score_of_some_model_is_left_out_of_all_pairs():
    table = scores(3, 8)
    table["m1"]["S3"] = math.nan
    family = compare(table)
    assert family.left_out == ["S3"] and len(family.subjects) == 7
    less = {name: {s: v for s, v in one.items() if s != "S3"} for name, one in table.items()}
    assert compare(less).pairs == family.pairs


# ranks of Demšar (2006), table 6: C4.5, with m, with cf, with both, on fourteen data sets
DEMSAR = """4 3 2 1|1 2 3 4|4 1 2 3|4 1 3 2|4 2 3 1|1 2.5 4 2.5|3 2 4 1|2.5 2.5 4 1|4 3 2 1|2.5 2.5 2.5 2.5|4 2.5 1 2.5
3 2 4 1|4 1 2 3|3 1 4 2"""


def demsar():
    rows = [[-float(rank) for rank in row.split()] for row in DEMSAR.replace("\n", "|").split("|")]
    names = ("C4.5", "m", "cf", "m+cf")
    return {f"d{i}": dict(zip(names, row, strict=True)) for i, row in enumerate(rows)}


def test_ranks_and_critical_difference_are_those_of_the_paper():
    found = ranks(demsar())
    assert found.models == ["m+cf", "m", "cf", "C4.5"]
    np.testing.assert_allclose(found.mean, [1.964, 2.0, 2.893, 3.143], atol=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    # the paper's 9.28 is without the correction for ties: three of two and one of four
    assert found.chi2 == pytest.approx(9.28 / (1 - (3 * 6 + 60) / (14 * 4 * 15)), rel=1e-3)
    assert found.p < 0.05 and found.alike == [(0, 3)]  # "not powerful enough", 3.143 - 1.964 < 1.25
    columns = zip(*(row.values() for row in demsar().values()), strict=True)
    assert found.p == pytest.approx(stats.friedmanchisquare(*columns).pvalue)


@pytest.mark.parametrize(("models", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_nemenyis_values_are_those_of_the_papers_table(models, q):
    assert nemenyi(models, 20) == pytest.approx(q * math.sqrt(models * (models + 1) / 120), rel=1e-3)


def test_what_friedman_does_not_tell_apart_stays_together():
    random = np.random.default_rng(1)
    noise = {f"d{i}": {m: float(random.random()) for m in "abcd"} for i in range(6)}
    found = ranks(noise)
    assert found.p > 0.05 and found.alike == [(0, 3)]
    apart = ranks({f"d{i}": {"a": 3.0, "b": 2.0, "c": 1.0} for i in range(20)})
    assert apart.models == ["a", "b", "c"] and apart.alike == []
    same = ranks({f"d{i}": {"a": 1.0, "b": 1.0, "c": 1.0} for i in range(6)})
    assert (same.chi2, same.p, same.alike) == (0.0, 1.0, [(0, 2)])


def test_few_data_sets_are_ranked_and_not_tested():
    found = ranks(dict(list(demsar().items())[: FEWEST_DATA - 1]))
    assert math.isnan(found.p) and math.isnan(found.critical_difference) and not found.alike
    assert found.rank.shape == (FEWEST_DATA - 1, 4)


@given(st.lists(st.floats(1, 6), min_size=2, max_size=6).map(sorted), st.floats(0.1, 3))
def test_stretches_hold_every_pair_that_is_near_and_no_other(mean_rank, apart):
    found = stretches(mean_rank, apart)
    within = {(i, j) for first, last in found for i in range(first, last) for j in range(i + 1, last + 1)}
    pairs = itertools.combinations(range(len(mean_rank)), 2)
    assert within == {(i, j) for i, j in pairs if mean_rank[j] - mean_rank[i] < apart}
    assert all(not (a <= c and d <= b) for (a, b), (c, d) in itertools.permutations(found, 2))
