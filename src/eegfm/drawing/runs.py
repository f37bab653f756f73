"""Figures of a run: its learning curve, its confusion matrix, its subjects; reconstructions and their errors.

Each function returns its own matplotlib `Figure` and touches no global state (no pyplot), so figures can be
made in any process and thread, without a display. Colours are Okabe and Ito's, which colour-blind readers
can tell apart, also in grey; lines differ in their markers as well.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eegfm.drawing.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PATCH,
    PURPLE,
    SKY,
    axis_range,
    column_of,
    marked_line,
    new_figure,
    number,
)
from eegfm.tasks.metric_names import MAIN, NO_SCORE, chance, in_order, spoken


def learning_curve(
    history: Sequence[Mapping[str, Any]], *, chosen_epoch: int | None = None, title: str = ""
) -> Figure:
    """Losses above, validation metrics below, over epochs; a line marks the epoch whose weights were kept.

    `history` are the rows of `metrics.csv` (numbers or their text): `epoch`, `train/loss` or `train/loss_epoch`,
    `val/loss` and `val/<metric>`. What a row lacks leaves a gap.
    """
    epochs = column_of(history, "epoch") + 1  # files count from 0, words and figures from 1
    train = "train/loss_epoch" if any("train/loss_epoch" in row for row in history) else "train/loss"
    figure, axes = new_figure((7.0, 5.2), rows=2, title=title)
    styles = zip((BLUE, ORANGE, GREEN), ("o", "s", "^"), strict=True)
    for (name, label), (colour, marker) in zip(
        ((train, "train"), ("val/loss", "validation")), styles, strict=False
    ):
        marked_line(axes[0], epochs, column_of(history, name), label, colour, marker)
    axes[0].set_ylabel("loss")
    shown = in_order(
        name for name in MAIN if name not in NO_SCORE and any(f"val/{name}" in row for row in history)
    )
    for name, colour, marker in zip(shown, (BLUE, ORANGE, GREEN, PURPLE), "os^D", strict=False):
        marked_line(axes[1], epochs, column_of(history, f"val/{name}"), spoken(name), colour, marker)
    axes[1].set_ylabel("validation metric")
    axes[1].set_xlabel("epoch")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs):
        axes[1].set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    for i, axis in enumerate(axes):
        if chosen_epoch is not None:
            label = f"kept: epoch {chosen_epoch + 1}" if i == 0 else None
            axis.axvline(
                chosen_epoch + 1, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label=label
            )
        axis.grid(axis="y", color=FAINT, linewidth=0.8)
        if axis.get_legend_handles_labels()[0]:
            # beside the axes, where it can hide no curve
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=1.8)
        if i == 0:
            axis.tick_params(labelbottom=False)
    return figure


def confusion_matrix(
    labels: Int[np.ndarray, " window"],
    predicted: Int[np.ndarray, " window"],
    classes: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """Windows by true class (rows) and predicted class (columns): their number, and their share of the row.

    The colour shows the share, so that a rare class is as visible as a common one. `labels` and `predicted`
    are positions in `classes`.
    """
    n = len(classes)
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (np.asarray(labels), np.asarray(predicted)), 1)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros((n, n)), where=totals > 0)
    cell = 1.3 if n <= 2 else 1.05 if n <= 4 else 0.82
    figure, (axis,) = new_figure((cell * n + 3.0, cell * n + 1.5), title=title)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(n):
        for j in range(n):
            colour = "white" if share[i, j] > 0.55 else INK
            percent = f"{100 * share[i, j]:.0f} %" if totals[i, 0] else "–"
            # two texts about the middle; the share, which the colour shows, is the larger one
            axis.text(
                j, i - 0.1, percent, ha="center", va="center", color=colour, fontsize=11 if n <= 6 else 9.5
            )
            axis.text(
                j,
                i + 0.22,
                f"{counts[i, j]:,}",
                ha="center",
                va="center",
                color=colour,
                fontsize=8 if n <= 6 else 7,
            )
    names = list(classes)
    slant = (
        {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) * n > 40 else {}
    )
    axis.set_xticks(range(n), names, **slant)
    axis.set_yticks(
        range(n), [f"{name}\n({total:,})" for name, total in zip(names, totals[:, 0], strict=True)]
    )
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class (windows)")
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=0.7, pad=0.03, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure


def by_subject(
    subjects: Mapping[str, Mapping[str, Any]],
    metric: str,
    *,
    n_classes: int,
    overall: float | None = None,
    title: str = "",
) -> Figure:
    """A bar per subject, best first, with lines at the whole split's score and at chance level.

    `subjects` is as in `RunResult.by_subject["test"]`. A subject whose metric is undefined comes last and
    is marked.
    """
    value = {name: number(row.get(metric)) for name, row in subjects.items()}
    order = sorted(
        value,
        key=lambda name: (math.isnan(value[name]), -value[name] if value[name] == value[name] else 0, name),
    )
    y = np.arange(len(order))
    scores = np.array([value[name] for name in order])
    figure, (axis,) = new_figure((7.0, min(1.7 + 0.27 * max(len(order), 2), 24.0)), title=title)
    axis.barh(y, np.nan_to_num(scores), height=0.68, color=SKY, zorder=2)
    small = 9 if len(order) <= 70 else 6  # 24 inches hold no more rows at full size
    for i, score in enumerate(scores):
        # in the margin: beside its bar, a number would collide with a line close to the bar's end
        text, colour = ("–", GREY) if math.isnan(score) else (f"{score:.2f}", INK)
        axis.text(
            1.01, i, text, transform=axis.get_yaxis_transform(), va="center", fontsize=small, color=colour
        )
        if math.isnan(score):
            why = "not defined: one class only"
            axis.text(0.01, i, why, va="center", fontsize=small, color=GREY, bbox=PATCH, zorder=4)
    axis.set_xlim(min([0.0, *np.nan_to_num(scores)]) * 1.05, 1.0)
    for level, label, colour, style in (
        (overall, "whole split", ORANGE, "-"),
        (chance(metric, n_classes), "chance", INK, (0, (2, 2))),
    ):
        if level is not None and not math.isnan(level):
            axis.axvline(
                level, color=colour, linestyle=style, linewidth=1.5, zorder=3, label=f"{label}: {level:.2f}"
            )
    labels = [f"{name}  (n={subjects[name]['n_windows']:,})" for name in order]
    axis.set_yticks(y, labels, fontsize=small)
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_xlabel(spoken(metric))
    axis.grid(axis="x", color=FAINT, linewidth=0.8, zorder=0)
    axis.tick_params(axis="y", length=0)
    if axis.get_legend_handles_labels()[0]:
        figure.legend(
            *axis.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=9
        )
    return figure


def loss_terms(
    history: Sequence[Mapping[str, Any]],
    terms: Sequence[str],
    *,
    chosen_epoch: int | None = None,
    title: str = "",
) -> Figure:
    """The loss above, its terms without their weights below, over epochs: training dashed, validation solid.

    `history` is as in `learning_curve`, with `train/<term>` and `val/<term>`. An axis is logarithmic where
    its values span more than a factor of three.
    """
    epochs = column_of(history, "epoch") + 1  # files count from 0, words and figures from 1
    figure, axes = new_figure((7.0, 5.2), rows=2, title=title)
    totals = [("train/loss_epoch", "train", BLUE, "o"), ("val/loss", "validation", ORANGE, "s")]
    for name, label, colour, marker in totals:
        marked_line(axes[0], epochs, column_of(history, name), label, colour, marker)
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY)
    for term, colour, marker in zip(terms, colours, "os^Dv", strict=False):
        label = term.replace("_", " ")
        marked_line(axes[1], epochs, column_of(history, f"val/{term}"), label, colour, marker)
        axes[1].plot(epochs, column_of(history, f"train/{term}"), color=colour, lw=1.2, ls=(0, (4, 2)))
    for axis, name in zip(axes, ("loss", "terms"), strict=True):
        axis.set_ylabel(name)
        drawn = np.concatenate(
            [np.asarray(line.get_ydata(), float) for line in axis.lines] or [np.empty(0)]
        )
        low, high = axis_range([drawn])
        if low > 0 and high > 3 * low:
            axis.set_yscale("log")
        axis.grid(axis="y", color=FAINT, linewidth=0.8)
        if chosen_epoch is not None:
            label = f"kept: epoch {chosen_epoch + 1}" if axis is axes[0] else None
            axis.axvline(
                chosen_epoch + 1, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label=label
            )
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=1.8)
    axes[1].set_xlabel("epoch")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
