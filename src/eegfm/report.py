"""`python -m eegfm.report runs/<experiment>`: our numbers over seeds, beside the published ones.

Mean and population standard deviation (ddof 0, as STAMP and CBraMod publish theirs) over seeds, the spread over test
subjects, and every reservation; with `--compare` models against one another. This module is read before anything heavy
is, so that `--help` is quick.
"""

import argparse
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm import formats
from eegfm.formats import Sheet, grid, note, raised
from eegfm.groups import (
    Group,
    Problem,
    Run,
    controls,
    find_runs,
    group_runs,
    marks,
    n_subjects,
    places,
    read_runs,
    remarks,
    reservations,
)
from eegfm.published import Reference, protocols, published
from eegfm.scores import (
    LEGEND,
    NONE,
    PUBLISHED_METRICS,
    SHORT,
    difference,
    interval,
    score,
    spread,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from eegfm.against import Row
    from eegfm.contests import Contest

UNDEFINED = f"{NONE}: not defined, as the subject's windows are of one class"


def main(argv: Sequence[str] | None = None) -> None:
    """The door. Exits with 1 and a sentence where there is nothing to report or no place to write."""
    options = _parser().parse_args(argv)
    try:
        folders = find_runs([Path(_without_key(text)) for text in options.paths])
    except ValueError as error:
        sys.exit(str(error))
    runs, problems = read_runs(folders)
    groups, repeats = group_runs(runs)
    problems += repeats
    try:
        more = _more(groups, options)
    except ValueError as error:
        sys.exit(str(error))
    if options.csv:
        _write(options.csv, flat_table(groups, problems))
        if more.contests:
            from eegfm.contests import pairs_csv

            _write(options.csv.with_stem(f"{options.csv.stem}_pairs"), pairs_csv(more.contests))
        if more.against:
            from eegfm import against

            _write(options.csv.with_stem(f"{options.csv.stem}_against"), against.csv(more.against))
    if options.markdown:
        _write(
            options.markdown, markdown(groups, problems, by_subject=options.by_subject, sheets=more.sheets)
        )
    if options.latex:
        _write(options.latex, latex(groups, problems, by_subject=options.by_subject, sheets=more.sheets))
    if options.html:
        _write(options.html, html(groups, problems, by_subject=options.by_subject, more=more))
    if options.figures:
        _save_figures(options.figures, more)
    show(groups, problems, by_subject=options.by_subject, more=more)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eegfm.report",
        description="Tables of runs: mean and deviation over seeds, by subject, beside the published numbers.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a run folder, or a folder of runs; run=PATH is understood too",
    )
    parser.add_argument("--by-subject", action="store_true", help="add a table of every test subject")
    parser.add_argument("--cost", action="store_true", help="add parameters, FLOPs, time and memory")
    parser.add_argument(
        "--against",
        choices=["paper"],
        help="add published scores beside ours, with differences where the two can be compared, and why not elsewhere",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="add pairs of models over test subjects, and ranks over data sets",
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="compare this model with the others only (a part of its name will do)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="compare by this metric of the test subjects (auroc, ...)"
    )
    files = parser.add_argument_group("files, each with all that is asked for")
    files.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="one row a run, flat columns; pairs go into FILE_pairs.csv, published scores into FILE_against.csv",
    )
    files.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the tables, each row with its run folders"
    )
    files.add_argument(
        "--latex", type=Path, metavar="FILE", help="the tables, for \\input; they want booktabs"
    )
    files.add_argument("--html", type=Path, metavar="FILE", help="one page, pictures inside")
    files.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="ranks over data sets, as PNG and PDF"
    )
    return parser


