"""Checks of a store: manifest, index, the digest of every window, the counts, leaks, and the signal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import lmdb
import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.data.census import count, leakage
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore, digests
from eegfm.data.verifying.checks import Check, Meter, Verdict, prepare_again
from eegfm.data.verifying.gates import Signal, check_signal
from eegfm.words import some

CHUNK = 2**24  # bytes of windows that are read at a time


def check_store(benchmark: BenchmarkSpec, store: SampleStore, recipe: Recipe, meter: Meter) -> list[Check]:
    """Check that the store is as it was written, and that it is what the benchmark says."""
    checks = [_manifest(store, recipe)]
    if _sound(benchmark, store):
        windows, signal = _windows(store, meter)
        checks += [windows, *_counts(benchmark, store), *_leaks(benchmark, store)]
        if signal is not None:
            checks += check_signal(benchmark, store, signal)
    else:
        found = "some rows have no split, or a label that is not a class"
        checks.append(Check("index", found, "a split and a class for each row", "off"))
    again = prepare_again(benchmark, store.folder)
    return [
        replace(check, remedy=f"{check.remedy} {again}".strip()) if check.verdict == "off" else check
        for check in checks
    ]


def _manifest(store: SampleStore, recipe: Recipe) -> Check:
    """Check that `recipe.json` has the wanted recipe and fits the index."""
    manifest, wanted = store.manifest, f"recipe {recipe.fingerprint}"
    wrong = []
    said = {store.folder.name, manifest.fingerprint, store.recipe.fingerprint}
    if said != {recipe.fingerprint}:
        differs = "".join(f"; {line}" for line in recipe.diff(store.recipe)[:3])
        wrong.append(f"recipe.json makes {store.recipe.fingerprint}{differs}")
    if not manifest.windows == manifest.census["windows"] == len(store):
        wrong.append(f"recipe.json speaks of {manifest.windows:,} windows, the index has {len(store):,}")
    names, counts = np.unique(store.index.recording, return_counts=True)
    listed = {fact["recording"]: fact["windows"] for fact in manifest.recordings if fact["windows"]}
    if dict(zip(names.tolist(), counts.tolist(), strict=True)) != listed:
        wrong.append("recipe.json and the index list different recordings")
    if wrong:
        return Check("store", "; ".join(wrong), wanted, "off")
    if store.complete:
        return Check("store", f"{store.folder.name}, complete", wanted)
    found = (
        f"{store.folder.name}, partial: {manifest.n_subjects} of {manifest.subjects_total} subjects, "
        f"{len(manifest.missing)} recordings missing, {len(manifest.unusable)} unusable"
    )
    return Check("store", found, wanted, "warning", "Complete the raw files and prepare again.")


def _sound(benchmark: BenchmarkSpec, store: SampleStore) -> bool:
    index = store.index
    return (
        len(index) > 0
        and {len(array) for array in vars(index).values()} == {len(index)}
        and set(index.split.tolist()) <= set(SPLITS)
        and 0 <= int(index.label.min()) <= int(index.label.max()) < len(benchmark.kinds)
    )


def _windows(store: SampleStore, meter: Meter) -> tuple[Check, Signal | None]:
    """Read every stored window once: compare it with its digest, and measure it for the checks of the signal."""
    wanted = "the bytes that were written"
    if store.lacks_bytes > 0:  # LMDB maps the file: reading behind its end would kill the process
        found = f"samples.mdb is cut short by {store.lacks_bytes:,} bytes"
        return Check("digests", found, wanted, "off"), None
    wrong, not_finite = [], 0
    signal = Signal(store)
    try:
        for rows in _chunks(store):
            windows = store.read(rows)
            wrong += rows[digests(windows) != store.index.digest[rows]].tolist()
            broken = ~np.isfinite(windows).all(axis=(1, 2))
            if broken.any():
                not_finite += int(broken.sum())
                windows[broken] = np.nan_to_num(
                    windows[broken], posinf=0, neginf=0
                )  # this fault is reported here; the measures need finite values
            signal.add(rows, windows)
            meter.did(windows.nbytes)
    # AssertionError and ValueError: a row is missing or has another length
    except (lmdb.Error, OSError, AssertionError, ValueError) as error:
        found = f"samples.mdb cannot be read ({type(error).__name__}: {error})"
        return Check("digests", found, wanted, "off"), None
    faults = []
    if wrong:
        keys = some([store.index.key(row) for row in wrong], 3)
        faults.append(f"{len(wrong):,} of {len(store):,} windows have other bytes: {keys}")
    if not_finite:
        faults.append(f"{not_finite:,} of {len(store):,} windows hold NaN or infinite values")
    if faults:
        return Check("digests", "; ".join(faults), wanted, "off"), signal
    return Check("digests", f"{len(store):,} windows, each as in the index", wanted), signal


def _chunks(store: SampleStore) -> Iterator[np.ndarray]:
    n = max(1, CHUNK // (int(np.prod(store.shape)) * store.dtype.itemsize))
    for start in range(0, len(store), n):
        yield np.arange(start, min(start + n, len(store)))


def _counts(benchmark: BenchmarkSpec, store: SampleStore) -> list[Check]:
    """Compare recordings and windows, by split and class, with the census; a partial store may have fewer."""
    census, counted = benchmark.census, count(store.index, len(benchmark.kinds))
    wrong: Verdict = "off" if store.complete else "warning"
    # an imported store does not know of recordings that the protocol leaves out
    n_recordings = census.recordings if store.manifest.imported is None else None
    checks = []
    for name, n, wanted in (
        ("recordings", len(store.manifest.recordings), n_recordings),
        ("windows", len(store), census.windows),
    ):
        verdict = "ok" if wanted in (None, n) else wrong
        checks.append(Check(name, f"{n:,}", "not known" if wanted is None else f"{wanted:,}", verdict))
    for split in SPLITS:
        counts = counted["per_class"][split]
        per_split = (census.per_split or {}).get(split)
        per_class = (census.per_class or {}).get(split)
        verdict = "ok"
        if per_split not in (None, sum(counts)) or (per_class is not None and list(per_class) != counts):
            verdict = wrong
        absent = [name for name, n in zip(benchmark.kinds, counts, strict=True) if not n and per_split != 0]
        if absent and verdict == "ok":
            # nothing can be learned of such a class; elsewhere it is only not scored, and long windows are for more
            # than classes: where all recordings of one are too short for them, the others may still be trained on
            too_short = benchmark.one_label and bool(store.manifest.left_out)
            verdict = wrong if split == "train" and not too_short else "warning"
        wanted = [
            "" if per_split is None else f"{per_split:,}",
            "" if per_class is None else _by_class(per_class),
        ]
        checks.append(
            Check(
                f"  {split}",
                f"{sum(counts):,} {_by_class(counts)}" + (f", none of {some(absent)}" if absent else ""),
                " ".join(filter(None, wanted)) or "not known",
                verdict,
            )
        )
    return checks


def _by_class(counts: Sequence[int]) -> str:
    return f"({' '.join(f'{n:,}' for n in counts)})"


def _leaks(benchmark: BenchmarkSpec, store: SampleStore) -> list[Check]:
    """Check for subjects, recordings and identical windows in two splits, unless the benchmark declares them."""
    common = leakage(store.index, benchmark.window_s)
    undeclared = common.undeclared(benchmark)
    identical = [clause for clause in undeclared if clause.startswith("byte-identical")]
    shared = [clause for clause in undeclared if clause not in identical]
    checks = []
    for name, wrong, n, wanted in (
        ("subjects", shared, len(common.shared_subjects), "no subject in two splits"),
        ("identical", identical, len(common.identical), "no window in two splits"),
    ):
        if wrong:
            checks.append(Check(name, "; ".join(wrong), wanted, "off"))
        else:
            checks.append(Check(name, f"{n:,} in two splits, as declared" if n else "none shared", wanted))
    return checks
