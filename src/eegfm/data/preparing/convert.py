"""A store of the reference -> a store of ours, for people who have prepared a corpus with CBraMod's or STAMP's scripts.

Two layouts, told apart by their folders:

- pickled (`<folder>/data.mdb`): a value is a pickled dict of `sample`, float64 (channel, second, 200) in microvolts,
  and `label`; `__keys__` is a pickled dict of the lists of keys of train, val and test. Read by
  `eegfm.signal.formats.pickled`, which runs nothing of what is in a pickle.
- NumPy (`<folder>/train/data.mdb`, `val`, `test`): a value is the bytes of such a sample, its key ends in a running
  number and the label ("aaaaaaar_00000001_00000012_y6"); `__keys__` is a JSON list, `__count__` its length.

What comes in was made by someone else's run of some version of a script, with some version of MNE: that cannot be told
from the bytes. So the recipe says `imported`, and the store is not the one that is prepared from the raw files: it has
a fingerprint of its own, is asked for by `data.imported=true`, and every report says where it is from. What can be held
against the protocol is: every key, its recording, subject, split and label, the counts of the census, leaks between
splits, and each window's size, values and amplitude.

Everything is read twice, to be examined and to be written, so nothing is written of a store that has a fault in it, and
memory is that of one recording.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from rich.progress import Progress

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, ReferenceWindow, Source, SplitName
from eegfm.contracts import EegfmError
from eegfm.data.census import census_differences, count, leakage
from eegfm.data.preparing.parts import bar_of, disk_full_explained
from eegfm.data.preparing.pipeline import Failure, refuse_partial, shown, subjects_total, versions
from eegfm.data.store import Recipe, SampleIndex, SampleStore, digests, lacking_bytes, write_store
from eegfm.files import only_one
from eegfm.signal.formats.pickled import unpickle
from eegfm.signal.quality import check_amplitude, check_recording
from eegfm.signal.recording import Recording
from eegfm.words import some

PER_SECOND = 200  # the reference's last axis, and its rate in Hz
INTERRUPTED = "Its writing was interrupted, or the reference did not write it: make or copy it again."


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
        folder: of the reference's LMDB (see the module for the two layouts); it is not changed.
        cache: folder of all stores.
        allow_partial: go on without recordings that are missing or unusable, or with counts that are not the census's;
            the store is then marked as partial.
        progress: draw the progress bar.

    Raises:
        EegfmError: the LMDB is not of this benchmark, contradicts its protocol, is damaged or not complete, its splits
            leak, another one has been converted before, or the disk is full. Then no store is there.
    """
    if benchmark.reference_key is None:
        raise EegfmError(
            f"The reference's scripts make no store of {benchmark.title} as {benchmark.protocol}. Choose the published "
            f"variant where there is one, e.g. data.benchmark.variant=published (see conf/data/{benchmark.name}.yaml)."
        )
    recipe = Recipe.of(benchmark, imported=True)
    target = cache / recipe.folder
    with only_one(target), _opened(folder, benchmark) as reference:
        if (target / "recipe.json").exists():
            store = SampleStore(target)
            if store.manifest["imported"]["files"] == reference.files:
                if not store.complete:
                    refuse_partial(benchmark, store, allow_partial)
                return store
            if store.complete:
                raise EegfmError(
                    f"{target} holds what was imported from another LMDB, {store.manifest['imported']['from']} "
                    f"({len(store):,} windows). To import {folder} instead, delete that folder first."
                )
        known, plan = _plan(benchmark, reference)
        with bar_of(progress) as bar:
            kept, failures = _examine(benchmark, reference, plan, bar)
            if not kept:
                raise EegfmError(f"{folder}: not one usable window.\n{shown(failures)}")
            whole = SampleIndex.concatenate([index for _, _, index in kept])
            wrong = census_differences(benchmark, whole, benchmark.census.recordings or len(plan))
            listed = {source.recording for source, _ in plan}
            missing = [name for name in known if name not in listed]
            if benchmark.census.windows is not None and not wrong:
                missing = []  # those that the protocol leaves out
            if failures or missing:
                wrong = []
            if (failures or missing or wrong) and not allow_partial:
                raise EegfmError(_refusal(benchmark, reference, len(known), failures, missing, wrong))
            found = leakage(whole, benchmark.window_s).undeclared(benchmark)
            if found:
                raise EegfmError(f"{folder}: the splits leak: {'; '.join(found)}. No store is made of it.")
            manifest = _manifest(benchmark, reference, plan, kept, whole, failures, missing, wrong)
            with disk_full_explained(target, kept="The LMDB is as it was"):
                return write_store(
                    target,
                    recipe,
                    manifest,
                    _again(benchmark, reference, kept, bar),
                    shape=(len(benchmark.channels), benchmark.n_times),
                    n_rows=len(whole),
                )