@dataclass
class More:
    """What a report shows beside its scores: tables and figures that were asked for, and a sentence."""

    contests: "list[Contest]" = field(default_factory=list)
    against: "list[Row]" = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    figures: "dict[str, Figure]" = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def _more(groups: Sequence[Group], options: argparse.Namespace) -> More:
    """Raises ValueError where a metric or a reference is asked for that is not there."""
    more = More()
    if options.against:
        from eegfm import against

        more.against = against.rows(groups)
        more.sheets += [against.sheet(more.against)] * bool(more.against)
        more.said += ["nothing is published of these models on these data sets"] * (not more.against)
    if options.cost:
        from eegfm.costs import costs

        more.sheets += [costs(table.title, table.groups) for table in tables(groups)]
    if not (options.compare or options.reference or options.metric or options.figures):
        return more
    from eegfm import contests

    # ranks are of all models, also where only one is compared with the others
    everyone = contests.contests(groups, metric=options.metric)
    more.contests = everyone
    if options.reference:
        more.contests = contests.contests(groups, metric=options.metric, reference=options.reference)
    if not more.contests:
        more.said.append("nothing to compare: no two models share data set, split and test windows")
        return more
    more.sheets += [sheet for contest in more.contests for sheet in contests.sheets(contest, groups)]
    made, sentences = contests.ranking(everyone, options.metric)
    if made is None:
        more.said += sentences
        return more
    more.sheets.append(contests.ranks_sheet(made, sentences))
    if not (options.html or options.figures):
        return more  # figures are slow to be read
    from eegfm import figures_comparisons as figures

    if made.alike:
        more.figures["critical_difference"] = figures.critical_difference(
            made.models, made.mean, made.critical_difference, made.alike, title=contests.friedman(made)
        )
    more.figures["ranks"] = figures.rank_lines(made.models, made.data, made.rank, title="ranks")
    return more


def _save_figures(folder: Path, more: More) -> None:
    from eegfm.figures import save

    for name, figure in more.figures.items():
        try:
            save(figure, folder / f"{name}.png")
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        except OSError as error:
            sys.exit(f"{folder} cannot be written: {error.strerror}.")


def _without_key(text: str) -> str:
    key, equals, path = text.partition("=")
    return path if equals and key in ("run", "runs") else text


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
        known = [name for name in SHORT if name in present]
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
                metrics=known + sorted(m for m in present - set(known) - {"loss"} if "/" not in m),
                published=beside,
                sources=[s for s in dict.fromkeys(r.source for r in references) if s in cited],
            )
        )
    return found


