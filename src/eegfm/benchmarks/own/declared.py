"""A person's own recordings as a benchmark: `benchmark` makes its specification of what their YAML says.

`conf/data/<name>.yaml` in their working folder is `data=<name>`. Nothing here opens a file before the specification is
made: what a model has to know of a recording (channels, places, rate, classes) stands in the YAML. What the files add,
whose they are and in which split, is found when sources are asked for, and held against the declaration.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.benchmarks.own.channels import names_of, places_of
from eegfm.benchmarks.own.events import read_events
from eegfm.benchmarks.own.files import Files, Found
from eegfm.benchmarks.own.labels import Labels, labels_of
from eegfm.benchmarks.own.patterns import Pattern
from eegfm.benchmarks.own.reading import opener, read_by, read_file
from eegfm.benchmarks.own.splits import split_of
from eegfm.benchmarks.own.tables import column_of
from eegfm.benchmarks.own.windows import Cut, cut_of, dropped, windows_of
from eegfm.benchmarks.spec import OWN, BenchmarkSpec, Census, LeftOut, Source, Window
from eegfm.contracts import EegfmError, Montage
from eegfm.signal.declared import Declared
from eegfm.signal.formats.any_file import beside
from eegfm.signal.formats.bids import bids_beside
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Bipolar, Resample, Step

# recordings of EEG in the formats that BIDS allows
BIDS = tuple(
    f"sub-{{subject}}/{session}eeg/*_eeg{suffix}"
    for session in ("ses-{session}/", "")
    for suffix in (".edf", ".vhdr", ".set", ".bdf")
)


@dataclass(frozen=True)
class Own:
    """The functions of the specification, with what they need; a worker gets a copy."""

    files: Files
    cut: Cut
    labels: Labels
    montage: Montage
    rates: tuple[float, ...]
    declared: Declared
    reader: str | None

    def sources(self, root: Path) -> list[Source]:
        """Every recording below `root`."""
        return [*self.files.sources(root)]

    def read(self, source: Source) -> Recording:
        """The wanted channels of a recording, with the events of the file that is named."""
        assert isinstance(source, Found)
        if source.left_out:
            raise LeftOut(source.left_out)
        if self.reader is None:
            recording, first = read_file(source.path, self.montage, self.declared)
        else:
            recording, first = read_by(self.reader, source.path, self.montage, self.declared.aliases), 0
        if not np.isclose(recording.sfreq, self.rates, rtol=1e-6, atol=0).any():
            known = " or ".join(f"{rate:g}" for rate in self.rates)
            wanted = ", ".join(f"{rate:g}" for rate in sorted({*self.rates, recording.sfreq}))
            raise EegfmError(
                f"{source.path} is sampled at {recording.sfreq:g} Hz, and {known} Hz was declared. If it is right so, "
                f"say raw_sfreq: [{wanted}]; all are stored at one rate."
            )
        if self.labels.events is not None:
            events = read_events(source.of_events, self.labels.events, recording.sfreq, first)
            recording = replace(recording, events=events)
        note = dropped(recording, source, self.cut, self.labels)
        return replace(recording, notes=(*recording.notes, note)) if note else recording

    def windows(self, recording: Recording, source: Source) -> list[Window]:
        """The windows that the declaration says."""
        assert isinstance(source, Found)
        return windows_of(recording, source, self.cut, self.labels)


def benchmark(
    *,
    name: str,
    channels: str | Sequence[str],
    sfreq: float,
    windows: Mapping[str, Any],
    files: str | Sequence[str] | None = None,
    bids: bool = False,
    labels: Mapping[str, Any] | None = None,
    classes: Mapping[str, Any] | None = None,
    split: str | Mapping[str, Any] | None = None,
    subject: str | Mapping[str, Any] | None = None,
    session: str | Mapping[str, Any] | None = None,
    leave_out: Mapping[str, str] | None = None,
    reader: str | None = None,
    raw_sfreq: float | Sequence[float] | None = None,
    steps: Sequence[Step] = (),
    aliases: Mapping[str, str] | None = None,
    units: Mapping[str, str | float] | None = None,
    places: str | Mapping[str, Any] = "names",
    title: str = "",
    licence: str = "",
    citation: str = "",
) -> BenchmarkSpec:
    """The specification of a person's own recordings.

    Args:
        name: as the YAML file is called.
        channels: those that are read, in order: a list, or the name of a montage.
        sfreq: rate of the stored windows in Hz. Where the last step leaves another one, they are resampled to it.
        windows: how recordings are cut (see `eegfm.benchmarks.own.windows`).
        files: patterns of paths below the raw folder (see `eegfm.benchmarks.own.patterns.Pattern`); None: the
            recordings of EEG of a BIDS data set.
        bids: recordings are read with their sidecars of BIDS, by mne-bids.
        labels: where labels come from (see `eegfm.benchmarks.own.labels`); None for none.
        classes: what stands for each class where labels come from: a value, or a list.
        split: who trains, validates and tests (see `eegfm.benchmarks.own.splits`); None draws subjects.
        subject: whose recordings are where the paths do not say it: one name, or a column of a table.
        session: likewise.
        leave_out: reason by pattern of paths, or by key of a table's row.
        reader: a function of their own by its dotted name: path -> Recording in microvolts.
        raw_sfreq: the rates of the files in Hz; None: that of the stored windows. Another rate is refused.
        steps: signal processing before windows are cut.
        aliases: our name of a channel by the file's.
        units: what one number of a channel is where the file does not say it or is wrong: a unit, or microvolts.
        places: of the channels (see `eegfm.benchmarks.own.channels.places_of`).
        title, licence, citation: for pages and cards.

    Raises:
        EegfmError: something in the declaration is wrong or contradicts itself.
    """
    try:
        of = labels_of(labels, classes or {})
        cut = cut_of(windows, of)
        names = names_of(channels)
        montage = places_of(names, places)
        done = (*steps, *_last(steps, sfreq))
        stored = _after(done, montage)
        division = split_of(split)
        rates = (raw_sfreq,) if isinstance(raw_sfreq, int | float) else tuple(raw_sfreq or (sfreq,))
        if files is None and not bids:
            raise EegfmError('files is not said, as in files: "{subject}/*.edf", or bids: true.')
        if bids and reader is not None:
            raise EegfmError("bids: true, and a reader of your own. Leave one of the two out.")
        named = BIDS if files is None else [files] if isinstance(files, str) else files
        found = Files(
            patterns=tuple(map(Pattern, named)),
            subject=column_of(subject, "subject") if isinstance(subject, Mapping) else subject,
            session=column_of(session, "session") if isinstance(session, Mapping) else session,
            leave_out=_reasons(leave_out or {}),
            labels=of,
            split=division,
            beside=_alone if reader is not None else bids_beside if bids else beside,
        )
        declared = Declared(units or {}, aliases or {}, opener(reader, bids), found.person)
        own = Own(found, cut, of, montage, tuple(map(float, rates)), declared, reader)
        _refuse_numbers(name, sfreq, own)
    except EegfmError as error:
        raise EegfmError(f"data={name}: {error}") from None
    said = {
        "files": files, "bids": bids, "subject": subject, "session": session, "leave_out": leave_out, "reader": reader,
        "labels": labels, "classes": classes, "windows": windows, "aliases": aliases, "units": units,
    }  # fmt: skip
    patterns = "as BIDS names them" if files is None else " and ".join(p.text for p in found.patterns)
    return BenchmarkSpec(
        name=name,
        title=title or name,
        protocol=f"{name}{OWN}",
        classes=of.classes,
        channels=stored.names,
        sfreq=float(sfreq),
        window_s=cut.length_s,
        steps=done,
        splits=division.subjects,
        split_rule="" if division.origin == "named" else division.rule,
        census=Census(source="nobody has counted these recordings"),
        sources=own.sources,
        read=own.read,
        windows=own.windows,
        corpus="a person's own recordings",
        licence=licence or "not said",
        access=f"your own files, {patterns} below data.raw.",
        citation=citation or "not said",
        raw_sfreq=own.rates,
        choices={key: json.dumps(value, ensure_ascii=False) for key, value in said.items() if value},
        within_subject=division.within_subject,
        one_label=of.origin in ("path", "table") and cut.kind == "end_to_end",
        places=stored,
        declared=declared,
        own=True,
    )


def _alone(path: Path) -> tuple[Path, ...]:
    """A reader of one's own says nothing of what it reads beside a file."""
    return ()


