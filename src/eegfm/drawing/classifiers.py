"""Figures of what a classifier answers and where it looks: curves of its probabilities, attention maps."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from eegfm.contracts import Montage
from eegfm.drawing.recordings import scalp_maps
from eegfm.drawing.style import FAINT, GREY, SET, headed

BINS = 10  # points of the calibration curve: each is a tenth of the windows
MAPS = 10  # maps per head: longer windows are shown as averages over some seconds

Attention = Float[np.ndarray, "head second channel"]


def curves(
    label: Int[np.ndarray, " window"],
    probability: Float[np.ndarray, "window class"],
    classes: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """ROC, precision and recall, and calibration; more than two classes are drawn each against the rest.

    The calibration curve sorts windows by probability into ten equal parts and draws, for each part, the
    share that was of the class over the mean probability.
    """
    figure = Figure(figsize=(13.0, 4.4), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 3)
    shown = [1] if len(classes) == 2 else range(len(classes))
    wheel = [SET[i % len(SET)] for i in range(len(classes))]
    for i, colour in zip(shown, wheel, strict=False):
        own, p = label == i, probability[:, i]
        if own.all() or not own.any():
            continue  # a class of all or no windows has no curve
        dash = "-" if i < len(SET) else "--"
        false, true, _ = roc_curve(own, p)
        axes[0].plot(false, true, color=colour, ls=dash, label=f"{classes[i]}: {auc(false, true):.3f}")
        precision, recall, _ = precision_recall_curve(own, p)
        area = average_precision_score(own, p)
        axes[1].plot(recall, precision, color=colour, ls=dash, label=f"{classes[i]}: {area:.3f}")
        axes[1].axhline(own.mean(), color=colour, lw=0.8, ls=":")
        happened, called = calibration_curve(own, p, n_bins=BINS, strategy="quantile")
        axes[2].plot(called, happened, color=colour, ls=dash, marker="o", ms=4, label=classes[i])
    for axis in (axes[0], axes[2]):
        axis.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    names = (
        ("ROC (area)", "false positive rate", "true positive rate"),
        ("precision and recall (area)", "recall", "precision"),
        ("calibration", "probability called", "share that was so"),
    )
    for axis, (name, x, y) in zip(axes, names, strict=True):
        axis.set(title=name, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color=FAINT, lw=0.8)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=8)
    headed(figure, title)
    return figure


def attention_maps(attention: Attention, montage: Montage, *, title: str = "") -> Figure:
    """A row per head, a map per second (or average of seconds), each channel in units of an even share."""
    n_heads, n_seconds, n_channels = attention.shape
    even = attention * n_seconds * n_channels
    parts = np.array_split(np.arange(n_seconds), min(n_seconds, MAPS))
    values = {
        f"head {head + 1}, {_seconds(part)}": even[head, part].mean(axis=0)
        for head in range(n_heads)
        for part in parts
    }
    unit = "attention (1: an even share)"
    return scalp_maps(values, montage, unit=unit, title=title, rows=n_heads, inches=1.8)


def attention_over_time(attention: Mapping[str, Attention], *, title: str = "") -> Figure:
    """The attention of each head to each second, summed over channels; a line per class."""
    n_heads, n_seconds, _ = next(iter(attention.values())).shape
    figure = Figure(figsize=(2.6 * n_heads + 1.0, 3.0), layout="constrained", facecolor="white")
    axes = figure.subplots(1, n_heads, squeeze=False, sharey=True)[0]
    for head, axis in enumerate(axes):
        for i, (name, by_head) in enumerate(attention.items()):
            share = by_head[head].sum(axis=1) * n_seconds
            axis.plot(
                np.arange(n_seconds) + 0.5, share, color=SET[i % len(SET)], marker="o", ms=3, label=name
            )
        axis.axhline(1, color=GREY, lw=0.8, ls=":")
        axis.set(title=f"head {head + 1}", xlabel="s", xlim=(0, n_seconds))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("attention (1: an even share)")
    axes[-1].legend(frameon=False, fontsize=8)
    headed(figure, title)
    return figure


def _seconds(part: Int[np.ndarray, " second"]) -> str:
    return f"{part[0]} to {part[-1] + 1} s"
