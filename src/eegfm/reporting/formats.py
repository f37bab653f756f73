"""The tables of a report in each format: on the screen, in Markdown, LaTeX and HTML."""

import io
import os
import sys
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from eegfm.drawing import sheet as drawing_sheet
from eegfm.drawing.html import document, picture
from eegfm.drawing.sheet import Sheet, grid, note, raised
from eegfm.reporting.groups import Group
from eegfm.reporting.remarks import controls, decided, incomparable, marks, places, remarks
from eegfm.reporting.run_folders import Problem
from eegfm.reporting.scores import LEGEND, NONE, difference, interval, score, spread
from eegfm.reporting.tables import (
    UNDEFINED,
    Supplement,
    Table,
    about,
    over_seeds,
    score_sheet,
    subject_rows,
    subject_sheet,
    tables,
)
from eegfm.support.words import console, visible
from eegfm.tasks.metric_names import MAIN, NO_SCORE, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.text import Text as RichText


def show(
    groups: Sequence[Group],
    problems: Sequence[Problem],
    *,
    by_subject: bool,
    supplement: Supplement | None = None,
) -> None:
    """Print the whole report to the terminal."""
    # in a pipe a table gets 160 columns: 80 would break its numbers over lines
    screen = console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
    for table in tables(groups):
        _show_table(screen, table)
        if by_subject:
            for group in table.groups:
                drawing_sheet.show(screen, subject_sheet(group))
    for sheet in supplement.sheets if supplement else []:
        drawing_sheet.show(screen, sheet)
    for sentence in supplement.sentences if supplement else []:
        note(screen, sentence)
    if problems:
        screen.print("Without a number here", style="bold")
        for problem in problems:
            screen.print(f"  {problem.folder.as_posix()}\n    {problem.what}", soft_wrap=True)


