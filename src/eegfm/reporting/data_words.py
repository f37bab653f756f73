"""The words and numbers on a data set's page: marks, counts, subjects, channels, and the source of the data."""

import sys
from collections.abc import Iterable
from dataclasses import fields
from html import escape
from typing import Any

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.module import EEGDataModule
from eegfm.data.store import SampleStore
from eegfm.drawing.html import (
    linked,
    marked_up,
    note,
    paragraph,
    prose,
    table,
)
from eegfm.reporting.data_measured import Measured
from eegfm.runs.reservations import leak_of_protocol, reservations


def marks_of(benchmark: BenchmarkSpec, facts: BenchmarkFacts) -> list[str]:
    """The reservations about the data, as sentences; "complete" first if no recording is missing."""
    leak = [leak_of_protocol(benchmark.subject_leak)] if benchmark.subject_leak else []
    return ["complete"] * facts.complete + [one.sentence for one in (*reservations(facts), *leak)]


def lead(data: EEGDataModule, facts: BenchmarkFacts) -> str:
    """The first paragraph: windows, channels, subjects, classes, protocol and store."""
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


def numbers(
    data: EEGDataModule, store: SampleStore, facts: BenchmarkFacts, measured: Measured
) -> Iterable[str]:
    """The section of numbers: steps, counts, recordings that are missing, subjects, channels."""
    benchmark, manifest = data.benchmark, store.manifest
    yield "<h3>Steps from the files to the store</h3>" + _steps(data)
    if facts.imported:
        yield paragraph(
            "These are the steps of the protocol. The store was imported, so that no step was run here."
        )
    yield "<h3>Windows</h3>" + _census(benchmark, facts)
    for difference in facts.census_differences:
        yield f"<p>Differs from the census: {escape(difference)}.</p>"
    yield f"<p>Overlap of the splits: {escape(facts.leakage.sentence())}.</p>"
    if benchmark.split_rule:
        yield f"<p>Rule of the splits: {escape(benchmark.split_rule)}.</p>"
    for what, names in (
        ("missing", facts.missing),
        ("unusable", [f"{row['recording']}: {row['reason']}" for row in facts.unusable]),
        (
            "left out",
            [f"{row['recording']}: {row['reason']}" for row in manifest.left_out],
        ),
    ):
        if names:
            items = "".join(f"<li>{escape(name)}</li>" for name in names)
            yield f"<details><summary>{len(names):,} recordings {what}</summary><ul>{items}</ul></details>"
    yield _subjects(data, facts)
    yield _channels(benchmark, measured)
    made_with = ", ".join(f"{name} {number}" for name, number in manifest.prepared_with.items())
    yield (
        f"<p>Store <code>{escape(str(store.folder))}</code>: {len(store):,} windows of {len(manifest.recordings):,} "
        f"recordings, float32 microvolts. Prepared with {escape(made_with)}.</p>"
    )


def _steps(data: EEGDataModule) -> str:
    steps = data.benchmark.steps if data.steps is None else data.steps
    if not steps:
        return "<p>None: the recordings were only cut into windows.</p>"
    items = []
    for step in steps:
        values = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]  # steps are dataclasses
        settings = ", ".join(f"{name} = {_plain(value)}" for name, value in values.items())
        meaning = (type(step).__doc__ or "").strip().partition("\n")[0]
        items.append(
            f"<li><b>{escape(type(step).__name__)}</b>{': ' if settings else ''}{escape(settings)}"
            f"<br>{marked_up(meaning)}</li>"
        )
    return f"<ol>{''.join(items)}</ol>"


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_plain, value))
    return "open" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _census(benchmark: BenchmarkSpec, facts: BenchmarkFacts) -> str:
    census, counted = benchmark.census, facts.census
    lines = []
    for i, name in enumerate(benchmark.kinds):
        whole = {split: counts[i] for split, counts in (census.per_class or {}).items()}
        lines.append(
            [name, *(_of(counted[split][i], whole.get(split), sum(counted[split])) for split in SPLITS)]
        )
    whole = census.per_split or {}
    lines.append(["all", *(_of(sum(counted[split]), whole.get(split)) for split in SPLITS)])
    lines.append(["subjects", *(f"{len(facts.subjects[split]):,}" for split in SPLITS)])
    expected = census.per_class or census.per_split
    said = f"“of”: the number in the complete corpus ({census.source}). " if expected else ""
    return table(["class", *SPLITS], lines) + note(
        escape(said) + "The labels and counts include the test split."
    )


def _of(n: int, whole: int | None, n_split: int | None = None) -> str:
    """A count, the count in the complete corpus, and its share of the split."""
    share = "" if n_split is None else f" ({100 * n / max(n_split, 1):.1f} %)"
    return f"{n:,}{'' if whole is None else f' of {whole:,}'}{share}"


def _subjects(data: EEGDataModule, facts: BenchmarkFacts) -> str:
    index, n_classes = data.index, len(data.benchmark.kinds)
    parts = []
    for split in SPLITS:
        rows = index.rows(split)
        names, position = np.unique(index.subject[rows], return_inverse=True)
        counts = np.bincount(position * n_classes + index.label[rows], minlength=len(names) * n_classes)
        subjects = [
            f"{escape(str(name))}&nbsp;({'/'.join(map(str, ns))})"
            for name, ns in zip(names, counts.reshape(-1, n_classes).tolist(), strict=True)
        ]
        parts.append(f"<h4>{split}: {len(names):,}</h4><p>{', '.join(subjects) or 'none'}</p>")
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
    half = "A bipolar row lies half way between its two electrodes. " if montage.ends is not None else ""
    return (
        f"<details><summary>The {len(lines)} channels: places and amplitudes</summary>"
        + note(
            "Places are in MNE's head frame, whose origin lies between the ears. "
            + half
            + "Offset: the typical distance of a window's median from zero."
        )
        + table(head, lines, numbers_from=2)
        + "</details>"
    )


def notes(benchmark: BenchmarkSpec) -> str:
    """The docstring of the benchmark's module, which says what is known about the data."""
    find_sources: Any = benchmark.sources
    # a partial has its function in .func
    module = sys.modules.get(getattr(find_sources, "func", find_sources).__module__)
    text = module.__doc__ if module is not None else None
    return (
        f'<div class="box">{prose(text)}</div>'
        if text
        else "<p>The module of this benchmark has no docstring.</p>"
    )


def origin(benchmark: BenchmarkSpec) -> str:
    """A table of the corpus, its licence and access, what to cite, and the protocol."""
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