def _manifest(
    benchmark: BenchmarkSpec,
    reference: "Pickled | Numpy",
    plan: "Plan",
    kept: "Examined",
    whole: SampleIndex,
    failures: Sequence[Failure],
    missing: Sequence[str],
    wrong: Sequence[str],
) -> dict[str, Any]:
    unlisted = reference.entries - sum(len(listed) for _, listed in plan)
    in_seconds = all(window.says.onset_s is not None for _, listed, _ in kept for window in listed)
    return {
        "protocol": benchmark.protocol,
        "imported": {
            "said": f"imported from a {reference.layout} of the reference: keys parsed, raw files not seen"
            + ("" if in_seconds else "; onsets are the numbers in the keys, not seconds")
            + (f"; {unlisted:,} windows that it does not list are left out" if unlisted else ""),
            "from": reference.folder.resolve().name,
            "layout": reference.layout,
            "files": reference.files,
            "unlisted": unlisted,
            "onsets_in_seconds": in_seconds,
        },
        "simulated": benchmark.simulated,
        "within_subject": benchmark.within_subject,
        "complete": not (failures or missing or wrong),
        "subjects_total": subjects_total(benchmark, [source for source, _ in plan]),
        "census": count(whole, len(benchmark.classes)),
        "census_differences": list(wrong),
        "missing": list(missing),
        "unusable": [{"recording": failure.recording, "reason": failure.reason} for failure in failures],
        "left_out": [],
        "recordings": [
            {
                "recording": source.recording,
                "subject": source.subject,
                "split": source.split,
                "windows": len(index),
                "files": [],
            }
            for source, _, index in kept
        ],
        "prepared_with": versions(),
    }


# ---- the two layouts -------------------------------------------------------------------------------------------------


class Environment:
    """One LMDB environment, open for reading."""

    def __init__(self, place: Path, transaction: lmdb.Transaction, entries: int) -> None:
        self.place, self.transaction, self.entries = place, transaction, entries
        stat = _data(place).stat()
        self.stamp = {"name": place.resolve().name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}

    def where(self, key: str) -> str:
        """How messages name a value."""
        return f"{self.place}, key {key!r}"

    def get(self, key: str) -> bytes:
        try:
            value = self.transaction.get(key.encode())
        except (lmdb.Error, UnicodeEncodeError) as error:
            raise EegfmError(f"{self.where(key)}: cannot be read ({error}).") from error
        if value is None:
            raise EegfmError(
                f"{self.place} has no {key!r}. {INTERRUPTED}"
                if key.startswith("__")
                else f"{self.where(key)}: listed in '__keys__', and not there."
            )
        return bytes(value)

    def texts(self, keys: Any) -> list[str]:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise EegfmError(f"{self.where('__keys__')}: wanted are lists of keys. {INTERRUPTED}")
        return keys


