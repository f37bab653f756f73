"""Import an LMDB that CBraMod's or STAMP's scripts prepared (the reference) as a store.

The reference has two layouts, recognised by their folders:

- pickled (`<folder>/data.mdb`): a value is a pickled dict of `sample`, float64 (channel, second, 200) in microvolts,
  and `label`; `__keys__` is a pickled dict of the lists of keys of train, val and test. Read by
  `eegfm.signal.formats.pickled`, which runs nothing of what is in a pickle.
- NumPy (`<folder>/train/data.mdb`, `val`, `test`): a value is the bytes of such a sample, its key ends in a running
  number and the label ("aaaaaaar_00000001_00000012_y6"); `__keys__` is a JSON list, `__count__` its length.

The bytes do not tell which version of the script and of MNE made them. So the store's recipe says `imported`, and the
store has another fingerprint than one prepared from raw files: `data.imported=true` chooses it, and every report names
its origin. These can be compared with the protocol: every key with its recording, subject, split and label, the counts
of the census, leaks between splits, and the size, values and amplitude of each window.

Everything is read twice, first to be examined and then to be written. So a faulty LMDB leaves no store, and memory
holds one recording at a time.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from eegfm.benchmarks.spec import BenchmarkSpec, Source
from eegfm.contracts import EegfmError
from eegfm.data.census import census_differences, count, leakage
from eegfm.data.manifest import Manifest
from eegfm.data.preparing.listed import Listed, Plan, plan_of
from eegfm.data.preparing.making import Failure
from eegfm.data.preparing.parts import bar_of, writing_explained
from eegfm.data.preparing.pipeline import refuse_partial, shown, subjects_total, tell_doubts, versions
from eegfm.data.preparing.reference import PER_SECOND, Numpy, Pickled, opened
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleIndex, SampleStore, digests, write_store
from eegfm.signal.quality import check_amplitude, check_recording
from eegfm.signal.recording import Recording
from eegfm.support.locks import only_one
from eegfm.support.words import some

Examined = list[tuple[Source, list[Listed], SampleIndex, list[str]]]  # with the doubts about it


def convert(
    benchmark: BenchmarkSpec,
    folder: Path,
    cache: Path,
    *,
    allow_partial: bool = False,
    progress: bool = True,
) -> SampleStore:
    """The benchmark's store, made from a store of the reference.

    Args:
        benchmark: corpus and protocol, in the variant that the reference's scripts follow.
        folder: the reference's LMDB (see the module for the two layouts); it is not changed.
        cache: folder of all stores.
        allow_partial: accept missing or unusable recordings, or counts other than the census's; the store is then
            marked as partial.
        progress: draw the progress bar.

    Raises:
        EegfmError: the LMDB is of another benchmark, contradicts the protocol, is damaged or incomplete, its splits
            leak, another LMDB was imported before, or the disk is full. Then no store is written.
    """
    if benchmark.reference_key is None:
        raise EegfmError(
            f"The reference's scripts make no LMDB of {benchmark.title} as {benchmark.protocol}. Choose the published "
            f"variant if there is one, e.g. data.benchmark.variant=published (see conf/data/{benchmark.name}.yaml)."
        )
    recipe = Recipe.of(benchmark, imported=True)
    target = cache / recipe.folder
    with only_one(target), opened(folder, benchmark) as reference:
        if SampleStore.is_at(target):
            store = SampleStore(target)
            imported = store.manifest.imported
            assert imported is not None, target
            if imported["files"] == reference.files:
                if not store.complete:
                    refuse_partial(benchmark, store, allow_partial)
                return store
            if store.complete:
                raise EegfmError(
                    f"{target} holds what was imported from another LMDB, {imported['from']} "
                    f"({len(store):,} windows). To import {folder} instead, delete that folder first."
                )
        known, plan = plan_of(benchmark, reference)
        with bar_of(progress) as bar:
            kept, failures = _examine(benchmark, reference, plan, bar)
            if not kept:
                raise EegfmError(f"{folder}: not one usable window.\n{shown(failures)}")
            whole = SampleIndex.concatenate([index for _, _, index, _ in kept])
            wrong = census_differences(benchmark, whole, benchmark.census.recordings or len(plan))
            listed = {source.recording for source, _ in plan}
            missing = [name for name in known if name not in listed]
            if benchmark.census.windows is not None and not wrong:
                missing = []  # the protocol leaves them out
            if failures or missing:
                wrong = []
            if (failures or missing or wrong) and not allow_partial:
                raise EegfmError(_refusal(benchmark, reference, len(known), failures, missing, wrong))
            found = leakage(whole, benchmark.window_s).undeclared(benchmark)
            if found:
                raise EegfmError(f"{folder}: the splits leak: {'; '.join(found)}. No store is made of it.")
            tell_doubts(benchmark, {source.recording: doubts for source, _, _, doubts in kept})
            manifest = _manifest(benchmark, recipe, reference, plan, kept, whole, failures, missing, wrong)
            with writing_explained(target, kept="The LMDB is as it was"):
                return write_store(target, manifest, _again(benchmark, reference, kept, bar))


def _manifest(
    benchmark: BenchmarkSpec,
    recipe: Recipe,
    reference: Pickled | Numpy,
    plan: Plan,
    kept: Examined,
    whole: SampleIndex,
    failures: Sequence[Failure],
    missing: Sequence[str],
    wrong: Sequence[str],
) -> Manifest:
    unlisted = reference.entries - sum(len(listed) for _, listed in plan)
    in_seconds = all(window.says.onset_s is not None for _, listed, *_ in kept for window in listed)
    return Manifest(
        fingerprint=recipe.fingerprint,
        recipe=recipe,
        shape=(len(benchmark.channels), benchmark.n_times),
        windows=len(whole),
        protocol=benchmark.protocol,
        imported={
            "said": f"imported from a {reference.layout} of the reference: keys parsed, raw files not seen, "
            + "nor their rate, units and gaps"
            + ("" if in_seconds else "; onsets are the numbers in the keys, not seconds")
            + (f"; {unlisted:,} windows that it does not list are left out" if unlisted else ""),
            "from": reference.folder.resolve().name,
            "layout": reference.layout,
            "files": reference.files,
            "unlisted": unlisted,
            "onsets_in_seconds": in_seconds,
        },
        simulated=benchmark.simulated,
        within_subject=benchmark.within_subject,
        complete=not (failures or missing or wrong),
        subjects_total=subjects_total(benchmark, [source for source, _ in plan]),
        census=count(whole, len(benchmark.classes)),
        census_differences=list(wrong),
        missing=list(missing),
        unusable=[{"recording": failure.recording, "reason": failure.reason} for failure in failures],
        left_out=[],
        recordings=[
            {
                "recording": source.recording,
                "subject": source.subject,
                "split": source.split,
                "windows": len(index),
                "files": [],
                **({"doubts": doubts} if doubts else {}),
            }
            for source, _, index, doubts in kept
        ],
        prepared_with=versions(),
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def _examine(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, plan: Plan, bar: Progress
) -> tuple[Examined, list[Failure]]:
    """Read and check every recording before any is written; a faulty one becomes a failure."""
    kept: Examined = []
    failures: list[Failure] = []
    task = bar.add_task(f"Examining {benchmark.name}", total=len(plan), unit="recordings")
    for source, listed in plan:
        try:
            windows, index = _read(benchmark, reference, source, listed)
            signal = Recording(
                windows.transpose(1, 0, 2).reshape(len(benchmark.channels), -1).astype(np.float64),
                benchmark.sfreq,
                benchmark.montage,
                path=Path(f"{reference.folder}, recording {source.recording}"),
            )
            doubts = [*check_recording(signal), *check_amplitude(signal)]
        except EegfmError as error:
            failures.append(Failure.of(source, str(error)))
            bar.console.print(f"not usable: {error}", style="yellow")
        else:
            kept.append((source, listed, index, doubts))
        bar.advance(task)
    return kept, failures


def _again(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, kept: Examined, bar: Progress
) -> Iterator[tuple[np.ndarray, SampleIndex]]:
    """Read the examined recordings again, to be written."""
    task = bar.add_task(f"Converting {benchmark.name}", total=len(kept), unit="recordings")
    for source, listed, index, _ in kept:
        windows, now = _read(benchmark, reference, source, listed)
        # the LMDB is opened without a lock, so another process may write to it
        if not np.array_equal(now.digest, index.digest):
            raise EegfmError(
                f"{reference.folder} changed while it was read (recording {source.recording}). Wait until nothing "
                "writes to it and run the same command again."
            )
        yield windows, index
        bar.advance(task)


def _read(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, source: Source, listed: Sequence[Listed]
) -> tuple[np.ndarray, SampleIndex]:
    """The windows of a recording, float32 microvolts, [window, channel, time], and their index."""
    shape = (len(benchmark.channels), round(benchmark.window_s), PER_SECOND)
    assert shape[1] * PER_SECOND == benchmark.n_times, "the reference stores whole seconds at 200 Hz"
    windows = np.empty((len(listed), len(benchmark.channels), benchmark.n_times), dtype="<f4")
    label = np.empty(len(listed), dtype=np.int64)
    for i, window in enumerate(listed):
        where = reference.where(window.split, window.key)
        sample, stored = reference.window(window.split, window.key)
        if sample.shape != shape:
            raise EegfmError(f"{where}: its sample is {sample.shape}; {benchmark.title} has {shape}.")
        with np.errstate(over="ignore"):  # becomes infinite, refused below
            windows[i] = sample.reshape(windows.shape[1:])
        if not np.isfinite(windows[i]).all():
            raise EegfmError(f"{where}: holds NaN or infinite values.")
        label[i] = _label(benchmark, reference, window.says.label, stored, where)
    n = len(listed)
    return windows, SampleIndex(
        label=label,
        subject=np.full(n, source.subject),
        session=np.full(n, source.session),
        recording=np.full(n, source.recording),
        onset_s=np.array(
            [w.says.number if w.says.onset_s is None else w.says.onset_s for w in listed], dtype=np.float64
        ),
        split=np.array([window.split for window in listed], dtype="<U5"),
        digest=digests(windows),
    )


def _label(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, by_key: int | None, stored: int | None, where: str
) -> int:
    """The class of a window: the stored one and the one in its key must agree."""
    # a NumPy LMDB has the code only in the key, and the benchmark knows from which number codes count (TUEV: 1)
    label = by_key if isinstance(reference, Numpy) and by_key is not None else stored
    if label is None or not 0 <= label < len(benchmark.classes):
        raise EegfmError(
            f"{where}: label {label}; {benchmark.title} has 0 to {len(benchmark.classes) - 1}."
        )
    if by_key is not None and label != by_key:
        raise EegfmError(
            f"{where}: stored as {benchmark.classes[label]!r} ({label}); by its name it is "
            f"{benchmark.classes[by_key]!r} ({by_key})."
        )
    return label


# ---- sentences -------------------------------------------------------------------------------------------------------


def _refusal(
    benchmark: BenchmarkSpec,
    reference: Pickled | Numpy,
    n_known: int,
    failures: Sequence[Failure],
    missing: Sequence[str],
    wrong: Sequence[str],
) -> str:
    reasons = []
    if failures:
        reasons.append(f"{len(failures)} recordings are not usable:\n{shown(failures)}")
    if missing:
        reasons.append(f"{len(missing)} of {n_known} recordings have no window in it: {some(missing)}.")
    if wrong:
        reasons.append(
            f"The counts are not those of the census ({benchmark.census.source}): {'; '.join(wrong)}. Is it from "
            f"the edition of the corpus and the version of the script that {benchmark.protocol} follows?"
        )
    return "\n".join(
        [
            f"{benchmark.title}: {reference.folder} is not the complete data set of the protocol.",
            *reasons,
            "To import it anyway, marked as partial in every report: data.allow_partial=true",
        ]
    )
