"""The reservations about a run's numbers, worded once for every screen, page, figure and file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eegfm.data.facts import BenchmarkFacts
from eegfm.runs.results import RunResult
from eegfm.tasks.metric_names import WITH_CHANCE, spoken


@dataclass(frozen=True)
class Reservation:
    """One reservation: a `mark` for titles and rows, and the sentence that begins with it."""

    mark: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


UNKNOWN_WEIGHTS = Reservation("UNKNOWN", "UNKNOWN: no finished run says what these weights were trained on")


def reservations(
    facts: BenchmarkFacts,
    *,
    task: str = "",
    started_from: Mapping[str, Any] | None = None,
    overlap: Sequence[str] = (),
    unknown: bool = False,
    seen: Mapping[str, str] | None = None,
    tested: int | None = None,
) -> list[Reservation]:
    """The reservations about numbers on these data, the gravest first; empty if there are none.

    The facts of the run, if there is one, are those of `RunResult`; `unknown`: not all people whom its weights
    have seen are known. `tested` is the number of test windows behind the numbers, if they are of the test split.
    """
    found: list[Reservation] = []

    def add(mark: str, more: str) -> None:
        found.append(Reservation(mark, mark + more))

    if facts.simulated:
        add("SIMULATED", f"{facts.which('simulated', True)}: no person was recorded")
    if facts.imported:
        add("IMPORTED", f": {facts.imported}")
    if task == "probe" and not started_from:
        add("RANDOM WEIGHTS", ": the probed backbone was not trained (weights=...)")
    if overlap:
        names = ", ".join(overlap[:5]) + f" and {len(overlap) - 5} more" * (len(overlap) > 5)
        add("OVERLAP", f": the weights have seen {len(overlap)} of the test subjects ({names})")
    if unknown:
        add(
            "UNKNOWN PEOPLE",
            ": the weights do not say whom they were trained on, or not all; whether test subjects are "
            "among them cannot be checked",
        )
    if seen:
        found.append(trained_on(seen))
    if not facts.complete:
        gone = f", {len(facts.missing) + len(facts.unusable)} recordings missing or unusable"
        add(
            "PARTIAL",
            f" corpus{facts.which('complete', False)}: {facts.n_subjects:,} of {facts.subjects_total:,} subjects"
            + gone * (facts.n_subjects == facts.subjects_total),
        )
    for what in facts.without():
        split, of, corpora = what.partition(" of ")
        add(split.upper(), f"{of}{corpora}: trained on, and not looked at there")
    if facts.within_subject:
        add("WITHIN-SUBJECT", ": test subjects are also training subjects")
    if facts.split and not facts.own:
        add("OTHER SPLIT", f" than the published one: {facts.division} (split, data.train_ratio)")
    ones = "those of its file" if facts.own else "the published ones"
    if not facts.published_steps:
        add("OTHER STEPS", f" of signal processing than {ones} (data.steps)")
    if facts.window_s is not None:
        add("OTHER WINDOWS", f" than {ones}: {facts.window_s:g} s (data.window_s)")
    whole = sum(facts.census.get("test", []))
    if tested is not None and tested < whole:
        add("CUT", f": {tested:,} of {whole:,} test windows")
    return found


def trained_on(seen: Mapping[str, str]) -> Reservation:
    """The reservation that published weights were trained on a tested benchmark: see `RunResult.seen`."""
    how = "; ".join(f"{name}: {said}" for name, said in seen.items())
    return Reservation("SEEN", f"SEEN: the weights were trained on what is tested here ({how})")


def leak_of_protocol(said: str) -> Reservation:
    """The reservation that a protocol itself may put a person into two splits: see `BenchmarkSpec.subject_leak`."""
    return Reservation("LEAK OF THE PROTOCOL", f"LEAK OF THE PROTOCOL: {said}")


def reservations_of(result: RunResult) -> list[Reservation]:
    """The reservations about a finished run's test scores."""
    return reservations(
        result.benchmark,
        task=result.task,
        started_from=result.started_from,
        overlap=result.overlap,
        unknown=not result.people.get("whole"),
        seen=result.seen,
        tested=sum(row["n_windows"] for row in result.by_subject.get("test", {}).values()),
    )


