"""Colours and axes that all figures share."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter

from eegfm.support.files import refuse_links, whole
from eegfm.support.words import visible

BLUE, SKY, ORANGE, GREEN, PURPLE = "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7"


SET = (BLUE, ORANGE, GREEN, PURPLE, SKY)


INK, GREY, FAINT = "#222222", "#777777", "#DDDDDD"


PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # ground of a text that a line may cross


A_INCH = 12  # letters of a title in an inch
MARKED = 40  # up to this many epochs, every point gets a marker


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG at 120 dots per inch, and create its folder. Equal figures give equal bytes."""
    refuse_links(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_literally(figure)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": None})
    return path


def _write_literally(figure: Figure) -> None:
    """Draw every text as it is: two dollars in a name are no formula. Ticks of matplotlib's own may be one."""
    own = set[int]()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FuncFormatter):  # names: each tick asks for its own
                axis.set_major_formatter(_visibly(formatter.func))
                axis.get_majorticklabels()
            elif isinstance(formatter, LogFormatter):  # powers of ten
                own |= {id(label) for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())}
    for text in figure.findobj(Text):
        if id(text) not in own:
            assert isinstance(text, Text)
            text.set_parse_math(False)
            text.set_text(visible(text.get_text()))


def _visibly(name: Callable[..., str]) -> FuncFormatter:
    return FuncFormatter(lambda value, position: visible(name(value, position)))


def axis_range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Ends of a scale that holds all values; equal values get a little room."""
    every = np.concatenate([value[np.isfinite(value)] for value in values])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def new_figure(
    size: tuple[float, float], *, rows: int = 1, title: str = "", heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, 1, squeeze=False, sharex=rows > 1, height_ratios=heights)[:, 0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(GREY)
        axis.tick_params(colors=INK, labelsize=9)
        axis.set_axisbelow(True)
    headed(figure, title)
    return figure, axes


def headed(figure: Figure, title: str) -> None:
    """Give a figure its title, in as many lines as its width wants."""
    if title:
        width = round(A_INCH * figure.get_figwidth())
        lines = [line for part in title.splitlines() for line in wrap(part, width, break_on_hyphens=False)]
        figure.suptitle("\n".join(lines), fontsize=11, color=INK)


def marked_line(axis: Axes, x: np.ndarray, y: np.ndarray, label: str, colour: str, marker: str) -> None:
    if not np.isfinite(y).any():
        return
    dots = marker if len(x) <= MARKED else ""
    axis.plot(x, y, color=colour, marker=dots, markersize=4, linewidth=1.6, label=label, zorder=2)


def column_of(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([number(row.get(name)) for row in rows], dtype=float)


def number(value: Any) -> float:
    """The value as a float; NaN for a missing one: None, or a CSV's empty text."""
    return math.nan if value is None or value == "" else float(value)
