"""Compare models pair by pair over the same test subjects, and by ranks over data sets.

A pair is tested over subjects, whose scores are means over seeds: windows of one person are alike, and seeds are no new
people. Up to twelve subjects the test tries every way of swapping the two models' scores within subjects (the exact
sign-flip test of the mean difference, Fisher 1935); with more it is Wilcoxon's signed-rank test. p-values are corrected
for all pairs of a family (Holm 1979). Fewer than six subjects are not tested: even the smallest possible p, 2/2^n, is
then above 0.05. The interval of a difference is Student's t over subjects. Neither covers other seeds or other
training data.

Effects: Cohen's d_z, the mean difference in standard deviations (ddof 1) of the differences (Lakens 2013,
doi:10.3389/fpsyg.2013.00863), which one outlying subject can change a lot; and the matched rank-biserial correlation
(Kerby 2014, doi:10.2466/11.IT.3.1), from -1 to 1, which one subject cannot.

Ranks over data sets: Friedman's test and Nemenyi's critical difference, as in Demšar, "Statistical comparisons of
classifiers over multiple data sets", JMLR 7 (2006). Mean ranks depend on which models are in the table.

This module does not import torch.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from eegfm.runs.intervals import COVERED

FEWEST = 6  # subjects that a test needs: with five the smallest possible p is 2/2^5 = 0.06
FEWEST_DATA = 5  # data sets
ALL_SIGNS_UP_TO = 12  # subjects: 4,096 ways
LEVEL = 0.05
DIGITS = 12  # scores that differ by less count as equal: sums over seeds have rounding errors


@dataclass(frozen=True)
class Pair:
    """Two models over the same subjects: the mean of `first` minus `second`, and its 95 % interval over subjects.

    Effects and p-values are NaN below `FEWEST` subjects; an effect is also NaN if the differences do not define it.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    better: int  # subjects for whom the first model is better
    worse: int
    d_z: float = math.nan
    rank_biserial: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan


@dataclass(frozen=True)
class Family:
    """Pairs that are corrected together; `left_out` are subjects for whom some model has no score.

    `means` holds the mean over subjects of every model, the best first.
    """

    subjects: list[str]
    left_out: list[str]
    means: dict[str, float]
    pairs: list[Pair]

    @property
    def tested(self) -> bool:
        return len(self.subjects) >= FEWEST

    @property
    def exact(self) -> bool:
        return len(self.subjects) <= ALL_SIGNS_UP_TO


def compare(scores: Mapping[str, Mapping[str, float]], *, reference: str | None = None) -> Family:
    """Compare every pair of models, or `reference` with each other one.

    `scores` are by model and subject, and higher is better. The better model of a pair comes first, except that the
    reference always does. Pairs are in the order of the models' means.
    """
    everyone = sorted({subject for of_model in scores.values() for subject in of_model})
    subjects = [
        s for s in everyone if all(math.isfinite(of_model.get(s, math.nan)) for of_model in scores.values())
    ]
    left_out = [subject for subject in everyone if subject not in subjects]
    if not subjects:
        return Family([], left_out, {}, [])
    table = {name: np.array([of_model[s] for s in subjects]) for name, of_model in scores.items()}
    ordered = sorted(table, key=lambda name: -table[name].mean())
    named = (
        list(itertools.combinations(ordered, 2))
        if reference is None
        else [(reference, other) for other in ordered if other != reference]
    )
    pairs = [_pair(first, second, table[first] - table[second]) for first, second in named]
    corrected = holm([pair.p for pair in pairs])
    return Family(
        subjects,
        left_out,
        {name: float(table[name].mean()) for name in ordered},
        [Pair(**{**vars(pair), "p_holm": p}) for pair, p in zip(pairs, corrected, strict=True)],
    )


def _pair(first: str, second: str, difference: Float[np.ndarray, " subject"]) -> Pair:
    d = np.round(difference, DIGITS)
    low, high = math.nan, math.nan
    if len(d) > 1:
        half = float(stdtrit(len(d) - 1, (1 + COVERED) / 2) * d.std(ddof=1)) / math.sqrt(len(d))
        low, high = float(d.mean()) - half, float(d.mean()) + half
    pair = Pair(first, second, float(d.mean()), low, high, int((d > 0).sum()), int((d < 0).sum()))
    if len(d) < FEWEST:
        return pair
    tested = {"d_z": d_z(d), "rank_biserial": rank_biserial(d), "p": p_value(d)}
    return Pair(**{**vars(pair), **tested})


