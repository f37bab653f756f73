"""How far a score may move with other test subjects and other seeds: 95 % intervals.

Windows of one person are alike, so persons are drawn with replacement and their windows are pooled (a cluster
bootstrap; Efron & Tibshirani 1993, chapter 13). All seeds of a group share the same draws. Up to six subjects, all
draws are enumerated with their probabilities; beyond, 2,000 are drawn.

The percentiles of such draws are far too close with few subjects (`python -m tests.bench coverage`: of nominal 95 %
intervals of two subjects about half hold the true score, of ten 0.89). So only the variance is taken from the draws,
times n / (n - 1); the variance of the mean over seeds, from the seeds themselves, is added; and the interval is
Student's t, on the logit scale, which keeps its ends within the range of the metric. Its degrees of freedom are those
of Satterthwaite (1946, doi:10.2307/3002019) for subjects and seeds together. A single seed cannot show what others
would do, and its interval is of subjects alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit, stdtrit

from eegfm.runs.predictions import PredictionTable
from eegfm.tasks.decision import decide

COVERED = 0.95
ALL_UP_TO = 6  # subjects: 462 distinct draws
DRAWS = 2000
AT_ONCE = 200_000  # windows of all draws together: as many as fit in a cache
LOWEST = {"cohen_kappa": -1.0}  # every other metric is between 0 and 1


def intervals(tables: Sequence[PredictionTable]) -> dict[str, tuple[float, float]]:
    """Lower and upper end by metric, for the mean over seeds; each seed has one table of the same windows.

    Some draws do not define a metric (AUROC of persons of one class): the other draws then give its interval. A metric
    that half of the draws do not define has no interval, nor has one that is as high or as low as can be for every
    subject and seed: nothing shows how much less it could be. Empty for a single subject.
    """
    return ends([drawn(table) for table in tables])


@dataclass(frozen=True, eq=False)
class Drawn:
    """The metrics of a seed, those of each draw of subjects, and the probability of the draw."""

    scores: Mapping[str, float]
    metrics: Mapping[str, Float[np.ndarray, " draw"]]
    weight: Float[np.ndarray, " draw"]
    n_subjects: int
    n_windows: int


def drawn(table: PredictionTable) -> Drawn:
    """The scores of one seed, kept for use in more than one mean; empty for a single subject."""
    subjects = sorted(set(table.subjects))
    n, windows = len(subjects), len(table.labels)
    if n < 2:
        return Drawn({}, {}, np.ones(1), n, windows)
    counts, weight = draws(n)
    found = scores_by_draw(table, subjects, np.vstack([np.ones((1, n), dtype=counts.dtype), counts]))
    scores = {name: float(values[0]) for name, values in found.items()}
    return Drawn(scores, {name: values[1:] for name, values in found.items()}, weight, n, windows)


def ends(seeds: Sequence[Drawn]) -> dict[str, tuple[float, float]]:
    """The intervals of the mean over seeds, which all score the same windows."""
    first, found = seeds[0], {}
    for metric, low in ((name, LOWEST.get(name, 0.0)) for name in first.metrics):
        by_draw = np.mean([_share(one.metrics[metric], low) for one in seeds], axis=0)
        by_seed = np.array([_share(one.scores[metric], low) for one in seeds])
        known = np.isfinite(by_draw)
        weight = first.weight * known
        if weight.sum() <= 0.5 or not np.isfinite(by_seed).all():
            continue
        two = student(by_draw[known], weight[known], by_seed, first.n_subjects, first.n_windows)
        if two is not None:
            found[metric] = (low + (1 - low) * two[0], low + (1 - low) * two[1])
    return found


def _share(value, low: float):
    """The metric's place between its lowest and its highest value."""
    return (value - low) / (1 - low)


def student(
    by_draw: Float[np.ndarray, " draw"],
    weight: Float[np.ndarray, " draw"],
    by_seed: Float[np.ndarray, " seed"],
    n_subjects: int,
    n_windows: int,
) -> tuple[float, float] | None:
    """Student's interval on the logit scale, of a score between 0 and 1; None if it is 0 or 1 and does not vary.

    Args:
        by_draw: the mean over seeds, for each draw of subjects.
        weight: the probability of each draw; the sum may be another than 1.
        by_seed: the score of each seed, all subjects once.
        n_subjects: how many are drawn.
        n_windows: a score of 0 or 1 counts as half a window away from it.
    """
    centre = float(by_seed.mean())
    least = 0.5 / n_windows
    inside = min(max(centre, least), 1 - least)
    slope = 1 / (inside * (1 - inside))
    # of a high score of few subjects, the logits of the draws vary too little, or the draws themselves do
    variance = max(
        _variance(logit(np.clip(by_draw, least, 1 - least)), weight), slope**2 * _variance(by_draw, weight)
    )
    of_subjects = variance * n_subjects / (n_subjects - 1)
    n = len(by_seed)
    # seeds are too few, and too far apart, for a logit of each: the slope at their mean takes them to its scale
    of_seeds = slope**2 * float(by_seed.var(ddof=1)) / n if n > 1 else 0.0
    total = of_subjects + of_seeds
    if total < 1e-18:  # rounding
        return None if centre in (0, 1) else (centre, centre)
    freedom = total**2 / (of_subjects**2 / (n_subjects - 1) + (of_seeds**2 / (n - 1) if n > 1 else 0.0))
    half = float(stdtrit(freedom, (1 + COVERED) / 2)) * math.sqrt(total)
    low, high = expit(logit(inside) - half), expit(logit(inside) + half)
    return min(float(low), centre), max(float(high), centre)