class Pickled:
    """One environment, a pickle a window."""

    layout = "pickled LMDB"

    def __init__(self, environment: Environment) -> None:
        self.environment, self.folder = environment, environment.place
        self.files = [environment.stamp]
        self.entries = environment.entries - 1

    def keys(self) -> dict[SplitName, list[str]]:
        """The windows of each split, as listed."""
        environment, name = self.environment, "__keys__"
        value = environment.get(name)
        if value[:1] == b"[":
            raise EegfmError(
                f"{environment.place} is one split of a NumPy LMDB. Name the folder that holds train, val and test: "
                f"lmdb={environment.place.parent}"
            )
        listed = unpickle(value, name=environment.where(name))
        if not isinstance(listed, dict) or set(listed) != set(SPLITS):
            raise EegfmError(
                f"{environment.where(name)}: wanted is a dict of the lists train, val and test. {INTERRUPTED}"
            )
        return {split: environment.texts(listed[split]) for split in SPLITS}

    def where(self, split: SplitName, key: str) -> str:
        return self.environment.where(key)

    def window(self, split: SplitName, key: str) -> tuple[np.ndarray, int]:
        """A window, (channel, second, 200), and its label. Errors name the key."""
        where = self.where(split, key)
        value = unpickle(self.environment.get(key), name=where)
        if not isinstance(value, dict) or not {"sample", "label"} <= value.keys():
            raise EegfmError(f"{where}: wanted is a dict of sample and label.")
        sample, label = value["sample"], value["label"]
        if not isinstance(sample, np.ndarray) or sample.dtype.kind not in "iuf":
            raise EegfmError(f"{where}: its sample is no array of numbers.")
        # a MAT file's labels come as floats
        if not isinstance(label, int | float | np.integer | np.floating) or not float(label).is_integer():
            raise EegfmError(f"{where}: its label is {label!r}, not a whole number.")
        return sample, int(label)


class Numpy:
    """One environment a split, the bytes of an array a window; the key says its label."""

    layout = "NumPy LMDB"

    def __init__(self, environments: Mapping[SplitName, Environment], shape: tuple[int, ...]) -> None:
        self.environments, self.shape = environments, shape
        self.folder = environments["train"].place.parent
        self.files = [environment.stamp for environment in environments.values()]
        self.entries = sum(environment.entries - 2 for environment in environments.values())

    def keys(self) -> dict[SplitName, list[str]]:
        """The windows of each split, as listed."""
        listed: dict[SplitName, list[str]] = {}
        for split, environment in self.environments.items():
            stated = environment.get("__count__")
            try:
                keys = environment.texts(json.loads(environment.get("__keys__")))
            except (ValueError, RecursionError) as error:
                if isinstance(error, EegfmError):
                    raise
                raise EegfmError(
                    f"{environment.where('__keys__')}: no JSON ({error}). {INTERRUPTED}"
                ) from error
            if stated != str(len(keys)).encode():
                raise EegfmError(
                    f"{environment.place}: '__keys__' lists {len(keys):,} windows, '__count__' is {stated[:20]!r}. "
                    f"{INTERRUPTED}"
                )
            listed[split] = keys
        return listed

    def where(self, split: SplitName, key: str) -> str:
        return self.environments[split].where(key)

    def window(self, split: SplitName, key: str) -> tuple[np.ndarray, int | None]:
        """A window, (channel, second, 200), and the code in its key. Errors name the key."""
        value = self.environments[split].get(key)
        wanted = 8 * int(np.prod(self.shape))
        if len(value) != wanted:
            raise EegfmError(
                f"{self.where(split, key)}: {len(value):,} bytes; {' x '.join(map(str, self.shape))} float64 are "
                f"{wanted:,}."
            )
        code = re.search(r"_y(\d+)$", key)
        return np.frombuffer(value, dtype="<f8").reshape(self.shape), int(code[1]) if code else None


