"""What a report says of its groups against one another: pairs over test subjects, and ranks over data sets.

Compared are classifiers that share data set, protocol, split and test windows; `comparisons` holds the methods.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eegfm.drawing.sheet import Sheet, csv_text
from eegfm.reporting.comparisons import FEWEST, LEVEL, Family, Pair, compare
from eegfm.reporting.groups import Group
from eegfm.reporting.remarks import known, marks
from eegfm.runs.reservations import titled
from eegfm.runs.results import SUBJECT_FACTS
from eegfm.tasks.metric_names import NO_SCORE, spoken


@dataclass
class Contest:
    """Groups over the same test windows, and the subject's metric that they are compared by."""

    groups: list[Group]
    metric: str
    reference: str | None = None

    @cached_property
    def family(self) -> Family:
        scores = {
            group.label: {
                subject: row.get(self.metric, math.nan) for subject, row in group.subjects().items()
            }
            for group in self.groups
        }
        return compare(scores, reference=self.reference)

    @property
    def title(self) -> str:
        facts = self.groups[0].first.benchmark
        title = f"{facts.title} (data={self.groups[0].first.data}), protocol {facts.protocol}"
        return titled(title, known(self.groups))


def contests(
    groups: Sequence[Group], *, metric: str | None = None, reference: str | None = None
) -> list[Contest]:
    """One for every set of two groups or more that can be compared. `reference` is a label, or a part of one alone.

    Without a metric it is the one that chose the weights (AUROC of two classes, else kappa) where every test subject
    has it, and balanced accuracy elsewhere.

    Raises:
        ValueError: a metric that no subject has, and a reference that is nobody, or several in one contest.
    """
    found = [
        Contest(alike, metric or subject_metric(alike), _named(alike, reference))
        for alike in comparable(groups)
    ]
    scored = {name for one in found for row in one.groups[0].subjects().values() for name in row} - {
        *NO_SCORE,
        *SUBJECT_FACTS,
    }
    if metric and found and metric not in scored:
        raise ValueError(f"No test subject has a {metric}. There are: {', '.join(sorted(scored))}.")
    if reference and found:
        found = [one for one in found if one.reference is not None]
        if not found:
            labels = "\n  ".join(dict.fromkeys(group.label for group in groups))
            raise ValueError(
                f"No model that is compared has {reference!r} in its name. There are:\n  {labels}"
            )
    return found


def comparable(groups: Sequence[Group]) -> list[list[Group]]:
    """Classifiers that share data set, protocol, split and test windows, where there are two and more."""
    found: dict[Any, list[Group]] = {}
    for group in groups:
        if group.first.classifies:
            found.setdefault(_windows(group), []).append(group)
    return [alike for alike in found.values() if len(alike) > 1]


def _windows(group: Group) -> tuple[Any, ...]:
    facts = group.first.benchmark
    split = tuple((name, *sorted(ids)) for name, ids in sorted(facts.subjects.items()))
    tested = tuple(
        (subject, tuple(sorted(row["per_class"].items())))
        for subject, row in sorted(group.first.by_subject.get("test", {}).items())
    )
    return group.first.data, facts.protocol, facts.window_s, str(sorted(facts.split.items())), split, tested


def _named(groups: Sequence[Group], reference: str | None) -> str | None:
    if reference is None:
        return None
    labels = [group.label for group in groups]
    found = [label for label in labels if label == reference] or [
        name for name in labels if reference in name
    ]
    if len(found) > 1:
        names = "\n  ".join(found)
        raise ValueError(
            f"{reference!r} is in the name of several models; type more of one of them:\n  {names}"
        )
    return found[0] if found else None


def chosen_by(group: Group) -> str:
    """The metric whose validation value chose the group's weights."""
    return group.first.monitor


def subject_metric(groups: Sequence[Group]) -> str:
    """The metric that chose the weights, where every subject has it; else balanced accuracy, which all have."""
    name = chosen_by(groups[0])
    everywhere = all(
        math.isfinite(row.get(name, math.nan)) for group in groups for row in group.subjects().values()
    )
    return name if everywhere else "balanced_accuracy"


def sheets(contest: Contest, others: Sequence[Group]) -> list[Sheet]:
    """The models of a contest, each with a letter, and its pairs; `others` are all groups, not all of them compared."""
    family, n = contest.family, len(contest.family.subjects)
    by_label = {group.label: group for group in contest.groups}
    letters = {label: _letter(i) for i, label in enumerate(family.means)}
    about = f"{spoken(contest.metric)} over {n} test {'subject' if n == 1 else 'subjects'}"
    models = Sheet(
        f"{contest.title}: models, {about}",
        ["", "mean", "seeds"],
        [
            [f"{letters[label]}  {label}", f"{average:.4f}", str(len(by_label[label].runs))]
            for label, average in family.means.items()
        ],
    )
    header = ["pair", "difference [95 %]", "better for"]
    header += ["d_z", "rank-biserial", "p", "p (Holm)"] * family.tested
    rows = [
        [
            f"{letters[pair.first]} less {letters[pair.second]}",
            f"{pair.difference:+.4f}" + _between(pair),
            f"{pair.better} of {n}" + _equal(pair, n),
            *_tested(pair) * family.tested,
        ]
        for pair in family.pairs
    ]
    return [models, Sheet(f"{contest.title}: pairs, {about}", header, rows, _sentences(contest, others))]


