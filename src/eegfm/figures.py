"""Figures of a run: its learning curve, its confusion matrix, its subjects; reconstructions and their errors.

Each function returns a matplotlib `Figure` of its own and touches no global state (no pyplot), so figures can be made
in any process and thread, without a display. Colours are Okabe and Ito's, which stay apart for colour-blind eyes and
in grey; lines differ in their markers as well.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.interpolate import RBFInterpolator
from scipy.signal import welch

from eegfm.contracts import Montage
from eegfm.signal.montage import from_above

BLUE, SKY, ORANGE, GREEN, PURPLE = "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7"
SET = (BLUE, ORANGE, GREEN, PURPLE, SKY)
INK, GREY, FAINT = "#222222", "#777777", "#DDDDDD"

# Names of metrics as people write them, in the order of the published tables, and the level of a guess.
METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "auc_pr": "AUC-PR",
    "cohen_kappa": "Cohen's kappa",
    "weighted_f1": "weighted F1",
}
PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # behind a text that a line may cross
MARKED = 40  # epochs up to which every point gets a marker
SHOWN_CHANNELS, SHOWN_S = 6, 8.0  # of a window that is drawn


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of 120 dots an inch, with its folder where that is missing. Equal figures give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    return path


def learning_curve(
    history: Sequence[Mapping[str, Any]], *, chosen_epoch: int | None = None, title: str = ""
) -> Figure:
    """Losses above, validation metrics below, over epochs; a line marks the epoch whose weights were kept.

    `history` are the rows of `metrics.csv` (numbers or their text): `epoch`, `train/loss` or `train/loss_epoch`,
    `val/loss` and `val/<metric>`. What a row lacks leaves a gap.
    """
    epochs = _column(history, "epoch")
    train = "train/loss_epoch" if any("train/loss_epoch" in row for row in history) else "train/loss"
    figure, axes = _figure((7.0, 5.2), rows=2, title=title)
    styles = zip((BLUE, ORANGE, GREEN), ("o", "s", "^"), strict=True)
    for (name, label), (colour, marker) in zip(
        ((train, "train"), ("val/loss", "validation")), styles, strict=False
    ):
        _line(axes[0], epochs, _column(history, name), label, colour, marker)
    axes[0].set_ylabel("loss")
    shown = [name for name in METRICS if any(f"val/{name}" in row for row in history)]
    for name, colour, marker in zip(shown, (BLUE, ORANGE, GREEN, PURPLE), "os^D", strict=False):
        _line(axes[1], epochs, _column(history, f"val/{name}"), METRICS[name], colour, marker)
    axes[1].set_ylabel("validation metric")
    axes[1].set_xlabel("epoch")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs):
        axes[1].set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    for i, axis in enumerate(axes):
        if chosen_epoch is not None:
            label = f"kept: epoch {chosen_epoch}" if i == 0 else None
            axis.axvline(chosen_epoch, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label=label)
        axis.grid(axis="y", color=FAINT, linewidth=0.8)
        if axis.get_legend_handles_labels()[0]:
            # beside the axes: there it hides no curve, however the curves run
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

    The colour is the share, so a rare class is seen as well as a common one. `labels` and `predicted` are positions
    in `classes`.
    """
    n = len(classes)
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (np.asarray(labels), np.asarray(predicted)), 1)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros((n, n)), where=totals > 0)
    cell = 1.3 if n <= 2 else 1.05 if n <= 4 else 0.82
    figure, (axis,) = _figure((cell * n + 3.0, cell * n + 1.5), title=title)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(n):
        for j in range(n):
            colour = "white" if share[i, j] > 0.55 else INK
            percent = f"{100 * share[i, j]:.0f} %" if totals[i, 0] else "–"
            # one text with its two lines about the middle; the share is what the colour shows, so it is the larger
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
    """A bar a subject, best first, with the score of the whole split and the level of a guess as lines.

    `subjects` as in `RunResult.by_subject["test"]`. A subject whose metric is not defined stands last, marked so.
    """
    chance = {"balanced_accuracy": 1 / n_classes, "auroc": 0.5, "cohen_kappa": 0.0}.get(metric)
    value = {name: _number(row.get(metric)) for name, row in subjects.items()}
    order = sorted(
        value,
        key=lambda name: (math.isnan(value[name]), -value[name] if value[name] == value[name] else 0, name),
    )
    y = np.arange(len(order))
    scores = np.array([value[name] for name in order])
    figure, (axis,) = _figure((7.0, min(1.7 + 0.27 * max(len(order), 2), 24.0)), title=title)
    axis.barh(y, np.nan_to_num(scores), height=0.68, color=SKY, zorder=2)
    small = 9 if len(order) <= 70 else 6  # 24 inches hold no more rows at full size
    for i, score in enumerate(scores):
        # in the margin: beside its bar a number would lie on a line as soon as the two are close
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
        (chance, "chance", INK, (0, (2, 2))),
    ):
        if level is not None and not math.isnan(level):
            axis.axvline(
                level, color=colour, linestyle=style, linewidth=1.5, zorder=3, label=f"{label}: {level:.2f}"
            )
    labels = [f"{name}  (n={subjects[name]['n_windows']:,})" for name in order]
    axis.set_yticks(y, labels, fontsize=small)
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_xlabel(METRICS.get(metric, metric.replace("_", " ")))
    axis.grid(axis="x", color=FAINT, linewidth=0.8, zorder=0)
    axis.tick_params(axis="y", length=0)
    if axis.get_legend_handles_labels()[0]:
        figure.legend(
            *axis.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=9
        )
    return figure


