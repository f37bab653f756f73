"""Pictures of a data set: traces, spectra, the montage, classes by split, amplitudes, each one SVG element as text.

The SVG is written by hand instead of by matplotlib: a trace costs four bytes per sample, so a page of 64
channels stays below some megabytes; it is sharp at any size; its text can be searched; and its colours
follow the page (`html.PICTURES`, light and dark). Colours are Okabe and Ito's, which colour-blind readers
can tell apart; lines differ in their dashes as well. All text in a picture is escaped here.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import Montage
from eegfm.drawing.html import COLOURS
from eegfm.signal.montage import from_above

WIDTH = 1080  # width of a picture that fills the page
UNITS = 4  # units of a trace per pixel: its resolution is a quarter of a pixel
MARGIN = 14  # pixels to the right of a trace
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2")


def row_height(n_channels: int) -> int:
    """Pixels from one channel to the next: fewer where there are many."""
    return 22 if n_channels <= 20 else 17 if n_channels <= 40 else 12


def traces_width(names: Sequence[str], seconds: float) -> int:
    """The least width, in pixels, of a picture of that many seconds."""
    return round(_gutter(names) + min(max(58 * seconds, 240), 1000) + MARGIN)


def traces(
    window: Float[np.ndarray, "channel time"],
    *,
    names: Sequence[str],
    sfreq: float,
    row_uv: float,
    title: str,
    width: int,
    colour: int = 0,
    every: int = 1,
) -> str:
    """A window in microvolts, a row per channel, each about its own median; rows are `row_uv` apart, positive up.

    A row may overlap its neighbours. `every` > 2 keeps the lowest and the highest of that many samples, in
    order.
    """
    n_channels, n_times = window.shape
    row, left, top = row_height(n_channels), _gutter(names), 34
    seconds = n_times / sfreq
    width, height = width - left - MARGIN, row * (n_channels + 1)
    uv_per_unit = row_uv / (row * UNITS)
    centre = (np.arange(n_channels) + 1)[:, None] * row * UNITS
    y = centre - np.round((window - np.median(window, axis=1, keepdims=True)) / uv_per_unit).astype(int)
    parts = [_text(left, 14, title, "head"), *_scale_bar(left + width - 2, 8, row, row_uv)]
    every_s = next(s for s in (0.2, 0.5, 1, 2, 5, 10, 30, 60) if s * 7 >= seconds)
    for i in range(math.floor(seconds / every_s) + 1):
        x = left + i * every_s / seconds * width
        label = f"{i * every_s:g}" + (" s" if (i + 1) * every_s > seconds else "")
        parts.append(f'<path class="grid" d="M{_n(x)} {top}v{height}"/>')
        parts.append(_text(x, top + height + 14, label, "m dim"))
    for i, name in enumerate(names):
        parts.append(_text(left - 6, top + (i + 1) * row + 3.5, name, "r" if row > 12 else "r small"))
    lines = []
    for values in y:
        kept = _extremes(values, every)
        lines.append(f'<path d="{_relative(kept, values[kept])}"/>')
    parts.append(
        f'<svg class="trace c{colour % COLOURS}" x="{left}" y="{top}" width="{width}" height="{height}" '
        f'viewBox="0 0 {n_times} {height * UNITS}" preserveAspectRatio="none" '
        f'data-uv-per-unit="{uv_per_unit:.6g}">{"".join(lines)}</svg>'
    )
    return _picture(left + width + MARGIN, top + height + 20, f"Traces of {title}", parts)


def spectra(
    hz: Float[np.ndarray, " frequency"],
    groups: Sequence[tuple[str, int, Float[np.ndarray, "window frequency"]]],
    *,
    reference: Float[np.ndarray, " frequency"] | None = None,
    between_uv2: tuple[float, float] | None = None,
    width: int = WIDTH,
) -> str:
    """Power in µV²/Hz over frequency, both logarithmic: each group's median over windows in a band of its quartiles.

    A group is (name, colour, power of its windows). `hz` starts above 0. `reference` is drawn in grey; `between_uv2`
    are the ends of the power axis, so that pictures can share one.
    """
    left, top, right = 52, 12, 12
    height = 320 if width > 600 else 190
    low, high = between_uv2 or power_range([power for *_, power in groups])
    x = _log_scale(float(hz[0]), float(hz[-1]), left, width - right)
    y = _log_scale(low, high, top + height, top)
    parts = []
    for exponent in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        at = y(10.0**exponent)
        parts.append(f'<path class="grid" d="M{left} {_n(at)}H{width - right}"/>')
        parts.append(_text(left - 6, at + 4, f"{10.0**exponent:g}", "r dim"))
    for mark in (1, 2, 4, 8, 13, 20, 30, 50, 60, 100, 200, 400):
        if not hz[0] <= mark <= hz[-1]:
            continue
        at, mains = x(mark), mark in (50, 60)
        parts.append(f'<path class="{"mains" if mains else "grid"}" d="M{_n(at)} {top}V{top + height}"/>')
        if mark != 60 or width > 600:
            parts.append(_text(at, top + height + 15, f"{mark}", "m dim"))
    if hz[-1] >= 60 and width > 600:
        parts.append(_text((x(50) + x(60)) / 2, top + height + 29, "mains", "m dim small"))
    parts.append(_text(width - right, top + height + 31, "Hz", "r dim"))
    parts.append(_text(left + 6, top + 11, "µV²/Hz", "dim"))
    clipped = _clip(low, high)
    if reference is not None:
        parts.append(f'<g style="color:var(--dim)">{_curve(x, y, hz, clipped(reference), "1 0")}</g>')
    bands, lines = [], []
    for name, colour, power in groups:
        if not len(power):
            continue
        first, median, third = (clipped(np.quantile(power, q, axis=0)) for q in (0.25, 0.5, 0.75))
        around = [(x(f), y(v)) for f, v in zip(hz, third, strict=True)]
        around += [(x(f), y(v)) for f, v in zip(hz[::-1], first[::-1], strict=True)]
        points = " ".join(f"{_n(a)},{_n(b)}" for a, b in around)
        c = colour % COLOURS
        bands.append(f'<polygon class="band c{c}" points="{points}"/>')
        curve = _curve(x, y, hz, median, DASHES[colour % len(DASHES)] if len(groups) > 1 else "")
        lines.append(f'<g class="c{c}"><title>{escape(name)}</title>{curve}</g>')
    parts += bands + lines
    if len(groups) > 1:
        for i, (name, colour, power) in enumerate(groups):
            at = top + height - 18 * (len(groups) - i) + 4
            dash = DASHES[colour % len(DASHES)]
            parts.append(
                f'<path class="line c{colour % COLOURS}" stroke-dasharray="{dash}" d="M{left + 12} {at}h34"/>'
            )
            parts.append(_text(left + 54, at + 4, f"{name} ({_windows(len(power))})"))
    else:
        parts.append(_text(width - right - 4, top + 14, groups[0][0], "r head"))
        parts.append(_text(width - right - 4, top + 28, _windows(len(groups[0][2])), "r dim"))
    names = ", ".join(name for name, *_ in groups)
    return _picture(width, top + height + 36, f"Power spectrum: {names}", parts)


def power_range(powers: Sequence[np.ndarray]) -> tuple[float, float]:
    """Ends of a power axis for all quartiles, at most five decades: lower power is a filter's floor."""
    quartiles = np.concatenate([np.quantile(p, (0.25, 0.75), axis=0).ravel() for p in powers if len(p)])
    high = max(float(quartiles.max()), 1e-12) * 1.6
    return max(float(quartiles.min()) / 1.6, high * 1e-5), high


