"""A figure of where windows lie: raw, embedded by random and by trained weights; by class and by subject."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eegfm.drawing.style import GREY, INK, SET, headed

MARKERS = "o^sDvPX"
NAMED = 12  # most subjects that a legend can hold


def embedding_map(
    places: Mapping[str, Float[np.ndarray, "window 2"]],
    numbers: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    label: Int[np.ndarray, " window"],
    subject: Int[np.ndarray, " window"],
    *,
    classes: Sequence[str],
    subjects: Sequence[str],
    title: str = "",
) -> Figure:
    """A column per named space; coloured by class above and by subject below, with `numbers` in the titles.

    `numbers` come from `eegfm.analysis.nearness.nearness`. `label` and `subject` are positions in `classes`
    and `subjects`.
    """
    figure = Figure(figsize=(4.0 * len(places) + 1.4, 8.8), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(places), squeeze=False)
    present = np.unique(subject)
    few = len(present) <= len(SET)
    wheel = (
        SET[: len(present)] if few else matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, len(present)))
    )
    colours = {
        "class": {i: SET[i % len(SET)] for i in range(len(classes))},
        "subject": dict(zip(present.tolist(), wheel, strict=True)),
    }
    names = {"class": list(classes), "subject": list(subjects)}
    for row, (what, values) in enumerate({"class": label, "subject": subject}.items()):
        for axis, (space, xy) in zip(axes[row], places.items(), strict=True):
            _dots(axis, xy, values, colours[what], names[what])
            axis.set_title(f"{space}\n{_said(what, numbers[space][what])}", fontsize=9, color=INK)
        axes[row, 0].set_ylabel(f"coloured by {what}", fontsize=10, color=INK)
        if what == "class" or len(present) <= NAMED:
            axes[row, -1].legend(
                loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, markerscale=1.6
            )
        else:
            axes[row, -1].text(
                1.03,
                0.5,
                f"{len(present)} subjects",
                transform=axes[row, -1].transAxes,
                color=GREY,
                fontsize=8,
            )
    figure.supxlabel(
        "t-SNE: what is apart here need not be apart, and distances between clusters mean nothing. The numbers are of "
        "the features themselves:\nsilhouette, and balanced accuracy of the vote of the 5 nearest windows (for a class "
        "of other subjects, where there are any).",
        fontsize=8,
        color=GREY,
        x=0.01,
        ha="left",
    )
    headed(figure, title)
    return figure


def _dots(
    axis: Axes, xy: np.ndarray, values: np.ndarray, colours: Mapping[int, Any], names: Sequence[str]
) -> None:
    for i, value in enumerate(np.unique(values).tolist()):
        here = values == value
        axis.scatter(
            xy[here, 0],
            xy[here, 1],
            s=11,
            color=colours[value],
            marker=MARKERS[i % len(MARKERS)],
            linewidths=0,
            alpha=0.75,
            label=names[value],
        )
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color(GREY)


def _said(what: str, found: Mapping[str, float | None]) -> str:
    if found["silhouette"] is None:
        return f"{what}: there is one only"
    return (
        f"{what}: silhouette {found['silhouette']:z.2f}, 5 nearest {found['balanced_accuracy']:.2f} "
        f"(chance {found['chance']:.2f})"
    )
