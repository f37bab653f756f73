"""A page about a data set, for a person to look at before trusting it: pictures first, numbers second.

One HTML file that needs nothing else: its pictures are SVG inside it, nothing is fetched and nothing runs. The same
store, seed and number of windows give the same bytes. Windows are drawn, and spectra and amplitudes measured, on the
training split alone: who has looked at the test subjects has begun to choose on them.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.signal import welch

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.module import EEGDataModule
from eegfm.data.store import SampleStore
from eegfm.drawing import svg as drawing_svg
from eegfm.drawing.html import (
    COLOURS,
    LIGHT_AND_DARK,
    PICTURES,
    document,
    linked,
    marked_up,
    note,
    paragraph,
    prose,
    table,
)
from eegfm.runs.sentences import reservations
from eegfm.signal.quality import HIGH_UV, LOW_UV

MEASURED = 200  # training windows a class for spectra and amplitudes: quartiles no longer move much
AT_A_TIME = 32  # windows in memory
SEGMENT_S = 2.0  # Welch: half a hertz of resolution, where a window is that long
POINTS = 650_000  # in all traces together; beyond it they are thinned, so that the page stays below 3 MB
ACROSS, GAP = 1120, 16  # pixels of the page, and between two pictures of a row

STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1168px; padding: 20px 24px 60px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; } h2 { font-size: 19px; margin: 40px 0 4px; }
h3 { font-size: 15px; margin: 22px 0 6px; } h4 { font-size: 14px; margin: 14px 0 4px; }
p { margin: 4px 0 10px; max-width: 56em; } a { color: var(--c0); }
.mark { display: inline-block; font-size: 14px; font-weight: 600; padding: 1px 9px; margin-left: 8px;
  border: 1.5px solid var(--warn); border-radius: 4px; color: var(--warn); vertical-align: 3px; }
.mark.good { border-color: var(--c2); color: var(--c2); }
.lead { font-size: 16px; } .note { color: var(--dim); }
.row { display: grid; gap: 14px 16px; align-items: start; }
.swatch { display: inline-block; width: 10px; height: 14px; margin-right: 8px; vertical-align: -2px;
  background: currentColor; }
table { border-collapse: collapse; font-size: 13.5px; margin: 6px 0 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 14px 2px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--faint); }
th { font-weight: 600; white-space: nowrap; } td.n, th.n { text-align: right; }
details { margin: 6px 0; } summary { cursor: pointer; }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.box { background: var(--wash); padding: 10px 18px; border-radius: 6px; } .box p, .box li { max-width: 62em; }
@media print { h2 { break-after: avoid; } svg { break-inside: avoid; } }
"""


@dataclass(frozen=True, eq=False)
class Measured:
    """What is drawn: training rows by class, the first of which are shown as traces, and what was measured on them.

    `power` is, by class, each window's median over channels of its Welch spectrum in µV²/Hz. `spread_uv` is the median
    distance of a channel from its own median, `offset_uv` that median.
    """

    rows: list[np.ndarray]
    hz: Float[np.ndarray, " frequency"]
    power: list[Float[np.ndarray, "window frequency"]]
    spread_uv: Float[np.ndarray, "window channel"]
    offset_uv: Float[np.ndarray, "window channel"]


