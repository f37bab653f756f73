"""Scores of persons and of recordings, where a label is theirs: the windows of each decide together."""

from collections.abc import Sequence

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.groups import Group
from eegfm.runs.wholes import SCORES, WAYS, number, wholes
from eegfm.tasks.metric_names import short

HEADER = ["", "seeds", "of", *map(short, SCORES)]
NOTE = (
    "the windows of a person or a recording decide together, where a label is theirs; 95 % intervals over persons and "
    "seeds"
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


def _rows(group: Group) -> list[list[str]]:
    tables = [run.predictions for run in group.runs]
    known = [table for table in tables if table is not None]
    if not group.first.classifies or not known or len(known) < len(tables):
        return []
    rows = []
    for kind, of in wholes(known).items():
        count = f"{of['n']} {kind}s" + (f" of {of['persons']} persons" if kind == "recording" else "")
        for way, how in WAYS.items():
            name, seeds = ("", "") if rows else (group.label, str(len(known)))
            cells = [number(of[way][score]) if score in of[way] else "" for score in SCORES]
            rows.append([name, seeds, f"{count}, {how}", *cells])
    return rows
