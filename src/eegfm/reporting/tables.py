"""The tables of a report: on the screen, in Markdown, LaTeX and HTML."""

import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from eegfm.drawing import sheet as drawing_sheet
from eegfm.drawing.html import document, picture
from eegfm.drawing.sheet import Sheet, grid, note, raised
from eegfm.reporting.against import Row
from eegfm.reporting.contests import Contest
from eegfm.reporting.groups import Group
from eegfm.reporting.published import Reference, protocols, published
from eegfm.reporting.remarks import controls, incomparable, marks, places, remarks
from eegfm.reporting.run_folders import Problem
from eegfm.reporting.scores import LEGEND, NONE, difference, interval, score, spread
from eegfm.tasks.metric_names import PUBLISHED, in_order, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console


UNDEFINED = f"{NONE}: not defined, as the subject's windows are of one class"


@dataclass
class More:
    """What a report shows beside its scores: tables and figures that were asked for, and a sentence."""

    contests: "list[Contest]" = field(default_factory=list)
    against: "list[Row]" = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    figures: "dict[str, Figure]" = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


@dataclass
class Table:
    """One benchmark: our groups, then what is published. `sources` are the footnotes, numbered from 1."""

    title: str
    groups: list[Group]
    metrics: list[str]
    published: dict[str, dict[str, Reference]]
    sources: list[str]

    def cite(self, reference: Reference) -> str:
        return f"{reference}{raised(self.sources.index(reference.source) + 1)}"


def tables(groups: Sequence[Group]) -> list[Table]:
    """A table a benchmark and protocol, with every metric of its runs; others for what gives windows back."""
    references = published()
    found = []
    for key in sorted({_table_of(group) for group in groups}):
        data, protocol, kind = key
        members = [g for g in groups if _table_of(g) == key]
        present = {
            metric for group in members for run in group.runs for metric in run.result.metrics["test"]
        }
        beside: dict[str, dict[str, Reference]] = {}
        for reference in references:
            if reference.headline and reference.data == data and not kind:
                other = reference.protocol not in (protocol.split("@")[0], next(iter(protocols())))
                name = reference.title + f", protocol {reference.protocol}" * other
                beside.setdefault(name, {}).setdefault(reference.metric, reference)
        used = [r for g in members for r in g.references.values()] + [
            r for row in beside.values() for r in row.values()
        ]
        cited = {reference.source for reference in used}
        found.append(
            Table(
                title=f"{members[0].first.benchmark.title} (data={data}), protocol {protocol}"
                + f", {kind}" * bool(kind),
                groups=members,
                # of a mix, the whole's alone; a run's result has those of each corpus
                metrics=in_order(present),
                published=beside,
                sources=[s for s in dict.fromkeys(r.source for r in references) if s in cited],
            )
        )
    return found


def _table_of(group: Group) -> tuple[str, str, str]:
    """Benchmark, protocol, and what is done with windows there, if they are not classified."""
    kind = ""
    if not group.first.classifies:
        kind = "forecast" if "persistence_rmse_uv" in group.first.metrics["test"] else "reconstruction"
    return group.first.data, group.first.benchmark.protocol, kind


def about(group: Group) -> list[str]:
    """Seeds, subjects and size of a group, for people."""
    seeds = [str(run.result.seed) for run in group.runs]
    subjects = len(group.first.by_subject.get("test", {}))
    commits = {(run.result.git.get("commit"), run.result.git.get("dirty")) for run in group.runs}
    found = [
        f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'} ({', '.join(seeds)})",
        f"{subjects} test {'subject' if subjects == 1 else 'subjects'}",
        f"{group.first.parameters['trainable']:,} trainable",
    ]
    if len(commits) > 1:
        found.append("runs of different code: see git_commit in --csv")
    return found


def show(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, more: More | None = None
) -> None:
    """Print everything to the terminal."""
    from rich.console import Console

    # piped, a table takes the room that it needs: 80 columns would fold its numbers
    console = Console(
        highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    )
    for table in tables(groups):
        _show_table(console, table)
        if by_subject:
            for group in table.groups:
                drawing_sheet.show(console, _subject_sheet(group))
    for sheet in more.sheets if more else []:
        drawing_sheet.show(console, sheet)
    for sentence in more.said if more else []:
        note(console, sentence)
    if problems:
        console.print("[bold]Without a number here[/]")
        for problem in problems:
            console.print(
                f"  {problem.folder.as_posix()}\n    {problem.what}", markup=False, soft_wrap=True
            )