def _letter(i: int) -> str:
    """A to Z, then AA, AB, ..."""
    more, last = divmod(i, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + last)


def _between(pair: Pair) -> str:
    return "" if math.isnan(pair.low) else f" [{pair.low:+.3f}, {pair.high:+.3f}]"


def _equal(pair: Pair, n: int) -> str:
    same = n - pair.better - pair.worse
    return f", {same} equal" if same else ""


def _tested(pair: Pair) -> list[str]:
    effects = ["–" if math.isnan(value) else f"{value:+.2f}" for value in (pair.d_z, pair.rank_biserial)]
    return [*effects, small(pair.p), small(pair.p_holm)]


def small(p: float) -> str:
    """A p-value, with as many digits as it is worth."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _sentences(contest: Contest, others: Sequence[Group]) -> list[str]:
    family, n, metric = contest.family, len(contest.family.subjects), spoken(contest.metric)
    found = [
        f"difference: mean over test subjects of each one's {metric}, which is a mean over seeds; [95 % interval over "
        f"subjects, by bootstrap{', too short for so few' * (n <= 2 * FEWEST)}], of each pair alone; for how many "
        "the first is better. Nothing is said of other seeds or training data"
    ]
    if contest.metric != chosen_by(contest.groups[0]) and _one_class(contest):
        found.append(
            f"a subject whose windows are of one class has no {spoken(chosen_by(contest.groups[0]))}; its "
            "balanced accuracy is the recall of that class"
        )
    if family.left_out:
        named = ", ".join(family.left_out[:5]) + f" and {len(family.left_out) - 5} more" * (
            len(family.left_out) > 5
        )
        found.append(
            f"{len(family.left_out)} of {n + len(family.left_out)} subjects are left out, for whom some model has no "
            f"{metric} (their windows are of one class): {named}"
        )
    found += _of_tests(contest) if family.tested else [too_few(n)]
    data, protocol = contest.groups[0].first.data, contest.groups[0].first.benchmark.protocol
    alone = [
        group.label
        for group in others
        if (group.first.data, group.first.benchmark.protocol) == (data, protocol)
        and group.first.classifies
        and not any(group is one for one in contest.groups)
    ]
    if alone:
        found.append(
            f"not compared here, as the split, its subjects or the windows are others: {', '.join(alone)}"
        )
    return found


def _one_class(contest: Contest) -> bool:
    rows = contest.groups[0].first.by_subject["test"].values()
    return any(sum(count > 0 for count in row["per_class"].values()) < 2 for row in rows)


def too_few(n: int) -> str:
    """Why nothing is tested."""
    if n < 2:
        return f"no test: {n} subject shows nothing of others. At least {FEWEST} are wanted"
    return (
        f"no test: with {n} subjects the smallest two-sided p of an exact test is 2/2^{n} = {2 / 2**n:g}, whatever the "
        f"scores. At least {FEWEST} are wanted"
    )


def _of_tests(contest: Contest) -> list[str]:
    family, n = contest.family, len(contest.family.subjects)
    least = 2 / 2**n
    which = (
        f"exact sign-flip test of the mean difference, two-sided, never below 2/2^{n} = {least:g} with {n} subjects"
        if family.exact
        else "Wilcoxon's signed-rank test, two-sided"
    )
    many = len(family.pairs)
    of = f"with {contest.reference}" if contest.reference else "of models here"
    corrected = (
        f"p (Holm): for all {many} pairs {of} at once"
        if many > 1
        else "p (Holm): of a single pair, as it is"
    )
    if family.exact and many > 1 and many * least > LEVEL:
        corrected += (
            f", the smallest of which is never below {many} x {least:g} = {min(1.0, many * least):.3g}"
        )
    return [
        f"p: {which}. {corrected}",
        "d_z: mean of the differences in their standard deviations; rank-biserial: from -1 to 1, the share of the "
        "ranks of the differences that is above 0 less that below",
    ]


def pairs_csv(found: Sequence[Contest]) -> str:
    """One row a pair, with all digits; empty where nothing is tested."""
    rows = []
    for contest in found:
        by_label = {group.label: group for group in contest.groups}
        for pair in contest.family.pairs:
            numbers = {k: v for k, v in vars(pair).items() if k not in ("first", "second")}
            rows.append(
                {
                    "data": contest.groups[0].first.data,
                    "protocol": contest.groups[0].first.benchmark.protocol,
                    "metric": contest.metric,
                    "first": pair.first,
                    "second": pair.second,
                    "subjects": len(contest.family.subjects),
                    "subjects_left_out": len(contest.family.left_out),
                    "seeds_first": len(by_label[pair.first].runs),
                    "seeds_second": len(by_label[pair.second].runs),
                    **{k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in numbers.items()},
                    "pairs_in_family": len(contest.family.pairs),
                    "test": ("sign-flip" if contest.family.exact else "wilcoxon") * contest.family.tested,
                    "remarks_first": "; ".join(marks(by_label[pair.first])),
                    "remarks_second": "; ".join(marks(by_label[pair.second])),
                }
            )
    return csv_text(rows)