@contextmanager
def _opened(folder: Path, benchmark: BenchmarkSpec) -> Iterator[Pickled | Numpy]:
    """The reference's store, in whichever layout it is."""
    there = [split for split in SPLITS if _data(folder / split).is_file()]
    with ExitStack() as stack:
        if _data(folder).is_file():
            yield Pickled(stack.enter_context(_environment(folder)))
        elif len(there) == len(SPLITS):
            shape = (len(benchmark.channels), round(benchmark.window_s), PER_SECOND)
            environments: dict[SplitName, Environment] = {}
            for split in SPLITS:
                environments[split] = stack.enter_context(_environment(folder / split))
            yield Numpy(environments, shape)
        else:
            half = f" It has {' and '.join(there)} alone." if there else ""
            raise EegfmError(
                f"No LMDB of the reference at {folder}: wanted is a folder with data.mdb (pickled), or with train, val "
                f"and test that hold one each (NumPy).{half} Name it with lmdb=<folder>"
            )


@contextmanager
def _environment(place: Path) -> Iterator[Environment]:
    path = _data(place)
    try:
        # lock=False: nothing is written, and lock files fail on many clusters' network disks
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)
    except (lmdb.Error, OSError) as error:
        raise EegfmError(f"{path} cannot be opened as an LMDB environment ({error}).") from error
    with environment:
        # LMDB maps the file without looking at its length, and reading behind its end kills the process
        size, lacking = path.stat().st_size, lacking_bytes(environment, path)
        if lacking > 0:
            raise EegfmError(
                f"{path} is cut short: {size:,} bytes of at least {size + lacking:,}. Copy it again."
            )
        with environment.begin() as transaction:
            yield Environment(place, transaction, environment.stat()["entries"])


def _data(place: Path) -> Path:
    """The file of an environment, which is its folder or the file itself."""
    return place if place.is_file() else place / "data.mdb"


# ---- what is listed, against the protocol ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A window as the reference lists it: its key, the split it stands under, and what the key says."""

    key: str
    split: SplitName
    says: ReferenceWindow


Plan = list[tuple[Source, list[Listed]]]
Examined = list[tuple[Source, list[Listed], SampleIndex]]


def _plan(benchmark: BenchmarkSpec, reference: Pickled | Numpy) -> tuple[dict[str, Source], Plan]:
    """The recordings that the protocol names, as far as it names any without their files, and those that are listed.

    Recordings come in the protocol's order, windows by their number. Raises EegfmError where a key is not the
    benchmark's, comes twice, or stands under another split than the protocol says.
    """
    assert benchmark.reference_key is not None
    with tempfile.TemporaryDirectory() as empty:
        known = {source.recording: source for source in benchmark.sources(Path(empty))}
    listed: dict[str, list[Listed]] = {}
    taken: dict[tuple[str, int], str] = {}
    for split, keys in reference.keys().items():
        for key in keys:
            says = benchmark.reference_key(key, split)
            where = reference.where(split, key)
            if says is None or (known and says.recording not in known):
                recording = f"; {benchmark.title} has no recording {says.recording}" if says else ""
                raise EegfmError(
                    f"{where} (in {split}) is not one of {benchmark.title}'s as the reference names them{recording}. "
                    "Is it the LMDB of another data set, or of another version of the script?"
                )
            other = taken.setdefault((says.recording, says.number), key)
            if other is not key:
                raise EegfmError(
                    f"{where} (in {split}): window {says.number} of recording {says.recording} is listed before, as "
                    f"{other!r}."
                )
            source = known.get(says.recording)
            wanted = says.split or (source.split if source else None)
            if wanted not in (None, split):
                raise EegfmError(
                    f"{where} stands under {split}; by {benchmark.protocol} it belongs to {wanted}. The reference "
                    "cuts a directory listing, and another file in it may have moved its splits: make the LMDB again, "
                    "or prepare the raw files with eegfm prepare, which divides by subject."
                )
            listed.setdefault(says.recording, []).append(Listed(key, split, says))
    for windows in listed.values():
        windows.sort(key=lambda window: window.says.number)
    order = [name for name in known if name in listed] or sorted(
        listed, key=lambda name: (SPLITS.index(listed[name][0].split), name)
    )
    return known, [(known.get(name) or _source(listed[name]), listed[name]) for name in order]


