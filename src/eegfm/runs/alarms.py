"""Events of a benchmark whose windows lie end to end over recordings: alarms of a run against what was marked.

Windows of the class that raises an alarm are events, marked or raised, those that touch as one: so that beginnings and
ends are known to a window. The threshold is chosen on validation windows, where SzCORE's F1 is highest (see
`eegfm.tasks.events`); one half without a marked event there. Reports use this module, so it imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from eegfm.runs.predictions import PredictionTable, read_predictions
from eegfm.tasks.events import Counts, Event, any_overlap, raised, szcore

STEPS = 101  # thresholds that are tried, about
RULES = {"szcore": "SzCORE", "any_overlap": "any overlap"}


@dataclass(frozen=True, eq=False)
class Watched:
    """A recording in order of time: the windows' seconds, their probability of the alarm, and what is marked."""

    person: str
    second: Float[np.ndarray, " window"]
    probability: Float[np.ndarray, " window"]
    label: Bool[np.ndarray, " window"]
    window_s: float

    @property
    def length_s(self) -> float:
        return float(self.second[-1]) + self.window_s

    @property
    def marked(self) -> list[Event]:
        return raised(self.second, self.label.astype(float), threshold=0.5, window_s=self.window_s)

    def alarms(self, threshold: float) -> list[Event]:
        return raised(self.second, self.probability, threshold=threshold, window_s=self.window_s)

    def counts(self, threshold: float, rule: str = "szcore") -> Counts:
        alarms = self.alarms(threshold)
        if rule == "szcore":
            return szcore(self.marked, alarms, length_s=self.length_s)
        return any_overlap(self.marked, alarms, length_s=self.length_s, window_s=self.window_s)


def watched(table: PredictionTable, alarm: str, window_s: float) -> dict[str, Watched]:
    """The recordings of a table of predictions, by name."""
    column = table.classes.index(alarm)
    recording, second = zip(*(key.rsplit("/", 1) for key in table.keys), strict=True)
    seconds = np.array([float(one.removesuffix("s")) for one in second])
    names, place = np.unique(recording, return_inverse=True)
    order = np.lexsort((seconds, place))
    found = {}
    for name, rows in zip(names.tolist(), np.split(order, np.cumsum(np.bincount(place))[:-1]), strict=True):
        found[name] = Watched(
            table.subjects[rows[0]],
            seconds[rows],
            table.probabilities[rows, column],
            table.labels[rows] == column,
            window_s,
        )
    return found


def total(recordings: Mapping[str, Watched], threshold: float, rule: str = "szcore") -> Counts:
    """The counts of all recordings together."""
    return sum((one.counts(threshold, rule) for one in recordings.values()), Counts())


def thresholds(recordings: Mapping[str, Watched]) -> list[float]:
    """Thresholds that are worth trying: one half, and probabilities that more and more windows are above.

    Events are rare, so that from one to the next the number of windows above grows by the same factor.
    """
    values = np.sort(np.concatenate([one.probability for one in recordings.values()]))[::-1]
    above = np.unique(np.geomspace(1, len(values), STEPS).astype(int)) - 1
    return sorted({0.5, *values[above].tolist()})


def chosen(recordings: Mapping[str, Watched]) -> tuple[float, Counts | None]:
    """The threshold with the highest F1, of equals the highest, and its counts; one half where nothing is marked."""
    if not any(one.label.any() for one in recordings.values()):
        return 0.5, None
    tried = [(total(recordings, threshold), threshold) for threshold in thresholds(recordings)]
    best, threshold = max(tried, key=lambda pair: (pair[0].f1, pair[1]))
    return threshold, best


def alarms_of(predictions: Path, validation: Path, alarm: str, window_s: float) -> dict[str, Any]:
    """The scores of events in a file of predictions, with the threshold from one of validation.

    {} where there is no file or no class of alarm. Else "alarm", "threshold", "window_s"; "validation", the scores
    there ({} if nothing is marked there); "szcore" and "any_overlap", the scores at the threshold; "by_person",
    SzCORE's of each; and "curve", sensitivity and false alarms a day by SzCORE over thresholds.
    """
    if not alarm or not predictions.is_file():
        return {}
    tested = watched(read_predictions(predictions), alarm, window_s)
    before = watched(read_predictions(validation), alarm, window_s) if validation.is_file() else {}
    threshold, known = chosen(before)
    people = sorted({one.person for one in tested.values()})
    of = {p: {name: one for name, one in tested.items() if one.person == p} for p in people}
    curve = [(t, total(tested, t)) for t in thresholds(tested)]
    return {
        "alarm": alarm,
        "threshold": threshold,
        "window_s": window_s,
        "validation": known.facts() if known else {},
        **{rule: total(tested, threshold, rule).facts() for rule in RULES},
        "by_person": {person: total(own, threshold).facts() for person, own in of.items()},
        "curve": [
            {"threshold": t, "sensitivity": one.sensitivity, "false_a_day": one.false_a_day}
            for t, one in curve
        ],
    }


def a_day(
    recordings: Sequence[Watched], threshold: float, hours: float = 24.0
) -> tuple[Float[np.ndarray, " window"], Float[np.ndarray, " window"], list[Event], list[Event]]:
    """Recordings laid end to end: hours and probabilities of windows, marked events and alarms, in hours.

    Of more than a day, the one that begins with a recording and has the most events.
    """
    starts = np.concatenate([[0.0], np.cumsum([one.length_s for one in recordings])]) / 3600
    events = [len(one.marked) for one in recordings]
    inside = [
        sum(n for n, end in zip(events, starts[1:], strict=True) if s < end <= s + hours)
        for s in starts[:-1]
    ]
    begin = starts[int(np.argmax(inside))]
    laid = [
        ((start - begin), one)
        for start, one in zip(starts[:-1], recordings, strict=True)
        if 0 <= start - begin < hours
    ]
    return (
        np.concatenate([start + one.second / 3600 for start, one in laid]),
        np.concatenate([one.probability for _, one in laid]),
        [(start + a / 3600, start + b / 3600) for start, one in laid for a, b in one.marked],
        [(start + a / 3600, start + b / 3600) for start, one in laid for a, b in one.alarms(threshold)],
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What `alarms_of` found, a line for each rule, in words."""
    if not found:
        return []
    before = found["validation"]
    where = (
        f"validation (F1 {before['f1']:.2f} of {before['events']:.0f} events there)"
        if before
        else "no event"
    )
    lines = [f"alarms above {found['threshold']:.3g}, chosen on {where}"]
    for rule, name in RULES.items():
        one = found[rule]
        delay = f", {one['delay_s']:+.0f} s from the beginning (median)" if "delay_s" in one else ""
        lines.append(
            f"events by {name}: {one['found']:.0f} of {one['events']:.0f} found, {one['false_a_day']:.3g} false alarms "
            f"in 24 h (of {one['hours']:.3g} h){delay}"
        )
    return lines