def _show_table(screen: "Console", table: Table) -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    shown, left_out = _that_fit(table, screen.width)
    grid = Grid(
        title=Text(visible(table.title), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    grid.add_column("", min_width=20)
    for metric in shown:
        grid.add_column(short(metric), no_wrap=True)
    for group in table.groups:
        label = Text(visible(group.label), style="bold")
        label.append("".join(f"\n{line}" for line in about(group)), style="not bold")
        label.append("".join(f"\n{mark}" for mark in marks(group)), style="not bold yellow")
        reasons = incomparable(group)
        if reasons and table.published:
            label.append(f"\nnot comparable: {', '.join(reasons)}", style="not bold yellow")
        grid.add_row(label, *(_cell(table, group, metric) for metric in shown), end_section=True)
    if table.published:
        grid.add_row(Text("published", style="italic dim"))
    for title, row in table.published.items():
        cells = [table.cite(row[metric]) if metric in row else NONE for metric in shown]
        grid.add_row(Text(visible(f"  {title}")), *(Text(cell) for cell in cells), style="dim")
    screen.print(grid)
    note(screen, LEGEND)
    if left_out:
        names = ", ".join(map(short, left_out))
        note(screen, f"on a wider screen, and in --csv and --markdown: {names}")
    for group in table.groups:
        if group.references:
            note(screen, f"{group.label}: {'; '.join(remarks(group))}")
        for sentence in [*decided(group), *places(group), *controls(group)]:
            note(screen, f"{group.label}: {sentence}")
    for i, source in enumerate(table.sources, 1):
        note(screen, f"{raised(i)} {source}")
    screen.print()


def _cell(table: Table, group: Group, metric: str) -> "RichText":
    from rich.text import Text

    cell = Text(score(group, metric), style="bold")
    below = [text for text in (interval(group, metric), spread(group, metric)) if text]
    cell.append("".join(f"\n{text}" for text in below), style="not bold")
    if metric in group.references:
        cell.append(f"\npublished\n{table.cite(group.references[metric])}", style="not bold dim")
        cell.append(f"\nours minus it\n{difference(group, metric)}", style="not bold dim")
    return cell


def _that_fit(table: Table, width: int) -> tuple[list[str], list[str]]:
    """The metrics whose columns fit whole, the main scores first, and the others.

    Beside them is a label that keeps its reservations legible. A number that is cut would be another number, and a
    label without its columns would lose its reservations.
    """
    shown: list[str] = []
    left = width - (40 if width >= 100 else 26)
    metrics = sorted(table.metrics, key=lambda metric: metric not in MAIN)
    for metric in sorted(metrics, key=lambda metric: (metric not in MAIN, metric in NO_SCORE)):
        texts = [short(metric), *(_cell(table, group, metric).plain for group in table.groups)]
        texts += [table.cite(row[metric]) for row in table.published.values() if metric in row]
        left -= max(len(line) for text in texts for line in text.splitlines()) + 3
        if left < 0 and shown:
            break
        shown.append(metric)
    return [one for one in metrics if one in shown], [one for one in metrics if one not in shown]


def markdown(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, sheets: Sequence[Sheet] = ()
) -> str:
    """The report in Markdown, with every metric; each of our rows names the run folders behind its numbers."""
    lines = [f"Test scores: {LEGEND}."]
    for table in tables(groups):
        header = ["run", "seeds", "test subjects", "trainable parameters"]
        header += [short(metric) for metric in table.metrics] + ["remarks", "run folders"]
        rows = []
        for group in table.groups:
            _, *remarks_on_code = about(group)[2:]
            notes = [
                *(f"**{mark}**" for mark in marks(group)),
                *remarks(group),
                *decided(group),
                *places(group),
                *controls(group),
            ]
            notes += remarks_on_code
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
                rows.append(["↳ ours minus published", NONE, NONE, NONE, *cells, "", ""])
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
                    f"### {group.label}: test subjects, {over_seeds(group)}",
                    "",
                    *grid(*subject_rows(group)),
                ]
                lines += [
                    "",
                    f"{UNDEFINED}. From {folders}.",
                ]
    for sheet in sheets:
        lines += drawing_sheet.markdown(sheet)
    if problems:
        rows = [[f"`{problem.folder.as_posix()}`", problem.what] for problem in problems]
        lines += ["", "## Without a number here", "", *grid(["run folder", "reason"], rows)]
    return "\n".join(lines) + "\n"


def latex(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, sheets: Sequence[Sheet] = ()
) -> str:
    """LaTeX tables for a paper: mean, deviation and interval of the published metrics, with the reservations below."""
    lines = [r"% \usepackage{booktabs}"]
    for table in tables(groups):
        metrics = [m for m in table.metrics if m in MAIN] or table.metrics
        lines += ["", *drawing_sheet.latex(score_sheet(table, metrics, whole=False))]
        for group in table.groups if by_subject else []:
            lines += ["", *drawing_sheet.latex(subject_sheet(group))]
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


def html(
    groups: Sequence[Group], problems: Sequence[Problem], *, by_subject: bool, supplement: Supplement
) -> str:
    """The report as one HTML file that needs no other: every metric, remarks, run folders, and the supplement."""
    body = ["<h1>Test scores</h1>"]
    for table in tables(groups):
        body += drawing_sheet.html(score_sheet(table, table.metrics, whole=True))
        for group in table.groups if by_subject else []:
            body += drawing_sheet.html(subject_sheet(group))
    for sheet in supplement.sheets:
        body += drawing_sheet.html(sheet)
    body += [_inside(name, figure) for name, figure in supplement.figures.items()]
    body += [f'<p class="note">{escape(sentence)}.</p>' for sentence in supplement.sentences]
    if problems:
        rows = [[problem.folder.as_posix(), problem.what] for problem in problems]
        body += drawing_sheet.html(Sheet("Without a number here", ["run folder", "reason"], rows))
    return document("Test scores", STYLE, body)


def _inside(name: str, figure: "Figure") -> str:
    """A figure as an image within the page."""
    png = io.BytesIO()
    figure.savefig(png, dpi=120, format="png", metadata={"Software": None})
    return picture(png.getvalue(), name.replace("_", " "))