def montage_map(montage: Montage) -> str:
    """A montage from above, nose up, in the azimuthal equidistant projection; rows without a place are named below.

    A bipolar row is a line between its electrodes, with the row's number half way along it.
    """
    size, middle = 470, 235
    outline = 168.0
    sites, links, nowhere = _sites(montage)
    small = len(sites) > 40
    radius = 12 if small else 14
    ears = f"M{middle - outline} {middle + 4 - 24}q-14 -6 -13 24q-1 30 13 24"
    ears += f"M{middle + outline} {middle + 4 - 24}q14 -6 13 24q1 30 -13 24"
    nose = (
        f"M{middle - 20} {_n(middle - outline + 1.5)}L{middle} {_n(middle - outline - 20)}L{middle + 20} "
    )
    parts = [
        f'<circle class="axis" cx="{middle}" cy="{middle}" r="{outline:g}"/>',
        f'<path class="axis" d="{nose}{_n(middle - outline + 1.5)}"/>',
        f'<path class="axis" d="{ears}"/>',
        _text(12, middle - outline - 30, "left", "dim"),
        _text(size - 12, middle - outline - 30, "right", "r dim"),
    ]
    place = {
        name: (middle + outline * u, middle - outline * v)
        for name, (u, v) in zip(sites, from_above(np.array([*sites.values()]).reshape(-1, 3)), strict=True)
    }
    for _, anode, cathode in links:
        (x0, y0), (x1, y1) = place[anode], place[cathode]
        parts.append(f'<path class="pair" d="M{_n(x0)} {_n(y0)}L{_n(x1)} {_n(y1)}"/>')
    for name, (x, y) in place.items():
        parts.append(f'<circle class="disc" cx="{_n(x)}" cy="{_n(y)}" r="{radius}"/>')
        parts.append(_text(x, y + 3.2, name, "m small bare"))
    for number, anode, cathode in links:
        (x0, y0), (x1, y1) = place[anode], place[cathode]
        parts.append(_text((x0 + x1) / 2 + 8, (y0 + y1) / 2 + 3, str(number), "m dim small"))
    if nowhere:
        parts.append(_text(12, size - 8, f"no place on the scalp: {', '.join(nowhere)}", "dim"))
    return _picture(size, size, "The montage from above, nose up", parts)