def _table_of(group: Group) -> tuple[str, str, str]:
    """Benchmark, protocol, and what is done with windows there, if they are not classified."""
    scores = group.first.metrics["test"]
    kind = (
        "forecast" if "persistence_rmse_uv" in scores else "reconstruction" if "rmse_uv" in scores else ""
    )
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
                formats.show(console, _subject_sheet(group))
    for sheet in more.sheets if more else []:
        formats.show(console, sheet)
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
    extra = [metric for metric in table.metrics if metric not in PUBLISHED_METRICS]
    main_ = [metric for metric in table.metrics if metric in PUBLISHED_METRICS]
    room = max(0, (console.width - 40) // 18 - len(main_))
    shown = main_ + extra[:room]
    grid = Grid(
        title=Text(table.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1)
    )
    grid.add_column("", min_width=20)
    for metric in shown:
        grid.add_column(SHORT.get(metric, metric), no_wrap=True)
    for group in table.groups:
        label = Text(group.label, style="bold")
        label.append("".join(f"\n{line}" for line in about(group)), style="not bold")
        label.append("".join(f"\n{mark}" for mark in marks(group)), style="not bold yellow")
        reserved = reservations(group)
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
        more = ", ".join(SHORT.get(metric, metric) for metric in extra[room:])
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
    metrics = [name for name in PUBLISHED_METRICS if name in present]
    header = ["subject", "windows", *group.first.classes, *(SHORT[metric] for metric in metrics)]
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
        header += [SHORT.get(metric, metric) for metric in table.metrics] + ["remarks", "run folders"]
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
        lines += formats.markdown(sheet)
    if problems:
        rows = [[f"`{problem.folder.as_posix()}`", problem.what] for problem in problems]
        lines += ["", "## Without a number here", "", *grid(["run folder", "what is the matter"], rows)]
    return "\n".join(lines) + "\n"


def score_sheet(table: Table, metrics: Sequence[str], *, whole: bool) -> Sheet:
    """A table of scores in plain text; `whole`: with lowest and highest subject, and the run folders."""
    header = ["", "seeds", "test subjects", *(SHORT.get(metric, metric) for metric in metrics)]
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
        metrics = [m for m in table.metrics if m in PUBLISHED_METRICS] or table.metrics
        lines += ["", *formats.latex(score_sheet(table, metrics, whole=False))]
        for group in table.groups if by_subject else []:
            lines += ["", *formats.latex(_subject_sheet(group))]
    for sheet in sheets:
        lines += ["", *formats.latex(sheet)]
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
    """One page that needs nothing else: every metric, reservations, run folders, and what was asked for beside them."""
    from eegfm.markup import document

    body = ["<h1>Test scores</h1>"]
    for table in tables(groups):
        body += formats.html(score_sheet(table, table.metrics, whole=True))
        for group in table.groups if by_subject else []:
            body += formats.html(_subject_sheet(group))
    for sheet in more.sheets:
        body += formats.html(sheet)
    body += [_inside(name, figure) for name, figure in more.figures.items()]
    body += [f'<p class="note">{escape(sentence)}.</p>' for sentence in more.said]
    if problems:
        rows = [[problem.folder.as_posix(), problem.what] for problem in problems]
        body += formats.html(Sheet("Without a number here", ["run folder", "what is the matter"], rows))
    return document("Test scores", STYLE, body)


def _inside(name: str, figure: "Figure") -> str:
    """A figure as an image within the page."""
    from eegfm.markup import picture

    text = io.BytesIO()
    figure.savefig(text, dpi=120, format="png", metadata={"Software": None})
    return picture(text.getvalue(), name.replace("_", " "))


def flat_table(groups: Sequence[Group], problems: Sequence[Problem]) -> str:
    """CSV: one row a run, also for runs without a number."""
    rows = [_csv_row(group, run) for group in groups for run in group.runs]
    rows += [
        {"folder": p.folder.as_posix(), "status": "without a number", "problem": p.what} for p in problems
    ]
    return formats.csv_text(rows)


def _csv_row(group: Group, run: Run) -> dict[str, Any]:
    r, facts = run.result, run.result.benchmark
    subjects = r.by_subject.get("test", {})
    return {
        "folder": run.label(),
        "status": r.status,
        "problem": "",
        "group": f"{group.label} [{group.identity}]",
        **{
            name: getattr(r, name)
            for name in ("name", "experiment", "data", "model", "encoder", "task", "adapt", "seed")
        },
        "protocol": facts.protocol,
        "fingerprint": facts.fingerprint,
        **{
            name: getattr(facts, name)
            for name in ("complete", "simulated", "imported", "within_subject", "published_steps")
        },
        "subjects_used": n_subjects(r),
        "subjects_total": facts.subjects_total,
        "test_subjects": len(subjects),
        "test_windows": sum(row["n_windows"] for row in subjects.values()),
        **{
            f"{split}_{metric}": "" if math.isnan(value) else repr(value)
            for split, found in sorted(r.metrics.items())
            for metric, value in found.items()
        },
        **{
            f"group_{metric}_{end}": repr(value)
            for metric, ends in group.intervals.items()
            for end, value in zip(("low", "high"), ends, strict=True)
        },
        **_spatial_columns(r.spatial),
        **{
            f"diagnostics_{name}_{metric}": value
            for name, numbers in r.diagnostics.items()
            for metric, value in numbers.items()
        },
        "monitor": r.monitor,
        "monitor_value": r.monitor_value,
        "best_epoch": r.best_epoch,
        "parameters_trainable": r.parameters["trainable"],
        "parameters_total": r.parameters["total"],
        "flops": "" if r.flops is None else r.flops,
        "wall_s": r.wall_s,
        **{f"peak_memory_mb_{name}": value for name, value in r.peak_memory_mb.items()},
        "device": r.device,
        "weights": r.started_from.get("weights", ""),
        "git_commit": r.git.get("commit"),
        "git_dirty": r.git.get("dirty"),
        "finished_at": r.finished_at,
        "remarks": "; ".join([*marks(group), *remarks(group)]),
    }


def _spatial_columns(spatial: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Flat: "spatial_synthetic_end_second", "spatial_synthetic_end_rank_correlation_gradient"; none of most models."""
    found: dict[str, Any] = {}
    for corpus, one in spatial.items():
        for when in ("start", "end"):
            for name in ("second", "effective_rank"):
                if when in one:
                    found[f"spatial_{corpus}_{when}_{name}"] = one[when][name]
            for kind in ("rank_correlation", "correlation"):
                for name, value in one.get(when, {}).get(kind, {}).items():
                    found[f"spatial_{corpus}_{when}_{kind}_{name}"] = value
    return found


def _write(path: Path, text: str) -> None:
    """Write a text as it is, making its folder; a place that cannot be written ends in a sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        sys.exit(f"{path} cannot be written: {error.strerror}.")


if __name__ == "__main__":
    main()
