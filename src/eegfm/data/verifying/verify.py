"""Verify a raw folder and a store: are the files complete, is the store whole, do its windows fit the protocol?

It trusts no record of the preparation: it hashes files and stored windows again, compares the counts in the index with
the census, and looks in the windows for the effect of the filters. The store keeps the result under a hash of itself
and of the benchmark's demands, so the result holds only as long as neither changes.

The checks of the signal are wide: they tell whether a filter was run and the unit is right, not whether a recording
is good.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.checksums import without_remedy
from eegfm.data.preparing.parts import bar_of
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.data.values import FILE as VALUES
from eegfm.data.verifying.checks import Check, Meter, Remedies
from eegfm.data.verifying.raw import check_raw
from eegfm.data.verifying.store import check_store, check_vectors
from eegfm.support.files import write_json
from eegfm.support.locks import only_one

log = logging.getLogger(__name__)

CHECKS = 3  # raise it when a check is added or made stricter, so that stores are verified again
FILE = "verified.json"


@dataclass(frozen=True)
class Verified:
    """The result of a store's last verification, kept in the store."""

    ok: bool
    when: str
    versions: dict[str, str]
    checks: list[Check]


def verify(
    benchmark: BenchmarkSpec,
    raw: Path,
    cache: Path,
    *,
    recipe: Recipe | None = None,
    progress: bool = True,
    raw_may_be_gone: bool = False,
    remedies: Remedies | None = None,
    vectors: bool = True,
) -> list[Check]:
    """Check the raw folder and the store of a recipe, and keep the result in the store.

    This reads the raw files and the store once. Files from which the store was made are compared by SHA-256. The
    benchmark's reader opens only the others, or all files if there is no store. Encoders' vectors of the store's
    windows are held against their checksums; that is not part of the kept result.

    Args:
        benchmark: corpus and protocol.
        raw: folder of the raw files.
        cache: folder of all stores.
        recipe: the store's recipe; None for the published one.
        progress: draw a progress bar.
        remedies: what to type where a check fails; None: `eegfm prepare` of the benchmark.
        raw_may_be_gone: a raw file that the store was made from may be missing; that is then a warning, not a fault.
        vectors: read the encoders' vectors, too.
    """
    recipe = recipe or Recipe.of(benchmark)
    remedies = remedies or Remedies(f"data={benchmark.name}")
    remedies = replace(remedies, imported=bool(recipe.facts.get("imported")))
    store, faults = _open(benchmark, cache, recipe, remedies)
    with bar_of(progress) as bar:
        meter = Meter(bar, bar.add_task(f"Checking {benchmark.name}", total=0, unit="MB", visible=False))
        if store is not None:
            meter.expect(store.nbytes)
        checks = check_raw(benchmark, raw, store, meter, remedies, may_be_gone=raw_may_be_gone)
        checks += faults if store is None else check_store(benchmark, store, recipe, meter, remedies)
        beside = check_vectors(store, meter) if store is not None and vectors else []
        meter.finish()
    if store is not None:
        _remember(store, benchmark, checks)
    return checks + beside


def _open(
    benchmark: BenchmarkSpec, cache: Path, recipe: Recipe, remedies: Remedies
) -> tuple[SampleStore | None, list[Check]]:
    """The store of a recipe; or None, with the check that says why there is none or why it cannot be opened."""
    folder = cache / recipe.folder
    try:
        return SampleStore.open(cache, recipe), []
    except EegfmError as error:
        if not SampleStore.is_at(folder):
            found = " ".join(str(error).splitlines()[:-1])  # its last line is the remedy
            remedy = f"To make it, {remedies.prepare}"
            return None, [Check("store", found, "a prepared store", "warning", remedy)]
        return None, [
            Check("store", without_remedy(error), "a prepared store", "off", remedies.anew(folder))
        ]


def verify_once(
    benchmark: BenchmarkSpec, raw: Path, cache: Path, *, recipe: Recipe, progress: bool = True
) -> None:
    """Verify a store, unless it was verified and has not changed since.

    Raises:
        EegfmError: a check failed; the sentence names it.
    """
    folder = cache / recipe.folder
    if is_verified(folder, benchmark):
        return
    with only_one(folder):  # if many runs start at once, one checks and the others wait
        if is_verified(folder, benchmark):
            return
        checks = verify(
            benchmark,
            raw,
            cache,
            recipe=recipe,
            progress=progress,
            raw_may_be_gone=True,
            remedies=Remedies(None),
            vectors=False,
        )
    off = [check for check in checks if check.verdict == "off"]
    if off:
        raise EegfmError(
            f"{benchmark.title}: the store at {folder} does not pass its check:\n"
            + "\n".join(
                f"- {check.name}: {check.found}; wanted: {check.wanted}. {check.remedy}".rstrip()
                for check in off
            )
            + f"\nTo see the whole check: eegfm verify data={benchmark.name}"
        )


# ---- what is remembered ----------------------------------------------------------------------------------------------


def store_hash(folder: Path, benchmark: BenchmarkSpec) -> str:
    """A quick hash of the store and of the benchmark's demands, under which a verification is kept."""
    digest = hashlib.sha256()
    for name in ("recipe.json", "index.npz"):
        digest.update((folder / name).read_bytes())
    stat = (folder / VALUES).stat()
    census = asdict(benchmark.census)
    demands = [CHECKS, census, benchmark.within_subject, benchmark.duplicates, benchmark.subject_leak]
    digest.update(json.dumps([stat.st_size, stat.st_mtime_ns, demands], sort_keys=True).encode())
    return digest.hexdigest()


def last_verified(folder: Path, benchmark: BenchmarkSpec) -> Verified | None:
    """The result of a store's last verification; None if there was none, or if the store has changed since."""
    try:
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if kept["store"] != store_hash(folder, benchmark):
            return None
        return Verified(
            kept["ok"], kept["when"], kept["versions"], [Check(**check) for check in kept["checks"]]
        )
    except (OSError, ValueError, KeyError, TypeError):  # a missing or foreign file verifies nothing
        return None


def is_verified(folder: Path, benchmark: BenchmarkSpec) -> bool:
    """Whether the store in this folder has passed and has not changed since."""
    last = last_verified(folder, benchmark)
    return last is not None and last.ok


def _remember(store: SampleStore, benchmark: BenchmarkSpec, checks: Sequence[Check]) -> None:
    try:
        write_json(
            store.folder / FILE,
            {
                "ok": all(check.verdict != "off" for check in checks),
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "store": store_hash(store.folder, benchmark),
                "versions": {name: version(name) for name in ("eegfm", "numpy", "scipy", "lmdb")},
                "checks": [asdict(check) for check in checks],
            },
        )
    except OSError as error:  # another person's store: it passed, but we may not note it there
        log.warning(
            "%s cannot be written (%s): the result of the check is not kept.", store.folder / FILE, error
        )
