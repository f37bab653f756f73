"""A table in every format of a report: the terminal, Markdown, LaTeX (booktabs), HTML. Also rows as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from eegfm.support.files import cell
from eegfm.support.words import visible

if TYPE_CHECKING:
    from rich.console import Console


FOLDED = 40  # a longer name is folded in LaTeX


@dataclass(frozen=True)
class Sheet:
    """A table of plain text: columns of words (`text`) left, others right; notes are sentences below it.

    A cell may have several lines. A rule is drawn above the rows that `rules` count from 0.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    rules: Sequence[int] = ()
    text: Sequence[int] = (0,)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; line breaks within a cell become spaces."""
    cells = [header, ["---"] * len(header), *rows]
    return [
        "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in row) + " |"
        for row in cells
    ]


def markdown(sheet: Sheet) -> list[str]:
    """Lines: a heading, the table, its notes."""
    notes = [line for note in sheet.notes for line in ("", f"{note}.")]
    return ["", f"## {sheet.title}", "", *grid(sheet.header, sheet.rows), *notes]


def html(sheet: Sheet) -> list[str]:
    """Lines of HTML; a style with `white-space: pre-line` keeps line breaks in cells."""

    def row(tag: str, cells: Sequence[str], kind: str = "") -> str:
        numbers = ' class="n"'
        each = (
            f"<{tag}{numbers * (i not in sheet.text)}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr{kind}>{''.join(each)}</tr>"

    body = (
        row("td", cells, ' class="rule"' if i in sheet.rules else "") for i, cells in enumerate(sheet.rows)
    )
    return [
        f"<h2>{escape(sheet.title)}</h2>",
        f"<table><thead>{row('th', sheet.header)}</thead>",
        *body,
        "</table>",
        *(f'<p class="note">{escape(note)}.</p>' for note in sheet.notes),
    ]


def latex(sheet: Sheet) -> list[str]:
    """Lines of a floating table that needs only `booktabs`. Columns of long names are folded."""
    long = [
        i
        for i in sheet.text
        if any(len(line) > FOLDED for row in sheet.rows for line in row[i].split("\n"))
    ]
    folded = rf"p{{{0.32 if len(long) == 1 else 0.4 / max(1, len(long)):.2f}\textwidth}}"
    columns = [folded if i in long else "l" if i in sheet.text else "r" for i in range(len(sheet.header))]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\small",
        rf"\caption{{{tex(sheet.title)}}}",
        rf"\begin{{tabular}}{{{''.join(columns)}}}",
        r"\toprule",
        _tex_row(sheet.header, sheet.text),
        r"\midrule",
    ]
    for i, row in enumerate(sheet.rows):
        lines += [r"\midrule"] * (i in sheet.rules) + [_tex_row(row, sheet.text)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\raggedright\footnotesize {tex(note)}." for note in sheet.notes]
    return [*lines, r"\end{table}"]


def _tex_row(cells: Sequence[str], text: Sequence[int]) -> str:
    each = (_tex_cell(cell, "l" if i in text else "r") for i, cell in enumerate(cells))
    return " & ".join(each) + r" \\"


def _tex_cell(text: str, side: str) -> str:
    lines = [tex(line) for line in text.split("\n")]
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}" + r"\\".join(lines) + r"\end{tabular}"


TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "→": r"$\to$",
    "µ": r"$\mu$",
    "ρ": r"$\rho$",
    "[": "{[}",  # at the start of a row it would be an argument of the \\ before it
    "]": "{]}",
}
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def raised(number: int) -> str:
    """The mark of a footnote."""
    return str(number).translate({of: sign for sign, of in RAISED.items()})


def tex(text: str) -> str:
    """Plain text for LaTeX: command characters are escaped; minus signs and footnote marks are typeset."""
    text = re.sub(r"(?<![\w.)-])-(?=\d)", "−", text)
    parts = re.split("([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    return "".join(
        rf"\textsuperscript{{{part.translate(RAISED)}}}" if i % 2 else "".join(TEX.get(s, s) for s in part)
        for i, part in enumerate(parts)
    )


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, with a column for every name that any row has; no cell is one that a spreadsheet would run."""
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text)
    writer.writerow(map(cell, names))
    writer.writerows([cell(row.get(name, "")) for name in names] for row in rows)
    return text.getvalue()


def show(console: "Console", sheet: Sheet) -> None:
    """Print to a terminal."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    title = Text(visible(sheet.title), style="bold")
    tall = any("\n" in cell for row in sheet.rows for cell in row)
    shown = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    lines = [[line for cell in (name, *column) for line in cell.splitlines() or [""]]
             for name, *column in zip(sheet.header, *sheet.rows, strict=True)]  # fmt: skip
    # otherwise columns of words, such as subjects, vanish, and numbers lose digits: they may then break at spaces
    narrow = console.width < sum(max(map(len, column)) + 3 for column in lines)
    for i, name in enumerate(sheet.header):
        words = i in sheet.text
        shown.add_column(
            Text(visible(name)),
            justify="left" if words else "right",
            no_wrap=not words and not narrow,
            min_width=min(20, max(map(len, " ".join(lines[i]).split()), default=1)) if narrow else None,
            overflow="fold",
        )
    for i, row in enumerate(sheet.rows):
        shown.add_row(*(Text(visible(one)) for one in row), end_section=tall or i + 1 in sheet.rules)
    console.print(shown)
    for sentence in sheet.notes:
        note(console, sentence)
    console.print()


def note(console: "Console", text: str) -> None:
    """A dim remark below a table."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(visible(text), style="dim"), (0, 0, 0, 2)))
