"""The ranks of models over data sets, and the sentences about them; `comparisons` holds the statistics."""

import math
from collections.abc import Sequence

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.comparisons import FEWEST, LEVEL, Ranks, ranks
from eegfm.reporting.contests import Contest, chosen_by, small
from eegfm.reporting.groups import mean
from eegfm.reporting.remarks import known
from eegfm.tasks.metric_names import spoken

MODELS = 3  # for ranks: Friedman's test is of three and more


def ranking(found: Sequence[Contest], metric: str | None) -> tuple[Ranks | None, list[str]]:
    """Ranks of the models that are on every data set, and sentences about them; None with the reason why.

    A data set is the largest contest of its protocol, with three models or more. Its score is the report's: the mean
    over seeds of the whole test split's `metric`, or of the one that chose the weights.
    """
    largest: dict[str, Contest] = {}
    for one in sorted(found, key=lambda one: len(one.groups)):
        if len(one.groups) >= MODELS:
            largest[one.groups[0].first.data] = one
    wanted = f"wanted are {MODELS} models or more on 2 data sets or more (for a test on {FEWEST})"
    if len(largest) < 2:
        n = len(largest)
        return None, [
            f"no ranks over data sets: {n} data set{'s' * (n != 1)} with {MODELS} comparable models; {wanted}"
        ]
    scores = {
        data: {group.label: mean(group.test(metric or chosen_by(group))) for group in one.groups}
        for data, one in largest.items()
    }
    everywhere = [
        label
        for label in next(iter(scores.values()))
        if all(math.isfinite(of_data.get(label, math.nan)) for of_data in scores.values())
    ]
    partly = [label for of_data in scores.values() for label in of_data if label not in everywhere]
    missing = [f"not on every data set, and left out: {', '.join(dict.fromkeys(partly))}"] * bool(partly)
    if len(everywhere) < MODELS:
        return None, [
            f"no ranks over data sets: {len(everywhere)} models are on all of {', '.join(scores)}; {wanted}",
            *missing,
        ]
    made = ranks({data: {label: of[label] for label in everywhere} for data, of in scores.items()})
    by = {data: spoken(metric or chosen_by(one.groups[0])) for data, one in largest.items()}
    what = "1 is the best; mean over seeds of " + ", ".join(f"{name} ({data})" for data, name in by.items())
    held = {data: ", ".join(one.mark for one in known(of.groups)) for data, of in largest.items()}
    marked = [f"{data} is {said}" for data, said in held.items() if said]
    return made, [what, *_of_ranks(made), *missing, *marked]


def friedman(made: Ranks) -> str:
    """Friedman's test of ranks that are of enough data sets."""
    return (
        f"Friedman: chi² {made.chi2:.2f} with {len(made.models) - 1} degrees of freedom, p {small(made.p)}"
    )


def _of_ranks(made: Ranks) -> list[str]:
    if math.isnan(made.p):
        return [
            f"no test: {len(made.data)} data sets; Friedman's and Nemenyi's are made on at least {FEWEST}"
        ]
    if made.p >= LEVEL:
        return [friedman(made), f"no model is told from another (level {LEVEL})"]
    apart = f"{made.critical_difference:.2f} apart are not told from one another (level {LEVEL}, all pairs)"
    return [
        friedman(made),
        f"Nemenyi: mean ranks less than {apart}. Mean ranks depend on which models are compared",
    ]


def ranks_sheet(made: Ranks, sentences: Sequence[str]) -> Sheet:
    rows = [
        [label, f"{average:.2f}", *(f"{rank:g}" for rank in column)]
        for label, average, column in zip(made.models, made.mean, made.rank.T, strict=True)
    ]
    return Sheet("Ranks over data sets", ["", "mean rank", *made.data], rows, sentences)