def _source(windows: Sequence[Listed]) -> Source:
    """A recording that only its keys tell of."""
    splits = {window.split for window in windows}
    assert windows[0].says.subject, "a parser of keys owes the subject that `sources` cannot know"
    return Source(
        windows[0].says.subject,
        windows[0].says.recording,
        windows[0].split if len(splits) == 1 else None,
        Path(windows[0].says.recording),
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def _examine(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, plan: Plan, bar: Progress
) -> tuple[Examined, list[Failure]]:
    """What is to be known of every recording before one is written; a recording with a fault in it is a failure."""
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
            check_recording(signal)
            check_amplitude(signal)
        except EegfmError as error:
            failures.append(Failure(source.recording, str(error)))
            bar.console.print(f"[yellow]not usable:[/] {error}", highlight=False)
        else:
            kept.append((source, listed, index))
        bar.advance(task)
    return kept, failures


def _again(
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, kept: Examined, bar: Progress
) -> Iterator[tuple[np.ndarray, SampleIndex]]:
    """The examined recordings, to be written."""
    task = bar.add_task(f"Converting {benchmark.name}", total=len(kept), unit="recordings")
    for source, listed, index in kept:
        windows, now = _read(benchmark, reference, source, listed)
        # opened without a lock: somebody may be writing to it
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
    """The windows of a recording, float32 microvolts, [window, channel, time], and what is known of them."""
    shape = (len(benchmark.channels), round(benchmark.window_s), PER_SECOND)
    assert shape[1] * PER_SECOND == benchmark.n_times, "the reference stores whole seconds at 200 Hz"
    windows = np.empty((len(listed), len(benchmark.channels), benchmark.n_times), dtype="<f4")
    label = np.empty(len(listed), dtype=np.int64)
    for i, window in enumerate(listed):
        where = reference.where(window.split, window.key)
        sample, stored = reference.window(window.split, window.key)
        if sample.shape != shape:
            raise EegfmError(f"{where}: its sample is {sample.shape}; {benchmark.title} has {shape}.")
        with np.errstate(over="ignore"):  # becomes infinite
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
    benchmark: BenchmarkSpec, reference: Pickled | Numpy, said: int | None, stored: int | None, where: str
) -> int:
    """The class of a window, from beside it or from its key, which must not contradict each other."""
    # what a NumPy LMDB says is its key alone, and the benchmark knows how the codes in it count (TUEV's from 1)
    label = said if isinstance(reference, Numpy) and said is not None else stored
    if label is None or not 0 <= label < len(benchmark.classes):
        raise EegfmError(
            f"{where}: label {label}; {benchmark.title} has 0 to {len(benchmark.classes) - 1}."
        )
    if said is not None and label != said:
        raise EegfmError(
            f"{where}: stored as {benchmark.classes[label]!r} ({label}); by its name it is "
            f"{benchmark.classes[said]!r} ({said})."
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
    said = []
    if failures:
        said.append(f"{len(failures)} recordings are not usable:\n{shown(failures)}")
    if missing:
        said.append(f"{len(missing)} of {n_known} recordings have no window in it: {some(missing)}.")
    if wrong:
        said.append(
            f"The counts are not those of the census ({benchmark.census.source}): {'; '.join(wrong)}. Is it of the "
            f"edition and the version of the script that {benchmark.protocol} stands for?"
        )
    return "\n".join(
        [
            f"{benchmark.title}: {reference.folder} is not the complete data set of the protocol.",
            *said,
            "To import what is there, marked as partial in every report: data.allow_partial=true",
        ]
    )
