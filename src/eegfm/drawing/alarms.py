"""A day of recordings with what was marked and what a detector raised, and its curve over thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from eegfm.drawing.style import BLUE, GREY, INK, ORANGE, new_figure

BINS = 1440  # a minute each, of which the highest probability is drawn
DAY_H = 24.0


def day(
    hour: Float[np.ndarray, " window"],
    probability: Float[np.ndarray, " window"],
    *,
    marked: Sequence[tuple[float, float]],
    alarms: Sequence[tuple[float, float]],
    threshold: float,
    alarm: str,
    title: str,
) -> Figure:
    """The highest probability of every minute over hours of recording; marked events and alarms are spans in hours."""
    figure, (axis,) = new_figure((11, 3.4), title=title)
    place = (hour / DAY_H * BINS).astype(int)
    minutes = np.unique(place)
    highest = [probability[place == one].max() for one in minutes]
    axis.plot(
        (minutes + 0.5) / BINS * DAY_H,
        highest,
        color=BLUE,
        linewidth=0.7,
        label=f"p({alarm}), a minute's highest",
    )
    axis.axhline(threshold, color=GREY, linewidth=0.8, linestyle="--", label="threshold")
    for spans, height, colour, label in (
        (marked, 1.13, ORANGE, f"{alarm}, marked"),
        (alarms, 1.06, INK, "alarm"),
    ):
        for i, (start, end) in enumerate(spans):
            middle, wide = (
                (start + end) / 2,
                max(end - start, 0.04),
            )  # else a seizure is thinner than a pixel
            axis.plot(
                [middle - wide / 2, middle + wide / 2],
                [height, height],
                color=colour,
                linewidth=5,
                solid_capstyle="butt",
                label=label if not i else None,
            )
    axis.set(xlim=(0, DAY_H), ylim=(-0.02, 1.2), xlabel="hours of recording", ylabel="probability")
    axis.set_yticks([0, 0.5, 1])
    axis.set_xticks(range(0, 25, 3))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def curve(found: Mapping[str, Any], *, title: str) -> Figure:
    """Sensitivity against false alarms in 24 hours by SzCORE, with the threshold that was chosen on validation."""
    figure, (axis,) = new_figure((5.5, 4), title=title)
    points = [
        (one["false_a_day"], one["sensitivity"]) for one in found["curve"] if one["sensitivity"] is not None
    ]
    x, y = np.array(sorted(points)).T if points else (np.empty(0), np.empty(0))
    axis.plot(x, y, color=BLUE, marker=".", linewidth=1, label="over thresholds")
    here = found["szcore"]
    axis.plot(
        here["false_a_day"],
        here["sensitivity"],
        "o",
        color=ORANGE,
        label=f"at {found['threshold']:.3g}, from validation",
    )
    axis.set_xscale("symlog", linthresh=1)
    axis.set(ylim=(-0.03, 1.03), xlabel="false alarms in 24 h", ylabel="sensitivity (events found)")
    axis.legend(loc="lower right", frameon=False)
    return figure
