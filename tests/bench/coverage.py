"""How often the printed 95 % intervals hold the true score: simulated subjects, and simulated seeds.

A subject's windows have two classes (or three, for kappa), a bias of their own and an ability of their own; seeds of a
network differ as well. The truth is the score over 4,000 subjects (times 200 seeds). Nominal is 0.95; of 1,000 studies
a share has a standard error of 0.007.
"""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from eegfm.runs.intervals import draws, intervals, scores_by_draw
from eegfm.runs.predictions import PredictionTable

STUDIES = 1000
WINDOWS = 40
# how well a subject's classes are told apart, and its deviation between subjects, of a subject's bias, and of seeds
WORLDS = {
    "weak": (1.0, 0.5, 0.0, 0.0),
    "weak, biased subjects": (1.0, 0.5, 0.7, 0.0),
    "strong, biased subjects": (2.5, 1.0, 0.5, 0.0),
}
SEEDS = (1.5, 0.7, 0.5, 1.0)  # one in some networks learns next to nothing
METRICS = ("auroc", "balanced_accuracy", "cohen_kappa")
console = Console(highlight=False)


def study(
    random: np.random.Generator, n_subjects: int, n_classes: int, world: Sequence[float], n_seeds: int = 1
) -> list[PredictionTable]:
    """The predictions of each seed on the same windows."""
    told, between, bias, seeds = world
    n = n_subjects * WINDOWS
    label, subject = np.arange(n) % n_classes, np.repeat(np.arange(n_subjects), WINDOWS)
    ability = random.normal(told, between, n_subjects)
    own = random.normal(0, bias, (n_subjects, n_classes)) if bias else np.zeros((n_subjects, n_classes))
    tables = []
    for _ in range(n_seeds):
        strength = (ability + random.normal(0, seeds))[subject]
        z = own[subject] + random.normal(size=(n, n_classes))
        z[np.arange(n), label] += strength
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        names = [f"S{i:05d}" for i in subject]
        tables.append(
            PredictionTable([str(i) for i in range(n)], names, label, p, tuple("abc"[:n_classes]))
        )
    return tables


def scores(tables: Sequence[PredictionTable]) -> dict[str, float]:
    """The mean over seeds of every metric over all subjects."""
    each = []
    for table in tables:
        names = sorted(set(table.subjects))
        each.append(scores_by_draw(table, names, np.ones((1, len(names)), dtype=int)))
    return {name: float(np.mean([one[name][0] for one in each])) for name in each[0]}


def percentile(tables: Sequence[PredictionTable]) -> dict[str, tuple[float, float]]:
    """What is printed elsewhere, for comparison: the percentiles of the draws."""
    names = sorted(set(tables[0].subjects))
    counts, weight = draws(len(names))
    drawn = [scores_by_draw(table, names, counts) for table in tables]
    found = {}
    for metric in drawn[0]:
        values = np.mean([one[metric] for one in drawn], axis=0)
        known = np.isfinite(values)
        low, high = np.quantile(
            values[known],
            [0.025, 0.975],
            method="inverted_cdf",
            weights=weight[known] / weight[known].sum(),
        )
        found[metric] = (float(low), float(high))
    return found


def covered(
    n_subjects: int, n_classes: int, world: Sequence[float], *, n_seeds: int = 1, studies: int = STUDIES
) -> dict[str, tuple[float, float, float]]:
    """By metric: the share of studies whose interval holds the truth, its mean width, and the percentiles' share."""
    random = np.random.default_rng(0)
    truth = scores(
        study(random, 4000 if n_seeds == 1 else 300, n_classes, world, 1 if n_seeds == 1 else 200)
    )
    held: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(studies):
        tables = study(random, n_subjects, n_classes, world, n_seeds)
        plain = percentile(tables)
        ours = intervals(tables)
        for metric in METRICS:
            if metric in plain:
                # no interval is no claim: [0, 1]
                low, high = ours.get(metric, (0.0, 1.0))
                held.setdefault(metric, []).append(
                    (
                        low <= truth[metric] <= high,
                        high - low,
                        plain[metric][0] <= truth[metric] <= plain[metric][1],
                    )
                )
    return {metric: tuple(np.mean(rows, axis=0).tolist()) for metric, rows in held.items()}


def main(studies: int = STUDIES) -> None:
    table = Table("world", "subjects", "seeds", "metric", "coverage", "mean width", "percentiles' coverage")
    cases = [(name, world, n, 1) for name, world in WORLDS.items() for n in (2, 3, 4, 6, 10, 23)]
    cases += [("seeds that differ", SEEDS, n, seeds) for n in (4, 10) for seeds in (3, 5)]
    for name, world, n, seeds in cases:
        for classes in (2, 3):
            for metric, (share, width, plain) in covered(
                n, classes, world, n_seeds=seeds, studies=studies
            ).items():
                if (classes == 3) == (metric == "cohen_kappa"):
                    table.add_row(
                        name, str(n), str(seeds), metric, f"{share:.3f}", f"{width:.2f}", f"{plain:.3f}"
                    )
    console.print(table)
