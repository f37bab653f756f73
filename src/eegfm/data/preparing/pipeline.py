"""Raw files -> steps -> windows -> store.

Work is done a recording at a time, each finished one kept as a part of its own, so a preparation can be stopped and
started at any point: the parts that are there are not made again, and the store is assembled from all of them at the
end, in the protocol's order. Hence the same bytes however often it was interrupted and however many workers there were.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, LeftOut, Source
from eegfm.contracts import EegfmError
from eegfm.data.census import census_differences, copies, count, leakage
from eegfm.data.preparing.parts import (
    bar_of,
    disk_full_explained,
    part_facts,
    part_stamp,
    read_part,
    write_part,
)
from eegfm.data.preparing.sums import SUMS, sha256_of, sums_beside
from eegfm.data.store import Recipe, SampleIndex, SampleStore, digests, write_store
from eegfm.files import only_one
from eegfm.signal.quality import check_amplitude, check_recording
from eegfm.signal.recording import FETCH_AGAIN
from eegfm.signal.steps import Step
from eegfm.signal.windows import cut
from eegfm.words import some

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A recording that gave no windows, and the sentence that says why."""

    recording: str
    reason: str


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
    """The benchmark's store, made from the raw files where it does not lie in the cache yet.

    Args:
        benchmark: corpus and protocol.
        raw: folder of the raw files.
        cache: folder of all stores.
        steps: other processing than the published one (another recipe, another folder).
        workers: processes that work on recordings side by side.
        allow_partial: go on without recordings that are missing or unusable; the store is then marked as partial.
        progress: draw the progress bar.

    Raises:
        EegfmError: the corpus is not complete, a file is unusable, counts are not the census's, splits leak, or the
            disk is full. Recordings that were finished stay finished.
    """
    recipe = Recipe.of(benchmark, steps)
    folder = cache / recipe.folder
    with only_one(folder):
        store = SampleStore(folder) if (folder / "recipe.json").exists() else None
        if store is not None and store.complete:
            return store
        if benchmark.make is not None:
            benchmark.make(raw)
        sources = benchmark.sources(raw)
        present = [source for source in sources if is_there(source)]
        if store is not None:
            if not _grew(store, present):
                refuse_partial(benchmark, store, allow_partial)
                return store
            log.warning(
                "%s: recordings were added since the partial store was made; preparing again.",
                benchmark.name,
            )
        missing = [source for source in sources if not is_there(source)]
        if not present or (missing and not allow_partial):
            raise EegfmError(_missing_sentence(benchmark, raw, sources, missing))
        parts = folder.with_name(folder.name + ".parts")
        with disk_full_explained(folder):
            parts.mkdir(parents=True, exist_ok=True)
            chosen = benchmark.steps if steps is None else tuple(steps)
            sums = sums_beside(raw, (path for source in present for path in source.files))
            failures = _process_all(benchmark, present, chosen, parts, sums, workers, progress)
            if failures and not allow_partial:
                raise EegfmError(_failure_sentence(benchmark, failures, len(present)))
            failed = {failure.recording for failure in failures}
            kept = [source for source in present if source.recording not in failed]
            store = _assemble(
                benchmark, recipe, folder, parts, sources, kept, missing, failures, allow_partial
            )
            shutil.rmtree(parts, ignore_errors=True)
    return store


def process(
    benchmark: BenchmarkSpec, source: Source, steps: Sequence[Step]
) -> tuple[np.ndarray, SampleIndex]:
    """One recording: read, checked, processed, cut. Windows are float32 microvolts, [window, channel, time]."""
    return _process(benchmark, source, steps)[:2]


def _process(
    benchmark: BenchmarkSpec, source: Source, steps: Sequence[Step]
) -> tuple[np.ndarray, SampleIndex, tuple[str, ...]]:
    """The same, and what the steps have to say of the recording."""
    recording = benchmark.read(source)
    check_recording(recording, raw_sfreq=benchmark.raw_sfreq)
    for step in steps:
        recording = step(recording)
    check_amplitude(recording)
    if recording.montage.names != benchmark.channels or recording.sfreq != benchmark.sfreq:
        raise EegfmError(
            f"{source.path}: after its steps the recording has {len(recording.montage.names)} channels at "
            f"{recording.sfreq:g} Hz; {benchmark.name} stores {len(benchmark.channels)} at {benchmark.sfreq:g} Hz. "
            "Put the steps right (data.steps)."
        )
    wanted = benchmark.windows(recording, source)
    windows = np.empty((len(wanted), len(benchmark.channels), benchmark.n_times), dtype="<f4")
    for i, window in enumerate(wanted):
        windows[i] = cut(recording, window.onset_s, benchmark.window_s)
    n = len(wanted)
    index = SampleIndex(
        label=np.array([window.label for window in wanted], dtype=np.int64),
        subject=np.full(n, source.subject),
        session=np.full(n, source.session),
        recording=np.full(n, source.recording),
        onset_s=np.array([window.onset_s for window in wanted], dtype=np.float64),
        split=np.array([window.split or source.split for window in wanted], dtype="<U5"),
        digest=digests(windows),
    )
    return windows, index, recording.notes


