"""The windows that an LMDB of the reference lists, held against the protocol (see `eegfm.data.preparing.convert`)."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, ReferenceWindow, Source, SplitName
from eegfm.contracts import EegfmError
from eegfm.data.preparing.reference import Numpy, Pickled


@dataclass(frozen=True)
class Listed:
    """A window in the reference's list: its key, the split that lists it, and what the key says."""

    key: str
    split: SplitName
    says: ReferenceWindow


Plan = list[tuple[Source, list[Listed]]]


def plan_of(benchmark: BenchmarkSpec, reference: Pickled | Numpy) -> tuple[dict[str, Source], Plan]:
    """The protocol's recordings, as far as it names them without files, and the listed ones with their windows.

    Recordings come in the protocol's order, windows by number. Raises EegfmError if a key is of another benchmark,
    comes twice, or is listed in another split than the protocol's.
    """
    assert benchmark.reference_key is not None
    with tempfile.TemporaryDirectory() as empty:
        known = {source.recording: source for source in benchmark.sources(Path(empty))}
    listed: dict[str, list[Listed]] = {}
    taken: dict[tuple[str, int], str] = {}
    for split, keys in reference.keys().items():
        for key in keys:
            says = benchmark.reference_key(key, split)
            where = reference.where(split, key)
            if says is None or (known and says.recording not in known):
                recording = f"; {benchmark.title} has no recording {says.recording}" if says else ""
                raise EegfmError(
                    f"{where} (in {split}) is not one of {benchmark.title}'s as the reference names them{recording}. "
                    "Is it the LMDB of another data set, or of another version of the script?"
                )
            other = taken.setdefault((says.recording, says.number), key)
            if other is not key:
                raise EegfmError(
                    f"{where} (in {split}): window {says.number} of recording {says.recording} is also listed as "
                    f"{other!r}."
                )
            source = known.get(says.recording)
            wanted = says.split or (source.split if source else None)
            if wanted not in (None, split):
                raise EegfmError(
                    f"{where} is listed in {split}; by {benchmark.protocol} it belongs to {wanted}. The reference "
                    "cuts a directory listing, and another file in it may have moved its splits: make the LMDB again, "
                    "or prepare the raw files with eegfm prepare, which divides by subject."
                )
            listed.setdefault(says.recording, []).append(Listed(key, split, says))
    for windows in listed.values():
        windows.sort(key=lambda window: window.says.number)
    order = [name for name in known if name in listed] or sorted(
        listed, key=lambda name: (SPLITS.index(listed[name][0].split), name)
    )
    return known, [(known.get(name) or _source(listed[name]), listed[name]) for name in order]


def _source(windows: Sequence[Listed]) -> Source:
    """A recording that is known only from its keys."""
    splits = {window.split for window in windows}
    assert windows[0].says.subject, "if `sources` cannot name the subject, the parser of keys must"
    return Source(
        windows[0].says.subject,
        windows[0].says.recording,
        windows[0].split if len(splits) == 1 else None,
        Path(windows[0].says.recording),
    )
