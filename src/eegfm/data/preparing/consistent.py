"""Refuse, by name, what a benchmark's recordings and windows contradict: each other, its splits, its classes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from eegfm.benchmarks.spec import SPLITS, SUMS, BenchmarkSpec, Source, Window
from eegfm.contracts import EegfmError
from eegfm.support.words import some


def refuse_contradictions(benchmark: BenchmarkSpec, sources: Sequence[Source]) -> None:
    """Raise EegfmError for a name that two recordings have, and for a split that is not the protocol's."""
    first: dict[str, Source] = {}
    for source in sources:
        other = first.setdefault(source.recording, source)
        if other is not source:
            raise EegfmError(
                f"{benchmark.title}: two files are recording {source.recording}: {other.path} and {source.path}. Which "
                "is it? Take the other away and run the same command again."
            )
        if source.split is not None:
            _refuse_split(benchmark, source.split, source.subject, str(source.path))
    refuse_spellings(
        benchmark, ((source.subject, source.split) for source in sources if source.split is not None)
    )


def refuse_strangers(benchmark: BenchmarkSpec, raw: Path) -> None:
    """Raise EegfmError if a simulated benchmark is given a folder with other files than its own."""
    own = {SUMS, *(path.name for source in benchmark.sources(raw) for path in source.files)}
    others = sorted(path.name for path in raw.glob("[!.]*") if path.name not in own)
    if others:
        raise EegfmError(
            f"{raw} holds {some(others, 3)}, and {benchmark.title} is simulated: it makes its own files. Name the "
            "benchmark of your recordings with data=<name>, or leave data.raw out."
        )


def refuse_spellings(benchmark: BenchmarkSpec, pairs: Iterable[tuple[str, str]]) -> None:
    """Raise EegfmError if two spellings of a subject, `S3` and `s3`, are in two splits; `pairs`: subject and split."""
    if benchmark.within_subject:
        return
    known: dict[str, tuple[str, str]] = {}
    for subject, split in pairs:
        other, its_split = known.setdefault(subject.strip().casefold(), (subject, split))
        if other != subject and its_split != split:
            raise EegfmError(
                f"{benchmark.title}: subject {other!r} is in {its_split} and subject {subject!r} in {split}. If they "
                "are one person, the splits leak: give the files one spelling and run the same command again."
            )


def refuse_windows(benchmark: BenchmarkSpec, source: Source, windows: Sequence[Window]) -> None:
    """Raise EegfmError for a label that is no index of a class, and for a split that is none."""
    n = len(benchmark.kinds)
    for window in windows:
        where = f"{source.path}: the window at {window.onset_s:g} s"
        label = window.label
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < n:
            raise EegfmError(
                f"{where} has label {label!r}; {benchmark.title} has 0 to {n - 1} ({', '.join(benchmark.kinds)})."
            )
        split = window.split or source.split
        if split not in SPLITS:
            raise EegfmError(f"{where} has split {split!r}; wanted: {', '.join(SPLITS)}.")
        if not benchmark.within_subject:
            _refuse_split(benchmark, split, source.subject, where)


def refuse_gone(benchmark: BenchmarkSpec, raw: Path) -> None:
    """Raise EegfmError if the raw folder is there no longer: its files are not unusable but away."""
    if not raw.is_dir():
        raise EegfmError(
            f"{benchmark.title}: {raw} went away while it was read. Finished recordings are kept: bring it back (is "
            "its disk mounted?) and run the same command again."
        )


def _refuse_split(benchmark: BenchmarkSpec, split: str, subject: str, where: str) -> None:
    if benchmark.splits is None or split not in SPLITS or subject in benchmark.splits[split]:
        return
    its = [name for name, subjects in benchmark.splits.items() if subject in subjects]
    said = f"has subject {subject} in {' and '.join(its)}" if its else f"has no subject {subject}"
    raise EegfmError(f"{where}: subject {subject} was put in {split}; {benchmark.protocol} {said}.")
