"""The screen that a command shows at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eegfm.data.facts import BenchmarkFacts
from eegfm.runs.alarms import sentences as alarms_in_words
from eegfm.runs.reservations import (
    Reservation,
    diagnostic_sentences,
    reservations_of,
    spatial_sentences,
    threshold_sentence,
)
from eegfm.runs.results import SUBJECT_FACTS, RunResult
from eegfm.runs.wholes import sentences as wholes_in_words
from eegfm.support.words import console
from eegfm.tasks.metric_names import METRICS, chance, one_side


def show(result: RunResult, folder: Path, note: str | None = None) -> None:
    """Show a finished run: the model, its data, the test scores, where files are, and what to type next."""
    screen = console()
    facts = result.benchmark
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    screen.rule(f"{result.model} on {facts.title}", style="dim")
    if note:
        screen.print(note)
    chosen = "" if result.best_epoch is None else f", epoch {result.best_epoch + 1}"
    scan = f", {' and '.join(result.scan)} scan" if result.scan else ""
    screen.print(
        f"{result.parameters['trainable']:,} trainable parameters, encoder {result.encoder}, seed {result.seed}, "
        f"{result.device}{scan}, {result.wall_s:.0f} s{chosen} "
        f"(validation {result.monitor} {_number(result.monitor_value)})"
    )
    start = result.started_from
    if start:
        screen.print(
            f"backbone from {start['weights']}; left out of it: {', '.join(start['left_out']) or 'nothing'}",
            soft_wrap=True,
        )
    _data(screen, facts, reservations_of(result))
    _scores(screen, result.metrics["test"], result.by_subject["test"])
    _say(screen, [*wholes_in_words(result.wholes), *alarms_in_words(result.events)])
    controls = diagnostic_sentences(result.diagnostics, result.metrics["test"])
    chosen_at = [sentence] if (sentence := threshold_sentence(result.threshold)) else []
    for sentence in [*chosen_at, *spatial_sentences(result.spatial), *controls]:
        screen.print(sentence, soft_wrap=True)
    screen.print(f"run folder  {folder}", soft_wrap=True)
    each = "predictions_test.csv" if result.classifies else "reconstruction_test.csv"
    screen.print(f"            config.yaml result.json metrics.csv {each} figures/", soft_wrap=True)
    screen.print(f"next        eegfm report {folder.parent}", soft_wrap=True)


def show_scores(
    title: str,
    scores: Mapping[str, float],
    by_subject: Mapping[str, Mapping[str, Any]],
    more: Sequence[str],
    facts: BenchmarkFacts,
    out: Path,
    known: Sequence[Reservation],
) -> None:
    """Show an evaluation of one split; `more` are sentences, `known` the reservations about its scores."""
    screen = console()
    screen.rule(title, style="dim")
    _data(screen, facts, known)
    _scores(screen, scores, by_subject)
    _say(screen, more)
    screen.print(f"predictions {out}", soft_wrap=True)


def _data(screen: Console, facts: BenchmarkFacts, known: Sequence[Reservation]) -> None:
    for name, one in facts.each.items():
        people = "  ".join(
            f"{split} {sum(one.census[split]):,} ({len(ids)} subjects)"
            for split, ids in one.subjects.items()
        )
        corpus = f"{name}: " if name else ""
        screen.print(
            f"{corpus}{one.protocol}, store {one.fingerprint} (content {one.content}), windows: {people}"
        )
        if one.not_compared:
            screen.print(f"{corpus}{one.not_compared}", style="yellow")
    if facts.draws:
        said = ", ".join(f"{name} {n:,}" for name, n in facts.draws.items())
        screen.print(f"windows an epoch: {said} (data.weights, data.epoch_windows)")
    if facts.split and facts.own:
        screen.print(f"split: {facts.division}")
    screen.print(f"leakage: {facts.leakage.sentence()}")
    for one in known:
        screen.print(f"{one}.", style="yellow")
    for difference in facts.census_differences:
        screen.print(f"  {difference}", style="yellow")


def _scores(
    screen: Console, scores: Mapping[str, float], by_subject: Mapping[str, Mapping[str, Any]]
) -> None:
    names = [
        name for name in scores if name in METRICS and METRICS[name].on_summary
    ]  # result.json has more
    table = Table("", "windows", *names)
    n = sum(row["n_windows"] for row in by_subject.values())
    table.add_row("all", f"{n:,}", *(Text(_score(name, scores), style="bold") for name in names))
    for corpus in dict.fromkeys(name.partition("/")[2] for name in scores if "/" in name):
        of_corpus = [row["n_windows"] for s, row in by_subject.items() if s.startswith(f"{corpus}/")]
        found = (Text(_number(scores.get(f"{name}/{corpus}")), style="bold") for name in names)
        table.add_row(corpus, f"{sum(of_corpus):,}", *found)
    for subject, row in by_subject.items():
        found = (_number(row.get(name)) for name in names)
        table.add_row(subject, f"{row[SUBJECT_FACTS[0]]:,}", *found)
    screen.print(table)
    if "prevalence" in scores:
        screen.print(
            f"chance: average_precision {_number(scores['prevalence'])}, the others {chance('auroc', 2):g}"
        )


def _say(screen: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        screen.print(sentence, soft_wrap=True)


def _score(name: str, scores: Mapping[str, float]) -> str:
    return "one side" if name == "balanced_accuracy" and one_side(scores) else _number(scores[name])


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"