def balance(
    classes: Sequence[str], counts: Mapping[str, Sequence[int]], subjects: Mapping[str, int]
) -> str:
    """Windows by class and split: a column per split, a bar per class with its count and its share of the split."""
    left = min(_gutter(classes, per_letter=7.2), 330)
    step, row, top = (WIDTH - left) / len(counts), 26, 44
    share = {split: [n / max(sum(ns), 1) for n in ns] for split, ns in counts.items()}
    longest = max(max(values) for values in share.values()) or 1.0
    parts = []
    for i, name in enumerate(classes):
        y = top + i * row
        parts.append(
            f'<rect class="fill c{i % COLOURS}" x="{left - 16}" y="{y + 5}" width="8" height="12"/>'
        )
        parts.append(_text(left - 22, y + 15, _short(name, 44), "r"))
    for j, (split, ns) in enumerate(counts.items()):
        x = left + j * step
        parts.append(_text(x, 14, split, "head"))
        people = f"{subjects[split]:,} subject{'s' * (subjects[split] != 1)}"
        parts.append(_text(x, 31, f"{_windows(sum(ns))}, {people}", "dim"))
        parts.append(f'<path class="axis" d="M{_n(x)} {top}v{row * len(classes)}"/>')
        for i, n in enumerate(ns):
            y, length = top + i * row, share[split][i] / longest * (step - 125)
            parts.append(
                f'<rect class="fill c{i % COLOURS}" x="{_n(x)}" y="{y + 3}" width="{_n(length)}" height="{row - 9}"/>'
            )
            text = f"{n:,}  ({100 * share[split][i]:.1f} %)" if n else "none"
            parts.append(_text(x + length + 6, y + 15, text))
    return _picture(WIDTH, top + row * len(classes) + 6, "Windows by class and split", parts)


def amplitudes(names: Sequence[str], uv: Float[np.ndarray, "window channel"]) -> str:
    """Amplitude of each channel over windows, in µV: the median, the middle half, and 5 to 95 % of windows."""
    width, row, top = 560, max(row_height(len(names)) - 2, 11), 8
    left = _gutter(names)
    q = np.maximum(np.quantile(uv, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0), 1e-3)
    low, high = float(q.min()) / 1.2, float(q.max()) * 1.2
    wanted = 10 / (high / low)  # the axis spans at least a decade, so that small differences look small
    low, high = (low / math.sqrt(wanted), high * math.sqrt(wanted)) if wanted > 1 else (low, high)
    x = _log_scale(low, high, left, width - 14)
    bottom = top + row * len(names)
    parts = []
    for mark in (m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)):
        if low <= mark <= high:
            parts.append(f'<path class="grid" d="M{_n(x(mark))} {top}V{bottom}"/>')
            parts.append(_text(x(mark), bottom + 14, f"{mark:g}", "m dim"))
    for i, name in enumerate(names):
        y, (a, b, c, d, e) = top + (i + 0.5) * row, (x(float(v)) for v in q[:, i])
        half = min(row / 2 - 2, 6)
        box = f'x="{_n(b)}" y="{_n(y - half)}" width="{_n(max(d - b, 1))}" height="{_n(2 * half)}"'
        parts.append(_text(left - 6, y + 3.5, name, "r" if row > 12 else "r small"))
        parts.append(f'<path class="axis" d="M{_n(a)} {_n(y)}H{_n(e)}"/>')
        parts.append(f'<rect class="fill c4" {box}/>')
        parts.append(f'<path class="bar" d="M{_n(c)} {_n(y - half)}v{_n(2 * half)}"/>')
    parts.append(_text(width - 14, bottom + 28, "median |µV|, log axis", "r dim"))
    return _picture(width, bottom + 34, "Amplitude of each channel", parts)


