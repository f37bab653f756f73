"""The annotations of EDF+ and BDF+: when each record begins, and the events (edfplus.info/specs/edfplus.html).

A record's first annotation has no text and says when the record begins. Where it does, that is the truth, whatever the
header says of gaps. MNE closes gaps, moves an onset before the first sample to 0, counts from the second record where
the first is blank, leaves out a text with a line break, and ends at one in Latin-1; so they are read here.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf_header import Header
from eegfm.signal.formats.opened import Stretch
from eegfm.signal.formats.units import text_of
from eegfm.signal.recording import FETCH_AGAIN, Event

ANNOTATION = re.compile(rb"\s*([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?)?)?\x14(.*)", re.DOTALL)


def read_times(path: Path, header: Header) -> tuple[list[Stretch], tuple[Event, ...], tuple[str, ...]]:
    """Stretches without a gap, events, and what is to be said; seconds count from the first record.

    Raises EegfmError if the file says that it has gaps and not where, or if records go back in time.
    """
    n_records = header.records_in(path)
    if not header.annotations or not n_records:
        if header.says_gaps:
            raise _unknown(path, "it has no annotations")
        return [Stretch(0, n_records * header.per_record, 0.0)], (), ()
    onsets = np.full(n_records, np.nan)
    found: list[tuple[float, float, str]] = []
    unclear = 0
    for record, parts in enumerate(_annotation_bytes(path, header, n_records)):
        for part in parts:
            for entry in part.split(b"\0"):
                if not entry.strip():
                    continue
                match = ANNOTATION.fullmatch(entry)
                if match is None:
                    unclear += 1
                    continue
                onset_s, texts = float(match[1]), match[3].split(b"\x14")
                if not texts[0] and part is parts[0] and np.isnan(onsets[record]):
                    onsets[record] = onset_s
                found += [
                    (onset_s, float(match[2] or 0), _without_channel(text_of(text), header))
                    for text in texts
                    if text.strip()
                ]
    begin_s = _filled(path, header, onsets)
    notes = () if not unclear else (f"{unclear} annotations of the file are damaged and left out",)
    # to the microsecond, as in MNE; a difference of two decimal numbers would have digits of its own
    first_s = float(begin_s[0])
    events = [Event(round(onset_s - first_s, 6), length_s, text) for onset_s, length_s, text in found]
    events.sort(key=lambda event: (event.onset_s, event.duration_s, event.description))
    return _stretches(path, header, begin_s), tuple(events), notes


def _annotation_bytes(path: Path, header: Header, n_records: int) -> Iterator[list[bytes]]:
    """Of each record, the bytes of each of its annotation signals; no other is read."""
    edges = np.cumsum([0, *header.counts]) * header.sample_bytes
    places = [(int(edges[i]), int(edges[i + 1] - edges[i])) for i in header.annotations]
    with open(path, "rb", buffering=0) as file:
        for record in range(n_records):
            begin = header.header_bytes + record * header.record_bytes
            parts = []
            for at, n_bytes in places:
                file.seek(begin + at)
                parts.append(file.read(n_bytes))
            yield parts


def _without_channel(text: str, header: Header) -> str:
    """ "T1@@Fp1" is T1, of one channel."""
    text, at, channel = text.partition("@@")
    return text if not at or channel in header.names else f"{text}{at}{channel}"


def _filled(path: Path, header: Header, onsets: np.ndarray) -> np.ndarray:
    """When each record begins; a blank one follows the one before it, if the next that is known agrees."""
    known = np.flatnonzero(~np.isnan(onsets))
    if not len(known):
        if header.says_gaps:
            raise _unknown(path, "no record says when it begins")
        return np.arange(len(onsets)) * header.record_s
    for a, b in itertools.pairwise(known):
        if b - a > 1 and not _meets(header, onsets[b] - onsets[a], int(b - a)):
            raise _unknown(
                path, f"records {a + 2} to {b} do not say when they begin, and there is a gap among them"
            )
    if known[0] and header.says_gaps:
        raise _unknown(path, f"its first {known[0]} records do not say when they begin")
    records = np.arange(len(onsets))
    before = known[np.maximum(np.searchsorted(known, records, side="right") - 1, 0)]
    return onsets[before] + (records - before) * header.record_s


def _meets(header: Header, between_s: float, n_records: int = 1) -> bool:
    """Whether records follow one another, to a sample."""
    sample_s = header.record_s / header.per_record
    return abs(between_s - n_records * header.record_s) < n_records * sample_s


def _stretches(path: Path, header: Header, begin_s: np.ndarray) -> list[Stretch]:
    steps = np.diff(begin_s)
    apart = [i + 1 for i, step in enumerate(steps) if not _meets(header, step)]
    for record in apart:
        if steps[record - 1] < header.record_s:
            raise EegfmError(
                f"{path} goes back in time: its record {record + 1} begins at {begin_s[record]:g} s, and the one "
                f"before it at {begin_s[record - 1]:g} s is {header.record_s:g} s long. {FETCH_AGAIN}"
            )
    edges = [0, *apart, len(begin_s)]
    return [
        Stretch(a * header.per_record, b * header.per_record, round(float(begin_s[a] - begin_s[0]), 6))
        for a, b in itertools.pairwise(edges)
    ]


def _unknown(path: Path, why: str) -> EegfmError:
    return EegfmError(
        f"{path}: where its gaps lie is not known, since {why}. They would be closed without a trace and its events "
        f"would move. {FETCH_AGAIN}"
    )
