"""Prepare a store from raw files: raw files -> steps -> windows -> store.

Each recording is processed alone and kept as a part, so a preparation may be stopped and started at any point and
makes only the missing parts. At the end the store is assembled from all parts in the protocol's order. Its bytes
depend neither on interruptions nor on the number of workers.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from eegfm.benchmarks.spec import BenchmarkSpec, Source
from eegfm.contracts import EegfmError
from eegfm.data.census import census_differences, copies, count, leakage
from eegfm.data.counted import faults, file_of, with_census
from eegfm.data.counted import remember as remember_counts
from eegfm.data.manifest import Manifest
from eegfm.data.preparing.consistent import (
    refuse_contradictions,
    refuse_gone,
    refuse_spellings,
    refuse_strangers,
)
from eegfm.data.preparing.making import Failure, make_parts
from eegfm.data.preparing.origin import files_of, has_files, refuse_other_files, remember
from eegfm.data.preparing.parts import (
    part_facts,
    read_part,
    read_part_index,
    writing_explained,
)
from eegfm.data.preparing.sums import sums_beside
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleIndex, SampleStore, write_store
from eegfm.signal.steps import Step
from eegfm.support.locks import only_one
from eegfm.support.words import some

log = logging.getLogger(__name__)


def prepare(
    benchmark: BenchmarkSpec,
    raw: Path,
    cache: Path,
    *,
    steps: Sequence[Step] | None = None,
    workers: int = 1,
    allow_partial: bool = False,
    progress: bool = True,
) -> SampleStore:
    """The benchmark's store, made from the raw files if it is not in the cache.

    Args:
        benchmark: corpus and protocol.
        raw: folder of the raw files.
        cache: folder of all stores.
        steps: other processing steps than the published ones; the store then has another recipe and another folder.
        workers: processes that prepare recordings side by side.
        allow_partial: accept missing or unusable recordings; the store is then marked as partial.
        progress: draw the progress bar.

    Raises:
        EegfmError: the corpus is incomplete, a file is unusable, counts differ from the census, splits leak, or the
            disk is full. Finished recordings are kept.
    """
    recipe = Recipe.of(benchmark, steps)
    folder = cache / recipe.folder
    if benchmark.make is not None:
        refuse_strangers(benchmark, raw)
    with only_one(folder):
        store = SampleStore(folder) if SampleStore.is_at(folder) else None
        # files that are simulated again hold the time, so their bytes differ
        if store is not None and store.complete and (benchmark.make is not None or not has_files(raw)):
            return store
        if benchmark.make is not None:
            benchmark.make(raw)
        sources = benchmark.sources(raw)
        refuse_contradictions(benchmark, sources)
        present = [source for source in sources if is_there(source)]
        if store is not None:
            found = refuse_other_files(benchmark, raw, store, present, allow_partial=allow_partial)
            if store.complete:
                return store
            if not (found.new or found.mended):
                refuse_partial(benchmark, store, allow_partial)
                return store
            log.warning(
                "%s: there are other files than when the partial store was made (%s); preparing again.",
                benchmark.name,
                found.said(),
            )
        missing = [source for source in sources if not is_there(source)]
        if not present or (missing and not allow_partial):
            raise EegfmError(_missing_sentence(benchmark, raw, sources, missing))
        parts = folder.with_name(folder.name + ".parts")
        with writing_explained(folder):
            parts.mkdir(parents=True, exist_ok=True)
            chosen = benchmark.steps if steps is None else tuple(steps)
            sums = sums_beside(raw, (path for source in present for path in source.files))
            failures = make_parts(benchmark, present, chosen, parts, sums, workers, progress)
            refuse_gone(benchmark, raw)
            if failures and not allow_partial:
                raise EegfmError(_failure_sentence(benchmark, failures, len(present)))
            failed = {failure.recording for failure in failures}
            kept = [source for source in present if source.recording not in failed]
            store = _assemble(
                benchmark, recipe, folder, parts, sources, kept, missing, failures, allow_partial
            )
            shutil.rmtree(parts, ignore_errors=True)
    return store


def is_there(source: Source) -> bool:
    """Whether all files of a recording exist."""
    return all(path.is_file() for path in source.files)


def _assemble(
    benchmark: BenchmarkSpec,
    recipe: Recipe,
    folder: Path,
    parts: Path,
    sources: Sequence[Source],
    kept: Sequence[Source],
    missing: Sequence[Source],
    failures: Sequence[Failure],
    allow_partial: bool,
) -> SampleStore:
    facts = {source.recording: part_facts(parts, source.recording) for source in kept}
    indices = {source.recording: read_part_index(parts, source.recording) for source in kept}
    used = [source for source in kept if "left_out" not in facts[source.recording]]
    sha256 = {source.path: facts[source.recording]["files"][0]["sha256"] for source in used}
    alike = copies(benchmark, used, sha256).named()
    if alike:
        leave = "name the copy under leave_out: {<pattern>: <reason>}"
        raise EegfmError(
            f"{benchmark.title}: files that must differ have the same bytes: {'; '.join(alike)}. One of each is a copy "
            "under a wrong name. Fetch it again, or "
            + (leave if benchmark.own else "delete the copy and type data.allow_partial=true.")
        )
    n_rows = sum(len(index) for index in indices.values())
    if n_rows == 0:
        left_out = [f"- {r}: {f['left_out']}" for r, f in facts.items() if "left_out" in f]
        raise EegfmError(
            f"{benchmark.title}: not one usable window in {len(kept)} recordings.\n"
            + "\n".join(left_out[:10])
            + (_failure_sentence(benchmark, failures, len(sources)) if failures else "")
        )
    whole = SampleIndex.concatenate(list(indices.values()))
    refuse_spellings(benchmark, zip(whole.subject.tolist(), whole.split.tolist(), strict=True))
    counted = with_census(benchmark, folder)
    wrong = [] if missing or failures else census_differences(counted, whole, len(sources))
    wrong += faults(benchmark, sources, whole)
    if wrong and not allow_partial:
        if benchmark.own:
            raise EegfmError(_own_sentence(counted, folder, wrong))
        raise EegfmError(
            f"{benchmark.name}: all files are there, but the counts are not those of the census "
            f"({benchmark.census.source}): {'; '.join(wrong)}. Is this the edition that {benchmark.protocol} uses? "
            f"See {benchmark.corpus}\n"
            "To use it anyway, marked as partial in every report: data.allow_partial=true"
        )
    found = leakage(whole, benchmark.window_s).undeclared(benchmark)
    if found:
        raise EegfmError(f"{benchmark.name}: the splits leak: {'; '.join(found)}. No store is made of it.")
    tell_doubts(benchmark, {name: fact.get("doubts", ()) for name, fact in facts.items()})
    manifest = Manifest(
        fingerprint=recipe.fingerprint,
        recipe=recipe,
        shape=(len(benchmark.channels), benchmark.n_times),
        windows=n_rows,
        protocol=benchmark.protocol,
        simulated=benchmark.simulated,
        within_subject=benchmark.within_subject,
        complete=not (missing or failures or wrong),
        subjects_total=subjects_total(benchmark, sources),
        census=count(whole, len(benchmark.kinds)),
        census_differences=wrong,
        missing=[source.recording for source in missing],
        unusable=[
            {"recording": failure.recording, "reason": failure.reason, "files": files_of(source)}
            for failure in failures
            for source in sources
            if source.recording == failure.recording
        ],
        left_out=[
            {"recording": recording, "reason": fact["left_out"]}
            for recording, fact in facts.items()
            if "left_out" in fact
        ],
        recordings=[
            {
                "recording": source.recording,
                "subject": source.subject,
                "split": source.split,
                "windows": len(indices[source.recording]),
                "files": facts[source.recording]["files"],
                **{
                    key: fact for key, fact in facts[source.recording].items() if key in ("notes", "doubts")
                },
            }
            for source in kept
        ],
        prepared_with=versions(),
    )
    store = write_store(folder, manifest, (read_part(parts, source.recording) for source in kept))
    remember(store, ((source, facts[source.recording]) for source in kept))
    if store.complete:
        remember_counts(benchmark, folder, whole, len(sources))
    return store


def subjects_total(benchmark: BenchmarkSpec, sources: Sequence[Source]) -> int:
    """The number of subjects in the protocol, or in the found files if only they name the subjects."""
    if benchmark.splits is None:
        return len({source.subject for source in sources})
    return len({subject for subjects in benchmark.splits.values() for subject in subjects})


# ---- sentences -------------------------------------------------------------------------------------------------------


def refuse_partial(benchmark: BenchmarkSpec, store: SampleStore, allow_partial: bool) -> None:
    """Raise EegfmError unless `allow_partial`; `store` is partial."""
    if allow_partial:
        return
    found = store.manifest
    raise EegfmError(
        f"{benchmark.title}: the store at {store.folder} is partial, {found.n_subjects} of {found.subjects_total} "
        f"subjects ({len(found.missing)} recordings missing, {len(found.unusable)} unusable).\n"
        "To use it all the same, marked as partial in every report: data.allow_partial=true"
    )


def _missing_sentence(
    benchmark: BenchmarkSpec, raw: Path, sources: Sequence[Source], missing: Sequence[Source]
) -> str:
    if not sources:
        return f"{benchmark.title}: no recording was found under {raw}.\n" + _how_to_get(benchmark, raw)
    whole = Counter(source.subject for source in sources)
    gone = Counter(source.subject for source in missing)
    absent = sorted(subject for subject in gone if gone[subject] == whole[subject])
    incomplete = len(gone) - len(absent)
    return (
        f"{benchmark.title}: {len(missing)} of {len(sources)} recordings are missing under {raw}: "
        f"{len(absent)} of {len(whole)} subjects have no file ({some(absent) or 'none'})"
        f"{f', {incomplete} more lack some' if incomplete else ''}; the first one missing: "
        f"{_first_missing(missing[0])}.\n"
        + _how_to_get(benchmark, raw)
        + (
            "\nTo continue without them, marked as partial in every report: data.allow_partial=true"
            if len(missing) < len(sources)
            else ""
        )
    )


OWN_REMEDY = (
    "say in their YAML what is right of them (units, raw_sfreq, aliases, windows), or why they are not used: "
    "leave_out: {<pattern>: <reason>}"
)


def _own_sentence(benchmark: BenchmarkSpec, folder: Path, wrong: Sequence[str]) -> str:
    path = file_of(folder)
    recount = (
        f"If the recordings were changed on purpose, delete {path}, and the next preparation counts anew.\n"
    )
    return (
        f"{benchmark.title}: {'; '.join(wrong)}.\n"
        + (recount if path.exists() else "")
        + "To use them anyway, marked as partial in every report: data.allow_partial=true"
    )


def _first_missing(source: Source) -> str:
    return next(path.name for path in source.files if not path.is_file())


def tell_doubts(benchmark: BenchmarkSpec, doubts: Mapping[str, Sequence[str]]) -> None:
    """Warn of what is suspect of channels, by recording."""
    found = [f"{name}: {doubt}" for name, of_one in doubts.items() for doubt in of_one]
    if found:
        log.warning("%s: look at these channels before trusting them: %s", benchmark.title, some(found, 5))


def shown(failures: Sequence[Failure]) -> str:
    """The first reasons, a line each, with the recordings that one holds for."""
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(failure.why, []).append(failure)
    lines = []
    for first, *more in list(alike.values())[:10]:
        names = some([failure.recording for failure in more], 10)
        lines.append(f"- {first.reason}" + f" The same of {len(more):,} more: {names}" * bool(more))
    rest = sum(map(len, list(alike.values())[10:]))
    return "\n".join(lines + [f"- and {rest:,} more"] * bool(rest))


def _failure_sentence(benchmark: BenchmarkSpec, failures: Sequence[Failure], n: int) -> str:
    return (
        f"{benchmark.title}: {len(failures)} of {n} recordings are not usable:\n{shown(failures)}\n"
        "The other recordings are prepared and kept. Repair these files and run the same command again. To leave "
        "them out, marked as partial in every report: data.allow_partial=true"
        + (f"\nOr {OWN_REMEDY}" if benchmark.own else "")
    )


def _how_to_get(benchmark: BenchmarkSpec, raw: Path) -> str:
    if benchmark.own:
        return f"These are {benchmark.access} If they lie elsewhere: data.raw=<folder>"
    download = " data.download=true fetches it." if benchmark.open_files else ""
    return (
        f"{benchmark.access}{download}\n"
        "If the files lie elsewhere: data.raw=<folder>. The expected tree is in data/README.md."
    )


# ---- small things ----------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("eegfm", "mne", "numpy", "scipy", "lmdb")}
