"""Events that a detector raises over continuous recordings, and how well they find those that were marked.

Two rules count. "any overlap": an event is found if an alarm shares any moment with it, and an alarm that shares none
with any event is false. "szcore": the consensus of SzCORE (Dan et al. 2024, doi:10.1111/epi.18113): events less than
90 s apart are one; then events longer than 5 minutes are cut into such of 5 minutes; an event is found if an alarm
touches the time from 30 s before it to 60 s behind it; and an alarm is false if it touches no such time of a found
event. Moments are tenths of a second there. That is the way of the package `timescoring` since its version 0.0.7;
before, an alarm was false where any moment of it lay outside. Reports use this module, so it imports no torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Event = tuple[float, float]  # seconds of its beginning and its end, in the recording

APART_S, LONGEST_S, BEFORE_S, BEHIND_S = 90.0, 300.0, 30.0, 60.0
PER_S = 10  # moments of SzCORE in a second
DAY_S = 86_400.0


@dataclass(frozen=True)
class Counts:
    """What was found in recordings: `events` marked, `found` of them, `false` alarms, seconds of recording.

    `delays_s` are the seconds from the beginning of each event found to its first alarm's decision; negative before it.
    """

    events: int = 0
    found: int = 0
    false: int = 0
    seconds: float = 0.0
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.events + other.events,
            self.found + other.found,
            self.false + other.false,
            self.seconds + other.seconds,
            self.delays_s + other.delays_s,
        )

    @property
    def sensitivity(self) -> float:
        """The part of the events that was found; NaN without events."""
        return self.found / self.events if self.events else np.nan

    @property
    def precision(self) -> float:
        """Found events by found events and false alarms, as SzCORE has it; NaN without either."""
        return self.found / (self.found + self.false) if self.found + self.false else np.nan

    @property
    def f1(self) -> float:
        """Twice the found by that, the false and the missed; NaN without events and false alarms."""
        n = self.events + self.false
        return 2 * self.found / (n + self.found) if n else np.nan

    @property
    def false_a_day(self) -> float:
        """False alarms in 24 hours of recording."""
        return self.false * DAY_S / self.seconds if self.seconds else np.nan

    def facts(self) -> dict[str, float]:
        """The scores by name; the median delay is NaN where nothing was found."""
        return {
            "events": float(self.events),
            "found": float(self.found),
            "false": float(self.false),
            "hours": self.seconds / 3600,
            "sensitivity": self.sensitivity,
            "precision": self.precision,
            "f1": self.f1,
            "false_a_day": self.false_a_day,
            **({"delay_s": float(np.median(self.delays_s))} if self.delays_s else {}),
        }


def raised(
    second: Float[np.ndarray, " window"],
    probability: Float[np.ndarray, " window"],
    *,
    threshold: float,
    window_s: float,
) -> list[Event]:
    """The alarms of a recording: windows above the threshold, those that touch or overlap as one. In order of time."""
    above = np.sort(np.asarray(second)[np.asarray(probability) > threshold])
    found: list[Event] = []
    for start in above.tolist():
        if found and start <= found[-1][1] + 1e-6:
            found[-1] = (found[-1][0], start + window_s)
        else:
            found.append((start, start + window_s))
    return found


def any_overlap(
    marked: Sequence[Event], alarms: Sequence[Event], *, length_s: float, window_s: float = 0.0
) -> Counts:
    """Count by any overlap in a recording of `length_s` seconds; both lists are in order and without overlaps.

    An alarm's decision is known `window_s` behind its beginning, at the end of its first window.
    """
    first = [next((a for a in alarms if _meet(a, event)), None) for event in marked]
    delays = [a[0] + window_s - event[0] for a, event in zip(first, marked, strict=True) if a is not None]
    false = sum(not any(_meet(alarm, event) for event in marked) for alarm in alarms)
    return Counts(len(marked), len(delays), false, length_s, tuple(delays))


def szcore(marked: Sequence[Event], alarms: Sequence[Event], *, length_s: float) -> Counts:
    """Count by SzCORE in a recording of `length_s` seconds; both lists are in order and without overlaps."""
    last = round(length_s * PER_S)
    events, ours = (_in_parts(_joined(one, APART_S), LONGEST_S) for one in (marked, alarms))
    times = [
        _moments((max(0.0, start - BEFORE_S), min(last / PER_S, end + BEHIND_S)), last)
        for start, end in events
    ]
    moments = [_moments(alarm, last) for alarm in ours]
    found = [time for time in times if any(max(a, time[0]) < min(b, time[1]) for a, b in moments)]
    false = sum(not any(max(a, c) < min(b, d) for c, d in found) for a, b in moments)
    return Counts(len(events), len(found), false, last / PER_S)


def _meet(one: Event, other: Event) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def _joined(events: Iterable[Event], apart: float) -> list[Event]:
    """The events, those less than `apart` from one another as one."""
    found: list[Event] = []
    for start, end in sorted(events):
        if found and start - found[-1][1] < apart:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _in_parts(events: Iterable[Event], longest: float) -> list[Event]:
    found = []
    for start, end in events:
        while end - start > longest:
            found.append((start, start + longest))
            start = start + longest
        found.append((start, end))
    return found


def _moments(event: Event, last: int) -> tuple[int, int]:
    """The first tenth of a second of an event and the one behind its last, of so many."""
    return min(round(event[0] * PER_S), last), min(round(event[1] * PER_S), last)