def titled(title: str, found: Sequence[Reservation]) -> str:
    """The title of a figure, a table or a page, with the marks behind it."""
    return ", ".join([title, *(one.mark for one in found)])


def spatial_sentences(spatial: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`RunResult.spatial`, a sentence a corpus: what its spatial matrix lets through, and how near the truth it is."""
    found = []
    for corpus, one in spatial.items():
        times = [one[when] for when in ("start", "end") if when in one]
        second = " → ".join(f"{time['second']:.3g}" for time in times)
        rank = " → ".join(f"{time['effective_rank']:.1f}" for time in times)
        said = (
            f"spatial matrix{f' of {corpus}' * (len(spatial) > 1)}: second singular value {second} of the first, "
            f"effective rank {rank} ({len(one['channels'])} channels seen from {one['targets']} places)"
        )
        judged = [time for time in times if "rank_correlation" in time]
        parts = []
        for name in dict.fromkeys(name for time in judged for name in time["rank_correlation"]):
            for kind, sign in (("rank_correlation", "ρ"), ("correlation", "r")):
                values = [time.get(kind, {}).get(name) for time in judged]
                shown = " → ".join("–" if v is None or v != v else f"{v:.2f}" for v in values)
                parts.append(f"{name.replace('_', ' ') + ' ' if sign == 'ρ' else ''}{sign} {shown}")
        if parts:
            said += f"; channels against the true lead field: {', '.join(parts)}"
        found.append(said)
    return found


def diagnostic_sentences(
    diagnostics: Mapping[str, Mapping[str, float]], tested: Mapping[str, float]
) -> list[str]:
    """`RunResult.diagnostics`, a sentence a control, beside the run's own test metrics."""
    found = []
    said = {
        "shuffled": "labels shuffled in training and validation",
        "shuffled_within_person": "labels shuffled within each person",
        "person_alone": "knowing nothing but who it is",
    }
    for name, what in said.items():
        numbers = diagnostics.get(name, {})
        shown = [
            f"{spoken(metric)} {_two(numbers[metric])}"
            + (f" ± {_two(numbers[spread])}" if (spread := f"{metric}_deviation") in numbers else "")
            + f" (this {_two(tested[metric])})"
            for metric in WITH_CHANCE
            if metric in numbers and metric in tested
        ]
        if shown:
            draws = f", {numbers['draws']:.0f} draws" if "draws" in numbers else ""
            found.append(f"{what}{draws}: {', '.join(shown)}")
    told = diagnostics.get("persons_told", {})
    if told:
        alone = "recordings_each" in told
        who = "recordings, one of each test person," if alone else "test persons"
        said = (
            f"{told['persons']:.0f} {who} told apart by the features: balanced accuracy "
            f"{_two(told['balanced_accuracy'])} (chance {_two(told['chance'])})"
        )
        if "drift" in told:
            drift, chance = _two(told["drift"]), _two(told["drift_chance"])
            said += f"; pieces of one recording, which drift alone tells apart: {drift} (chance {chance})"
        found.append(said)
    return found


FEW_VALIDATE = 10  # subjects


def threshold_sentence(threshold: Mapping[str, float]) -> str:
    """`RunResult.threshold` as a sentence, "" without one; of few validation subjects, what the choice is worth."""
    if not threshold:
        return ""
    n = threshold["subjects"]
    said = (
        f"decision threshold {_two(threshold['probability'])} (taken off the logit: one half decides), chosen on "
        f"{n:.0f} validation subjects: balanced accuracy there {_two(threshold['balanced_accuracy'])}, at one half "
        f"{_two(threshold['at_half'])}"
    )
    if n < FEW_VALIDATE:
        said += (
            f"; of subjects left out of the choice {_two(threshold['left_out'])} (thresholds "
            f"{_two(threshold['lowest'])} to {_two(threshold['highest'])}), which is what it is worth"
        )
    return said


def _two(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"
