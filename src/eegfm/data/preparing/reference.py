"""Open and check the LMDBs that CBraMod's and STAMP's scripts write (see `eegfm.data.preparing.convert`)."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, SplitName
from eegfm.contracts import EegfmError
from eegfm.data.values import lacking_bytes
from eegfm.signal.formats.pickled import unpickle

PER_SECOND = 200  # samples in the last axis of the reference, one second at 200 Hz
INTERRUPTED = (
    "Writing it was interrupted, or the reference's scripts did not write it: make or copy it again."
)


class Environment:
    """One LMDB environment, open for reading."""

    def __init__(self, place: Path, transaction: lmdb.Transaction, entries: int) -> None:
        self.place, self.transaction, self.entries = place, transaction, entries
        stat = _data(place).stat()
        self.stamp = {"name": place.resolve().name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}

    def where(self, key: str) -> str:
        """The name of a value in messages."""
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
                else f"{self.where(key)}: listed in '__keys__', but missing."
            )
        return bytes(value)

    def texts(self, keys: Any) -> list[str]:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise EegfmError(f"{self.where('__keys__')}: lists of keys are wanted. {INTERRUPTED}")
        return keys


class Pickled:
    """One environment, with a pickle for each window."""

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
                f"{environment.where(name)}: a dict of the lists train, val and test is wanted. {INTERRUPTED}"
            )
        return {split: environment.texts(listed[split]) for split in SPLITS}

    def where(self, split: SplitName, key: str) -> str:
        return self.environment.where(key)

    def window(self, split: SplitName, key: str) -> tuple[np.ndarray, int]:
        """A window, (channel, second, 200), and its label. Errors name the key."""
        where = self.where(split, key)
        value = unpickle(self.environment.get(key), name=where)
        if not isinstance(value, dict) or not {"sample", "label"} <= value.keys():
            raise EegfmError(f"{where}: a dict of sample and label is wanted.")
        sample, label = value["sample"], value["label"]
        if not isinstance(sample, np.ndarray) or sample.dtype.kind not in "iuf":
            raise EegfmError(f"{where}: its sample is not an array of numbers.")
        # labels from a MAT file are floats
        if not isinstance(label, int | float | np.integer | np.floating) or not float(label).is_integer():
            said = repr(label)[:40] if isinstance(label, str | float | np.generic) else type(label).__name__
            raise EegfmError(f"{where}: its label is {said}, not a whole number.")
        return sample, int(label)


class Numpy:
    """An environment for each split, with the bytes of an array for each window; the key holds its label."""

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
                    f"{environment.where('__keys__')}: not JSON ({error}). {INTERRUPTED}"
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
def opened(folder: Path, benchmark: BenchmarkSpec) -> Iterator[Pickled | Numpy]:
    """The reference's LMDB, in either layout. Raises EegfmError if the folder has none."""
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
            half = f" It has only {' and '.join(there)}." if there else ""
            raise EegfmError(
                f"No LMDB of the reference at {folder}: a folder is wanted that has data.mdb (pickled), or train, val "
                f"and test with a data.mdb in each (NumPy).{half} Name it with lmdb=<folder>"
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
        # LMDB maps the file without checking its length, and reading behind its end kills the process
        size, lacking = path.stat().st_size, lacking_bytes(environment, path)
        if lacking > 0:
            raise EegfmError(
                f"{path} is cut short: {size:,} bytes of at least {size + lacking:,}. Copy it again."
            )
        with environment.begin() as transaction:
            yield Environment(place, transaction, environment.stat()["entries"])


def _data(place: Path) -> Path:
    """The file of an environment, given the file itself or its folder."""
    return place if place.is_file() else place / "data.mdb"