def _last(steps: Sequence[Step], sfreq: float) -> tuple[Step, ...]:
    """What brings recordings to the stored rate, if the steps do not."""
    rates = [rate for step in steps if (rate := getattr(step, "sfreq", None)) is not None]
    return () if rates and rates[-1] == sfreq else (Resample(float(sfreq)),)


def _after(steps: Sequence[Step], montage: Montage) -> Montage:
    """The rows that steps leave, and their places. Raises EegfmError for a bipolar row of a channel not read."""
    for step in steps:
        if isinstance(step, Bipolar):
            place = dict(zip(montage.names, montage.coords, strict=True))
            pairs = [row.split("-", 1) for row in step.rows]
            lacking = sorted({name for pair in pairs for name in pair} - set(place))
            if lacking:
                raise EegfmError(
                    f"steps: bipolar rows of {', '.join(lacking)}, which channels does not name."
                )
            ends = np.stack([np.stack([place[name] for name in pair]) for pair in pairs])
            montage = Montage(tuple(step.rows), ends.mean(axis=1), ends)
    return montage


def _reasons(leave_out: Mapping[str, str]) -> dict[str, str]:
    for pattern, reason in leave_out.items():
        if not isinstance(reason, str) or not reason.strip():
            raise EegfmError(f"leave_out: say why {pattern} is left out: {{{pattern}: <reason>}}")
    return {str(pattern): reason for pattern, reason in leave_out.items()}


def _refuse_numbers(name: str, sfreq: float, own: Own) -> None:
    if not name or name != name.strip() or set(name) & set("/\\ "):
        raise EegfmError(f"name: {name!r} is no name of a folder: letters, digits, - and _ are wanted.")
    if not all(0 < rate < 1e6 for rate in (sfreq, *own.rates)):
        raise EegfmError(f"sfreq={sfreq}, raw_sfreq={own.rates}: rates in Hz are wanted.")
    n = own.cut.length_s * sfreq
    if n < 1 or abs(n - round(n)) > 1e-6:
        raise EegfmError(
            f"windows of {own.cut.length_s:g} s are {n:g} samples at {sfreq:g} Hz, and a whole number is wanted."
        )
    if own.reader is not None and own.declared.units:
        raise EegfmError("units, and a reader of your own, which gives microvolts. Let it convert them.")