def p_value(difference: Float[np.ndarray, " subject"]) -> float:
    """The two-sided p of no difference: the exact sign-flip test of the mean, or Wilcoxon's test for many subjects."""
    n = len(difference)
    if not difference.any():
        return 1.0
    if n > ALL_SIGNS_UP_TO:
        from scipy.stats import wilcoxon

        _, p = wilcoxon(difference)
        return float(p)  # pyright: ignore[reportArgumentType]
    signs = np.array(list(itertools.product((1, -1), repeat=n)))
    sums = np.abs(signs @ difference)
    return float((sums >= np.abs(difference.sum()) - 10.0**-DIGITS).mean())


def d_z(difference: Float[np.ndarray, " subject"]) -> float:
    """Cohen's d of paired differences; NaN if they do not vary."""
    spread = float(difference.std(ddof=1))
    return float(difference.mean()) / spread if spread > 10.0**-DIGITS else math.nan


def rank_biserial(difference: Float[np.ndarray, " subject"]) -> float:
    """The share of ranks above 0 minus the share below, over absolute differences other than 0; NaN if all are 0."""
    from scipy.stats import rankdata

    known = difference[difference != 0]
    rank = rankdata(np.abs(known))
    return float((rank * np.sign(known)).sum() / rank.sum()) if len(known) else math.nan


def holm(p: Sequence[float]) -> list[float]:
    """p-values that hold for all of a family at once (step-down Bonferroni); NaN stays NaN."""
    order = np.argsort(p, kind="stable")
    steps = np.minimum(np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1)), 1.0)
    corrected = np.empty(len(p))
    corrected[order] = steps
    return corrected.tolist()


@dataclass(frozen=True)
class Ranks:
    """Ranks of models on each data set (1 is the best, ties share a rank).

    Below `FEWEST_DATA` data sets the tests are NaN.

    Models are sorted by mean rank. `alike` holds stretches of them (first and last position) whose mean ranks lie
    within the critical difference; it is one stretch of all models if Friedman's test finds no difference at `LEVEL`.
    """

    models: list[str]
    data: list[str]
    rank: Float[np.ndarray, "data model"]
    chi2: float
    p: float
    critical_difference: float
    alike: list[tuple[int, int]]

    @property
    def mean(self) -> Float[np.ndarray, " model"]:
        return self.rank.mean(axis=0)


def ranks(scores: Mapping[str, Mapping[str, float]]) -> Ranks:
    """Rank three models or more.

    `scores` are by data set and model, with the same models on every data set, and higher is better.
    """
    from scipy.stats import friedmanchisquare, rankdata

    data = list(scores)
    models = list(scores[data[0]])
    values = np.round([[scores[name][model] for model in models] for name in data], DIGITS)
    rank = rankdata(-values, axis=1)
    order = np.argsort(rank.mean(axis=0), kind="stable")
    models, rank = [models[i] for i in order], rank[:, order]
    n, k = rank.shape
    if n < FEWEST_DATA:
        return Ranks(models, data, rank, math.nan, math.nan, math.nan, [])
    chi2, p, apart = 0.0, 1.0, nemenyi(k, n)
    if (rank != rank[:, :1]).any():
        test = friedmanchisquare(*rank.T)
        chi2, p = float(test.statistic), float(test.pvalue)
    alike = stretches(rank.mean(axis=0), apart) if p < LEVEL else [(0, k - 1)]
    return Ranks(models, data, rank, chi2, p, apart, alike)


def nemenyi(n_models: int, n_data: int) -> float:
    """How far apart two mean ranks must lie to differ at `LEVEL`, for all pairs at once."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, n_models, np.inf)) / math.sqrt(2)
    return q * math.sqrt(n_models * (n_models + 1) / (6 * n_data))


def stretches(
    mean_rank: Sequence[float] | Float[np.ndarray, " model"], apart: float
) -> list[tuple[int, int]]:
    """The longest stretches of ascending mean ranks that lie less than `apart`; each holds two models or more."""
    longest: list[tuple[int, int]] = []
    for i, low in enumerate(mean_rank):
        last = max(j for j, high in enumerate(mean_rank) if high - low < apart)
        if last > i and (not longest or last > longest[-1][1]):
            longest.append((i, last))
    return longest
