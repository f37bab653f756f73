"""The raw files that a store is made of, held against those of a raw folder.

Names and sizes are compared whenever a store is used. Bytes are compared once for every state of a file: its SHA-256 is
remembered beside the store, in `raw_files.json`, by path, size and time of change.
"""

import json
import logging
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eegfm.benchmarks.spec import BenchmarkSpec, Source
from eegfm.contracts import EegfmError
from eegfm.data.store import SampleStore
from eegfm.support.files import sha256_of, write_json
from eegfm.support.words import some

log = logging.getLogger(__name__)

FILE = "raw_files.json"


def files_of(source: Source) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of each file of a recording; the last two are None where it cannot be read."""
    return [_facts(path, {}) for path in source.files]


def _facts(path: Path, remembered: dict[str, list[Any]]) -> dict[str, Any]:
    """The facts of a file. Its SHA-256 is taken from `remembered`, and put there, while it is as it was."""
    try:
        stat, place = path.stat(), os.path.abspath(path)
        known = remembered.get(place)
        if known is None or known[:2] != [stat.st_size, stat.st_mtime_ns]:
            known = remembered[place] = [stat.st_size, stat.st_mtime_ns, sha256_of(path)]
        return {"name": path.name, "bytes": known[0], "sha256": known[2]}
    except OSError:
        return {"name": path.name, "bytes": None, "sha256": None}


@dataclass
class Differences:
    """What is other in a raw folder than in a store; all are empty where nothing is.

    `changed` says of each file how it differs. The others are names of recordings: `new` ones are not known to the
    store, `mended` ones were unusable and have other files now, `gone` ones are in the store and not in the folder.
    """

    changed: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def said(self) -> str:
        """All differences in one line."""
        parts = [
            ("new", self.new),
            ("other than when they were unusable", self.mended),
            ("gone", self.gone),
        ]
        named = [f"{what}: {some(names)}" for what, names in parts if names]
        return "; ".join([*([some(self.changed)] if self.changed else []), *named])


def differences(store: SampleStore, present: Sequence[Source]) -> Differences:
    """Compare the recordings that are `present` in a raw folder with those that the store is made of."""
    recordings = {one["recording"]: one for one in store.manifest.recordings}
    unusable = {one["recording"]: one for one in store.manifest.unusable}
    here = {source.recording for source in present}
    found = Differences(gone=[name for name in recordings if name not in here])
    before = _remembered(store.folder)
    remembered = dict(before)
    for source in present:
        if source.recording in unusable:
            now = [_facts(path, remembered) for path in source.files]
            if unusable[source.recording].get("files") != now:
                found.mended.append(source.recording)
        elif source.recording in recordings:
            then = {file["name"]: file for file in recordings[source.recording]["files"]}
            found.changed += filter(None, (_change(path, then, remembered) for path in source.files))
        else:
            found.new.append(source.recording)
    if remembered != before:
        _remember(store.folder, remembered)
    return found


def _change(path: Path, then: Mapping[str, Any], remembered: dict[str, list[Any]]) -> str:
    """How a file differs from the one of its name that the store is made of; "" if it does not."""
    known = then.get(path.name)
    if known is None:
        return f"{path.name} is not one of its recording's files ({', '.join(then)})"
    try:
        size = path.stat().st_size
    except OSError:
        return ""  # what cannot be read says nothing; it is told when it is needed
    if size != known["bytes"]:
        return f"{path.name} has {size:,} bytes, then {known['bytes']:,}"
    if _facts(path, remembered)["sha256"] in (None, known["sha256"]):
        return ""
    remembered.pop(os.path.abspath(path), None)  # look at the file itself before anything is said of it
    return "" if _facts(path, remembered)["sha256"] == known["sha256"] else f"{path.name} has other bytes"


def refuse_other_files(
    benchmark: BenchmarkSpec,
    raw: Path,
    store: SampleStore,
    present: Sequence[Source],
    *,
    allow_partial: bool = False,
) -> Differences:
    """The differences that leave a store in use. Raises EegfmError for those that do not.

    Files that are gone are not needed: whoever has the store may delete them. But `allow_partial` asks for those that
    are there, so that a store of more than these is refused. A partial store may get more of them.
    """
    if not has_files(raw):
        return Differences()
    found = differences(store, present)
    more = [*found.new, *found.mended]
    other = found.changed or (more and (store.complete or found.gone))
    if present and not other and not (found.gone and allow_partial):
        return found
    anew = (
        f"To make it anew of the files in {raw}: rm -r {shlex.quote(str(store.folder))}  and the same command again.\n"
        "To have both: paths.cache=<another folder>"
    )
    if present and not other:
        as_it_is = (
            "leave data.allow_partial=true out"
            if store.complete
            else "name the folder of all of its files, or one that is not there: data.raw=<folder>"
        )
        raise EegfmError(
            f"{benchmark.title}: data.allow_partial=true asks for the recordings that are in {raw}, and the store at "
            f"{store.folder} holds {len(found.gone):,} more: {some(found.gone)}.\n"
            f"To use the store as it is, {as_it_is}\n{anew}"
        )
    if not present:
        what = f"none of the {len(store.manifest.recordings):,} recordings is in it"
    else:
        what = found.said()
    raise EegfmError(
        f"{benchmark.title}: {raw} does not hold the files that the store at {store.folder} is made of: {what}.\n"
        f"To use the store as it is, name the folder of its files: data.raw=<folder>\n{anew}"
    )


def has_files(folder: Path) -> bool:
    """Whether there is any file in or below a folder."""
    return any(path.is_file() for path in folder.rglob("*"))


# ---- what is remembered ----------------------------------------------------------------------------------------------


def remember(store: SampleStore, facts: Iterable[tuple[Source, Mapping[str, Any]]]) -> None:
    """Keep the SHA-256 of the files of which a store has just been made, from the facts of its parts."""
    known = {
        os.path.abspath(path): [*stamp, file["sha256"]]
        for source, of in facts
        for path, stamp, file in zip(source.files, of["stamp"]["files"], of["files"], strict=True)
    }
    _remember(store.folder, known)


def _remembered(folder: Path) -> dict[str, list[Any]]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {place: [size, changed, sha256] for place, (size, changed, sha256) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # nothing is remembered: the files are read
        return {}


def _remember(folder: Path, known: Mapping[str, list[Any]]) -> None:
    try:
        write_json(folder / FILE, known, sync=False)
    except OSError as error:  # another person's store
        log.info("%s cannot be written (%s): the raw files are read again next time.", folder / FILE, error)
