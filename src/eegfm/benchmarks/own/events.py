"""Events that are kept in a file beside a recording: MNE's `-eve.fif`, BIDS's `events.tsv`, any CSV."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import mne

from eegfm.benchmarks.own.patterns import FIELDS
from eegfm.benchmarks.own.tables import EMPTY, below_raw, read_table
from eegfm.contracts import EegfmError
from eegfm.signal.recording import Event
from eegfm.support.words import unknown

ENDINGS = (
    "_raw",
    "-raw",
    "_eeg",
    "_ieeg",
    "-epo",
    "_epo",
)  # of names, by MNE and BIDS: what is beside lacks them
NUMBERS = (".fif", ".fif.gz", ".eve")  # files of MNE: sample, code before, code


@dataclass(frozen=True)
class EventFile:
    """A file of events beside each recording.

    Args:
        file: its path from the recording's folder: "{stem}-eve.fif". `{stem}` is the recording's name without suffix
            and without "_raw", "_eeg" and their like; `{subject}` and the other parts of the pattern are known too.
        column: of a table, the column of what happened.
        onset: of a table, the column of the moment.
        duration: of a table, the column of the length, which may be lacking.
        onset_in: what onset and duration count: seconds, milliseconds, or samples of the recording.
    """

    file: str
    column: str = "trial_type"
    onset: str = "onset"
    duration: str = "duration"
    onset_in: Literal["s", "ms", "samples"] = "s"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "EventFile":
        known = [one.name for one in fields(cls)]
        for key in given:
            if key not in known:
                raise EegfmError(unknown(f"labels.{key}", f"labels of events have no {key}", key, known))
        if "file" not in given:
            raise EegfmError(
                'labels: the file of the events is wanted as well, as in {from: events, file: "{stem}_events.tsv"}'
            )
        found = cls(**{key: str(value) for key, value in given.items()})  # type: ignore[arg-type]
        below_raw(found.file, "labels")
        if found.onset_in not in ("s", "ms", "samples"):
            raise EegfmError(f"labels.onset_in={found.onset_in}: s, ms or samples is wanted.")
        return found

    def beside(self, recording: Path, parts: Mapping[str, str]) -> Path:
        """The file of a recording. Raises EegfmError for a part in braces that nothing says."""
        name = recording.name.removesuffix(".gz")
        stem = name.rpartition(".")[0] or name
        stem = next((stem.removesuffix(end) for end in ENDINGS if stem.endswith(end)), stem)
        known = {"stem": stem, **parts}
        try:
            return recording.parent / self.file.format_map(known)
        except (KeyError, IndexError, ValueError):
            there = ", ".join(f"{{{key}}}" for key in known)
            raise EegfmError(
                f"labels.file={self.file}: there are {there} (of {', '.join(FIELDS)} those of files)."
            ) from None


def read_events(path: Path, of: EventFile, sfreq: float, first_sample: int = 0) -> tuple[Event, ...]:
    """The events of a file, in seconds from the recording's first sample.

    `first_sample` is the number that MNE gives the recording's first sample, from which its own files count.

    Raises EegfmError if the file cannot be read as events.
    """
    if path.name.endswith(NUMBERS):
        try:
            numbers = mne.read_events(path, verbose="error")
        except Exception as error:  # a reader may raise anything on a file that is not its own
            raise EegfmError(
                f"{path} cannot be read as events by MNE ({type(error).__name__}: {error})."
            ) from error
        return tuple(
            Event((int(sample) - first_sample) / sfreq, 0.0, str(code)) for sample, _, code in numbers
        )
    table = read_table(path)
    table.need(of.onset, of.column)
    scale = {"s": 1.0, "ms": 1e-3, "samples": 1 / sfreq}[of.onset_in]
    found = []
    for line, row in table.rows:
        numbers = [row[of.onset], row.get(of.duration, "0")]
        onset_s, duration_s = (_number(text, scale, f"{path}, line {line}") for text in numbers)
        if math.isnan(onset_s):
            raise EegfmError(f"{path}, line {line}: {of.onset} is empty; a number is wanted.")
        found.append(Event(onset_s, 0.0 if math.isnan(duration_s) else duration_s, row[of.column]))
    return tuple(found)


def _number(text: str, scale: float, where: str) -> float:
    if text.lower() in EMPTY:
        return math.nan
    try:
        return float(text) * scale
    except ValueError:
        raise EegfmError(f"{where}: {text!r} is no number.") from None