def reconstruction(
    true: Float[np.ndarray, "window channel time"],
    given: Float[np.ndarray, "window channel time"],
    pred: Float[np.ndarray, "window channel time"],
    *,
    hidden: Bool[np.ndarray, "window channel time"] | None = None,
    names: Sequence[str],
    sfreq: float,
    keys: Sequence[str],
    title: str = "",
) -> Figure:
    """Windows in microvolts, what was given of them and what came back: traces, and spectra beside them.

    A row a window: at most six channels, evenly chosen, of the first eight seconds, each about its own mean; hidden
    stretches are shaded. Spectra are Welch's, of the whole window, their mean over all channels, both axes logarithmic.
    """
    n_windows, n_channels, n_times = true.shape
    chosen = np.unique(np.linspace(0, n_channels - 1, min(SHOWN_CHANNELS, n_channels)).round().astype(int))
    shown = min(n_times, max(round(SHOWN_S * sfreq), 2))
    seconds = np.arange(shown) / sfreq
    figure = Figure(
        figsize=(12.0, 0.9 + n_windows * (0.7 + 0.38 * len(chosen))),
        layout="constrained",
        facecolor="white",
    )
    axes = figure.subplots(n_windows, 2, squeeze=False, sharex="col", width_ratios=[3, 1])
    for i, key in enumerate(keys):
        traces, spectra = axes[i]
        part = true[i, chosen, :shown]
        # apart by what nearly all samples keep within, so that one artefact does not flatten all rows
        step = 2.2 * float(np.quantile(np.abs(part - part.mean(axis=1, keepdims=True)), 0.995)) or 1.0
        for row, channel in enumerate(chosen):
            middle = true[i, channel, :shown].mean()
            lift = -row * step - middle
            masked = np.zeros(shown, bool) if hidden is None else hidden[i, channel, :shown]
            traces.fill_between(
                seconds, (-row - 0.5) * step, (-row + 0.5) * step, where=masked, color=FAINT, lw=0, zorder=0
            )
            traces.plot(seconds, true[i, channel, :shown] + lift, color=INK, lw=0.9, label="input")
            traces.plot(
                seconds, pred[i, channel, :shown] + lift, color=ORANGE, lw=0.9, label="reconstruction"
            )
        traces.set_yticks(-np.arange(len(chosen)) * step, [names[c] for c in chosen])
        traces.set_ylim((0.6 - len(chosen)) * step, 0.6 * step)
        traces.set_title(f"{key}   (rows {step:.3g} µV apart)", fontsize=9, color=INK, loc="left")
        kinds = [("input", true, INK), ("reconstruction", pred, ORANGE)]
        if hidden is not None:
            kinds.insert(1, ("masked input", given, SKY))
        for label, x, colour in kinds:
            hz, power = welch(x[i].astype(float), sfreq, nperseg=min(n_times, round(2 * sfreq)))
            power = power.mean(axis=0)[1:]
            spectra.loglog(hz[1:], np.maximum(power, 1e-12), color=colour, lw=1.3, label=label)
            if x is true:  # five decades: what is weaker is nothing that came back
                spectra.set_ylim(max(power.max(), 1e-10) * 1e-5, max(power.max(), 1e-10) * 3)
        spectra.set_ylabel("µV²/Hz", fontsize=9)
        for axis in (traces, spectra):
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(colors=INK, labelsize=8)
    axes[-1, 0].set_xlabel("seconds")
    axes[-1, 1].set_xlabel("Hz")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure


def scalp_maps(
    values: Mapping[str, Float[np.ndarray, " channel"]],
    montage: Montage,
    *,
    unit: str,
    title: str = "",
    rows: int = 1,
    inches: float = 3.0,
) -> Figure:
    """A value a channel over the scalp from above, nose up; a map a name, all on one scale, each with its own range.

    The maps fill `rows` one after the other; `inches` is the width of one.
    Between the channels, which are dots, a thin-plate spline; none where fewer than four have a place apart. A bipolar
    row stands half way between its electrodes; a row without a place is left out.
    """
    places = from_above(montage.coords)
    known = np.isfinite(places).all(axis=1)
    places = places[known]
    across = -(-len(values) // rows)
    size = (inches * across + 1.2, (inches + 0.4) * rows + 0.2)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, across, squeeze=False).ravel()
    for axis in axes[len(values) :]:
        axis.axis("off")
    line = np.linspace(-1.15, 1.15, 161)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    inside = np.hypot(grid[..., 0], grid[..., 1]) <= 1.0
    low, high = _range([value[known] for value in values.values()])
    image = None
    for axis, (name, value) in zip(axes[: len(values)], values.items(), strict=True):
        value = np.asarray(value, dtype=float)[known]
        # one value a place: two rows of one place (T3 and T7) would have no spline
        where, first = np.unique(places.round(6), axis=0, return_index=True)
        if len(where) >= 4 and np.linalg.matrix_rank(np.c_[np.ones(len(where)), where]) == 3:
            # a little stiff: noise of neighbours must not become hills
            filled = np.full(inside.shape, np.nan)
            filled[inside] = RBFInterpolator(where, value[first], smoothing=1e-3)(grid[inside])
            axis.imshow(
                filled, origin="lower", extent=(-1.15, 1.15) * 2, vmin=low, vmax=high, cmap="viridis"
            )
        image = axis.scatter(
            places[:, 0],
            places[:, 1],
            c=value,
            vmin=low,
            vmax=high,
            cmap="viridis",
            s=2.45 * inches**2,
            edgecolors=INK,
            lw=0.2 * inches,
        )
        turn = np.linspace(0, 2 * np.pi, 200)
        axis.plot(np.cos(turn), np.sin(turn), color=GREY, lw=1.2)
        axis.plot([-0.12, 0.0, 0.12], [0.993, 1.12, 0.993], color=GREY, lw=1.2)
        span = f"{value.min():.3g} to {value.max():.3g}" if len(value) else "no channel has a place"
        axis.set_title(f"{name}\n{span}", fontsize=9 if inches > 2 else 7)
        axis.set_aspect("equal")
        axis.set_xlim(-1.2, 1.2)
        axis.set_ylim(-1.2, 1.2)
        axis.axis("off")
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.7 if rows == 1 else 0.5)
        bar.set_label(unit, fontsize=10 if inches > 2 else 7)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure


def loss_terms(
    history: Sequence[Mapping[str, Any]],
    terms: Sequence[str],
    *,
    chosen_epoch: int | None = None,
    title: str = "",
) -> Figure:
    """The loss above, its terms without their weights below, over epochs: training dashed, validation solid.

    `history` as for `learning_curve`, with `train/<term>` and `val/<term>`. An axis is logarithmic where its
    values span more than a factor of three.
    """
    epochs = _column(history, "epoch")
    figure, axes = _figure((7.0, 5.2), rows=2, title=title)
    totals = [("train/loss_epoch", "train", BLUE, "o"), ("val/loss", "validation", ORANGE, "s")]
    for name, label, colour, marker in totals:
        _line(axes[0], epochs, _column(history, name), label, colour, marker)
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY)
    for term, colour, marker in zip(terms, colours, "os^Dv", strict=False):
        label = term.replace("_", " ")
        _line(axes[1], epochs, _column(history, f"val/{term}"), label, colour, marker)
        axes[1].plot(epochs, _column(history, f"train/{term}"), color=colour, lw=1.2, ls=(0, (4, 2)))
    for axis, name in zip(axes, ("loss", "terms"), strict=True):
        axis.set_ylabel(name)
        drawn = np.concatenate(
            [np.asarray(line.get_ydata(), float) for line in axis.lines] or [np.empty(0)]
        )
        low, high = _range([drawn])
        if low > 0 and high > 3 * low:
            axis.set_yscale("log")
        axis.grid(axis="y", color=FAINT, linewidth=0.8)
        if chosen_epoch is not None:
            label = f"kept: epoch {chosen_epoch}" if axis is axes[0] else None
            axis.axvline(chosen_epoch, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label=label)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=1.8)
    axes[1].set_xlabel("epoch")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def probabilities_over_time(
    second: Float[np.ndarray, " bin"],
    probability: Float[np.ndarray, "bin class"],
    classes: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """Class probabilities along a recording, means of stretches that begin at `second`; below, what is most probable.

    Of two classes the second's probability is drawn, with its threshold; of more, all of them on top of one another.
    """
    x, unit = _clock(second)
    colours = [matplotlib.colormaps["tab20"](i % 20) for i in range(len(classes))]
    if len(classes) <= len(SET):
        colours = list(SET)
    figure, (axis, strip) = _figure((10.0, 4.4), rows=2, title=title, heights=(6, 1))
    edges = np.append(x, x[-1] + (x[-1] - x[0]) / max(len(x) - 1, 1) if len(x) > 1 else x[-1] + 1)
    if len(classes) == 2:
        axis.step(edges, np.append(probability[:, 1], probability[-1, 1]), where="post", color=BLUE, lw=1.0)
        axis.axhline(0.5, color=INK, lw=1, linestyle=(0, (2, 2)))
        axis.set_ylabel(f"P({classes[1]})")
    else:
        stacked = np.concatenate([probability, probability[-1:]])
        axis.stackplot(edges, stacked.T, colors=colours[: len(classes)], step="post", lw=0)
        axis.set_ylabel("probability")
    axis.set_ylim(0, 1)
    axis.set_xlim(edges[0], edges[-1])
    decided = (probability[:, 1] > 0.5).astype(int) if len(classes) == 2 else probability.argmax(axis=1)
    for i, name in enumerate(classes):
        strip.fill_between(
            edges,
            0,
            1,
            where=np.append(decided == i, False),
            step="post",
            color=colours[i],
            lw=0,
            label=name,
        )
    strip.set_yticks([])
    strip.set_ylim(0, 1)
    strip.set_xlabel(unit)
    strip.spines["left"].set_visible(False)
    figure.legend(
        *strip.get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=9,
        title="decision",
    )
    return figure


def errors_over_time(
    second: Float[np.ndarray, " bin"],
    rmse: Float[np.ndarray, "bin row"],
    names: Sequence[str],
    *,
    marks: Sequence[tuple[float, float, str]] = (),
    title: str = "",
) -> Figure:
    """Error of a reconstruction along a recording, of stretches that begin at `second`: of all channels, of each.

    The first row of `rmse`, in µV, is that of all channels. `marks` are onsets and lengths in seconds, and what it is.
    """
    x, unit = _clock(second)
    per = second[1] / x[1] if len(x) > 1 and x[1] else 1.0
    figure, (axis, image) = _figure(
        (10.0, 3.0 + 0.16 * len(names)), rows=2, title=title, heights=(2, 1 + 0.09 * len(names))
    )
    end = x[-1] + (x[-1] - x[0]) / max(len(x) - 1, 1)
    end = end if end > x[0] else x[0] + 1
    axis.plot(x, rmse[:, 0], color=BLUE, lw=1.0)
    for i, (onset, length, what) in enumerate(marks):
        axis.axvspan(
            onset / per,
            (onset + length) / per,
            color=ORANGE,
            alpha=0.35,
            lw=0.5,
            label=what if i == 0 else None,
        )
    low, high = _range([rmse[:, 0]])
    if low > 0 and high > 3 * low:
        axis.set_yscale("log")
    axis.set_ylabel("RMSE, µV")
    axis.grid(axis="y", color=FAINT, linewidth=0.8)
    if marks:
        axis.legend(loc="upper right", frameon=False, fontsize=9)
    axis.tick_params(labelbottom=False)
    drawn = image.imshow(
        np.log10(np.maximum(rmse[:, 1:].T, 1e-6)),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        extent=(x[0], end, len(names) - 0.5, -0.5),
    )
    image.set_yticks(range(len(names)), names, fontsize=7 if len(names) <= 32 else 4)
    image.set_xlabel(unit)
    image.set_xlim(x[0], end)
    bar = figure.colorbar(drawn, ax=image, pad=0.01)
    bar.set_label("RMSE, µV")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value:.3g}")
    return figure


def _clock(second: np.ndarray) -> tuple[np.ndarray, str]:
    """Seconds in the unit that a person would use of so many."""
    last = float(second[-1]) if len(second) else 0.0
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if last >= 1.5 * length:
            return second / length, unit
    return second, "seconds"


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Ends of a scale that holds all values; a little around them where they are one."""
    every = np.concatenate([value[np.isfinite(value)] for value in values])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _figure(
    size: tuple[float, float], *, rows: int = 1, title: str = "", heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, 1, squeeze=False, sharex=rows > 1, height_ratios=heights)[:, 0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(GREY)
        axis.tick_params(colors=INK, labelsize=9)
        axis.set_axisbelow(True)
    if title:
        figure.suptitle(title, fontsize=11, color=INK)
    return figure, axes


def _line(axis: Axes, x: np.ndarray, y: np.ndarray, label: str, colour: str, marker: str) -> None:
    if not np.isfinite(y).any():
        return
    dots = marker if len(x) <= MARKED else ""
    axis.plot(x, y, color=colour, marker=dots, markersize=4, linewidth=1.6, label=label, zorder=2)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([_number(row.get(name)) for row in rows], dtype=float)


def _number(value: Any) -> float:
    """NaN for what a row lacks: None, or the empty text of a CSV."""
    return math.nan if value is None or value == "" else float(value)
