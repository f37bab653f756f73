"""Figures of recordings: reconstructed windows, scalp maps, values along a recording."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from scipy.interpolate import RBFInterpolator
from scipy.signal import welch

from eegfm.contracts import Montage
from eegfm.drawing.style import BLUE, FAINT, GREY, INK, ORANGE, SET, SKY, axis_range, headed, new_figure
from eegfm.signal.montage import from_above

SHOWN_CHANNELS, SHOWN_S = 6, 8.0  # the most that is drawn of a window


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
    """Windows in microvolts, the model's input and its output: traces, and spectra beside them.

    Each window has a row: at most six channels, evenly chosen, of the first eight seconds, each about its
    own mean; hidden stretches are shaded. Spectra are Welch's, of the whole window, averaged over all
    channels, with both axes logarithmic.
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
        # the distance holds nearly all samples, so that one artefact does not flatten all rows
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
            if x is true:  # five decades: weaker power is no part of the reconstruction
                spectra.set_ylim(max(power.max(), 1e-10) * 1e-5, max(power.max(), 1e-10) * 3)
        spectra.set_ylabel("µV²/Hz", fontsize=9)
        for axis in (traces, spectra):
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(colors=INK, labelsize=8)
    axes[-1, 0].set_xlabel("seconds")
    axes[-1, 1].set_xlabel("Hz")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False, fontsize=9)
    headed(figure, title)
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
    """A value per channel on the scalp from above, nose up; a map per name, on one scale, each with its range.

    The maps fill `rows` one after the other; `inches` is the width of a map. A thin-plate spline fills the
    space between channels, which are dots; it needs at least four separate places. A bipolar row stands
    half way between its electrodes; a row without a place is left out.
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
    low, high = axis_range([value[known] for value in values.values()])
    image = None
    for axis, (name, value) in zip(axes[: len(values)], values.items(), strict=True):
        value = np.asarray(value, dtype=float)[known]
        # one value per place: two rows at one place (T3 and T7) would have no spline
        where, first = np.unique(places.round(6), axis=0, return_index=True)
        if len(where) >= 4 and np.linalg.matrix_rank(np.c_[np.ones(len(where)), where]) == 3:
            # a little stiff, so that noise between neighbours does not become hills
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
    headed(figure, title)
    return figure


def probabilities_over_time(
    second: Float[np.ndarray, " bin"],
    probability: Float[np.ndarray, "bin class"],
    classes: Sequence[str],
    *,
    title: str = "",
) -> Figure:
    """Class probabilities along a recording, means of stretches from `second` on; below, the likeliest class.

    Two classes show the probability of the second, with its threshold; more classes are all stacked.
    """
    x, unit = _clock(second)
    colours = [matplotlib.colormaps["tab20"](i % 20) for i in range(len(classes))]
    if len(classes) <= len(SET):
        colours = list(SET)
    figure, (axis, strip) = new_figure((10.0, 4.4), rows=2, title=title, heights=(6, 1))
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
    """A reconstruction's error along a recording, by stretches from `second` on, over all channels and by channel.

    The first column of `rmse`, in µV, is over all channels. `marks` hold onset and length in seconds, and a
    name.
    """
    x, unit = _clock(second)
    per = second[1] / x[1] if len(x) > 1 and x[1] else 1.0
    figure, (axis, image) = new_figure(
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
    low, high = axis_range([rmse[:, 0]])
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
    """Seconds in the unit that a person would use for that many."""
    last = float(second[-1]) if len(second) else 0.0
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if last >= 1.5 * length:
            return second / length, unit
    return second, "seconds"