def page(data: EEGDataModule, *, windows: int = 3, seed: int = 0) -> str:
    """The page of an opened data module without an encoder, as HTML; `windows` of each class are drawn, by `seed`.

    Raises:
        EegfmError: the training split is empty.
    """
    store, benchmark, facts = data.open(), data.benchmark, data.provenance()
    if not len(data.index.rows("train")):
        first = (
            "" if benchmark.splits is None else f" Its subjects begin with {benchmark.splits['train'][0]}."
        )
        raise EegfmError(
            f"{benchmark.title}: the training split of {store.folder} is empty, and nothing is drawn from the others."
            f"{first} Add recordings and prepare again."
        )
    measured = measure(data, seed)
    marks = _marks(benchmark, facts)
    length = "" if facts.window_s is None else f" data.window_s={facts.window_s:g}"
    title = f"{escape(facts.title)}" + "".join(
        f'<span class="mark{" good" if mark == "complete" else ""}">{escape(mark)}</span>' for mark in marks
    )
    body = [
        f"<h1>{title}</h1>",
        _lead(data, facts),
        "<h2>Classes and splits</h2>",
        paragraph(
            "Good: the splits look alike, and no class is missing from one. The longest bar is what always guessing "
            "that class would get right."
        ),
        _balance(data, facts),
        "<h2>Windows</h2>",
        *_traces(data, measured, windows),
        "<h2>Spectrum of each class</h2>",
        paragraph(
            "Good: falls smoothly to the right, often with a hill near 10 Hz; steep edges only where the steps below "
            "filter, or the corpus was filtered before; no needle at 50 or 60 Hz. Classes that lie apart at all "
            "frequencies alike, or above 30 Hz, differ in muscle, electrodes or amplifier rather than in the brain."
        ),
        _spectra(benchmark, measured),
        note(
            f"Welch, segments of {_segment(benchmark) / benchmark.sfreq:g} s; each window's median over channels, so "
            "one bad channel does not show here (look at its amplitude below). Line: median over training windows. "
            "Band: their quartiles."
        ),
        "<h2>Channels</h2>",
        paragraph(
            "Good: left is left (odd numbers), the nose is up. Amplitudes of neighbours are alike, all within a factor "
            f"of about five. Scalp EEG lies between {LOW_UV:g} and {HIGH_UV:g} µV, mostly at 3 to 30. A row far to the "
            "left is dead or bridged, far to the right a loose electrode or another unit."
        ),
        '<div class="row" style="grid-template-columns: 470fr 560fr">',
        drawing_svg.montage_map(benchmark.montage),
        drawing_svg.amplitudes(benchmark.channels, measured.spread_uv),
        "</div>",
        note(
            "Map: azimuthal projection of the electrodes of the 10-05 template"
            + (
                ", a line for each bipolar row, with its number. "
                if benchmark.montage.ends is not None
                else ". "
            )
            + "Amplitude: of each training window the median distance from the channel's own median; thick line: the "
            "median window, box: the middle half of the windows, thin line: 5 to 95 % of them."
        ),
        "<h2>Numbers</h2>",
        *_numbers(data, store, facts, measured),
        "<h2>What is known about it</h2>",
        _known(benchmark),
        "<h2>Where it is from</h2>",
        _origin(benchmark),
        note(
            f"Made by <code>eegfm inspect data={escape(benchmark.name)} windows={windows} seed={seed}{length}</code> "
            f"from the store <code>{escape(str(store.folder))}</code>."
        ),
    ]
    said = ", ".join([facts.title, *marks])
    return document(said, PICTURES + STYLE, body, head=LIGHT_AND_DARK)


def measure(data: EEGDataModule, seed: int) -> Measured:
    """Draw training windows of every class by a seed, and measure them."""
    store, benchmark = data.open(), data.benchmark
    train = data.index.rows("train")
    rows = [
        np.random.default_rng([seed, label]).permutation(train[data.index.label[train] == label])[:MEASURED]
        for label in range(len(benchmark.kinds))
    ]
    hz = frequencies(benchmark.sfreq, _segment(benchmark))
    power, spread, offset = [], [], []
    for chosen in rows:
        found = [np.empty((0, len(hz)))]
        for start in range(0, len(chosen), AT_A_TIME):
            x = store.read(chosen[start : start + AT_A_TIME]).astype(np.float64)
            found.append(np.median(spectrum(x, benchmark.sfreq, _segment(benchmark)), axis=1))
            centre = np.median(x, axis=-1, keepdims=True)
            spread.append(np.median(np.abs(x - centre), axis=-1))
            offset.append(centre[..., 0])
        power.append(np.concatenate(found))
    return Measured(rows, hz, power, np.concatenate(spread), np.concatenate(offset))


