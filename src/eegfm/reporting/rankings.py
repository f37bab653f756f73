"""Rank the models of a report over data sets, and say what the ranks mean; `comparisons` holds the statistics."""

import math
from collections.abc import Sequence

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.comparisons import FEWEST_DATA, LEVEL, Ranks, ranks
from eegfm.reporting.contests import Contest, chosen_by, small
from eegfm.reporting.groups import mean
from eegfm.reporting.remarks import reservations_about
from eegfm.tasks.metric_names import spoken

MODELS = 3  # that ranks need: Friedman's test compares three or more


def ranking(contests: Sequence[Contest], metric: str | None) -> tuple[Ranks | None, list[str]]:
    """Ranks of the models that are on every data set, and sentences about them; None and the reason if there are none.

    The largest contest with three models or more stands for its data set. A score is the mean over seeds of `metric` on
    the whole test split (by default the metric that chose the weights).
    """
    largest: dict[str, Contest] = {}
    for contest in sorted(contests, key=lambda contest: len(contest.groups)):
        if len(contest.groups) >= MODELS:
            largest[contest.groups[0].first.data] = contest
    wanted = f"ranks need {MODELS} models or more on 2 data sets or more (a test needs {FEWEST_DATA})"
    if len(largest) < 2:
        n = len(largest)
        return None, [
            f"no ranks over data sets: {n} data set{'s' * (n != 1)} with {MODELS} comparable models; {wanted}"
        ]
    scores = {
        data: {group.label: mean(group.test(metric or chosen_by(group))) for group in contest.groups}
        for data, contest in largest.items()
    }
    everywhere = [
        label
        for label in next(iter(scores.values()))
        if all(math.isfinite(of_data.get(label, math.nan)) for of_data in scores.values())
    ]
    partly = [label for of_data in scores.values() for label in of_data if label not in everywhere]
    missing = [
        f"left out, because they are not on every data set: {', '.join(dict.fromkeys(partly))}"
    ] * bool(partly)
    if len(everywhere) < MODELS:
        return None, [
            f"no ranks over data sets: {len(everywhere)} models are on all of {', '.join(scores)}; {wanted}",
            *missing,
        ]
    ranked = ranks(
        {data: {label: of_data[label] for label in everywhere} for data, of_data in scores.items()}
    )
    metric_of = {data: spoken(metric or chosen_by(contest.groups[0])) for data, contest in largest.items()}
    what = "1 is the best; mean over seeds of " + ", ".join(
        f"{name} ({data})" for data, name in metric_of.items()
    )
    marks = {
        data: ", ".join(reservation.mark for reservation in reservations_about(contest.groups))
        for data, contest in largest.items()
    }
    marked = [f"{data} is {said}" for data, said in marks.items() if said]
    return ranked, [what, *_test_sentences(ranked), *missing, *marked]


def friedman(ranked: Ranks) -> str:
    """The result of Friedman's test, for ranks over enough data sets."""
    return f"Friedman: chi² {ranked.chi2:.2f} with {len(ranked.models) - 1} degrees of freedom, p {small(ranked.p)}"


def _test_sentences(ranked: Ranks) -> list[str]:
    if math.isnan(ranked.p):
        return [
            f"no test: {len(ranked.data)} data sets; Friedman's and Nemenyi's tests need at least {FEWEST_DATA}"
        ]
    if ranked.p >= LEVEL:
        return [friedman(ranked), f"the test tells no model from another (level {LEVEL})"]
    apart = (
        f"{ranked.critical_difference:.2f} apart are not told from one another (level {LEVEL}, all pairs)"
    )
    return [
        friedman(ranked),
        f"Nemenyi: mean ranks less than {apart}. Mean ranks depend on which models are compared",
    ]


def ranks_sheet(ranked: Ranks, sentences: Sequence[str]) -> Sheet:
    """The table of ranks: a row a model, the best mean rank first."""
    rows = [
        [label, f"{average:.2f}", *(f"{rank:g}" for rank in column)]
        for label, average, column in zip(ranked.models, ranked.mean, ranked.rank.T, strict=True)
    ]
    return Sheet("Ranks over data sets", ["", "mean rank", *ranked.data], rows, sentences)
