"""Checks of a store: manifest, index, the digest of every window, the counts, leaks, and the signal."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.census import count, leakage
from eegfm.data.checksums import without_remedy
from eegfm.data.counted import with_census
from eegfm.data.manifest import FILE as MANIFEST
from eegfm.data.manifest import Manifest
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore, digests
from eegfm.data.verifying.checks import Check, Meter, Remedies, Verdict
from eegfm.data.verifying.gates import Signal, check_signal
from eegfm.data.verifying.near_copies import NearCopies, NearCopy, probe_rows
from eegfm.support.words import some

CHUNK = 2**24  # bytes of windows that are read at a time


def check_store(
    benchmark: BenchmarkSpec, store: SampleStore, recipe: Recipe, meter: Meter, remedies: Remedies
) -> list[Check]:
    """Check that the store is as it was written, and that it is what the benchmark says."""
    checks = [_manifest(store, recipe, remedies)]
    if _sound(benchmark, store):
        windows, measured = _windows(store, meter)
        checks += [windows, *_counts(benchmark, store), *_leaks(benchmark, store)]
        if measured is not None:
            signal, copies = measured
            checks += [_near_copies(benchmark, store, copies), *check_signal(benchmark, store, signal)]
    else:
        found = "some rows have no split, or a label that is not a class"
        checks.append(Check("index", found, "a split and a class for each row", "off"))
    again = f"To make it anew: {remedies.anew(store.folder)}"
    return [
        replace(check, remedy=f"{check.remedy} {again}".strip()) if check.verdict == "off" else check
        for check in checks
    ]


def _manifest(store: SampleStore, recipe: Recipe, remedies: Remedies) -> Check:
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
    return Check("store", found, wanted, "warning", f"Complete the raw files, then {remedies.prepare}")


def _sound(benchmark: BenchmarkSpec, store: SampleStore) -> bool:
    index = store.index
    return (
        len(index) > 0
        and {len(array) for array in vars(index).values()} == {len(index)}
        and set(index.split.tolist()) <= set(SPLITS)
        and 0 <= int(index.label.min()) <= int(index.label.max()) < len(benchmark.kinds)
    )


def _windows(store: SampleStore, meter: Meter) -> tuple[Check, tuple[Signal, NearCopies] | None]:
    """Read every stored window once: compare it with its digest, measure it, and look for near copies."""
    wanted = "the bytes that were written"
    wrong: list[int] = []
    not_finite, signal = 0, Signal(store)
    try:
        probes = probe_rows(store.index)
        probed = np.nan_to_num(store.read(probes, damaged_rows=[]), posinf=0, neginf=0)
        copies = NearCopies(store.index, probes, probed, signal.sfreq)
        for rows in _chunks(store):
            windows = store.read(rows, damaged_rows=wrong)
            differ = rows[digests(windows) != store.index.digest[rows]].tolist()
            wrong += [row for row in differ if row not in wrong]
            broken = ~np.isfinite(windows).all(axis=(1, 2))
            if broken.any():
                not_finite += int(broken.sum())
                windows[broken] = np.nan_to_num(
                    windows[broken], posinf=0, neginf=0
                )  # this fault is reported here; the measures need finite values
            signal.add(rows, windows)
            copies.add(rows, windows)
            meter.did(windows.nbytes)
    except EegfmError as error:
        return Check("digests", without_remedy(error), wanted, "off"), None
    faults = []
    if wrong:
        faults.append(_other_bytes(store, wrong))
    if not_finite:
        faults.append(f"{not_finite:,} of {len(store):,} windows hold NaN or infinite values")
    if faults:
        return Check("digests", "; ".join(faults), wanted, "off"), (signal, copies)
    return Check("digests", f"{len(store):,} windows, each as in the index", wanted), (signal, copies)


def check_vectors(store: SampleStore, meter: Meter) -> list[Check]:
    """Check that encoders' vectors of this store's windows, in the folders beside it, are as they were written."""
    checks = []
    for path in sorted(store.folder.parent.glob(f"*/{MANIFEST}")):
        with suppress(EegfmError):  # whose it is cannot be read: it is told of when it is used
            source = Manifest.read(path.parent).source
            if source is not None and source["fingerprint"] == store.recipe.fingerprint:
                checks.append(_vectors(path.parent, meter))
    return checks


def _vectors(folder: Path, meter: Meter) -> Check:
    wanted = "the bytes that were written"
    remedy = f"rm -r {shlex.quote(str(folder))}  and the next command with that encoder makes them anew"
    wrong: list[int] = []
    try:
        vectors = SampleStore(folder)
        meter.expect(vectors.nbytes)
        for rows in _chunks(vectors):
            meter.did(vectors.read(rows, damaged_rows=wrong).nbytes)
    except EegfmError as error:
        return Check("vectors", without_remedy(error), wanted, "off", remedy)
    name = f"{folder.name} ({vectors.recipe.facts['encoder']['name']})"
    if wrong:
        return Check("vectors", f"{name}: {_other_bytes(vectors, wrong)}", wanted, "off", remedy)
    return Check("vectors", f"{name}: {len(vectors):,} windows, each as written", wanted)


def _other_bytes(store: SampleStore, wrong: Sequence[int]) -> str:
    keys = some([store.index.key(row) for row in wrong], 3)
    return f"{len(wrong):,} of {len(store):,} windows have other bytes: {keys}"


def _chunks(store: SampleStore) -> Iterator[np.ndarray]:
    n = max(1, CHUNK // (int(np.prod(store.shape)) * store.dtype.itemsize))
    for start in range(0, len(store), n):
        yield np.arange(start, min(start + n, len(store)))


def _counts(benchmark: BenchmarkSpec, store: SampleStore) -> list[Check]:
    """Compare recordings and windows, by split and class, with the census; a partial store may have fewer."""
    census = with_census(benchmark, store.folder).census
    counted = count(store.index, len(benchmark.kinds))
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


def _near_copies(benchmark: BenchmarkSpec, store: SampleStore, copies: NearCopies) -> Check:
    """Recordings that hold one signal under two names, though no byte need be the same."""
    wanted = "no signal under two names"
    found: dict[tuple[str, str], list[NearCopy]] = defaultdict(list)
    for copy in copies.found(lambda rows: store.read(rows, damaged_rows=[])):  # damage is told elsewhere
        names = sorted(store.index.recording[[copy.row, copy.like]].tolist())
        found[names[0], names[1]].append(copy)
    known = [set(group) for group in benchmark.duplicates]
    undeclared = {
        names: of for names, of in found.items() if not any(set(names) <= group for group in known)
    }
    if not undeclared:
        declared = f"{len(found):,} pairs of recordings, as declared" if found else "none"
        return Check("near copies", declared, wanted)
    apart = [
        store.index.subject[copy.row] != store.index.subject[copy.like]
        or store.index.split[copy.row] != store.index.split[copy.like]
        for of in undeclared.values()
        for copy in of
    ]
    said = [
        _alike(store, max(of, key=lambda copy: copy.correlation), len(of)) for of in undeclared.values()
    ]
    remedy = (
        "One of each two is a copy: find out whose signal it is, take the other file out of the raw folder, and go "
        "on with data.allow_partial=true."
    )
    return Check("near copies", some(said, 3), wanted, "off" if any(apart) else "warning", remedy)


def _alike(store: SampleStore, copy: NearCopy, n: int) -> str:
    """One pair of recordings in words, by its most similar windows."""
    index, rows = store.index, (copy.row, copy.like)
    first, second = (f"{index.key(row)} ({index.subject[row]}, {index.split[row]})" for row in rows)
    return (
        f"{first} and {second}: correlation {copy.correlation:.2f}, shift {copy.shift_s:+.2f} s, gain "
        f"{copy.gain:.2g} ({n:,} such windows)"
    )