def frequencies(sfreq: float, segment: int) -> Float[np.ndarray, " frequency"]:
    """Frequencies of `spectrum` in Hz: between 0, where the mean was, and half the rate, where power counts half."""
    return np.fft.rfftfreq(segment, 1 / sfreq)[1 : (segment + 1) // 2]


def spectrum(
    x: Float[np.ndarray, "window channel time"], sfreq: float, segment: int
) -> Float[np.ndarray, "window channel frequency"]:
    """Power spectral density in µV²/Hz by Welch's method: Hann, segments that overlap by half."""
    power = welch(x, sfreq, nperseg=segment, detrend="constant", axis=-1)[1]
    return power[..., 1 : (segment + 1) // 2]


def _segment(benchmark: BenchmarkSpec) -> int:
    return min(benchmark.n_times, round(SEGMENT_S * benchmark.sfreq))


# ---- pictures --------------------------------------------------------------------------------------------------------


def _balance(data: EEGDataModule, facts: BenchmarkFacts) -> str:
    n_subjects = {split: len(ids) for split, ids in facts.subjects.items()}
    return drawing_svg.balance(data.benchmark.kinds, facts.census, n_subjects)


def _traces(data: EEGDataModule, measured: Measured, windows: int) -> Iterable[str]:
    benchmark, index, store = data.benchmark, data.index, data.open()
    n_channels, n_times = store.shape
    shown = [rows[:windows] for rows in measured.rows]
    every = 1
    while sum(map(len, shown)) * n_channels * n_times * (min(1.0, 2 / every)) > POINTS:
        every += 1
    row_uv = nice(6 * float(np.median(measured.spread_uv)))
    thinned = (
        f" Of every {every} samples ({1000 * every / benchmark.sfreq:g} ms) the lowest and the highest are drawn."
        if every > 2
        else ""
    )
    yield paragraph(
        "Good: waves of some tens of microvolts that differ from row to row. Slow hills in the frontal rows are "
        "blinks. Not good: a flat row, two rows that are copies, a row that drowns its neighbours, a comb of the "
        "mains, a step, or anything by which an eye tells the classes apart at once."
    )
    yield note(
        "Drawn by chance from the training split alone: nothing is looked at, and so nothing chosen, on validation or "
        f"test subjects. All rows are on one scale, {row_uv:g} µV from row to row, positive up, each about its own "
        f"median; the seconds are the window's, the title says where it begins in its recording.{thinned}"
    )
    wide = drawing_svg.traces_width(benchmark.channels, benchmark.window_s)
    across = max(1, min((ACROSS + GAP) // wide, windows))
    wide = min((ACROSS - GAP * (across - 1)) // across, round(1.6 * wide))
    for label, (name, rows) in enumerate(zip(benchmark.kinds, shown, strict=True)):
        yield f'<h3><span class="swatch c{label % COLOURS}"></span>{escape(name)}</h3>'
        if not len(rows):
            yield "<p>No window in the training split.</p>"
            continue
        yield f'<div class="row" style="grid-template-columns: repeat({across}, 1fr)">'
        for row, window in zip(rows.tolist(), store.read(rows).astype(np.float64), strict=True):
            yield drawing_svg.traces(
                window,
                names=benchmark.channels,
                sfreq=benchmark.sfreq,
                row_uv=row_uv,
                title=index.key(row),
                width=wide,
                colour=label,
                every=every,
            )
        yield "</div>"


def nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten that is not below the value."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9)))


def _spectra(benchmark: BenchmarkSpec, measured: Measured) -> str:
    groups = [
        (name, label, measured.power[label])
        for label, name in enumerate(benchmark.kinds)
        if len(measured.power[label])
    ]
    if len(groups) <= 4:
        return drawing_svg.spectra(measured.hz, groups)
    between = drawing_svg.power_range([power for *_, power in groups])
    # every class counts alike, however many windows it has
    middle = np.median([np.median(power, axis=0) for *_, power in groups], axis=0)
    each = [
        drawing_svg.spectra(measured.hz, [group], reference=middle, between_uv2=between, width=360)
        for group in groups
    ]
    return f'<div class="row" style="grid-template-columns: repeat(3, 1fr)">{"".join(each)}</div>' + note(
        "Grey: the median over classes, the same in every picture."
    )


# ---- words and numbers -----------------------------------------------------------------------------------------------


def _marks(benchmark: BenchmarkSpec, facts: BenchmarkFacts) -> list[str]:
    """What must be known before anything is looked at; "complete" where every recording is there."""
    known = reservations(facts)
    leak = [f"LEAK OF THE PROTOCOL: {benchmark.subject_leak}"] if benchmark.subject_leak else []
    return ["complete"] * facts.complete + [one.sentence for one in known] + leak


def _lead(data: EEGDataModule, facts: BenchmarkFacts) -> str:
    benchmark = data.benchmark
    n_windows = sum(sum(counts) for counts in facts.census.values())
    n_subjects = facts.n_subjects
    labels = f"{len(benchmark.classes)} classes" if benchmark.classes else "no labels"
    people = ("simulated " if facts.simulated else "") + ("subject" if n_subjects == 1 else "subjects")
    choices = "".join(f", {escape(k)}={escape(str(v))}" for k, v in benchmark.choices.items())
    return (
        f'<p class="lead">{n_windows:,} windows of {benchmark.window_s:g} s, {len(benchmark.channels)} channels at '
        f"{benchmark.sfreq:g} Hz, {n_subjects:,} {people}, {labels}. "
        f"Protocol <code>{escape(facts.protocol)}</code>{choices}, store "
        f"<code>{escape(facts.fingerprint)}</code>.</p>"
    )


def _numbers(
    data: EEGDataModule, store: SampleStore, facts: BenchmarkFacts, measured: Measured
) -> Iterable[str]:
    benchmark, manifest = data.benchmark, store.manifest
    yield "<h3>Steps from the files to the store</h3>" + _steps(data)
    if facts.imported:
        yield paragraph("These are the protocol's; the store was imported, and no step was run here.")
    yield "<h3>Windows</h3>" + _census(benchmark, facts)
    for difference in facts.census_differences:
        yield f"<p>Differs from the census: {escape(difference)}.</p>"
    yield f"<p>What splits have in common: {escape(facts.leakage.sentence())}.</p>"
    if benchmark.split_rule:
        yield f"<p>How they are divided: {escape(benchmark.split_rule)}.</p>"
    for what, names in (
        ("missing", facts.missing),
        ("unusable", [f"{one['recording']}: {one['reason']}" for one in facts.unusable]),
        (
            "left out",
            [f"{one['recording']}: {one['reason']}" for one in manifest.get("left_out", [])],
        ),
    ):
        if names:
            items = "".join(f"<li>{escape(name)}</li>" for name in names)
            yield f"<details><summary>{len(names):,} recordings {what}</summary><ul>{items}</ul></details>"
    yield _subjects(data, facts)
    yield _channels(benchmark, measured)
    made_with = ", ".join(f"{name} {number}" for name, number in manifest.get("prepared_with", {}).items())
    yield (
        f"<p>Store <code>{escape(str(store.folder))}</code>: {len(store):,} windows of {len(manifest['recordings']):,} "
        f"recordings, float32 microvolts. Prepared with {escape(made_with)}.</p>"
    )


def _steps(data: EEGDataModule) -> str:
    steps = data.benchmark.steps if data.steps is None else data.steps
    if not steps:
        return "<p>None: recordings are cut into windows as they are.</p>"
    items = []
    for step in steps:
        values = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]  # steps are dataclasses
        said = ", ".join(f"{name} = {_plain(value)}" for name, value in values.items())
        what = (type(step).__doc__ or "").strip().partition("\n")[0]
        items.append(
            f"<li><b>{escape(type(step).__name__)}</b>{': ' if said else ''}{escape(said)}<br>{marked_up(what)}</li>"
        )
    return f"<ol>{''.join(items)}</ol>"


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_plain, value))
    return "open" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _census(benchmark: BenchmarkSpec, facts: BenchmarkFacts) -> str:
    census, found = benchmark.census, facts.census
    lines = []
    for i, name in enumerate(benchmark.kinds):
        whole = {split: counts[i] for split, counts in (census.per_class or {}).items()}
        lines.append(
            [name, *(_of(found[split][i], whole.get(split), sum(found[split])) for split in SPLITS)]
        )
    whole = census.per_split or {}
    lines.append(["all", *(_of(sum(found[split]), whole.get(split)) for split in SPLITS)])
    lines.append(["subjects", *(f"{len(facts.subjects[split]):,}" for split in SPLITS)])
    known = census.per_class or census.per_split
    said = f"“of”: what the complete corpus gives ({census.source}). " if known else ""
    return table(["class", *SPLITS], lines) + note(
        escape(said) + "Labels and counts are those of all splits, the test split's among them."
    )


def _of(n: int, whole: int | None, n_split: int | None = None) -> str:
    """A count, what it must be, and its share of the split."""
    share = "" if n_split is None else f" ({100 * n / max(n_split, 1):.1f} %)"
    return f"{n:,}{'' if whole is None else f' of {whole:,}'}{share}"


def _subjects(data: EEGDataModule, facts: BenchmarkFacts) -> str:
    index, n_classes = data.index, len(data.benchmark.kinds)
    parts = []
    for split in SPLITS:
        rows = index.rows(split)
        names, position = np.unique(index.subject[rows], return_inverse=True)
        counts = np.bincount(position * n_classes + index.label[rows], minlength=len(names) * n_classes)
        said = [
            f"{escape(str(name))}&nbsp;({'/'.join(map(str, ns))})"
            for name, ns in zip(names, counts.reshape(-1, n_classes).tolist(), strict=True)
        ]
        parts.append(f"<h4>{split}: {len(names):,}</h4><p>{', '.join(said) or 'none'}</p>")
    order = " / ".join(data.benchmark.kinds)
    return (
        "<details><summary>Subjects of each split, with their windows by class</summary>"
        + note(f"In brackets: {escape(order)}.")
        + "".join(parts)
        + "</details>"
    )


def _channels(benchmark: BenchmarkSpec, measured: Measured) -> str:
    montage = benchmark.montage
    lines = []
    for i, name in enumerate(montage.names):
        place = montage.coords[i]
        where = [f"{1000 * v:.0f}" for v in place] if np.isfinite(place).all() else ["–"] * 3
        spread, offset = measured.spread_uv[:, i], measured.offset_uv[:, i]
        lines.append(
            [str(i + 1), name, *where, f"{np.median(spread):.1f}", f"{np.median(np.abs(offset)):.1f}"]
        )
    head = ["row", "channel", "right mm", "nose mm", "up mm", "median |µV|", "offset µV"]
    half = "Half way between its two electrodes for a bipolar row. " if montage.ends is not None else ""
    return (
        f"<details><summary>The {len(lines)} channels: places and amplitudes</summary>"
        + note(
            "Places are in MNE's head frame, whose origin lies between the ears. "
            + half
            + "Offset: how far the median of a window lies from zero, typically."
        )
        + table(head, lines, numbers_from=2)
        + "</details>"
    )


def _known(benchmark: BenchmarkSpec) -> str:
    made_by: Any = benchmark.sources
    module = sys.modules.get(
        getattr(made_by, "func", made_by).__module__
    )  # a partial has its function in .func
    text = module.__doc__ if module is not None else None
    return f'<div class="box">{prose(text)}</div>' if text else "<p>Nothing is written down.</p>"


def _origin(benchmark: BenchmarkSpec) -> str:
    rows = [
        ("corpus", linked(benchmark.corpus)),
        ("licence", escape(benchmark.licence)),
        ("how to get it", escape(benchmark.access)),
        ("cite", escape(benchmark.citation)),
        ("protocol", escape(benchmark.protocol)),
    ]
    return (
        "<table>" + "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in rows) + "</table>"
    )
