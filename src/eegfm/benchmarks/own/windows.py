"""Where windows lie: at events, end to end, or sliding within labelled stretches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eegfm.benchmarks.own.files import Found
from eegfm.benchmarks.own.labels import Labels
from eegfm.benchmarks.spec import LeftOut, Window
from eegfm.contracts import EegfmError
from eegfm.signal.recording import Event, Recording
from eegfm.signal.windows import fits, grid
from eegfm.support.words import some, unknown

KEYS = {  # those that are needed, and the others
    "events": (("from_s", "to_s"), ("beyond",)),
    "end_to_end": (("length_s",), ()),
    "sliding": (("length_s", "hop_s"), ("from_s", "to_s", "beyond")),
}
HALF_A_SAMPLE = 0.5


@dataclass(frozen=True)
class Cut:
    """How a recording is cut.

    Args:
        kind: windows at events, from `from_s` to `to_s` of each; adjacent ones over the whole recording; or one
            every `hop_s` seconds: within each labelled event, or `from_s` to `to_s` of it, or over the recording.
        length_s: of a window.
        beyond: what becomes of a window that passes an end or a gap.
    """

    kind: Literal["events", "end_to_end", "sliding"]
    length_s: float
    hop_s: float = 0.0
    from_s: float = 0.0
    to_s: float | None = None
    beyond: Literal["refuse", "drop"] = "refuse"


def cut_of(given: Mapping[str, Any] | None, labels: Labels) -> Cut:
    """The windows that the YAML says. Raises EegfmError for a mapping that says none, or that labels contradict."""
    rest = {str(key): value for key, value in (given or {}).items()}
    kind = rest.pop("cut", None)
    if kind not in KEYS:
        raise EegfmError(
            f"windows.cut={kind}: one of these is wanted: {{cut: events, from_s: 0, to_s: 4}}, {{cut: end_to_end, "
            "length_s: 4}, {cut: sliding, length_s: 2, hop_s: 1}"
        )
    needed, others = KEYS[kind]
    for key in rest:
        if key not in (*needed, *others):
            raise EegfmError(
                unknown(f"windows.{key}", f"cut: {kind} has no {key}", key, (*needed, *others))
            )
    lacking = [key for key in needed if key not in rest]
    if lacking:
        raise EegfmError(f"windows: cut: {kind} needs {' and '.join(lacking)}, in seconds.")
    beyond = rest.pop("beyond", "refuse")
    if beyond not in ("refuse", "drop"):
        raise EegfmError(f"windows.beyond={beyond}: refuse or drop is wanted.")
    for key, value in rest.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e6:
            raise EegfmError(f"windows.{key}={value}: a number of seconds is wanted.")
    if kind == "events" and labels.origin != "events":
        raise EegfmError(
            "windows: cut: events, and the labels are not of events. Say labels: {from: events}, or cut: end_to_end."
        )
    if kind == "end_to_end" and labels.origin == "events":
        raise EegfmError(
            "windows: cut: end_to_end has one label a recording, and the labels are of events. Say cut: events or "
            "cut: sliding."
        )
    if "to_s" in rest and rest["to_s"] <= rest.get("from_s", 0):
        raise EegfmError(f"windows: to_s={rest['to_s']} is not after from_s={rest.get('from_s', 0)}.")
    length_s = float(rest["to_s"] - rest["from_s"] if kind == "events" else rest["length_s"])
    if length_s <= 0 or float(rest.get("hop_s", 1)) <= 0:
        raise EegfmError("windows: a length and a hop of more than 0 seconds are wanted.")
    return Cut(
        kind,
        length_s,
        hop_s=float(rest.get("hop_s", 0)),
        from_s=float(rest.get("from_s", 0)),
        to_s=None if "to_s" not in rest else float(rest["to_s"]),
        beyond=beyond,
    )


def windows_of(recording: Recording, source: Found, cut: Cut, labels: Labels) -> list[Window]:
    """The windows of a processed recording.

    Raises EegfmError for a recording without a labelled event, and for a window beyond an end or a gap unless they
    are dropped; LeftOut for a recording that is too short for any window.
    """
    label = source.label or 0
    if cut.kind == "end_to_end":
        found = [Window(onset_s, label) for onset_s in grid(recording, cut.length_s)]
    elif labels.origin != "events":
        found = [
            Window(onset_s, label)
            for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
            for onset_s in _sliding(
                piece.onset_s, piece.onset_s + (end - start) / recording.sfreq, cut, recording
            )
        ]
    else:
        return _at_events(recording, source, cut, labels)
    if not found:
        raise LeftOut(
            f"{source.path}: no stretch of it is as long as a window ({cut.length_s:g} s); it has "
            f"{recording.duration_s:g} s."
        )
    return found


def dropped(recording: Recording, source: Found, cut: Cut, labels: Labels) -> str:
    """What is to be said of a recording whose last windows are dropped; "" where none is."""
    if labels.origin != "events" or cut.beyond != "drop":
        return ""
    every = _onsets(recording, source, cut, labels)
    n = sum(not fits(recording, onset_s, cut.length_s) for onset_s, _, _ in every)
    return f"{n} of {len(every)} windows pass an end or a gap and are dropped" if n else ""


def _at_events(recording: Recording, source: Found, cut: Cut, labels: Labels) -> list[Window]:
    found: dict[float, tuple[int, Event]] = {}
    beyond = []
    for onset_s, label, event in _onsets(recording, source, cut, labels):
        if onset_s in found:
            raise EegfmError(
                f"{source.of_events}: {found[onset_s][1].description} and {event.description} would both label the "
                f"window at {onset_s:g} s. Let classes name one of them, or correct the events."
            )
        if fits(recording, onset_s, cut.length_s):
            found[onset_s] = label, event
        else:
            beyond.append(f"{event.description} at {event.onset_s:g} s")
    if beyond and cut.beyond == "refuse":
        raise EegfmError(
            f"{source.path}: {len(beyond)} windows of {cut.length_s:g} s pass an end or a gap of the recording "
            f"({some(beyond, 3)}; it has {recording.duration_s:g} s). To leave out such windows: windows.beyond: drop"
        )
    return [Window(onset_s, label) for onset_s, (label, _) in found.items()]


def _onsets(
    recording: Recording, source: Found, cut: Cut, labels: Labels
) -> list[tuple[float, int, Event]]:
    """Onset, label and event of every window that there should be."""
    meanings = labels.meanings or {}
    events = [event for event in recording.events if event.description.strip() in meanings]
    if not events:
        raise EegfmError(
            f"{source.of_events} has none of the events of the classes ({some(list(meanings), 6)}). It has "
            f"{_counted(recording.events)}. Correct classes, or say why it is not used under leave_out."
        )
    found = []
    for event in events:
        label = meanings[event.description.strip()]
        first = event.onset_s + cut.from_s
        if cut.kind == "events":
            found.append((first, label, event))
            continue
        last = event.onset_s + (event.duration_s if cut.to_s is None else cut.to_s)
        inside = _sliding(first, last, cut, recording)
        if not inside and cut.to_s is None:
            raise EegfmError(
                f"{source.of_events}: {event.description} at {event.onset_s:g} s lasts {event.duration_s:g} s, "
                f"less than a window ({cut.length_s:g} s). Say how far after an event its stretch goes: windows.to_s"
            )
        found += [(onset_s, label, event) for onset_s in inside]
    return found


def _sliding(first_s: float, last_s: float, cut: Cut, recording: Recording) -> list[float]:
    room_s = last_s - first_s - cut.length_s + HALF_A_SAMPLE / recording.sfreq
    return [first_s + i * cut.hop_s for i in range(int(room_s / cut.hop_s) + 1)] if room_s >= 0 else []


def _counted(events: Sequence[Event]) -> str:
    counts: dict[str, int] = {}
    for event in events:
        counts[event.description] = counts.get(event.description, 0) + 1
    return some([f"{text} ({n})" for text, n in counts.items()]) or "no events"
