"""Figures of ranks over data sets: the critical-difference diagram of Demšar (2006), and each data set's ranks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eegfm.drawing.style import FAINT, GREY, INK, SET, headed

MARKERS = "os^Dv<>phX"


def critical_difference(
    models: Sequence[str],
    mean_rank: Float[np.ndarray, " model"],
    apart: float,
    alike: Sequence[tuple[int, int]],
    *,
    title: str = "",
) -> Figure:
    """Mean ranks on a line, the best on the left; a bar joins models that do not differ significantly.

    Models come by ascending mean rank; `alike` holds the first and last positions of each joined stretch,
    `apart` is the critical difference, drawn above to scale.
    """
    n = len(models)
    rows = (n + 1) // 2
    depth = 0.3 * len(alike) + 0.5
    figure = Figure(
        figsize=(11.0, 1.4 + 0.3 * depth + 0.36 * rows), layout="constrained", facecolor="white"
    )
    axis = figure.subplots()
    axis.hlines(0, 1, n, color=INK, lw=1.2)
    for tick in range(1, n + 1):
        axis.vlines(tick, 0, 0.15, color=INK, lw=1.2)
        axis.text(tick, 0.25, str(tick), ha="center", va="bottom", fontsize=9, color=INK)
    width = n - 1
    axis.hlines(1.1, 1, 1 + apart, color=INK, lw=1.6)
    axis.vlines([1, 1 + apart], 1.0, 1.2, color=INK, lw=1.6)
    axis.text(1 + apart / 2, 1.25, f"critical difference {apart:.2f}", ha="center", va="bottom", fontsize=9)
    for level, (first, last) in enumerate(alike):
        # longer than the ranks are apart, so that a bar of equal ranks is visible
        ends = mean_rank[first] - 0.012 * width, mean_rank[last] + 0.012 * width
        axis.hlines(-0.3 - 0.3 * level, *ends, color=SET[1], lw=4, capstyle="butt")
    for i, (name, rank) in enumerate(zip(models, mean_rank, strict=True)):
        left = i < rows
        y = -depth - 0.5 - (i if left else n - 1 - i)
        end = 1 - 0.04 * width if left else n + 0.04 * width
        axis.plot([rank, rank, end], [0, y, y], color=GREY, lw=0.9)
        axis.plot([rank], [0], marker="o", ms=4, color=INK)
        axis.text(
            end,
            y,
            f" {name}  {rank:.2f} ",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
            color=INK,
        )
    axis.set_xlim(1 - 0.75 * width, n + 0.75 * width)
    axis.set_ylim(-depth - rows, 1.9)
    axis.axis("off")
    headed(figure, title)
    return figure


def rank_lines(
    models: Sequence[str],
    data: Sequence[str],
    rank: Float[np.ndarray, "data model"],
    *,
    title: str = "",
) -> Figure:
    """A line per model over the data sets, the best on top. Ties share a rank."""
    figure = Figure(
        figsize=(max(7.0, 1.1 * len(data) + 5.0), 1.6 + 0.34 * len(models)),
        layout="constrained",
        facecolor="white",
    )
    axis = figure.subplots()
    for i, name in enumerate(models):
        colour, marker = SET[i % len(SET)], MARKERS[i % len(MARKERS)]
        dash = "-" if i < len(SET) else "--"
        axis.plot(range(len(data)), rank[:, i], dash, color=colour, marker=marker, ms=6, lw=1.4, label=name)
    axis.set_xticks(range(len(data)), data, rotation=30 if len(data) > 5 else 0, fontsize=9)
    axis.set_ylabel("rank")
    axis.set_ylim(len(models) + 0.4, 0.6)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(axis="y", color=FAINT, lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    headed(figure, title)
    return figure
