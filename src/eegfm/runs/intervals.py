"""How far a score may move with other test subjects: 95 % percentile intervals of a bootstrap over subjects.

Windows of one person are alike, so persons are drawn with replacement and their windows are pooled (a
cluster bootstrap; Efron & Tibshirani 1993, chapter 13). All seeds of a group share the same draws, and
their scores are averaged, as in the mean that the interval stands beside. Up to six subjects, all draws are
enumerated with their probabilities; beyond, 2,000 are drawn. The interval does not cover other seeds. With
few subjects it is too short, not too long: two persons cannot show how a third would do.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from eegfm.runs.predictions import PredictionTable
from eegfm.tasks.decision import decide

COVERED = 0.95
ALL_UP_TO = 6  # subjects: 462 distinct draws
DRAWS = 2000
AT_ONCE = 200_000  # windows of all draws together: as many as fit in a cache


def intervals(tables: Sequence[PredictionTable]) -> dict[str, tuple[float, float]]:
    """Lower and upper end by metric, for the mean over seeds; each seed has one table of the same windows.

    Some draws do not define a metric (AUROC of persons of one class): the other draws then give its
    interval. A metric that half of the draws do not define has no interval. Empty for a single subject.
    """
    return ends([drawn(table) for table in tables])


@dataclass(frozen=True, eq=False)
class Drawn:
    """Every metric of the windows of each draw of subjects, and the probability of the draw."""

    metrics: Mapping[str, Float[np.ndarray, " draw"]]
    weight: Float[np.ndarray, " draw"]


def drawn(table: PredictionTable) -> Drawn:
    """The scores of one seed, kept for use in more than one mean; empty for a single subject."""
    subjects = sorted(set(table.subjects))
    if len(subjects) < 2:
        return Drawn({}, np.ones(1))
    counts, weight = draws(len(subjects))
    return Drawn(scores_by_draw(table, subjects, counts), weight)


def ends(seeds: Sequence[Drawn]) -> dict[str, tuple[float, float]]:
    """The intervals of the mean over seeds, which all score the same windows."""
    weight, found = seeds[0].weight, {}
    for metric in seeds[0].metrics:
        values = np.mean([one.metrics[metric] for one in seeds], axis=0)
        known = np.isfinite(values)
        if weight[known].sum() > 0.5:
            found[metric] = percentiles(values[known], weight[known])
    return found


@cache
def draws(n: int) -> tuple[Int[np.ndarray, "draw subject"], Float[np.ndarray, " draw"]]:
    """How often each of n subjects is in each draw of n, and the probability of the draw."""
    if n > ALL_UP_TO:
        drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, size=DRAWS)
        return drawn, np.full(DRAWS, 1 / DRAWS)
    each = [np.bincount(one, minlength=n) for one in itertools.combinations_with_replacement(range(n), n)]
    ways = [math.factorial(n) / math.prod(math.factorial(k) for k in one) / n**n for one in each]
    return np.array(each), np.array(ways)


def percentiles(
    values: Float[np.ndarray, " draw"], weight: Float[np.ndarray, " draw"]
) -> tuple[float, float]:
    """The least values below which more than 2.5 %, and at least 97.5 %, of the weight lies."""
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    ends = [(1 - COVERED) / 2, (1 + COVERED) / 2]
    low, high = (values[order][min(int(np.searchsorted(share, end)), len(order) - 1)] for end in ends)
    return float(low), float(high)


def scores_by_draw(
    table: PredictionTable, subjects: Sequence[str], counts: Int[np.ndarray, "draw subject"]
) -> Mapping[str, Float[np.ndarray, " draw"]]:
    """Every metric of `tasks.metrics.scores` but the prevalence, over the pooled windows of each draw."""
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
        precision = np.where(hits + misses > 0, hits / (hits + misses), 1.0)
        step = ours / n[:, None]
        before = np.c_[np.ones(len(weight)), precision[:, :-1]]
        return {
            "auroc": (others * (hits - ours / 2)).sum(1) / (n * m),
            "auc_pr": (step * (precision + before) / 2).sum(1),
            "average_precision": (step * precision).sum(1),
        }