def _variance(values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]) -> float:
    return float(np.average((values - np.average(values, weights=weight)) ** 2, weights=weight))


@cache
def draws(n: int) -> tuple[Int[np.ndarray, "draw subject"], Float[np.ndarray, " draw"]]:
    """How often each of n subjects is in each draw of n, and the probability of the draw."""
    if n > ALL_UP_TO:
        drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, size=DRAWS)
        return drawn, np.full(DRAWS, 1 / DRAWS)
    each = [np.bincount(one, minlength=n) for one in itertools.combinations_with_replacement(range(n), n)]
    ways = [math.factorial(n) / math.prod(math.factorial(k) for k in one) / n**n for one in each]
    return np.array(each), np.array(ways)


def scores_by_draw(
    table: PredictionTable, subjects: Sequence[str], counts: Int[np.ndarray, "draw subject"]
) -> Mapping[str, Float[np.ndarray, " draw"]]:
    """Every metric of `tasks.metrics.scores` but levels (the prevalence), over the pooled windows of each draw."""
    position = {name: i for i, name in enumerate(subjects)}
    subject = np.array([position[name] for name in table.subjects])
    n = len(table.classes)
    confusion = np.zeros((len(subjects), n, n))
    np.add.at(confusion, (subject, table.labels, decide(table.probabilities)), 1)
    drawn = np.tensordot(counts, confusion, axes=1)  # draw label predicted
    if n > 2:
        return _of_confusion(drawn)
    found = {"balanced_accuracy": _of_confusion(drawn)["balanced_accuracy"]}
    size = max(1, AT_ONCE // len(subject))
    parts = [
        _of_ranks(table.probabilities[:, 1], table.labels, counts[start : start + size][:, subject])
        for start in range(0, len(counts), size)
    ]
    return found | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_confusion(
    drawn: Float[np.ndarray, "draw label predicted"],
) -> dict[str, Float[np.ndarray, " draw"]]:
    total = drawn.sum((1, 2))
    hit, there, said = np.diagonal(drawn, axis1=1, axis2=2), drawn.sum(2), drawn.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        right, chance = hit.sum(1) / total, (there * said).sum(1) / total**2
        f1 = np.where(there + said > 0, 2 * hit / (there + said), 0)
        return {
            "balanced_accuracy": np.nanmean(np.where(there > 0, hit / there, np.nan), axis=1),
            "cohen_kappa": (right - chance) / (1 - chance),
            "weighted_f1": (f1 * there).sum(1) / total,
            "accuracy": right,
        }


def _of_ranks(
    positive: Float[np.ndarray, " window"],
    label: Int[np.ndarray, " window"],
    weight: Int[np.ndarray, "draw window"],
) -> dict[str, Float[np.ndarray, " draw"]]:
    """AUROC, trapezoid under precision and recall, average precision; `weight` counts copies of windows."""
    order = np.argsort(-positive)
    starts = np.flatnonzero(
        np.r_[True, np.diff(positive[order]) != 0]
    )  # windows of equal probability go together
    weight, label = weight[:, order], label[order]
    ours = np.add.reduceat(weight * label, starts, axis=1)
    others = np.add.reduceat(weight * (1 - label), starts, axis=1)
    hits, misses = ours.cumsum(1), others.cumsum(1)
    n, m = hits[:, -1], misses[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        of_one_score = (ours + others).max(1)
        alike = (of_one_score > 1) & (of_one_score >= (n + m) / 2)
        precision = np.where(hits + misses > 0, hits / (hits + misses), 1.0)
        step = ours / n[:, None]
        before = np.c_[np.ones(len(weight)), precision[:, :-1]]
        return {
            "auroc": (others * (hits - ours / 2)).sum(1) / (n * m),
            "auc_pr": np.where(alike, np.nan, (step * (precision + before) / 2).sum(1)),
            "average_precision": (step * precision).sum(1),
        }
