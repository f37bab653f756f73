"""Which of several models does better on the same test subjects, pair by pair, and over data sets, by ranks.

A pair is tested over subjects, whose scores are means over seeds: windows of one person are alike, and seeds are no new
people. Up to twelve subjects every way of swapping the two models' scores within subjects is gone through (the exact
sign-flip test of the mean difference, Fisher 1935); beyond, Wilcoxon's signed-rank test. p-values are corrected for all
pairs of a family (Holm 1979). Below five subjects nothing is tested, as not even the smallest p that there could be,
2/2^n, is small. Nothing here says anything of other seeds or of other training data.

Effects: Cohen's d_z, the mean difference in standard deviations (ddof 1) of the differences (Lakens 2013,
doi:10.3389/fpsyg.2013.00863), which one far subject can move a lot; and the matched rank-biserial correlation (Kerby
2014, doi:10.2466/11.IT.3.1), from -1 to 1, which it cannot.

Ranks over data sets: Friedman's test and Nemenyi's critical difference, as in Demšar, "Statistical comparisons of
classifiers over multiple data sets", JMLR 7 (2006). Mean ranks depend on which models are in the table. Read before
torch is.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eegfm.runs.intervals import draws, percentiles

FEWEST = 5  # subjects, or data sets, to test over
ALL_SIGNS_UP_TO = 12  # subjects: 4,096 ways
LEVEL = 0.05
DIGITS = 12  # scores that differ less are equal: their sums over seeds are rounded


@dataclass(frozen=True)
class Pair:
    """Two models over the same subjects: `first` less `second`, and where the mean lies with other subjects (95 %).

    Effects and p-values are NaN below `FEWEST` subjects, and effects also where the differences do not have them.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    better: int  # subjects for whom the first is the better one
    worse: int
    d_z: float = math.nan
    rank_biserial: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan


@dataclass(frozen=True)
class Family:
    """Pairs that are corrected together; `left_out` are subjects for whom some model has no score.

    `means` are those over the subjects, by model, the best first.
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
    """Every pair of models, or `reference` with each other one; `scores` by model and subject, higher being better.

    The better of a pair comes first, unless one is the reference; pairs are in the order of the models' means.
    """
    everyone = sorted({subject for of_model in scores.values() for subject in of_model})
    subjects = [s for s in everyone if all(math.isfinite(one.get(s, math.nan)) for one in scores.values())]
    left_out = [subject for subject in everyone if subject not in subjects]
    if not subjects:
        return Family([], left_out, {}, [])
    table = {name: np.array([one[s] for s in subjects]) for name, one in scores.items()}
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
        counts, weight = draws(len(d))
        low, high = percentiles(counts @ d / len(d), weight)
    found = Pair(first, second, float(d.mean()), low, high, int((d > 0).sum()), int((d < 0).sum()))
    if len(d) < FEWEST:
        return found
    tested = {"d_z": d_z(d), "rank_biserial": rank_biserial(d), "p": p_value(d)}
    return Pair(**{**vars(found), **tested})


def p_value(difference: Float[np.ndarray, " subject"]) -> float:
    """Two-sided, of no difference: the exact sign-flip test of the mean, or Wilcoxon's of so many subjects."""
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
    """Cohen's d of paired differences; NaN where they do not vary."""
    spread = float(difference.std(ddof=1))
    return float(difference.mean()) / spread if spread > 10.0**-DIGITS else math.nan


def rank_biserial(difference: Float[np.ndarray, " subject"]) -> float:
    """Of the ranks of absolute differences other than 0, the share above less the share below; NaN without any."""
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
    """Ranks of models on each data set, 1 being the best; ties share. Below `FEWEST` data sets nothing is tested: NaN.

    Models come by their mean rank. `alike` are stretches of them (first and last place) whose mean ranks lie within the
    critical difference, all of them where Friedman's test finds no difference at `LEVEL`.
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
    """Of three models or more; `scores` by data set and model, the same models everywhere, higher being better."""
    from scipy.stats import friedmanchisquare, rankdata

    data = list(scores)
    models = list(scores[data[0]])
    values = np.round([[scores[name][model] for model in models] for name in data], DIGITS)
    rank = rankdata(-values, axis=1)
    order = np.argsort(rank.mean(axis=0), kind="stable")
    models, rank = [models[i] for i in order], rank[:, order]
    n, k = rank.shape
    if n < FEWEST:
        return Ranks(models, data, rank, math.nan, math.nan, math.nan, [])
    chi2, p, apart = 0.0, 1.0, nemenyi(k, n)
    if (rank != rank[:, :1]).any():
        found = friedmanchisquare(*rank.T)
        chi2, p = float(found.statistic), float(found.pvalue)
    alike = stretches(rank.mean(axis=0), apart) if p < LEVEL else [(0, k - 1)]
    return Ranks(models, data, rank, chi2, p, apart, alike)


def nemenyi(n_models: int, n_data: int) -> float:
    """How far two mean ranks must lie apart, of all pairs at once, at `LEVEL`."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, n_models, np.inf)) / math.sqrt(2)
    return q * math.sqrt(n_models * (n_models + 1) / (6 * n_data))


def stretches(
    mean_rank: Sequence[float] | Float[np.ndarray, " model"], apart: float
) -> list[tuple[int, int]]:
    """Of ascending mean ranks, the longest stretches that are not `apart`; each is of two models at least."""
    found: list[tuple[int, int]] = []
    for i, low in enumerate(mean_rank):
        last = max(j for j, high in enumerate(mean_rank) if high - low < apart)
        if last > i and (not found or last > found[-1][1]):
            found.append((i, last))
    return found
