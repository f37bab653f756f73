"""`report --against paper`: every published score of the models that were run, beside ours.

A row is a published score and the runs that repeat it. If an experiment repeats a published table (`paper.tables`),
the scores of that table that no run has yet are rows too. A row has a difference if the two scores may be compared,
and the reason if not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eegfm.drawing.sheet import Sheet, csv_text, raised
from eegfm.reporting.groups import Group, deviation, mean, repeated, setting_differences, tables_repeated
from eegfm.reporting.published import Reference, protocols, published
from eegfm.reporting.remarks import incomparable
from eegfm.reporting.scores import NONE, interval, score
from eegfm.runs.reservations import reservations_of, titled
from eegfm.tasks.metric_names import METRICS, short

HEADER = ["data set", "score", "our runs", "published", "paper", "ours", "difference"]
HEADER += ["95 % over subjects", "comparable"]
TEXT = (0, 1, 2, 3, 8)  # the columns that hold words
OTHER_SETTINGS = "yes, with other settings"


@dataclass(frozen=True)
class Row:
    """A published score with the group that repeats it, or with the experiment that would repeat it."""

    reference: Reference
    group: Group | None
    experiment: str = ""

    @cached_property
    def reasons(self) -> list[str]:
        """Why the two scores must not be compared."""
        return incomparable(self.group, self.reference) if self.group else []

    @cached_property
    def settings(self) -> list[str]:
        """The settings in which our model differs from the published one."""
        return setting_differences(self.group, self.reference) if self.group else []

    @property
    def comparable(self) -> str:
        if self.group is None:
            return "not run"
        if self.reasons:
            return f"no: {', '.join(self.reasons)}"
        return OTHER_SETTINGS if self.settings else "yes"

    @property
    def difference(self) -> float:
        """Our mean minus the paper's; NaN if they must not be compared."""
        if self.group is None or self.reasons:
            return math.nan
        return mean(self.group.test(self.reference.metric)) - self.reference.mean


def rows(groups: Sequence[Group]) -> list[Row]:
    """The rows by data set and score, in the order of `published.yaml`; scores that were not run come last."""
    references, table_rows = published(), []
    for group in groups:
        table_rows += [Row(reference, group) for reference in repeated(group, references)]
    run = {id(row.reference) for row in table_rows}
    for group in groups:
        for reference in references:
            wanted = reference.table in tables_repeated(group) and reference.model == group.first.model
            if wanted and id(reference) not in run:
                table_rows.append(Row(reference, None, group.first.experiment))
                run.add(id(reference))
    order = {id(reference): i for i, reference in enumerate(references)}
    data = list(dict.fromkeys(r.data for r in references))
    return sorted(
        table_rows,
        key=lambda row: (
            row.group is None,
            data.index(row.reference.data),
            [*METRICS].index(row.reference.metric),
            order[id(row.reference)],
        ),
    )


def sheet(table_rows: Sequence[Row]) -> Sheet:
    """The table with its notes: what the columns mean, settings that differ, protocols, experiments, sources."""
    sources = list(dict.fromkeys(row.reference.source for row in table_rows))
    body = []
    for row in table_rows:
        reference, group = row.reference, row.group
        body.append(
            [
                reference.data,
                short(reference.metric),
                _runs(group) if group else NONE,
                reference.title,
                f"{reference}{raised(sources.index(reference.source) + 1)}",
                score(group, reference.metric) if group else NONE,
                NONE if math.isnan(row.difference) else f"{row.difference:+.{reference.digits}f}",
                interval(group, reference.metric) or NONE if group else NONE,
                row.comparable,
            ]
        )
    n_run = sum(row.group is not None for row in table_rows)
    return Sheet(
        "Against the papers",
        HEADER,
        body,
        [*_notes(table_rows), *(f"{raised(i)} {source}" for i, source in enumerate(sources, 1))],
        rules=[n_run] if 0 < n_run < len(table_rows) else [],
        text=TEXT,
    )


def _runs(group: Group) -> str:
    n = len(group.runs)
    return titled(f"{group.label}, {n} seed{'s' * (n != 1)}", reservations_of(group.first))


def _notes(table_rows: Sequence[Row]) -> list[str]:
    notes = [
        "paper and ours: mean ± standard deviation over seeds (ours: ddof 0); difference: ours minus the paper's, "
        "if both have the same data, split and protocol; 95 % over subjects: interval of ours over test "
        "subjects and seeds"
    ]
    settings = {
        f"{row.group.label} beside {row.reference.title}, settings, ours (published): {', '.join(row.settings)}": None
        for row in table_rows
        if row.group and row.settings
    }
    notes += settings
    foreign = {row.reference.protocol for row in table_rows} - {next(iter(protocols()))}
    notes += [f"protocol {name}: {protocols()[name]}" for name in sorted(foreign)]
    missing = dict.fromkeys(row.experiment for row in table_rows if row.group is None)
    notes += [f"not run: eegfm train experiment={name} trains the missing runs" for name in missing]
    return notes


def csv(table_rows: Sequence[Row]) -> str:
    """One row a score, with all digits; the difference is empty if the two must not be compared."""
    return csv_text([_flat(row) for row in table_rows])


def _flat(row: Row) -> dict[str, Any]:
    reference, group = row.reference, row.group
    values = group.test(reference.metric) if group else []
    low, high = group.intervals.get(reference.metric, ("", "")) if group else ("", "")
    return {
        "data": reference.data,
        "metric": reference.metric,
        "ours": group.label if group else "",
        "seeds": len(values),
        "published": reference.title,
        "table": reference.table,
        "protocol": reference.protocol,
        "paper_mean": reference.mean,
        "paper_std": "" if reference.std is None else reference.std,
        "ours_mean": mean(values) if values else "",
        "ours_std": deviation(values) if values else "",
        "ours_low": low,
        "ours_high": high,
        "difference": "" if math.isnan(row.difference) else row.difference,
        "comparable": row.comparable.partition(":")[0],
        "reasons": "; ".join(row.reasons),
        "settings": "; ".join(row.settings),
        "experiment": row.experiment,
        "source": reference.source,
    }