def _show_table(console: "Console", table: Table) -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    # the published metrics always; the others where there is room for them (18 each) beside a label of 40
    extra = [metric for metric in table.metrics if metric not in PUBLISHED]
    main_ = [metric for metric in table.metrics if metric in PUBLISHED]
    room = max(0, (console.width - 40) // 18 - len(main_))
    shown = main_ + extra[:room]
    grid = Grid(
        title=Text(table.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1)
    )
    grid.add_column("", min_width=20)
    for metric in shown:
        grid.add_column(short(metric), no_wrap=True)
    for group in table.groups:
        label = Text(group.label, style="bold")
        label.append("".join(f"\n{line}" for line in about(group)), style="not bold")
        label.append("".join(f"\n{mark}" for mark in marks(group)), style="not bold yellow")
        reserved = incomparable(group)
        if reserved and table.published:
            label.append(f"\nnot comparable: {', '.join(reserved)}", style="not bold yellow")
        cells = []
        for metric in shown:
            cell = Text(score(group, metric), style="bold")
            below = [text for text in (interval(group, metric), spread(group, metric)) if text]
            cell.append("".join(f"\n{text}" for text in below), style="not bold")
            if metric in group.references:
                cell.append(f"\npublished\n{table.cite(group.references[metric])}", style="not bold dim")
                cell.append(f"\nours less it\n{difference(group, metric)}", style="not bold dim")
            cells.append(cell)
        grid.add_row(label, *cells, end_section=True)
    if table.published:
        grid.add_row(Text("published", style="italic dim"))
    for title, row in table.published.items():
        cells = [table.cite(row[metric]) if metric in row else NONE for metric in shown]
        grid.add_row(Text(f"  {title}"), *(Text(cell) for cell in cells), style="dim")
    console.print(grid)
    note(console, LEGEND)
    if len(shown) < len(table.metrics):
        more = ", ".join(short(metric) for metric in extra[room:])
        note(console, f"also in --csv, in --markdown and on a wider screen: {more}")
    for group in table.groups:
        if group.references:
            note(console, f"{group.label}: {'; '.join(remarks(group))}")
        for sentence in [*places(group), *controls(group)]:
            note(console, f"{group.label}: {sentence}")
    for i, source in enumerate(table.sources, 1):
        note(console, f"{raised(i)} {source}")
    console.print()


def _subject_rows(group: Group) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a group's table of test subjects."""
    subjects = group.subjects()
    present = {name for row in subjects.values() for name in row}
    metrics = [name for name in PUBLISHED if name in present]
    header = ["subject", "windows", *group.first.classes, *(short(metric) for metric in metrics)]
    rows = [
        [
            subject,
            f"{row['n_windows']:,}",
            *(f"{row['per_class'].get(name, 0):,}" for name in group.first.classes),
            *(NONE if math.isnan(row.get(m, math.nan)) else f"{row[m]:.4f}" for m in metrics),
        ]
        for subject, row in subjects.items()
    ]
    return header, rows


def _subject_sheet(group: Group) -> Sheet:
    header, rows = _subject_rows(group)
    notes = [UNDEFINED] if any(NONE in row for row in rows) else []
    return Sheet(f"{group.label}: test subjects, {_over(group)}", header, rows, notes)


def _over(group: Group) -> str:
    return f"means over {len(group.runs)} seeds" if len(group.runs) > 1 else f"seed {group.first.seed}"


def markdown(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, sheets: Sequence[Sheet] = ()
) -> str:
    """The same tables with every metric; each of our rows names the run folders that its numbers are computed from."""
    lines = [f"Test scores: {LEGEND}."]
    for table in tables(groups):
        header = ["run", "seeds", "test subjects", "trainable parameters"]
        header += [short(metric) for metric in table.metrics] + ["remarks", "run folders"]
        rows = []
        for group in table.groups:
            _, *more = about(group)[2:]
            notes = [
                *(f"**{mark}**" for mark in marks(group)),
                *remarks(group),
                *places(group),
                *controls(group),
            ]
            notes += more
            rows.append(
                [
                    group.label,
                    str(len(group.runs)),
                    str(len(group.first.by_subject.get("test", {}))),
                    f"{group.first.parameters['trainable']:,}",
                    *(
                        " ".join(filter(None, (score(group, m), interval(group, m), spread(group, m))))
                        for m in table.metrics
                    ),
                    "; ".join(notes),
                    "<br>".join(f"`{run.label()}`" for run in group.runs),
                ]
            )
            if group.references:
                cells = [
                    table.cite(group.references[m]) if m in group.references else NONE
                    for m in table.metrics
                ]
                titles = dict.fromkeys(reference.title for reference in group.references.values())
                rows.append(
                    [f"↳ published, nearest: {'; '.join(titles)}", NONE, NONE, NONE, *cells, "", ""]
                )
                cells = [difference(group, m) if m in group.references else NONE for m in table.metrics]
                rows.append(["↳ ours less published", NONE, NONE, NONE, *cells, "", ""])
        for title, row in table.published.items():
            cells = [table.cite(row[metric]) if metric in row else NONE for metric in table.metrics]
            rows.append([f"published: {title}", NONE, NONE, NONE, *cells, "", ""])
        lines += ["", f"## {table.title}", "", *grid(header, rows)]
        lines += (
            ["", *(f"{raised(i)} {source}  " for i, source in enumerate(table.sources, 1))]
            if table.sources
            else []
        )
        if by_subject:
            for group in table.groups:
                folders = ", ".join(f"`{run.label()}`" for run in group.runs)
                lines += [
                    "",
                    f"### {group.label}: test subjects, {_over(group)}",
                    "",
                    *grid(*_subject_rows(group)),
                ]
                lines += [
                    "",
                    f"{NONE}: not defined, as the subject's windows are of one class. From {folders}.",
                ]
    for sheet in sheets:
        lines += drawing_sheet.markdown(sheet)
    if problems:
        rows = [[f"`{problem.folder.as_posix()}`", problem.what] for problem in problems]
        lines += ["", "## Without a number here", "", *grid(["run folder", "what is the matter"], rows)]
    return "\n".join(lines) + "\n"


def score_sheet(table: Table, metrics: Sequence[str], *, whole: bool) -> Sheet:
    """A table of scores in plain text; `whole`: with lowest and highest subject, and the run folders."""
    header = ["", "seeds", "test subjects", *(short(metric) for metric in metrics)]
    parts = (score, interval, spread) if whole else (score, interval)
    rows, said, folders = [], {}, []
    for group in table.groups:
        tested = str(len(group.first.by_subject.get("test", {})))
        cells = ["\n".join(filter(None, (part(group, m) for part in parts))) for m in metrics]
        rows.append([group.label, str(len(group.runs)), tested, *cells])
        said[group.label] = [*marks(group), *(remarks(group) if whole or group.references else [])]
        said[group.label] += places(group) + controls(group) if whole else []
        folders.append(f"{group.label}, from: {', '.join(run.label() for run in group.runs)}")
    notes = [LEGEND if whole else LEGEND.rpartition(";")[0], *_gathered(said), *(folders if whole else [])]
    ours = len(rows)
    for title, row in table.published.items():
        cells = [table.cite(row[metric]) if metric in row else NONE for metric in metrics]
        rows.append([f"published: {title}", "", "", *cells])
    notes += [f"{raised(i)} {source}" for i, source in enumerate(table.sources, 1)]
    return Sheet(table.title, header, rows, notes, [ours] if table.published else [])


def _gathered(said: Mapping[str, Sequence[str]]) -> list[str]:
    """What is said of every group once, then what is said of each."""
    first = next(iter(said.values()))
    of_all = (
        [s for s in first if all(s in sentences for sentences in said.values())] if len(said) > 1 else []
    )
    own = {label: [s for s in sentences if s not in of_all] for label, sentences in said.items()}
    found = {"all": of_all, **own}
    return [f"{label}: {'; '.join(sentences)}" for label, sentences in found.items() if sentences]


def latex(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, sheets: Sequence[Sheet] = ()
) -> str:
    """Tables for a paper: of the metrics that are published, mean, deviation and interval; reservations below."""
    lines = [r"% \usepackage{booktabs}"]
    for table in tables(groups):
        metrics = [m for m in table.metrics if m in PUBLISHED] or table.metrics
        lines += ["", *drawing_sheet.latex(score_sheet(table, metrics, whole=False))]
        for group in table.groups if by_subject else []:
            lines += ["", *drawing_sheet.latex(_subject_sheet(group))]
    for sheet in sheets:
        lines += ["", *drawing_sheet.latex(sheet)]
    lines += [f"% without a number: {p.folder.as_posix()}: {' '.join(p.what.split())}" for p in problems]
    return "\n".join(lines) + "\n"


STYLE = (
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 1168px; margin: 0 auto; padding: 20px; } "
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; } img { max-width: 100%; } "
    "td, th { padding: 3px 14px 3px 0; text-align: left; vertical-align: top; white-space: pre-line; "
    "border-bottom: 1px solid #ddd; } td.n, th.n { text-align: right; } tr.rule td { border-top: 2px solid #222; } "
    ".note { color: #555; margin: 4px 0; max-width: 76em; overflow-wrap: anywhere; }"
)


def html(groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, more: More) -> str:
    """One page that needs nothing else: every metric, incomparable, run folders, and what was asked for beside them."""
    body = ["<h1>Test scores</h1>"]
    for table in tables(groups):
        body += drawing_sheet.html(score_sheet(table, table.metrics, whole=True))
        for group in table.groups if by_subject else []:
            body += drawing_sheet.html(_subject_sheet(group))
    for sheet in more.sheets:
        body += drawing_sheet.html(sheet)
    body += [_inside(name, figure) for name, figure in more.figures.items()]
    body += [f'<p class="note">{escape(sentence)}.</p>' for sentence in more.said]
    if problems:
        rows = [[problem.folder.as_posix(), problem.what] for problem in problems]
        body += drawing_sheet.html(
            Sheet("Without a number here", ["run folder", "what is the matter"], rows)
        )
    return document("Test scores", STYLE, body)


def _inside(name: str, figure: "Figure") -> str:
    """A figure as an image within the page."""
    text = io.BytesIO()
    figure.savefig(text, dpi=120, format="png", metadata={"Software": None})
    return picture(text.getvalue(), name.replace("_", " "))
