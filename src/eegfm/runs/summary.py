"""The screen that a command shows at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eegfm.data.facts import BenchmarkFacts
from eegfm.runs.reservations import Reservation, diagnostic_sentences, reservations_of, spatial_sentences
from eegfm.runs.results import SUBJECT_FACTS, RunResult
from eegfm.tasks.metric_names import METRICS, chance


def show(result: RunResult, folder: Path, note: str | None = None) -> None:
    """Show a finished run: the model, its data, the test scores, where files are, and what to type next."""
    console = Console(highlight=False)
    facts = result.benchmark
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    console.rule(f"{result.model} on {facts.title}", style="dim")
    if note:
        console.print(note)
    chosen = "" if result.best_epoch is None else f", epoch {result.best_epoch + 1}"
    scan = f", {' and '.join(result.scan)} scan" if result.scan else ""
    console.print(
        f"{result.parameters['trainable']:,} trainable parameters, encoder {result.encoder}, seed {result.seed}, "
        f"{result.device}{scan}, {result.wall_s:.0f} s{chosen} "
        f"(validation {result.monitor} {_number(result.monitor_value)})"
    )
    start = result.started_from
    if start:
        console.print(
            f"backbone from {start['weights']}; left out of it: {', '.join(start['left_out']) or 'nothing'}",
            soft_wrap=True,
        )
    _data(console, facts, reservations_of(result))
    _scores(console, result.metrics["test"], result.by_subject["test"])
    controls = diagnostic_sentences(result.diagnostics, result.metrics["test"])
    for sentence in [*spatial_sentences(result.spatial), *controls]:
        console.print(sentence, soft_wrap=True)
    console.print(f"run folder  {folder}", soft_wrap=True)
    each = "predictions_test.csv" if result.classifies else "reconstruction_test.csv"
    console.print(f"            config.yaml result.json metrics.csv {each} figures/", soft_wrap=True)
    console.print(f"next        python -m eegfm.report {folder.parent}", soft_wrap=True)


def show_scores(
    title: str,
    scores: Mapping[str, float],
    by_subject: Mapping[str, Mapping[str, Any]],
    facts: BenchmarkFacts,
    out: Path,
    known: Sequence[Reservation],
) -> None:
    """Show an evaluation of one split; `known` are the reservations about its scores."""
    console = Console(highlight=False)
    console.rule(title, style="dim")
    _data(console, facts, known)
    _scores(console, scores, by_subject)
    console.print(f"predictions {out}", soft_wrap=True)


def _data(console: Console, facts: BenchmarkFacts, known: Sequence[Reservation]) -> None:
    for name, one in facts.each.items():
        people = "  ".join(
            f"{split} {sum(one.census[split]):,} ({len(ids)} subjects)"
            for split, ids in one.subjects.items()
        )
        corpus = f"{name}: " if name else ""
        console.print(f"{corpus}{one.protocol}, store {one.fingerprint}, windows: {people}")
        if one.not_compared:
            console.print(f"{corpus}{one.not_compared}", style="yellow", markup=False)
    if facts.draws:
        said = ", ".join(f"{name} {n:,}" for name, n in facts.draws.items())
        console.print(f"windows an epoch: {said} (data.weights, data.epoch_windows)")
    console.print(f"leakage: {facts.leakage.sentence()}")
    for one in known:
        console.print(f"{one}.", style="yellow", markup=False)
    for difference in facts.census_differences:
        console.print(f"  {difference}", style="yellow", markup=False)


def _scores(
    console: Console, scores: Mapping[str, float], by_subject: Mapping[str, Mapping[str, Any]]
) -> None:
    names = [
        name for name in scores if name in METRICS and METRICS[name].on_summary
    ]  # result.json has more
    table = Table("", "windows", *names)
    n = sum(row["n_windows"] for row in by_subject.values())
    table.add_row("all", f"{n:,}", *(f"[bold]{_number(scores[name])}[/]" for name in names))
    for corpus in dict.fromkeys(name.partition("/")[2] for name in scores if "/" in name):
        of_corpus = [row["n_windows"] for s, row in by_subject.items() if s.startswith(f"{corpus}/")]
        found = (f"[bold]{_number(scores.get(f'{name}/{corpus}'))}[/]" for name in names)
        table.add_row(corpus, f"{sum(of_corpus):,}", *found)
    for subject, row in by_subject.items():
        found = (_number(row.get(name)) for name in names)
        table.add_row(subject, f"{row[SUBJECT_FACTS[0]]:,}", *found)
    console.print(table)
    if "prevalence" in scores:
        console.print(f"chance: auc_pr {_number(scores['prevalence'])}, the others {chance('auroc', 2):g}")


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"
