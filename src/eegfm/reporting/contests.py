"""Contests: groups that a report compares in pairs, over the test subjects that they share.

Only classifiers with the same data set, protocol, split and test windows are compared; `comparisons` holds the
statistics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eegfm.drawing.sheet import Sheet, csv_text
from eegfm.reporting.comparisons import FEWEST, LEVEL, Family, Pair, compare
from eegfm.reporting.groups import Group
from eegfm.reporting.remarks import marks, reservations_about
from eegfm.runs.reservations import titled
from eegfm.runs.results import SUBJECT_FACTS
from eegfm.tasks.metric_names import NO_SCORE, spoken


@dataclass
class Contest:
    """Groups with the same test windows, and the metric of each subject by which they are compared."""

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
        return titled(title, reservations_about(self.groups))


def contests(
    groups: Sequence[Group], *, metric: str | None = None, reference: str | None = None
) -> list[Contest]:
    """One contest for every set of two groups or more that can be compared.

    `reference` is a label, or a part of one that no other label has. The default metric is the one that chose the
    weights (AUROC for two classes, else kappa) if every test subject has it, else balanced accuracy.

    Raises:
        ValueError: no subject has the metric; no label has the reference, or several labels of one contest have it.
    """
    all_contests = [
        Contest(alike, metric or subject_metric(alike), _label_with(alike, reference))
        for alike in comparable(groups)
    ]
    scored = {
        name for contest in all_contests for row in contest.groups[0].subjects().values() for name in row
    } - {*NO_SCORE, *SUBJECT_FACTS}
    if metric and all_contests and metric not in scored:
        raise ValueError(
            f"No test subject has a score {metric}. Type --metric with one of: {', '.join(sorted(scored))}."
        )
    if reference and all_contests:
        all_contests = [contest for contest in all_contests if contest.reference is not None]
        if not all_contests:
            labels = "\n  ".join(dict.fromkeys(group.label for group in groups))
            raise ValueError(
                f"No compared model has {reference!r} in its name. The models are:\n  {labels}"
            )
    return all_contests


def comparable(groups: Sequence[Group]) -> list[list[Group]]:
    """Sets of two classifiers or more that share data set, protocol, split and test windows."""
    by_windows: dict[Any, list[Group]] = {}
    for group in groups:
        if group.first.classifies:
            by_windows.setdefault(_windows(group), []).append(group)
    return [alike for alike in by_windows.values() if len(alike) > 1]


def _windows(group: Group) -> tuple[Any, ...]:
    """A key that two groups share only if they were tested on the same windows after the same split."""
    facts = group.first.benchmark
    split = tuple((name, *sorted(ids)) for name, ids in sorted(facts.subjects.items()))
    tested = tuple(
        (subject, tuple(sorted(row["per_class"].items())))
        for subject, row in sorted(group.first.by_subject.get("test", {}).items())
    )
    return group.first.data, facts.protocol, facts.window_s, str(sorted(facts.split.items())), split, tested


def _label_with(groups: Sequence[Group], reference: str | None) -> str | None:
    """The label that equals the reference, or the only one that contains it; None if there is none."""
    if reference is None:
        return None
    labels = [group.label for group in groups]
    matches = [label for label in labels if label == reference] or [
        label for label in labels if reference in label
    ]
    if len(matches) > 1:
        names = "\n  ".join(matches)
        raise ValueError(
            f"{reference!r} is in the names of several models. Type more of one of them:\n  {names}"
        )
    return matches[0] if matches else None


def chosen_by(group: Group) -> str:
    """The metric whose validation value chose the group's weights."""
    return group.first.monitor


def subject_metric(groups: Sequence[Group]) -> str:
    """The metric that chose the weights if every subject has it; else balanced accuracy, which every subject has."""
    name = chosen_by(groups[0])
    everywhere = all(
        math.isfinite(row.get(name, math.nan)) for group in groups for row in group.subjects().values()
    )
    return name if everywhere else "balanced_accuracy"


