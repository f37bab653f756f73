"""`eegfm report`: gather runs, and show and write their tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eegfm.reporting import against, alarms, contests, persons, rankings
from eegfm.reporting.costs import costs
from eegfm.reporting.folds import folded
from eegfm.reporting.formats import html, latex, markdown, show
from eegfm.reporting.groups import Group, group_runs
from eegfm.reporting.remarks import reservations_about
from eegfm.reporting.rows import flat_table
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.reporting.tables import Supplement, tables
from eegfm.runs.reservations import titled


def report(options: argparse.Namespace) -> None:
    """Show the tables of the runs at `options.paths`, and write the files that the options name.

    Raises:
        ValueError: there is no run, or no run has the metric or the reference of the options.
    """
    runs, problems = read_runs(find_runs([Path(_without_key(text)) for text in options.paths]))
    runs, older = folded(runs)
    groups, repeats = group_runs(runs)
    problems += [*older, *repeats]
    supplement = _supplement(groups, options)
    if options.csv:
        _write(options.csv, flat_table(groups, problems))
        if supplement.contests:
            _write(
                options.csv.with_stem(f"{options.csv.stem}_pairs"), contests.pairs_csv(supplement.contests)
            )
        if supplement.against:
            _write(options.csv.with_stem(f"{options.csv.stem}_against"), against.csv(supplement.against))
    if options.markdown:
        _write(
            options.markdown,
            markdown(groups, problems, by_subject=options.by_subject, sheets=supplement.sheets),
        )
    if options.latex:
        _write(
            options.latex, latex(groups, problems, by_subject=options.by_subject, sheets=supplement.sheets)
        )
    if options.html:
        _write(options.html, html(groups, problems, by_subject=options.by_subject, supplement=supplement))
    if options.figures:
        _save_figures(options.figures, supplement)
    show(groups, problems, by_subject=options.by_subject, supplement=supplement)


def _supplement(groups: Sequence[Group], options: argparse.Namespace) -> Supplement:
    """What the options ask for beside the scores. Raises ValueError if no run has the metric or the reference."""
    supplement = Supplement()
    supplement.sheets += [*persons.sheets(groups), *alarms.sheets(groups)]
    if options.against:
        supplement.against = against.rows(groups)
        supplement.sheets += [against.sheet(supplement.against)] * bool(supplement.against)
        supplement.sentences += ["no score of these models on these data sets is published"] * (
            not supplement.against
        )
    if options.cost:
        supplement.sheets += [costs(table.title, table.groups) for table in tables(groups)]
    if not (options.compare or options.reference or options.metric or options.figures):
        return supplement
    # ranks cover all models, even if --reference compares one of them with the others
    all_contests = contests.contests(groups, metric=options.metric)
    supplement.contests = all_contests
    if options.reference:
        supplement.contests = contests.contests(groups, metric=options.metric, reference=options.reference)
    if not supplement.contests:
        supplement.sentences.append("no comparison: no two models share data set, split and test windows")
        return supplement
    supplement.sheets += [
        sheet for contest in supplement.contests for sheet in contests.sheets(contest, groups)
    ]
    ranked, sentences = rankings.ranking(all_contests, options.metric)
    if ranked is None:
        supplement.sentences += sentences
        return supplement
    supplement.sheets.append(rankings.ranks_sheet(ranked, sentences))
    if not (options.html or options.figures):
        return supplement
    from eegfm.drawing import ranks  # imports matplotlib, which takes a second

    reserved = reservations_about(group for contest in all_contests for group in contest.groups)
    if ranked.alike:
        supplement.figures["critical_difference"] = ranks.critical_difference(
            ranked.models,
            ranked.mean,
            ranked.critical_difference,
            ranked.alike,
            title=titled(rankings.friedman(ranked), reserved),
        )
    supplement.figures["ranks"] = ranks.rank_lines(
        ranked.models, ranked.data, ranked.rank, title=titled("ranks", reserved)
    )
    return supplement


def _save_figures(folder: Path, supplement: Supplement) -> None:
    from eegfm.drawing.style import save

    for name, figure in supplement.figures.items():
        try:
            save(figure, folder / f"{name}.png")
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        except OSError as error:
            sys.exit(f"{folder} cannot be written: {error.strerror}.")


def _without_key(text: str) -> str:
    """The path of `run=PATH` and `runs=PATH`; any other text as it is."""
    key, equals, path = text.partition("=")
    return path if equals and key in ("run", "runs") else text


def _write(path: Path, text: str) -> None:
    """Write a text with its line ends as they are, and make its folder; exit with a sentence if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        sys.exit(f"{path} cannot be written: {error.strerror}.")
