"""Make the parts of a store: read, check, process and cut each recording, and keep its windows as files."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any, Self

import numpy as np

from eegfm.benchmarks.spec import SUMS, BenchmarkSpec, LeftOut, Source
from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.data.preparing.consistent import refuse_windows
from eegfm.data.preparing.origin import files_of
from eegfm.data.preparing.parts import (
    bar_of,
    part_stamp,
    write_part,
)
from eegfm.data.store import SampleIndex, digests
from eegfm.signal.quality import check_amplitude, check_recording
from eegfm.signal.steps import Step
from eegfm.signal.windows import cut

log = logging.getLogger(__name__)

TOLD = 3  # recordings that a reason is said of on the screen: a rate that is wrong is wrong in all files


@dataclass(frozen=True)
class Failure:
    """An unusable recording, and the sentence that says why; `why` is what other recordings have in common with it."""

    recording: str
    reason: str
    why: str

    @classmethod
    def of(cls, source: Source, reason: str) -> Self:
        why = reason
        for name in (*map(str, source.files), source.recording):
            why = why.replace(name, "")
        return cls(source.recording, reason, why)


def process(
    benchmark: BenchmarkSpec, source: Source, steps: Sequence[Step]
) -> tuple[np.ndarray, SampleIndex]:
    """Read, check, process and cut one recording. Windows are float32 microvolts, [window, channel, time]."""
    return _process(benchmark, source, steps)[:2]


def _process(
    benchmark: BenchmarkSpec, source: Source, steps: Sequence[Step]
) -> tuple[np.ndarray, SampleIndex, dict[str, list[str]]]:
    """The same as `process`, and what is said of the recording: `notes` of reader and steps, `doubts` of channels."""
    recording = benchmark.read(source)
    doubts = check_recording(recording, raw_sfreq=benchmark.raw_sfreq)
    for step in steps:
        recording = step(recording)
    doubts += check_amplitude(recording)
    if recording.montage.names != benchmark.channels or recording.sfreq != benchmark.sfreq:
        raise EegfmError(
            f"{source.path}: after its steps the recording has {len(recording.montage.names)} channels at "
            f"{recording.sfreq:g} Hz; {benchmark.name} stores {len(benchmark.channels)} at {benchmark.sfreq:g} Hz. "
            "Put the steps right (data.steps)."
        )
    wanted = benchmark.windows(recording, source)
    refuse_windows(benchmark, source, wanted)
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
    said = {"notes": [*recording.notes], "doubts": [*doubts]}
    return windows, index, {key: sentences for key, sentences in said.items() if sentences}


def make_parts(
    benchmark: BenchmarkSpec,
    sources: Sequence[Source],
    steps: Sequence[Step],
    parts: Path,
    sums: Mapping[Path, str],
    workers: int,
    progress: bool,
) -> list[Failure]:
    """Make the missing parts. Returns the failures in the protocol's order."""
    todo = [source for source in sources if part_stamp(parts, source.recording) != _raw_stamp(source)]
    done = len(sources) - len(todo)
    failures: dict[str, Failure] = {}
    told: Counter[str] = Counter()
    with bar_of(progress) as bar:
        task = bar.add_task(
            f"Preparing {benchmark.name}", total=len(sources), completed=done, unit="recordings"
        )
        for source, reason in _results(benchmark, todo, steps, parts, sums, workers):
            if reason is not None:
                failure = failures[source.recording] = Failure.of(source, reason)
                told[failure.why] += 1
                if told[failure.why] <= TOLD:
                    bar.console.print(f"not usable: {reason}", style="yellow")
            bar.advance(task)
        more = sum(max(n - TOLD, 0) for n in told.values())
        if more:
            bar.console.print(f"not usable for the same reasons: {more:,} more", style="yellow")
    return [failures[source.recording] for source in sources if source.recording in failures]


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
    # a worker forked from this process would inherit its threads and locks (BLAS, torch) in an unknown state; the
    # fork server is a fresh process that loads the libraries once for all workers
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")  # Windows
    context.set_forkserver_preload(["eegfm.data.preparing.worker"])
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        waiting: dict[Future[str | None], Source] = {}
        queue = iter(todo)
        try:
            while True:
                # submit at most two recordings for each worker, so that stopping does not wait for a whole corpus
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

    `sums` holds the published SHA-256 of its files, as far as known.
    """
    facts: dict[str, Any] = {}
    try:
        stamp = _raw_stamp(source)
        windows, index, said = _process(benchmark, source, steps)
        facts |= said
    except LeftOut as reason:
        facts["left_out"] = str(reason)
        windows, index = _no_windows(benchmark)
    except EegfmError as error:
        # nobody publishes a person's own file: what to do is said for all of them at the end
        return str(error).replace(FETCH_AGAIN, "").strip() if benchmark.own else str(error)
    except OSError as error:
        return f"{source.path} cannot be read ({error.strerror or error}). Fetch it again, or check its permissions."
    except Exception as error:  # a reader may raise anything on a damaged file; the other recordings go on
        log.debug("%s", source.path, exc_info=True)
        return f"{source.path} could not be processed ({type(error).__name__}: {error}). Fetch it again."
    facts["files"] = files_of(source)
    if _raw_stamp(source) != stamp or any(file["sha256"] is None for file in facts["files"]):
        return f"{source.path} or what belongs to it changed while it was read. Run the same command again."
    for path, file in zip(source.files, facts["files"], strict=True):
        if sums.get(path, file["sha256"]) != file["sha256"]:
            again = FETCH_AGAIN if benchmark.make is None else "Delete it: the same command makes it anew."
            return f"{path} is not the published file: its SHA-256 is not the one in {SUMS}. {again}"
    write_part(parts, source.recording, windows, index, stamp, **facts)
    return None


def _no_windows(benchmark: BenchmarkSpec) -> tuple[np.ndarray, SampleIndex]:
    text, none = np.empty(0, dtype="<U1"), np.empty(0)
    windows = np.empty((0, len(benchmark.channels), benchmark.n_times), dtype="<f4")
    return windows, SampleIndex(none.astype(np.int64), text, text, text, none, text, none.astype(np.uint64))


def _raw_stamp(source: Source) -> dict[str, Any]:
    """The facts that a part depends on: sizes and times of its raw files (None: gone), its subject and its split."""
    return {
        "files": [_size_and_time(path) for path in source.files],
        "subject": source.subject,
        "split": source.split,
    }


def _size_and_time(path: Path) -> list[int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]