def _sites(
    montage: Montage,
) -> tuple[dict[str, np.ndarray], list[tuple[int, str, str]], list[str]]:
    """Electrodes with their places, bipolar rows as (row's number from 1, anode, cathode), and rows without a place."""
    sites: dict[str, np.ndarray] = {}
    links, nowhere = [], []
    for i, (name, place) in enumerate(zip(montage.names, montage.coords, strict=True)):
        ends = (place, place) if montage.ends is None else montage.ends[i]
        if not np.isfinite(ends).all():
            nowhere.append(name)
        elif np.array_equal(ends[0], ends[1]):
            sites[name] = ends[0]
        else:
            anode, cathode = name.split("-", 1)
            sites[anode], sites[cathode] = ends
            links.append((i + 1, anode, cathode))
    return sites, links, nowhere


def _scale_bar(x: float, y: float, length: float, uv: float) -> list[str]:
    label = f"{uv:g} µV" if uv < 1e4 else f"{uv:.0e} µV"
    return [
        f'<path class="bar" d="M{_n(x)} {_n(y)}v{_n(length)}"/>',
        _text(x - 6, y + 8, label, "r"),
    ]


def _extremes(values: Int[np.ndarray, " time"], every: int) -> Int[np.ndarray, " kept"]:
    """Positions of the lowest and highest of each `every` samples, and of both ends; all if `every` is 2 or less."""
    if every <= 2:
        return np.arange(len(values))
    whole = len(values) // every * every
    blocks = values[:whole].reshape(-1, every)
    start = np.arange(0, whole, every)
    kept = [start + blocks.argmin(axis=1), start + blocks.argmax(axis=1), np.arange(whole, len(values))]
    return np.unique(np.concatenate([*kept, [0, len(values) - 1]]))


def _relative(x: Int[np.ndarray, " point"], y: Int[np.ndarray, " point"]) -> str:
    """Integer points as an SVG path of differences, which is short, and exact at any length."""
    pairs = zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)
    steps = " ".join(f"{dx}{dy}" if dy < 0 else f"{dx} {dy}" for dx, dy in pairs)
    return f"M{x[0]} {y[0]}l{steps}"


def _curve(x, y, hz: np.ndarray, values: np.ndarray, dash: str) -> str:
    points = " ".join(f"{_n(x(f))},{_n(y(v))}" for f, v in zip(hz, values, strict=True))
    return f'<polyline class="line" stroke-dasharray="{dash}" points="{points}"/>'


def _clip(low: float, high: float):
    return lambda values: np.clip(values, low, high)


def _log_scale(low: float, high: float, start: float, stop: float):
    """Where a value stands on a logarithmic axis from `low` at `start` to `high` at `stop`."""
    first, last = math.log(low), math.log(high)
    return lambda value: start + (math.log(value) - first) / (last - first) * (stop - start)


def _gutter(names: Sequence[str], per_letter: float = 6.6) -> int:
    return round(22 + per_letter * max((len(name) for name in names), default=0))


def _short(text: str, n: int) -> str:
    return text if len(text) <= n else text[: n - 1] + "…"


def _windows(n: int) -> str:
    return f"{n:,} window{'s' * (n != 1)}"


def _n(value: float) -> str:
    """A coordinate, rounded to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, classes: str = "") -> str:
    chosen = f' class="{classes}"' if classes else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{chosen}>{escape(text)}</text>'


def _picture(width: float, height: float, about: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" style="max-width:{_n(width)}px" role="img" '
        f'aria-label="{escape(about)}">{"".join(parts)}</svg>'
    )
