"""A page about a data set, which a person should look at before trusting it: pictures first, numbers second.

The page is one HTML file with its pictures as SVG inside; it fetches nothing and runs no script. The same store, seed
and number of windows give the same bytes. Traces, spectra and amplitudes come from the training split alone: whoever
looks at the test subjects begins to choose on them.
"""

from collections.abc import Iterable
from html import escape

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.module import EEGDataModule
from eegfm.drawing import svg as drawing_svg
from eegfm.drawing.html import (
    COLOURS,
    LIGHT_AND_DARK,
    PICTURES,
    document,
    note,
    paragraph,
)
from eegfm.reporting.data_measured import Measured, measure, segment_of
from eegfm.reporting.data_words import lead, marks_of, notes, numbers, origin
from eegfm.signal.quality import HIGH_UV, LOW_UV

POINTS = 650_000  # in all traces together; more points are thinned, so that the page stays below 3 MB
ACROSS, GAP = 1120, 16  # the width of the page, and the gap between two pictures of a row, in pixels

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


def page(data: EEGDataModule, *, windows: int = 3, seed: int = 0) -> str:
    """The HTML page of an opened data module without an encoder, with `windows` of each class drawn by `seed`.

    Raises:
        EegfmError: the training split is empty.
    """
    store, benchmark, facts = data.open(), data.benchmark, data.provenance()
    if not len(data.index.rows("train")):
        first = (
            ""
            if benchmark.splits is None
            else f" The first training subject of the protocol is {benchmark.splits['train'][0]}."
        )
        raise EegfmError(
            f"{benchmark.title}: the training split of {store.folder} is empty, and the page draws from no other split."
            f"{first} Add recordings, and type: eegfm prepare data={benchmark.name}"
        )
    measured = measure(data, seed)
    marks = marks_of(benchmark, facts)
    length = "" if facts.window_s is None else f" data.window_s={facts.window_s:g}"
    title = f"{escape(facts.title)}" + "".join(
        f'<span class="mark{" good" if mark == "complete" else ""}">{escape(mark)}</span>' for mark in marks
    )
    body = [
        f"<h1>{title}</h1>",
        lead(data, facts),
        "<h2>Classes and splits</h2>",
        paragraph(
            "Good: the splits look alike, and every split has every class. The longest bar is the accuracy of a model "
            "that always guesses that class."
        ),
        _balance(data, facts),
        "<h2>Windows</h2>",
        *_traces(data, measured, windows),
        "<h2>Spectrum of each class</h2>",
        paragraph(
            "Good: the line falls smoothly to the right, often with a hill near 10 Hz. It has steep edges only where a "
            "step below filters, or where the corpus was filtered before. There is no needle at 50 or 60 Hz. Classes "
            "that lie apart equally at all frequencies, or above 30 Hz, differ in muscle, electrodes or amplifier "
            "rather than in the brain."
        ),
        _spectra(benchmark, measured),
        note(
            f"Welch's method, segments of {segment_of(benchmark) / benchmark.sfreq:g} s. Each window counts as its "
            "median over channels, so one bad channel does not show here (look at its amplitude below). Line: median "
            "over training windows. Band: their quartiles."
        ),
        "<h2>Channels</h2>",
        paragraph(
            "Good: odd numbers are on the left, the nose is up. Neighbours have similar amplitudes, and all amplitudes "
            "lie within a factor of about five. "
            f"Scalp EEG lies between {LOW_UV:g} and {HIGH_UV:g} µV, mostly at 3 to 30. "
            "A row far to the left is dead or bridged; a row far to the right is a loose electrode or in another unit."
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
            + "Amplitude of a training window: the median distance from the channel's own median. Thick line: the "
            "median window; box: the middle half of the windows; thin line: 5 to 95 % of the windows."
        ),
        "<h2>Numbers</h2>",
        *numbers(data, store, facts, measured),
        "<h2>What is known about the data</h2>",
        notes(benchmark),
        "<h2>Where the data are from</h2>",
        origin(benchmark),
        note(
            f"Made by <code>eegfm inspect data={escape(benchmark.name)} windows={windows} seed={seed}{length}</code> "
            f"from the store <code>{escape(str(store.folder))}</code>."
        ),
    ]
    return document(", ".join([facts.title, *marks]), PICTURES + STYLE, body, head=LIGHT_AND_DARK)


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
        f" The traces show the lowest and the highest of every {every} samples ({1000 * every / benchmark.sfreq:g} ms)."
        if every > 2
        else ""
    )
    yield paragraph(
        "Good: waves of some tens of microvolts that differ from row to row. Slow hills in the frontal rows are "
        "blinks. Not good: a flat row, two equal rows, a row that drowns its neighbours, mains hum, a step, or "
        "anything by which you tell the classes apart at first sight."
    )
    yield note(
        "These windows were drawn by chance from the training split alone, so that nobody chooses on validation or "
        f"test subjects. All rows have one scale, {row_uv:g} µV from row to row, positive is up, and each row is "
        "centred on its median. Seconds count from the start of the window; the title says where the window begins "
        f"in its recording.{thinned}"
    )
    wide = drawing_svg.traces_width(benchmark.channels, benchmark.window_s)
    across = max(1, min((ACROSS + GAP) // wide, windows))
    wide = min((ACROSS - GAP * (across - 1)) // across, round(1.6 * wide))
    for label, (name, rows) in enumerate(zip(benchmark.kinds, shown, strict=True)):
        yield f'<h3><span class="swatch c{label % COLOURS}"></span>{escape(name)}</h3>'
        if not len(rows):
            yield "<p>The training split has no window of this class.</p>"
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
    """The smallest 1, 2 or 5 times a power of ten that is not below the value."""
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
    # every class has the same weight, however many windows it has
    middle = np.median([np.median(power, axis=0) for *_, power in groups], axis=0)
    each = [
        drawing_svg.spectra(measured.hz, [group], reference=middle, between_uv2=between, width=360)
        for group in groups
    ]
    return f'<div class="row" style="grid-template-columns: repeat(3, 1fr)">{"".join(each)}</div>' + note(
        "Grey: the median over classes, the same in every picture."
    )
