"""Scores of persons and of recordings, where a label is theirs: the windows of each decide together."""

from collections.abc import Sequence
from typing import Any

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.groups import Group
from eegfm.runs.wholes import SCORES, how_of, number, ways_of, wholes
from eegfm.tasks.metric_names import short

HEADER = ["", "seeds", "of", *map(short, SCORES)]
NOTE = (
    "the windows of a person or a recording decide together, where a label is theirs; a cut that was fitted on few "
    "validation persons is worth little; 95 % intervals over persons and seeds"
)


def sheets(groups: Sequence[Group]) -> list[Sheet]:
    """A table for each data set whose labels are of persons or recordings."""
    by_data: dict[str, list[list[str]]] = {}
    for group in groups:
        rows = _rows(group)
        if rows:
            by_data.setdefault(group.first.data, []).extend(rows)
    return [
        Sheet(f"{data}: persons and recordings", HEADER, rows, [NOTE], text=(0, 2))
        for data, rows in by_data.items()
    ]


def of_group(group: Group) -> dict[str, Any]:
    """The scores of persons and recordings over the group's seeds (see `runs.wholes`); {} without predictions."""
    tables = [run.predictions for run in group.runs]
    known = [table for table in tables if table is not None]
    if not group.first.classifies or not known or len(known) < len(tables):
        return {}
    return wholes(known, [table for run in group.runs if (table := run.validated) is not None])


def _rows(group: Group) -> list[list[str]]:
    rows = []
    for kind, of in of_group(group).items():
        count = f"{of['n']} {kind}s" + (f" of {of['persons']} persons" if kind == "recording" else "")
        for way in ways_of(of):
            name, seeds = ("", "") if rows else (group.label, str(len(group.runs)))
            cells = [number(of[way][score]) if score in of[way] else "" for score in SCORES]
            rows.append([name, seeds, f"{count}, {how_of(of, way, kind)}", *cells])
    return rows