def is_there(source: Source) -> bool:
    """Whether all files of a recording lie on the disk."""
    return all(path.is_file() for path in source.files)


# ---- parts -----------------------------------------------------------------------------------------------------------


def _process_all(
    benchmark: BenchmarkSpec,
    sources: Sequence[Source],
    steps: Sequence[Step],
    parts: Path,
    sums: Mapping[Path, str],
    workers: int,
    progress: bool,
) -> list[Failure]:
    """Make the parts that are not there yet; failures come back in the protocol's order."""
    todo = [source for source in sources if part_stamp(parts, source.recording) != _raw_stamp(source)]
    done = len(sources) - len(todo)
    reasons: dict[str, str] = {}
    with bar_of(progress) as bar:
        task = bar.add_task(
            f"Preparing {benchmark.name}", total=len(sources), completed=done, unit="recordings"
        )
        for source, reason in _results(benchmark, todo, steps, parts, sums, workers):
            if reason is not None:
                reasons[source.recording] = reason
                bar.console.print(f"[yellow]not usable:[/] {reason}", highlight=False)
            bar.advance(task)
    return [
        Failure(source.recording, reasons[source.recording])
        for source in sources
        if source.recording in reasons
    ]


def _results(
    benchmark: BenchmarkSpec,
    todo: Sequence[Source],
    steps: Sequence[Step],
    parts: Path,
    sums: Mapping[Path, str],
    workers: int,
) -> Iterator[tuple[Source, str | None]]:
    if workers <= 1 or len(todo) <= 1:
        for source in todo:
            yield source, make_part(benchmark, source, steps, parts, _own(source, sums))
        return
    # forked from this process, a worker would inherit its threads and locks (BLAS, torch) in an unknown state; the
    # server that forks here is a fresh process, which loads the libraries once for all workers
    context = get_context("forkserver")
    context.set_forkserver_preload(["eegfm.data.preparing.worker"])
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        waiting: dict[Future[str | None], Source] = {}
        queue = iter(todo)
        try:
            while True:
                # at most two recordings a worker in flight, so that stopping does not wait for a whole corpus
                for source in queue:
                    future = pool.submit(make_part, benchmark, source, steps, parts, _own(source, sums))
                    waiting[future] = source
                    if len(waiting) >= 2 * workers:
                        break
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool as error:
            raise EegfmError(
                f"A worker of the preparation was killed (most often: out of memory) with {workers} workers. Finished "
                "recordings are kept; run the same command again with fewer: data.prepare_workers=1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _own(source: Source, sums: Mapping[Path, str]) -> dict[Path, str]:
    return {path: sums[path] for path in source.files if path in sums}


def make_part(
    benchmark: BenchmarkSpec,
    source: Source,
    steps: Sequence[Step],
    parts: Path,
    sums: Mapping[Path, str],
) -> str | None:
    """Process one recording into its part. Returns None, or the sentence that says why it is not usable.

    `sums` are the published SHA-256 of its files, where they are known.
    """
    facts: dict[str, Any] = {}
    try:
        stamp = _raw_stamp(source)
        windows, index, notes = _process(benchmark, source, steps)
        if notes:
            facts["notes"] = list(notes)
    except LeftOut as reason:
        facts["left_out"] = str(reason)
        windows, index = _no_windows(benchmark)
    except EegfmError as error:
        return str(error)
    except OSError as error:
        return f"{source.path} cannot be read ({error.strerror or error}). Fetch it again, or check its permissions."
    except (
        Exception
    ) as error:  # a reader may raise anything on a damaged file; the others must not pay for it
        log.debug("%s", source.path, exc_info=True)
        return f"{source.path} could not be processed ({type(error).__name__}: {error}). Fetch it again."
    facts["files"] = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in source.files
    ]
    for path, file in zip(source.files, facts["files"], strict=True):
        if sums.get(path, file["sha256"]) != file["sha256"]:
            return f"{path} is not the published file: its SHA-256 is not the one in {SUMS}. {FETCH_AGAIN}"
    write_part(parts, source.recording, windows, index, stamp, **facts)
    return None


def _no_windows(benchmark: BenchmarkSpec) -> tuple[np.ndarray, SampleIndex]:
    text, none = np.empty(0, dtype="<U1"), np.empty(0)
    windows = np.empty((0, len(benchmark.channels), benchmark.n_times), dtype="<f4")
    return windows, SampleIndex(none.astype(np.int64), text, text, text, none, text, none.astype(np.uint64))


