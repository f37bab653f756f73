"""Scores of events: alarms of each group against those that were marked, with thresholds from validation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eegfm.drawing.sheet import Sheet
from eegfm.reporting.groups import Group, mean
from eegfm.runs.alarms import RULES

HEADER = [
    "",
    "seeds",
    "events",
    "rule",
    "sensitivity",
    "false alarms / 24 h",
    "precision",
    "F1",
    "delay, s",
]
NOTE = (
    "windows above a threshold that touch are one alarm, and marked windows are one event; each seed's threshold is "
    "chosen on validation (SzCORE's F1); delay: median from the beginning of an event to the end of the window that "
    "raised its first alarm"
)
DIGITS = {"sensitivity": 3, "false_a_day": 2, "precision": 3, "f1": 3, "delay_s": 0}


def sheets(groups: Sequence[Group]) -> list[Sheet]:
    """A table for each data set whose windows are events to be found."""
    by_data: dict[str, list[list[str]]] = {}
    for group in groups:
        found = [run.result.events for run in group.runs]
        if all(found):
            by_data.setdefault(group.first.data, []).extend(_rows(group, found))
    return [Sheet(f"{data}: events", HEADER, rows, [NOTE], text=(0, 3)) for data, rows in by_data.items()]


def _rows(group: Group, found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for rule, name in RULES.items():
        each = [one[rule] for one in found]
        head = [group.label, str(len(found))] if not rows else ["", ""]
        cells = [_cell(mean([one.get(key) for one in each]), digits) for key, digits in DIGITS.items()]
        rows.append([*head, f"{each[0]['events']:.0f} in {each[0]['hours']:.3g} h", name, *cells])
    return rows


def _cell(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
