"""A group's numbers as text: mean and deviation, intervals, differences. Read before torch is."""

import math

from eegfm.reporting.groups import Group, deviation, mean
from eegfm.reporting.remarks import incomparable
from eegfm.tasks.metric_names import NO_SCORE

NONE = "–"
LEGEND = (
    "mean ± population standard deviation (ddof 0, as published) over seeds; [95 % interval over test subjects, by "
    "bootstrap: too short where they are few]; (lowest … highest test subject)"
)


def score(group: Group, metric: str) -> str:
    """`0.6123 ± 0.0123`; the deviation of a single seed is none and is left out."""
    values = group.test(metric)
    centre = mean(values)
    if math.isnan(centre):
        return NONE
    return f"{centre:.4f}" if len(values) == 1 else f"{centre:.4f} ± {deviation(values):.4f}"


def interval(group: Group, metric: str) -> str:
    """Where the mean lies with other test subjects."""
    ends = group.intervals.get(metric)
    return f"[{ends[0]:.2f}, {ends[1]:.2f}]" if ends else ""


def difference(group: Group, metric: str) -> str:
    """Our mean less the published one, which is held still, and where that lies with other test subjects.

    None is given where the two must not be held against one another.
    """
    if incomparable(group, group.references[metric]):
        return f"{NONE} not comparable"
    published_mean = group.references[metric].mean
    centre = mean(group.test(metric)) - published_mean
    low, high = (end - published_mean for end in group.intervals.get(metric, (math.nan, math.nan)))
    return f"{centre:+.4f}" + ("" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def spread(group: Group, metric: str) -> str:
    """Lowest and highest test subject; none for what is no score, and where no subject has one."""
    if metric in NO_SCORE:
        return ""
    values = [row.get(metric, math.nan) for row in group.subjects().values()]
    values = [value for value in values if not math.isnan(value)]
    return f"({min(values):.2f} … {max(values):.2f})" if values else ""