def sheets(contest: Contest, others: Sequence[Group]) -> list[Sheet]:
    """Two tables of a contest: its models, each with a letter, and its pairs; `others` are all groups of the report."""
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
            f"{letters[pair.first]} minus {letters[pair.second]}",
            f"{pair.difference:+.4f}" + _between(pair),
            f"{pair.better} of {n}" + _equal(pair, n),
            *_tested(pair) * family.tested,
        ]
        for pair in family.pairs
    ]
    return [models, Sheet(f"{contest.title}: pairs, {about}", header, rows, _sentences(contest, others))]


def _letter(i: int) -> str:
    """A to Z, then AA, AB, ..."""
    rounds, last = divmod(i, 26)
    return (_letter(rounds - 1) if rounds else "") + chr(ord("A") + last)


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
    sentences = [
        f"difference: mean over test subjects of each subject's {metric}, itself a mean over seeds; [95 % interval "
        "over subjects, by Student's t, for each pair alone]; better for: the "
        "number of subjects for whom the first model is better. This does not cover other seeds or training data"
    ]
    if contest.metric != chosen_by(contest.groups[0]) and _one_class(contest):
        sentences.append(
            f"a subject whose windows are of one class has no {spoken(chosen_by(contest.groups[0]))}; its "
            "balanced accuracy is the recall of that class"
        )
    if family.left_out:
        named = ", ".join(family.left_out[:5]) + f" and {len(family.left_out) - 5} more" * (
            len(family.left_out) > 5
        )
        sentences.append(
            f"{len(family.left_out)} of {n + len(family.left_out)} subjects are left out, because some model has no "
            f"{metric} for them (their windows are of one class): {named}"
        )
    sentences += _test_sentences(contest) if family.tested else [too_few(n)]
    data, protocol = contest.groups[0].first.data, contest.groups[0].first.benchmark.protocol
    alone = [
        group.label
        for group in others
        if (group.first.data, group.first.benchmark.protocol) == (data, protocol)
        and group.first.classifies
        and not any(group is compared for compared in contest.groups)
    ]
    if alone:
        sentences.append(
            f"not compared here, because the split, its subjects or the windows differ: {', '.join(alone)}"
        )
    return sentences


def _one_class(contest: Contest) -> bool:
    """Whether some test subject has windows of one class only."""
    rows = contest.groups[0].first.by_subject["test"].values()
    return any(sum(count > 0 for count in row["per_class"].values()) < 2 for row in rows)


def too_few(n: int) -> str:
    """Why nothing is tested."""
    if n < 2:
        return f"no test: {n} subject says nothing about others. A test needs at least {FEWEST}"
    return (
        f"no test: with {n} subjects the smallest two-sided p of an exact test is 2/2^{n} = {2 / 2**n:g}, whatever the "
        f"scores. A test needs at least {FEWEST}"
    )


def _test_sentences(contest: Contest) -> list[str]:
    family, n = contest.family, len(contest.family.subjects)
    least = 2 / 2**n
    which = (
        f"exact sign-flip test of the mean difference, two-sided, never below 2/2^{n} = {least:g} with {n} subjects"
        if family.exact
        else "Wilcoxon's signed-rank test, two-sided"
    )
    many = len(family.pairs)
    which_pairs = f"with {contest.reference}" if contest.reference else "of these models"
    corrected = (
        f"p (Holm): corrected for all {many} pairs {which_pairs}"
        if many > 1
        else "p (Holm): equals p, for there is one pair"
    )
    if family.exact and many > 1 and many * least > LEVEL:
        corrected += f"; the smallest is never below {many} x {least:g} = {min(1.0, many * least):.3g}"
    return [
        f"p: {which}. {corrected}",
        "d_z: mean of the differences over their standard deviation; rank-biserial: from -1 to 1, the share of the "
        "ranks of the differences above 0 minus the share below",
    ]


def pairs_csv(all_contests: Sequence[Contest]) -> str:
    """One row a pair, with all digits; cells of a test are empty if there was none."""
    rows = []
    for contest in all_contests:
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
