"""Scores of events against SzCORE's rules written out on a row of tenths of a second, and on a day that is known.

`python -m tests.tasks.test_events 10000` holds them against the package `timescoring`, where it is installed.
"""

import math
import random
import sys

import numpy as np
import pytest

from eegfm.tasks.events import Counts, Event, any_overlap, raised, szcore


def drawn(random: random.Random) -> tuple[list[Event], list[Event], float]:
    """Marked events and alarms of a recording, in order and without overlaps, some alarms near the events' edges."""
    length_s = random.choice([600.0, 1800.0, 7200.0, round(random.uniform(100, 4000), 1)])
    digits = random.choice([0, 1, 2])

    def some() -> list[Event]:
        cuts = sorted(
            {round(random.uniform(0, length_s), digits) for _ in range(2 * random.choice([0, 1, 2, 3, 6]))}
        )
        return list(zip(cuts[::2], cuts[1::2], strict=False))

    marked, alarms = some(), some()
    if marked and random.random() < 0.5:
        moved = [
            (
                max(0.0, a + random.choice([-40, -30, -5, 0])),
                min(length_s, b + random.choice([-3, 0, 59, 60, 61])),
            )
            for a, b in marked
        ]
        alarms = [
            one for i, one in enumerate(moved) if one[0] < one[1] and (not i or moved[i - 1][1] <= one[0])
        ]
    return marked, alarms, length_s


def on_a_row(marked: list[Event], alarms: list[Event], length_s: float) -> tuple[int, int, int]:
    """Events, found, false: SzCORE's rules, moment by moment."""
    n = round(length_s * 10)

    def row(events: list[Event]) -> np.ndarray:
        cells = np.zeros(n, dtype=bool)
        for a, b in events:
            cells[round(a * 10) : round(b * 10)] = True
        return cells

    def prepared(events: list[Event]) -> list[Event]:
        near: list[Event] = []
        for a, b in events:
            if near and a - near[-1][1] < 90:
                near[-1] = (near[-1][0], b)
            else:
                near.append((a, b))
        short = []
        for a, b in near:
            while b - a > 300:
                short.append((a, a + 300))
                a += 300
            short.append((a, b))
        return short

    events, ours = prepared(marked), prepared(alarms)
    touched, found = np.zeros(n, dtype=bool), 0
    for a, b in events:
        time = row([(max(0.0, a - 30), min(n / 10, b + 60))])
        if (time & row(ours)).any():
            found, touched = found + 1, touched | time
    return len(events), found, sum(not (row([one]) & touched).any() for one in ours)


def test_szcores_rules_are_kept_on_random_lists() -> None:
    draw, seen = random.Random(0), np.zeros(3)
    for _ in range(300):
        marked, alarms, length_s = drawn(draw)
        found = szcore(marked, alarms, length_s=length_s)
        assert (found.events, found.found, found.false) == on_a_row(marked, alarms, length_s)
        seen += [found.found > 0, found.false > 0, found.found < found.events]
    assert (seen > 30).all()


def test_a_day_with_known_seizures_has_the_known_scores() -> None:
    """Four seizures: found early, found late, found by its tolerance alone, missed; and two false alarms."""
    marked = [(3600.0, 3660.0), (20_000.0, 20_090.0), (40_000.0, 40_030.0), (70_000.0, 70_030.0)]
    alarms = [
        (3590.0, 3620.0),
        (20_050.0, 20_060.0),
        (39_980.0, 39_990.0),
        (50_000.0, 50_010.0),
        (80_000.0, 80_200.0),
    ]
    day = szcore(marked, alarms, length_s=86_400.0)
    assert (day.events, day.found, day.false, day.sensitivity, day.false_a_day) == (4, 3, 2, 0.75, 2.0)
    assert (day.precision, day.f1) == (0.6, pytest.approx(2 * 3 / 9))
    plain = any_overlap(marked, alarms, length_s=86_400.0, window_s=10.0)
    assert (plain.found, plain.false, plain.delays_s) == (2, 3, (0.0, 60.0))
    both = day + szcore([], [(10.0, 20.0)], length_s=43_200.0)
    assert (both.events, both.false, both.false_a_day) == (4, 3, 2.0)
    assert (
        both.facts()["hours"] == 36 and "delay_s" not in both.facts() and plain.facts()["delay_s"] == 30.0
    )


def test_nothing_to_find_is_no_number() -> None:
    quiet = szcore([], [], length_s=3600.0)
    assert math.isnan(quiet.sensitivity) and math.isnan(quiet.precision) and math.isnan(quiet.f1)
    assert quiet.false_a_day == 0 and math.isnan(Counts().false_a_day)


def test_windows_above_the_threshold_that_touch_are_one_alarm() -> None:
    second = np.array([40.0, 0.0, 10.0, 20.0, 35.0])
    probability = np.array([0.9, 0.6, 0.7, 0.5, 0.8])
    assert raised(second, probability, threshold=0.5, window_s=10.0) == [(0.0, 20.0), (35.0, 50.0)]
    assert raised(second, probability, threshold=0.95, window_s=10.0) == []


def against_timescoring(n: int) -> int:
    """How many of so many random lists have other counts or scores there."""
    from timescoring.annotations import Annotation  # pyright: ignore[reportMissingImports]
    from timescoring.scoring import EventScoring  # pyright: ignore[reportMissingImports]

    draw, others = random.Random(1), 0
    for _ in range(n):
        marked, alarms, length_s = drawn(draw)
        theirs = EventScoring(*(Annotation(one, 10, round(length_s * 10)) for one in (marked, alarms)))
        ours = szcore(marked, alarms, length_s=length_s)
        others += not np.allclose(
            [
                theirs.refTrue,
                theirs.tp,
                theirs.fp,
                theirs.sensitivity,
                theirs.precision,
                theirs.f1,
                theirs.fpRate,
            ],
            [
                ours.events,
                ours.found,
                ours.false,
                ours.sensitivity,
                ours.precision,
                ours.f1,
                ours.false_a_day,
            ],
            equal_nan=True,
        )
    return others


if __name__ == "__main__":
    print(f"{against_timescoring(int(sys.argv[1]))} of {sys.argv[1]} differ")
