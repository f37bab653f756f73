"""A group's numbers as text: mean and deviation, intervals, differences. This module does not import torch."""

import math

from eegfm.reporting.groups import Group, deviation, mean
from eegfm.reporting.remarks import incomparable
from eegfm.tasks.metric_names import NO_SCORE

NONE = "–"
ONE_SIDE = "one side"  # every window is counted as the same class
LEGEND = (
    "mean ± population standard deviation (ddof 0, as published) over seeds; [95 % interval over test subjects "
    "and seeds]; (lowest … highest test subject)"
)


def score(group: Group, metric: str) -> str:
    """`0.6123 ± 0.0123`; a single seed has no deviation. A balanced accuracy of one class only is "one side"."""
    values = group.test(metric)
    if metric == "balanced_accuracy" and len(group.one_sided) == len(group.runs):
        return ONE_SIDE
    centre = mean(values)
    if math.isnan(centre):
        return NONE
    return f"{centre:.4f}" if len(values) == 1 else f"{centre:.4f} ± {deviation(values):.4f}"


def interval(group: Group, metric: str) -> str:
    """The 95 % interval of the mean over test subjects; empty if there is none."""
    ends = group.intervals.get(metric)
    if metric == "balanced_accuracy" and len(group.one_sided) == len(group.runs):
        return ""
    return f"[{ends[0]:.2f}, {ends[1]:.2f}]" if ends else ""


def difference(group: Group, metric: str) -> str:
    """Our mean minus the published one, and its interval over our test subjects (the published number stays fixed).

    A dash and "not comparable" if the two must not be compared.
    """
    if incomparable(group, group.references[metric]):
        return f"{NONE} not comparable"
    published_mean, digits = group.references[metric].mean, group.references[metric].digits
    centre = mean(group.test(metric)) - published_mean
    low, high = (end - published_mean for end in group.intervals.get(metric, (math.nan, math.nan)))
    return f"{centre:+.{digits}f}" + ("" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def spread(group: Group, metric: str) -> str:
    """The lowest and highest test subject; empty for a level such as the prevalence, and if no subject has a score."""
    if metric in NO_SCORE:
        return ""
    values = [row.get(metric, math.nan) for row in group.subjects().values()]
    values = [value for value in values if not math.isnan(value)]
    return f"({min(values):.2f} … {max(values):.2f})" if values else ""
