"""What `eegfm report` does: gathers runs, and shows and writes their tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eegfm.reporting import against, contests, rankings
from eegfm.reporting.costs import costs
from eegfm.reporting.formats import html, latex, markdown, show
from eegfm.reporting.groups import Group, group_runs
from eegfm.reporting.remarks import known
from eegfm.reporting.rows import flat_table
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.reporting.tables import More, tables
from eegfm.runs.reservations import titled


def report(options: argparse.Namespace) -> None:
    """Show the tables of the runs at `options.paths`, and write the files that are asked for.

    Raises:
        ValueError: there is no run, or a metric or a reference is asked for that is not there.
    """
    runs, problems = read_runs(find_runs([Path(_without_key(text)) for text in options.paths]))
    groups, repeats = group_runs(runs)
    problems += repeats
    more = _more(groups, options)
    if options.csv:
        _write(options.csv, flat_table(groups, problems))
        if more.contests:
            _write(options.csv.with_stem(f"{options.csv.stem}_pairs"), contests.pairs_csv(more.contests))
        if more.against:
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


def _more(groups: Sequence[Group], options: argparse.Namespace) -> More:
    """Raises ValueError where a metric or a reference is asked for that is not there."""
    more = More()
    if options.against:
        more.against = against.rows(groups)
        more.sheets += [against.sheet(more.against)] * bool(more.against)
        more.said += ["nothing is published of these models on these data sets"] * (not more.against)
    if options.cost:
        more.sheets += [costs(table.title, table.groups) for table in tables(groups)]
    if not (options.compare or options.reference or options.metric or options.figures):
        return more
    # ranks are of all models, also where only one is compared with the others
    everyone = contests.contests(groups, metric=options.metric)
    more.contests = everyone
    if options.reference:
        more.contests = contests.contests(groups, metric=options.metric, reference=options.reference)
    if not more.contests:
        more.said.append("nothing to compare: no two models share data set, split and test windows")
        return more
    more.sheets += [sheet for contest in more.contests for sheet in contests.sheets(contest, groups)]
    made, sentences = rankings.ranking(everyone, options.metric)
    if made is None:
        more.said += sentences
        return more
    more.sheets.append(rankings.ranks_sheet(made, sentences))
    if not (options.html or options.figures):
        return more
    from eegfm.drawing import ranks  # matplotlib: a second, for those who want figures

    held = known(group for contest in everyone for group in contest.groups)
    if made.alike:
        more.figures["critical_difference"] = ranks.critical_difference(
            made.models,
            made.mean,
            made.critical_difference,
            made.alike,
            title=titled(rankings.friedman(made), held),
        )
    more.figures["ranks"] = ranks.rank_lines(made.models, made.data, made.rank, title=titled("ranks", held))
    return more


def _save_figures(folder: Path, more: More) -> None:
    from eegfm.drawing.style import save

    for name, figure in more.figures.items():
        try:
            save(figure, folder / f"{name}.png")
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        except OSError as error:
            sys.exit(f"{folder} cannot be written: {error.strerror}.")


def _without_key(text: str) -> str:
    key, equals, path = text.partition("=")
    return path if equals and key in ("run", "runs") else text


def _write(path: Path, text: str) -> None:
    """Write a text as it is, making its folder; a place that cannot be written ends in a sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        sys.exit(f"{path} cannot be written: {error.strerror}.")
