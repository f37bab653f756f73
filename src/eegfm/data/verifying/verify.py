"""Is a raw folder what it should be, is a store whole, and do its windows look like what the protocol makes?

It trusts no record of the preparation: files and stored windows are hashed again, counts are taken from the
index and compared with the census, and the windows are searched for the effect of the filters. The result
is kept inside the store, under a hash of the store, so that it does not outlive a change to either.

The gates on the signal are wide: they tell whether a step was run and a unit is right, not whether a recording is good.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import bar_of
from eegfm.data.recipe import Recipe
from eegfm.data.store import SampleStore
from eegfm.data.verifying.checks import Check, Meter, prepare_again
from eegfm.data.verifying.raw import check_raw
from eegfm.data.verifying.store import check_store
from eegfm.files import only_one, write_json

log = logging.getLogger(__name__)

CHECKS = 1  # rises when a check is added or made stricter; what was verified before is then verified again
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
) -> list[Check]:
    """Check the raw folder and the store of a recipe, and let the store remember the result.

    Costs one reading of the raw files and of the store. Files that the store was made of are compared by SHA-256; only
    others are opened by the benchmark's reader. Where there is no store, that is all of them.

    Args:
        benchmark: corpus and protocol.
        raw: folder of the raw files.
        cache: folder of all stores.
        recipe: of the store; None for the published one.
        progress: draw a progress bar.
        raw_may_be_gone: files that the store has may be missing from the raw folder; a warning then, not a fault.
    """
    recipe = recipe or Recipe.of(benchmark)
    store, none = _open(benchmark, cache, recipe)
    with bar_of(progress) as bar:
        meter = Meter(bar, bar.add_task(f"Checking {benchmark.name}", total=0, unit="MB", visible=False))
        if store is not None:
            meter.expect((store.folder / "samples.mdb").stat().st_size)
        checks = check_raw(benchmark, raw, store, meter, may_be_gone=raw_may_be_gone)
        checks += none if store is None else check_store(benchmark, store, recipe, meter)
        meter.finish()
    if store is not None:
        _remember(store, benchmark, checks)
    return checks


def _open(benchmark: BenchmarkSpec, cache: Path, recipe: Recipe) -> tuple[SampleStore | None, list[Check]]:
    """The store of a recipe, or what is to be said of it where there is none that opens."""
    folder = cache / recipe.folder
    try:
        return SampleStore.open(cache, recipe), []
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        if isinstance(error, EegfmError) and not SampleStore.is_at(folder):
            found = " ".join(str(error).splitlines()[:-1])  # its last line is the remedy
            remedy = f"eegfm prepare data={benchmark.name}"
            return None, [Check("store", found, "a prepared store", "warning", remedy)]
        found = f"{folder} cannot be opened ({type(error).__name__}: {error})"
        return None, [Check("store", found, "a prepared store", "off", prepare_again(benchmark, folder))]


def verify_once(
    benchmark: BenchmarkSpec, raw: Path, cache: Path, *, recipe: Recipe, progress: bool = True
) -> None:
    """Verify a store that has not been verified as it is now; quick where it has been.

    Raises:
        EegfmError: something is off; the sentence names it.
    """
    folder = cache / recipe.folder
    if is_verified(folder, benchmark):
        return
    with only_one(folder):  # of many runs that start at once, one checks and the others wait
        if is_verified(folder, benchmark):
            return
        checks = verify(benchmark, raw, cache, recipe=recipe, progress=progress, raw_may_be_gone=True)
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
    """The key of a verification: a quick hash of the store, and of what the benchmark demands."""
    digest = hashlib.sha256()
    for name in ("recipe.json", "index.npz"):
        digest.update((folder / name).read_bytes())
    stat = (folder / "samples.mdb").stat()
    census = asdict(benchmark.census)
    asked = [CHECKS, census, benchmark.within_subject, benchmark.duplicates, benchmark.subject_leak]
    digest.update(json.dumps([stat.st_size, stat.st_mtime_ns, asked], sort_keys=True).encode())
    return digest.hexdigest()


def last_verified(folder: Path, benchmark: BenchmarkSpec) -> Verified | None:
    """The result of the last verification of a store's folder; None where it has changed since, or there was none."""
    try:
        said = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if said["store"] != store_hash(folder, benchmark):
            return None
        return Verified(
            said["ok"], said["when"], said["versions"], [Check(**check) for check in said["checks"]]
        )
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not ours: then it is not verified
        return None


def is_verified(folder: Path, benchmark: BenchmarkSpec) -> bool:
    """Whether the store in this folder, as it is now, has passed."""
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
    except OSError as error:  # someone else's store: checked, but it cannot be told so
        log.warning("%s cannot be written (%s): the check is not remembered.", store.folder / FILE, error)
