"""Which class a recording or an event is of: by its path, by a table, or by events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eegfm.benchmarks.own.events import EventFile
from eegfm.benchmarks.own.tables import Column, column_of
from eegfm.contracts import EegfmError
from eegfm.support.words import unknown


@dataclass(frozen=True)
class Labels:
    """Where labels come from, and what stands for each class there.

    `origin` is "none" for recordings without labels. `column` is that of a table; `events` a file beside each
    recording, None for the recording's own events.
    """

    origin: Literal["none", "path", "table", "events"]
    classes: tuple[str, ...] = ()
    meanings: Mapping[str, int] | None = None
    column: Column | None = None
    events: EventFile | None = None

    def index(self, text: str, where: str) -> int:
        """The class that a text stands for; `where` it was found, for messages. Raises EegfmError for none."""
        assert self.meanings is not None
        if text not in self.meanings:
            known = ", ".join(f"{self.classes[i]}: {text}" for text, i in self.meanings.items())
            raise EegfmError(
                f"{where}: {text!r} stands for no class ({known}). Add it under classes, or say why it is not used "
                "under leave_out: {<pattern>: <reason>}"
            )
        return self.meanings[text]


def labels_of(given: Mapping[str, Any] | None, classes: Mapping[Any, Any]) -> Labels:
    """The labels that the YAML says. Raises EegfmError for a mapping that says none."""
    if given is None:
        if classes:
            raise EegfmError(
                "classes are named, and labels: null. Say where they come from, as in {from: path}, or leave them out."
            )
        return Labels("none")
    names, meanings = _meanings(classes)
    rest = {str(key): value for key, value in given.items()}
    origin = rest.pop("from", None)
    if origin == "table":
        return Labels("table", names, meanings, column=column_of(rest, "labels", ("from",)))
    if origin == "events":
        return Labels("events", names, meanings, events=EventFile.of(rest) if rest else None)
    if origin != "path":
        raise EegfmError(f"labels.from={origin}: one of these is wanted: path, table, events.")
    if rest:
        raise EegfmError(unknown("labels", f"from: path needs no {', '.join(rest)}", "", ()))
    return Labels("path", names, meanings)


def _meanings(classes: Mapping[Any, Any]) -> tuple[tuple[str, ...], dict[str, int]]:
    names = tuple(map(str, classes))
    if len(names) < 2:
        raise EegfmError(
            f"classes: {len(names)} of them, and two or more are wanted, each with what stands for it: "
            '{rest: "1", task: ["2", "3"]}'
        )
    found: dict[str, int] = {}
    for i, value in enumerate(classes.values()):
        for text in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            if isinstance(text, bool) or text is None:  # YAML's yes, no and ~
                raise EegfmError(f"classes.{names[i]}: {text} is no text. Put it into quotes.")
            other = found.setdefault(str(text), i)
            if other != i:
                raise EegfmError(f"classes: {text} stands for {names[other]} and for {names[i]}.")
    return names, found
