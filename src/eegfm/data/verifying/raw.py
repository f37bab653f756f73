"""Checks of a raw folder: is it complete, was the store made from these files, can they be read?"""

from dataclasses import dataclass, field
from pathlib import Path

from eegfm.benchmarks.spec import SUMS, BenchmarkSpec, LeftOut, Source
from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.data.census import copies
from eegfm.data.preparing.pipeline import OWN_REMEDY, is_there
from eegfm.data.preparing.sums import sums_beside
from eegfm.data.store import SampleStore
from eegfm.data.verifying.checks import Check, Meter, Remedies, Verdict, how_to_get
from eegfm.signal.quality import check_recording
from eegfm.support.files import sha256_of
from eegfm.support.words import some


@dataclass
class _Files:
    """The files of the raw folder, compared with the protocol and the store; reasons by recording."""

    benchmark: BenchmarkSpec
    raw: Path
    store: SampleStore | None
    sources: list[Source]
    sha256: dict[Path, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = None if self.store is None else self.store.manifest
        self.known = {} if found is None else {one["recording"]: one for one in found.recordings}
        self.unusable = {} if found is None else {one["recording"]: one["reason"] for one in found.unusable}
        if found is not None:
            self.left_out = {one["recording"]: one["reason"] for one in found.left_out}
        self.doubts = {name: one["doubts"] for name, one in self.known.items() if "doubts" in one}
        self.present = [source for source in self.sources if is_there(source)]
        self.used = [source for source in self.present if source.recording not in self.unusable]
        # recordings that the store does not list; only these are opened
        self.strangers = [
            s for s in self.present if s.recording not in self.known and s.recording not in self.unusable
        ]


def check_raw(
    benchmark: BenchmarkSpec,
    raw: Path,
    store: SampleStore | None,
    meter: Meter,
    remedies: Remedies,
    *,
    may_be_gone: bool,
) -> list[Check]:
    """Check for missing, changed, unreadable and duplicated files, and list recordings that the protocol leaves out.

    With `may_be_gone`, a missing file from which the store was made is only a warning.
    """
    if store is not None and store.manifest.imported is not None:
        return [Check("raw files", store.manifest.imported["said"], "not compared")]
    try:
        files = _Files(benchmark, raw, store, benchmark.sources(raw))
    except (EegfmError, OSError) as error:
        return [Check("raw files", str(error), "a folder of the corpus", "off", how_to_get(benchmark))]
    _hash_all(files, meter)
    _open_strangers(files, meter)
    return [
        _found(files, may_be_gone),
        *_as_prepared(files, remedies),
        *_as_published(files),
        *_come_since(files, remedies),
        *_readable(files, remedies),
        *_duplicated(files),
        *_left_out(files),
        *_doubtful(files),
    ]


def _hash_all(files: _Files, meter: Meter) -> None:
    """Hash every file that is there (SHA-256), once even if several recordings come from it."""
    paths = dict.fromkeys(path for source in files.present for path in source.files)
    sizes = {path: path.stat().st_size for path in paths}
    meter.expect(sum(sizes.values()))
    for path, size in sizes.items():
        try:
            files.sha256[path] = sha256_of(path)
        except OSError as error:
            owners = [source.recording for source in files.present if path in source.files]
            files.unreadable.update(dict.fromkeys(owners, f"{path} ({error.strerror or error})"))
        meter.did(size)


def _open_strangers(files: _Files, meter: Meter) -> None:
    """Read the recordings that the store does not know, as a preparation would."""
    todo = [source for source in files.strangers if source.recording not in files.unreadable]
    sizes = [source.path.stat().st_size for source in todo]
    meter.expect(sum(sizes))
    for source, size in zip(todo, sizes, strict=True):
        try:
            doubts = check_recording(files.benchmark.read(source), raw_sfreq=files.benchmark.raw_sfreq)
            if doubts:
                files.doubts[source.recording] = doubts
        except LeftOut as reason:
            files.left_out[source.recording] = str(reason)
        except EegfmError as error:
            own = files.benchmark.own
            said = str(error).replace(FETCH_AGAIN, "").strip() if own else str(error)
            files.unreadable[source.recording] = said
        except Exception as error:  # a reader may raise anything on a damaged file
            files.unreadable[source.recording] = f"{source.path} ({type(error).__name__}: {error})"
        meter.did(size)


def _found(files: _Files, may_be_gone: bool) -> Check:
    benchmark, store = files.benchmark, files.store
    present = {source.recording for source in files.present}
    gone = [name for name in files.known if name not in present]
    absent = [source.recording for source in files.sources if source.recording not in present]
    n = max(len(files.sources), benchmark.census.recordings or 0, len(files.known))
    wanted = f"{n:,} recordings"
    if len(present) == n:
        return Check("raw files", f"{n:,} in {files.raw}", wanted)
    if benchmark.make is not None and not present:
        return Check("raw files", "none; they are made when needed", wanted)
    if store is not None and not present:
        found = f"none in {files.raw}; the store does not need them"
        return Check(
            "raw files", found, wanted, "warning", "To compare them with the store: data.raw=<folder>"
        )
    missing = list(dict.fromkeys([*gone, *absent]))
    names = f"; missing: {some(missing)}" if missing else ""
    found = f"{len(present):,} of {n:,} in {files.raw}{names}"
    # every report of a partial store already tells what it lacks
    excused = store is not None and ((not store.complete and not gone) or may_be_gone)
    return Check("raw files", found, wanted, "warning" if excused else "off", how_to_get(benchmark))


def _as_prepared(files: _Files, remedies: Remedies) -> list[Check]:
    """Compare the files with those that the store was made from."""
    compared, changed = 0, []
    for source in files.present:
        known = files.known.get(source.recording, {})
        then = {file["name"]: file["sha256"] for file in known.get("files", [])}
        if "sha256" in known:  # as the first versions wrote it
            then[source.path.name] = known["sha256"]
        for path in source.files if then else ():
            if path in files.sha256:
                compared += 1
                if then.get(path.name) != files.sha256[path]:
                    changed.append(path.name)
    if not compared:
        return []
    assert files.store is not None
    wanted = "the files that the store was made from"
    if not changed:
        return [Check("unchanged", f"{compared:,} files, each with the same SHA-256", wanted)]
    found = f"{len(changed):,} of {compared:,} files have other bytes: {some(changed)}"
    # a simulated corpus is made again if it was deleted; its files hold the time, so their bytes differ
    verdict: Verdict = "warning" if files.benchmark.make is not None else "off"
    remedy = f"Put the old files back. Or make it of these: {remedies.anew(files.store.folder)}"
    return [Check("unchanged", found, wanted, verdict, remedy)]


def _as_published(files: _Files) -> list[Check]:
    # what the store leaves out as unusable is said there
    used = {path for source in files.used for path in source.files}
    sums = sums_beside(files.raw, used & files.sha256.keys())
    wrong = [path.name for path, sha256 in sums.items() if files.sha256[path] != sha256]
    if not sums:
        return []
    if not wrong:
        return [
            Check("published", f"{len(sums):,} files, each SHA-256 as in {SUMS}", "the published files")
        ]
    found = f"{len(wrong):,} of {len(sums):,} files have another SHA-256 than in {SUMS}: {some(wrong)}"
    return [Check("published", found, "the published files", "off", "Fetch them again.")]


def _come_since(files: _Files, remedies: Remedies) -> list[Check]:
    if files.store is None or not files.strangers:
        return []
    names = some([source.recording for source in files.strangers])
    found = f"{len(files.strangers):,} recordings that the store does not know: {names}"
    if files.store.complete:
        remedy = f"Take them away. Or make it of these: {remedies.anew(files.store.folder)}"
        return [Check("come since", found, "none", "off", remedy)]
    remedy = f"To make a fuller store, {remedies.prepare}"
    return [Check("come since", found, "none", "warning", remedy)]


def _first(said: dict[str, str]) -> str:
    """The first recordings with what is said of each, and how many more there are."""
    more = [f"and {len(said) - 5} more"] if len(said) > 5 else []
    return "; ".join([f"{name}: {what}" for name, what in list(said.items())[:5]] + more)


def _readable(files: _Files, remedies: Remedies) -> list[Check]:
    checks = []
    if files.unreadable:
        reasons = _first(files.unreadable)
        found = f"{len(files.unreadable):,} of {len(files.present):,} recordings are not usable: {reasons}"
        remedy = f"Repair them, or {OWN_REMEDY}" if files.benchmark.own else "Fetch them again."
        checks.append(Check("readable", found, "every recording", "off", remedy))
    elif files.strangers:
        checks.append(Check("readable", f"{len(files.strangers):,} recordings opened", "every recording"))
    if files.unusable:
        found = f"{len(files.unusable):,} recordings when the store was made: {_first(files.unusable)}"
        remedy = f"Repair these files, then {remedies.prepare}"
        checks.append(Check("unusable", found, "none", "warning", remedy))
    return checks


def _duplicated(files: _Files) -> list[Check]:
    """Different files of the protocol with the same bytes, unless the benchmark declares them."""
    if not any(source.path in files.sha256 for source in files.present):
        return []
    used = [source for source in files.used if source.recording not in files.left_out]
    copied = copies(files.benchmark, used, files.sha256)
    wanted = "no two equal files"
    wrong, n = copied.named(), len(copied.groups)
    if not wrong:
        return [Check("duplicated", f"{n} groups, as declared" if n else "none", wanted)]
    remedy = "One file of each group is a copy under a wrong name: fetch it again."
    return [Check("duplicated", f"{len(wrong):,} groups: {'; '.join(wrong[:5])}", wanted, "off", remedy)]


def _left_out(files: _Files) -> list[Check]:
    reasons = files.left_out
    if not reasons:
        return []
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    found = f"{len(reasons):,} recordings: {shown}{more}"
    return [Check("left out", found, "as the protocol says")]


def _doubtful(files: _Files) -> list[Check]:
    """What is suspect of single channels in the raw files."""
    if not files.doubts:
        return []
    said = [f"{name}: {doubt}" for name, doubts in files.doubts.items() for doubt in doubts]
    found = f"{len(files.doubts):,} recordings: {some(said, 5)}"
    return [Check("doubtful", found, "none", "warning", "Look at these channels before trusting them.")]
