"""The tables of docs/results.md as figures, and as JSON for programs of others."""

import json
import re
from textwrap import fill
from typing import Any

from made import HERE, MADE, write
from matplotlib.figure import Figure

from eegfm.drawing.style import BLUE, GREY, INK, save

SCORE = re.compile(
    r"^(?P<mean>-?\d+\.\d+)(?: ± (?P<sd>\d+\.\d+))?(?: \[(?P<low>-?\d+\.\d+), (?P<high>-?\d+\.\d+)\])?$"
)
DRAWN = ("AUROC", "Cohen's kappa")  # the first of these columns that a table has


def tables(text: str) -> list[dict[str, Any]]:
    """Every table with scores: its section, its columns, and its rows, a score as {"mean", "sd", "low", "high"}."""
    found, section, lines = [], "", text.splitlines()
    for n, line in enumerate(lines):
        if line.startswith("#"):
            section = line.lstrip("# ")
        if re.match(r"^\|[-|: ]+\|$", line) and n:
            columns = cells(lines[n - 1])
            rows = []
            for row in lines[n + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(
                    {
                        "row": clean(cells(row)[0]),
                        **dict(zip(columns[1:], map(value, cells(row)[1:]), strict=False)),
                    }
                )
            if any(isinstance(one, dict) and "mean" in one for row in rows for one in row.values()):
                found.append(
                    {"section": section, "columns": [one for one in columns[1:] if one], "rows": rows}
                )
    return found


def cells(row: str) -> list[str]:
    return [clean(one) for one in row.strip().strip("|").split("|")]


def clean(text: str) -> str:
    return re.sub(r"[*`]|&emsp;", "", text).strip()


def value(text: str) -> Any:
    """A score with what stands around it, or the text."""
    found = SCORE.match(text)
    if not found:
        return text
    return {name: float(one) for name, one in found.groupdict().items() if one is not None}


def draw(table: dict[str, Any], column: str) -> Figure | None:
    """Means as dots, deviations over seeds as thick lines, intervals over persons as thin ones; a row a method."""
    rows = [row for row in table["rows"] if isinstance(row.get(column), dict)]
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(9, 1 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        score = row[column]
        if "low" in score:
            axes.plot([score["low"], score["high"]], [-place] * 2, color=GREY, lw=1)
        sd = score.get("sd", 0.0)
        axes.plot(
            [score["mean"] - sd, score["mean"] + sd], [-place] * 2, color=BLUE, lw=3, solid_capstyle="butt"
        )
        hollow = {"mfc": "white"} if row["row"].startswith("published") else {}
        axes.plot(score["mean"], -place, "o", color=BLUE, ms=5, **hollow)
        axes.annotate(
            f"{score['mean']:.3f}",
            (1.01, -place),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
        )
    axes.axvline(0.5 if column == "AUROC" else 0, color=GREY, ls=":", lw=1)
    axes.set_yticks(
        [-place for place in range(len(rows))], [fill(row["row"], 44) for row in rows], fontsize=8
    )
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    what = (
        f"{column}: mean (dot), ± over seeds (thick), interval over persons (thin, where the table has one)"
    )
    figure.suptitle(f"{table['section']}\n{what}", fontsize=9, color=INK)
    return figure


def results() -> None:
    """Write the figures, the page that shows them, and the JSON."""
    found = tables((HERE / "results.md").read_text(encoding="utf-8"))
    write("results.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    lines = [
        "# Results as figures",
        "",
        "The tables of [](../results.md), drawn when the site is built. What that page says of a table, and what it",
        "does not show, holds here too. Hollow: published numbers of more persons, which do not compare.",
        "The same numbers for programs: {download}`results.json`.",
    ]
    for n, table in enumerate(found):
        column = next((one for one in DRAWN if one in table["columns"]), None)
        figure = draw(table, column) if column else None
        if figure is not None:
            save(figure, MADE / f"results-{n}.png")
            lines += ["", f"## {table['section']}", "", f"![{table['section']}: {column}](results-{n}.png)"]
    write("results_figures.md", "\n".join(lines) + "\n")