def _raw_stamp(source: Source) -> dict[str, Any]:
    """What tells that a part still is what would be made now: its raw files, and whose and which split's it is."""
    stats = [path.stat() for path in source.files]
    return {
        "files": [[stat.st_size, stat.st_mtime_ns] for stat in stats],
        "subject": source.subject,
        "split": source.split,
    }


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
    indices = {source.recording: SampleIndex.load(parts / f"{source.recording}.npz") for source in kept}
    sha256 = {source.path: facts[source.recording]["files"][0]["sha256"] for source in kept}
    alike = copies(benchmark, kept, sha256).named()
    if alike:
        raise EegfmError(
            f"{benchmark.title}: files that must differ are the same bytes: {'; '.join(alike)}. One of each is a copy "
            "under a wrong name. Fetch it again, or delete the wrong one and go on with data.allow_partial=true."
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
    wrong = [] if missing or failures else census_differences(benchmark, whole, len(sources))
    if wrong and not allow_partial:
        raise EegfmError(
            f"{benchmark.name}: the files are all there, but the counts are not those of the census "
            f"({benchmark.census.source}): {'; '.join(wrong)}. Is this the edition that {benchmark.protocol} uses? "
            f"See {benchmark.corpus}\n"
            "To go on with what is there, marked as partial in every report: data.allow_partial=true"
        )
    found = leakage(whole, benchmark.window_s).undeclared(benchmark)
    if found:
        raise EegfmError(f"{benchmark.name}: the splits leak: {'; '.join(found)}. No store is made of it.")
    manifest = {
        "protocol": benchmark.protocol,
        "simulated": benchmark.simulated,
        "within_subject": benchmark.within_subject,
        "complete": not (missing or failures or wrong),
        "subjects_total": subjects_total(benchmark, sources),
        "census": count(whole, len(benchmark.kinds)),
        "census_differences": wrong,
        "missing": [source.recording for source in missing],
        "unusable": [{"recording": failure.recording, "reason": failure.reason} for failure in failures],
        "left_out": [
            {"recording": recording, "reason": fact["left_out"]}
            for recording, fact in facts.items()
            if "left_out" in fact
        ],
        "recordings": [
            {
                "recording": source.recording,
                "subject": source.subject,
                "split": source.split,
                "windows": len(indices[source.recording]),
                "files": facts[source.recording]["files"],
                **{key: fact for key, fact in facts[source.recording].items() if key == "notes"},
            }
            for source in kept
        ],
        "prepared_with": versions(),
    }
    return write_store(
        folder,
        recipe,
        manifest,
        (read_part(parts, source.recording) for source in kept),
        shape=(len(benchmark.channels), benchmark.n_times),
        n_rows=n_rows,
    )


def subjects_total(benchmark: BenchmarkSpec, sources: Sequence[Source]) -> int:
    """Subjects of the protocol; where only the files know them, those found."""
    if benchmark.splits is None:
        return len({source.subject for source in sources})
    return len({subject for subjects in benchmark.splits.values() for subject in subjects})


# ---- sentences -------------------------------------------------------------------------------------------------------


def refuse_partial(benchmark: BenchmarkSpec, store: SampleStore, allow_partial: bool) -> None:
    if allow_partial:
        return
    used = {recording["subject"] for recording in store.manifest["recordings"]}
    raise EegfmError(
        f"{benchmark.title}: the store at {store.folder} is partial, {len(used)} of "
        f"{store.manifest['subjects_total']} subjects ({len(store.manifest['missing'])} recordings missing, "
        f"{len(store.manifest['unusable'])} unusable).\n"
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
            "\nTo go on with what is there, marked as partial in every report: data.allow_partial=true"
            if len(missing) < len(sources)
            else ""
        )
    )


def _first_missing(source: Source) -> str:
    return next(path.name for path in source.files if not path.is_file())


def shown(failures: Sequence[Failure]) -> str:
    """The first failures, a line each."""
    more = [f"- and {len(failures) - 10} more"] if len(failures) > 10 else []
    return "\n".join([f"- {failure.reason}" for failure in failures[:10]] + more)


def _failure_sentence(benchmark: BenchmarkSpec, failures: Sequence[Failure], n: int) -> str:
    return (
        f"{benchmark.title}: {len(failures)} of {n} recordings are not usable:\n{shown(failures)}\n"
        "The other recordings are prepared and kept. Put these files right and run the same command again, "
        "or leave them out, marked as partial in every report: data.allow_partial=true"
    )


def _how_to_get(benchmark: BenchmarkSpec, raw: Path) -> str:
    download = " data.download=true fetches it." if benchmark.open_files else ""
    return (
        f"{benchmark.access}{download}\n"
        "If the files lie elsewhere: data.raw=<folder>. The expected tree is in data/README.md."
    )


# ---- small things ----------------------------------------------------------------------------------------------------


def _grew(store: SampleStore, present: Sequence[Source]) -> bool:
    """Whether raw files have come that a partial store could not have."""
    known = {recording["recording"] for recording in store.manifest["recordings"]}
    known |= {unusable["recording"] for unusable in store.manifest["unusable"]}
    return any(source.recording not in known for source in present)


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("eegfm", "mne", "numpy", "scipy", "lmdb")}
