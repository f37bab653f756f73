"""What the tables of a report hold: scores of our groups, published scores, test subjects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eegfm.drawing.sheet import Sheet, raised
from eegfm.reporting.against import Row
from eegfm.reporting.contests import Contest
from eegfm.reporting.groups import Group
from eegfm.reporting.published import Reference, protocols, published
from eegfm.reporting.remarks import controls, decided, marks, places, remarks
from eegfm.reporting.scores import LEGEND, NONE, interval, score, spread
from eegfm.tasks.metric_names import MAIN, in_order, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


UNDEFINED = f"{NONE}: not defined, because all windows of the subject are of one class"


@dataclass
class Supplement:
    """What a report shows beside its tables of scores, by its options: tables, figures and sentences."""

    contests: "list[Contest]" = field(default_factory=list)
    against: "list[Row]" = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    figures: "dict[str, Figure]" = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)


@dataclass
class Table:
    """One benchmark: our groups, then the published scores. `sources` are the footnotes, numbered from 1."""

    title: str
    groups: list[Group]
    metrics: list[str]
    published: dict[str, dict[str, Reference]]
    sources: list[str]

    def cite(self, reference: Reference) -> str:
        """A published score with the number of its footnote."""
        return f"{reference}{raised(self.sources.index(reference.source) + 1)}"


def tables(groups: Sequence[Group]) -> list[Table]:
    """A table for each benchmark and protocol, with every metric of its runs.

    Runs that forecast or reconstruct windows have tables of their own.
    """
    references = published()
    by_benchmark = []
    for key in sorted({_table_of(group) for group in groups}):
        data, protocol, kind = key
        members = [g for g in groups if _table_of(g) == key]
        present = {
            metric for group in members for run in group.runs for metric in run.result.metrics["test"]
        }
        shown: dict[str, dict[str, Reference]] = {}
        for reference in references:
            if reference.headline and reference.data == data and not kind:
                other = reference.protocol not in (protocol.split("@")[0], next(iter(protocols())))
                name = reference.title + f", protocol {reference.protocol}" * other
                shown.setdefault(name, {}).setdefault(reference.metric, reference)
        used = [r for g in members for r in g.references.values()] + [
            r for row in shown.values() for r in row.values()
        ]
        cited = {reference.source for reference in used}
        by_benchmark.append(
            Table(
                title=f"{members[0].first.benchmark.title} (data={data}), protocol {protocol}"
                + f", {kind}" * bool(kind),
                groups=members,
                # for a mix, only the metrics of the whole; the result of a run also holds those of each corpus
                metrics=in_order(present, cited={reference.metric for reference in used}),
                published=shown,
                sources=[s for s in dict.fromkeys(r.source for r in references) if s in cited],
            )
        )
    return by_benchmark


def _table_of(group: Group) -> tuple[str, str, str]:
    """Benchmark, protocol, and "forecast" or "reconstruction" for runs that do not classify."""
    kind = ""
    if not group.first.classifies:
        kind = "forecast" if "persistence_rmse_uv" in group.first.metrics["test"] else "reconstruction"
    return group.first.data, group.first.benchmark.protocol, kind


def about(group: Group) -> list[str]:
    """The seeds, test subjects and trainable parameters of a group, in words."""
    seeds, facts = [str(run.result.seed) for run in group.runs], group.first.benchmark
    subjects = len(group.first.by_subject.get("test", {}))
    commits = {(run.result.git.get("commit"), run.result.git.get("dirty")) for run in group.runs}
    lines = [
        f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'} ({', '.join(seeds)})",
        f"{subjects} test {'subject' if subjects == 1 else 'subjects'}",
        f"{group.first.parameters['trainable']:,} trainable",
    ]
    if facts.split and facts.own:
        lines.append(f"split {facts.division}")
    if len(commits) > 1:
        lines.append("the runs have different code: see git_commit in --csv")
    return lines


def subject_rows(group: Group) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a group's table of test subjects."""
    subjects = group.subjects()
    present = {name for row in subjects.values() for name in row}
    metrics = in_order({*MAIN} & present)
    header = ["subject", "windows", *group.first.classes, *(short(metric) for metric in metrics)]
    rows = [
        [
            subject,
            f"{row['n_windows']:,}",
            *(f"{row['per_class'].get(name, 0):,}" for name in group.first.classes),
            *(NONE if math.isnan(row.get(m, math.nan)) else f"{row[m]:.4f}" for m in metrics),
        ]
        for subject, row in subjects.items()
    ]
    return header, rows


def subject_sheet(group: Group) -> Sheet:
    """A group's table of test subjects, with its title and note."""
    header, rows = subject_rows(group)
    notes = [UNDEFINED] if any(NONE in row for row in rows) else []
    return Sheet(f"{group.label}: test subjects, {over_seeds(group)}", header, rows, notes)


def over_seeds(group: Group) -> str:
    """`means over 3 seeds` or `seed 1`."""
    return f"means over {len(group.runs)} seeds" if len(group.runs) > 1 else f"seed {group.first.seed}"


def score_sheet(table: Table, metrics: Sequence[str], *, whole: bool) -> Sheet:
    """A table of scores in plain text; `whole` adds the lowest and highest subject, and the run folders."""
    header = ["", "seeds", "test subjects", *(short(metric) for metric in metrics)]
    parts = (score, interval, spread) if whole else (score, interval)
    rows, sentences_of, folders = [], {}, []
    for group in table.groups:
        tested = str(len(group.first.by_subject.get("test", {})))
        cells = ["\n".join(filter(None, (part(group, m) for part in parts))) for m in metrics]
        rows.append([group.label, str(len(group.runs)), tested, *cells])
        sentences_of[group.label] = [*marks(group), *(remarks(group) if whole or group.references else [])]
        sentences_of[group.label] += decided(group) + places(group) + controls(group) if whole else []
        folders.append(f"{group.label}, from: {', '.join(run.label() for run in group.runs)}")
    notes = [
        LEGEND if whole else LEGEND.rpartition(";")[0],
        *_gathered(sentences_of),
        *(folders if whole else []),
    ]
    ours = len(rows)
    for title, row in table.published.items():
        cells = [table.cite(row[metric]) if metric in row else NONE for metric in metrics]
        rows.append([f"published: {title}", "", "", *cells])
    notes += [f"{raised(i)} {source}" for i, source in enumerate(table.sources, 1)]
    return Sheet(table.title, header, rows, notes, [ours] if table.published else [])


def _gathered(sentences_of: Mapping[str, Sequence[str]]) -> list[str]:
    """One line of the sentences that hold for all groups, then one line for each group that has others."""
    first = next(iter(sentences_of.values()))
    shared = (
        [s for s in first if all(s in sentences for sentences in sentences_of.values())]
        if len(sentences_of) > 1
        else []
    )
    own = {label: [s for s in sentences if s not in shared] for label, sentences in sentences_of.items()}
    lines = {"all": shared, **own}
    return [f"{label}: {'; '.join(sentences)}" for label, sentences in lines.items() if sentences]
