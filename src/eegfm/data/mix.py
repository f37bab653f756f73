"""Several benchmarks as one data module, for pre-training: no labels, and every batch is of one benchmark.

Every training window comes once an epoch, so a corpus has the share that its windows have. `weights` give
other shares and `epoch_windows` another length: a corpus with fewer windows than its share goes through
them again. All windows have the same rate; lengths may differ, and so may channels where the model reads
their places (channels="own"). Batches are then of one montage as they come, and nothing is padded.

Splits hold across corpora. A person, raw file or window that one corpus tests on is neither trained nor
validated on in another, and one that it validates on is not trained on: such windows are left out, and
counted. A person is recognised in corpora of one pool (see `BenchmarkSpec.pool`) and in two forms of one
benchmark.
"""

import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import Dataset

from eegfm.benchmarks.spec import SPLITS, SplitName
from eegfm.contracts import EEGBatch, EegfmError, Encodes, SampleSpec
from eegfm.data.census import leakage
from eegfm.data.facts import BenchmarkFacts, Leakage
from eegfm.data.loaders import Loader, Order, OrderedData, SplitDataset
from eegfm.data.module import EEGDataModule
from eegfm.data.ready import as_part
from eegfm.data.splits import Division
from eegfm.signal.montage import montage_of, today

Channels = Literal["all", "common", "own"]


class Part(Dataset[EEGBatch]):
    """A split of one corpus, as the mix has it: the channels `rows` alone, and subjects counted from `first` on."""

    def __init__(
        self, split: SplitDataset, corpus: str, rows: Int[np.ndarray, " row"], coords: Tensor, first: int
    ) -> None:
        self.split, self.corpus, self.coords, self.first = split, corpus, coords, first
        as_stored = np.array_equal(rows, np.arange(len(split.coords)))  # most often; saves a copy
        self.rows = None if as_stored else torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.split)

    def __getitems__(self, items: Sequence[int]) -> EEGBatch:
        batch = self.split.__getitems__(items)
        return batch._replace(
            x=batch.x if self.rows is None else batch.x[:, self.rows],
            coords=self.coords,
            subject=batch.subject + self.first,
            corpus=self.corpus,
        )


class Parts(Dataset[EEGBatch]):
    """A split of all corpora. An item is a corpus and places in its split, and gives a batch: one read of one store."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __getitem__(self, item: tuple[str, list[int]]) -> EEGBatch:
        corpus, places = item
        return self.parts[corpus].__getitems__(places)


class Batches(Order):
    """Batches of one corpus each, that hold every window once; `sizes` are the windows of each corpus.

    With a seed, windows and batches come in a random order; without one, as they are stored, corpus after corpus.
    `draws` are the windows of each corpus that an epoch takes, other than all: epoch after epoch they are the next ones
    of an endless row of permutations, each a function of the seed, its number and the corpus alone, so that every
    window comes once before any comes twice. The order of the batches is a function of the seed and the epoch.

    Several processes have their share of every batch, so that a step is of one corpus and of the same windows however
    many they are; without a seed each has its block of every corpus.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        batch_size: int,
        seed: int | None = None,
        *,
        draws: Mapping[str, int] | None = None,
        **ranks: int,
    ) -> None:
        super().__init__(batch_size, seed, **ranks)
        self.sizes, self.draws = sizes, draws or sizes

    def __len__(self) -> int:
        if self.seed is None:
            return sum(len(self._block(n)) for n in self.draws.values())
        return sum(-(-n // self.batch_size) for n in self.draws.values())

    def batches(self) -> Iterator[tuple[str, list[int]]]:
        if self.seed is None:
            yield from ((corpus, places) for corpus, n in self.draws.items() for places in self._block(n))
            return
        batches = []
        for corpus, n in self.draws.items():
            order = self._places(corpus, n)
            batches += [(corpus, order[i : i + self.batch_size]) for i in range(0, n, self.batch_size)]
        for i in np.random.default_rng([self.seed, self.epoch]).permutation(len(batches)):
            corpus, places = batches[i]
            yield corpus, self._share(places.tolist())

    def _places(self, corpus: str, n: int) -> Int[np.ndarray, " n"]:
        """The windows of a corpus that this epoch takes: the next `n` of its permutations, end to end."""
        size = self.sizes[corpus]
        if not n:
            return np.arange(n)
        assert self.seed is not None
        first, behind = self.epoch * n, (self.epoch + 1) * n
        rounds = range(first // size, -(-behind // size))
        name = zlib.crc32(corpus.encode())
        drawn = [np.random.default_rng([self.seed, name, i]).permutation(size) for i in rounds]
        return np.concatenate(drawn)[first - rounds.start * size :][:n]


class Named(NamedTuple):
    """The mix's counterpart of a corpus's benchmark."""

    name: str
    title: str
    protocol: str
    classes: tuple[str, ...] = ()


class Mix(OrderedData):
    """The splits of several benchmarks as loaders.

    Args:
        corpora: by name, what makes the data module of each: `EEGDataModule` without the arguments named below.
        seed: of the training order.
        channels: "all" wants the same channels in every corpus, in any order; "common" takes those that all have, by
            name; rows then come in the order of the first corpus. "own" leaves every corpus its own, in its own order,
            but for rows that are no place on the scalp, and a batch has the places of its corpus. A name says nothing
            of the reference.
        weights: of every corpus, what the others' shares of an epoch's windows compare with; None for the shares that
            the corpora have of all training windows.
        epoch_windows: windows of an epoch, all corpora together; None for as many as there are.
        encoder, split: as for `EEGDataModule`, the same for every corpus.
        train_ratio: the same, of every corpus that has none of its own.
        batch_size: windows a batch, in every split and corpus.
        num_workers: loader processes.

    Raises:
        EegfmError: no corpus, channels or rates that do not go together, weights that are not a number above 0 for each
            corpus, or a corpus with loaders of its own.
    """

    def __init__(
        self,
        *,
        corpora: Mapping[str, Callable[..., EEGDataModule]],
        seed: int,
        channels: Channels = "all",
        weights: Mapping[str, float] | None = None,
        epoch_windows: int | None = None,
        encoder: Encodes | None = None,
        split: Division | None = None,
        train_ratio: float = 1.0,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not corpora:
            raise EegfmError("data=mix is of no corpus. Name some: data/corpora=[tuab,tuev]")
        loaders = {"batch_size": batch_size, "num_workers": num_workers}
        for name, make in corpora.items():
            _refuse_own_loaders(name, make, loaders)
        every = {"encoder": encoder, "split": split, **loaders}
        self.parts = {name: make(**every, **_ratio(make, train_ratio)) for name, make in corpora.items()}
        self.seed, self.batch_size, self.num_workers = seed, batch_size, num_workers
        _check_weights(tuple(self.parts), weights)
        self.weights, self.epoch_windows = weights, epoch_windows
        specs = {name: part.spec for name, part in self.parts.items()}
        if len({spec.sfreq for spec in specs.values()}) > 1:
            rates = ", ".join(f"{name} {spec.sfreq:g} Hz" for name, spec in specs.items())
            raise EegfmError(
                f"A mix has one sampling rate, and these have several: {rates}. Leave one out: data/corpora=[...]"
            )
        names = {name: spec.montage.names for name, spec in specs.items()}
        if channels == "own":
            # a row that is no place on the scalp (the ears' difference) is nothing to a model that reads places
            self.rows = {name: on_the_scalp(spec) for name, spec in specs.items()}
            same = one_name_a_place(
                {name: [names[name][row] for row in rows] for name, rows in self.rows.items()}
            )
            self.montage = montage_of(list(dict.fromkeys(place for own in same.values() for place in own)))
            self.montages = {name: montage_of(own) for name, own in same.items()}
        else:
            self.rows = shared_rows(names, channels)
            first = next(iter(names))
            self.montage = montage_of([names[first][row] for row in self.rows[first]])
            self.montages = {}
        self._left_out: list[dict[str, Any]] | None = None

    @property
    def spec(self) -> SampleSpec:
        """What a sample looks like: the shared channels, or all of them, the length of the shortest, no classes."""
        shortest = min((part.spec for part in self.parts.values()), key=lambda spec: spec.shape[1])
        shape = (len(self.montage.names), *shortest.shape[1:])
        montages = tuple(self.montages.values())
        return SampleSpec(self.montage, shape, shortest.sfreq, (), tuple(self.parts), montages)

    @property
    def benchmark(self) -> Named:
        each = {name: part.benchmark for name, part in self.parts.items()}
        return Named(
            "+".join(each),
            " + ".join(benchmark.title for benchmark in each.values()),
            " + ".join(f"{name} {benchmark.protocol}" for name, benchmark in each.items()),
        )

    @property
    def subjects(self) -> list[str]:
        """Subject ids, each behind the name of its corpus, in the order of `EEGBatch.subject`."""
        return [f"{name}/{subject}" for name, part in self.parts.items() for subject in part.subjects]

    def prepare_data(self) -> None:
        """Make the missing stores."""
        for name, part in self.parts.items():
            with as_part(name):
                part.prepare_data()

    def setup(self, stage: str) -> None:
        """Open the stores for a stage (see `EEGDataModule.setup`) and keep their splits apart.

        A corpus may have no subject to validate or to test on, where it is partial or a recording of one person; it is
        then trained on all the same, as long as another has some.
        """
        for name, part in self.parts.items():
            with as_part(name):
                part.enter(stage)
        if self._left_out is None:
            self._left_out = keep_apart(self.parts)
        for entry in self._left_out:
            if not len(self.parts[entry["corpus"]].index.rows(entry["split"])):
                raise EegfmError(
                    f"{entry['corpus']}: its whole {entry['split']} split is in later splits of the others. "
                    "Leave it out: data/corpora=[...]"
                )
        for name, part in self.parts.items():
            with as_part(name):
                part.refuse_empty("train")
        for split in ("val", "test"):
            if not any(len(part.index.rows(split)) for part in self.parts.values()):
                raise EegfmError(
                    f"{', '.join(self.parts)}: none of these corpora has a window of the {split} split, so that "
                    "nothing can be chosen or scored. Mix in one that has: data/corpora=[...]"
                )
        self.draws()

    def train_dataloader(self) -> Loader:
        return self._loader("train", self.seed)

    def val_dataloader(self) -> Loader:
        return self._loader("val")

    def test_dataloader(self) -> Loader:
        return self._loader("test")

    def split_dataloader(self, split: SplitName) -> Loader:
        """Any split as it is stored, corpus after corpus, for evaluation."""
        return self._loader(split)

    def datasets(self, split: SplitName) -> dict[str, Part]:
        """A split as it is stored, by corpus that has some of it. The test split opens in the test stage only."""
        found, first = {}, 0
        for name, part in self.parts.items():
            coords = torch.tensor(self.montages.get(name, self.montage).coords, dtype=torch.float32)
            mine = Part(part.dataset(split), name, self.rows[name], coords, first)
            if len(mine):
                found[name] = mine
            first += len(part.subjects)
        return found

    def provenance(self) -> BenchmarkFacts:
        """The facts about the data, for the run's result: of each corpus, and of all at once."""
        each = {name: part.provenance() for name, part in self.parts.items()}
        facts = list(each.values())
        return BenchmarkFacts(
            benchmark=self.benchmark.name,
            title=self.benchmark.title,
            protocol=self.benchmark.protocol,
            published_steps=all(one.published_steps for one in facts),
            window_s=next((one.window_s for one in facts if one.window_s is not None), None),
            fingerprint="+".join(one.fingerprint for one in facts),
            store=", ".join(one.store for one in facts),
            complete=all(one.complete for one in facts),
            simulated=any(one.simulated for one in facts),
            imported="; ".join(f"{name}: {one.imported}" for name, one in each.items() if one.imported),
            subjects={
                split: [
                    f"{name}/{subject}" for name, one in each.items() for subject in one.subjects[split]
                ]
                for split in SPLITS
            },
            subjects_total=sum(one.subjects_total for one in facts),
            missing=[f"{name}: {file}" for name, one in each.items() for file in one.missing],
            unusable=[
                {**file, "recording": f"{name}: {file['recording']}"}
                for name, one in each.items()
                for file in one.unusable
            ],
            census={split: [sum(one.census[split]) for one in facts] for split in SPLITS},
            census_differences=[
                f"{name}: {said}" for name, one in each.items() for said in one.census_differences
            ],
            within_subject=any(one.within_subject for one in facts),
            split=self._split_facts({name: one.split for name, one in each.items()}),
            leakage=self._leakage({name: one.leakage for name, one in each.items()}),
            corpora=each,
            draws={} if self.weights is None and self.epoch_windows is None else self.draws(),
        )

    def _split_facts(self, each: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """The common division, and each corpus's part of the training windows."""
        found: dict[str, Any] = {}
        for name, facts in each.items():
            ratio = {f"train_ratio of {name}": facts["train_ratio"]} if "train_ratio" in facts else {}
            found |= {key: value for key, value in facts.items() if key != "train_ratio"} | ratio
        return found

    def _leakage(self, each: Mapping[str, Leakage]) -> Leakage:
        """The leaks within each corpus, and the windows left out to prevent leaks between corpora."""
        near = [
            (one.nearest_s, (f"{name}/{one.nearest[0]}", f"{name}/{one.nearest[1]}"))
            for name, one in each.items()
            if one.nearest_s is not None and one.nearest is not None
        ]
        nearest_s, nearest = min(near, key=lambda found: found[0], default=(None, None))
        pools = [part.benchmark.pool for part in self.parts.values()]
        benchmarks = {name: part.benchmark for name, part in self.parts.items()}
        return Leakage(
            shared_subjects=_by_corpus({name: one.shared_subjects for name, one in each.items()}),
            shared_recordings=_by_corpus({name: one.shared_recordings for name, one in each.items()}),
            nearest_s=nearest_s,
            nearest=nearest,
            identical=[
                {f"{name}/{key}": split for key, split in keys.items()}
                for name, one in each.items()
                for keys in one.identical
            ],
            left_out=self._left_out or [],
            not_told={
                name: b.pool_gap for name, b in benchmarks.items() if b.pool_gap and pools.count(b.pool) > 1
            },
        )

    def draws(self) -> dict[str, int]:
        """Windows of each corpus in an epoch of training."""
        sizes = {name: len(part.index.rows("train")) for name, part in self.parts.items()}
        return shares(sizes, self.weights, self.epoch_windows)

    def _loader(self, split: SplitName, seed: int | None = None) -> Loader:
        parts = self.datasets(split)
        sizes = {name: len(part) for name, part in parts.items()}
        if seed is None:
            ranks = self._ranks({f"{split} (of {corpus})": n for corpus, n in sizes.items()})
            order = Batches(sizes, self.batch_size, draws=sizes, **ranks)
        else:
            order = self._going_on(
                Batches(sizes, self.batch_size, seed, draws=self.draws(), **self._ranks({}))
            )
        return Loader(Parts(parts), order, self.num_workers)


# ---- shares ----------------------------------------------------------------------------------------------------------


def shares(
    sizes: Mapping[str, int], weights: Mapping[str, float] | None = None, epoch_windows: int | None = None
) -> dict[str, int]:
    """Windows of each corpus in an epoch of `epoch_windows`, by weight; without both, all that there are.

    Raises:
        EegfmError: a corpus would not have one window.
    """
    if weights is None and epoch_windows is None:
        return dict(sizes)
    total = sum(sizes.values()) if epoch_windows is None else epoch_windows
    weight = {name: float((weights or sizes)[name]) for name in sizes}
    exact = {name: total * weight[name] / sum(weight.values()) for name in sizes}
    found = {name: int(value) for name, value in exact.items()}
    # the sum of the fractions goes to the largest of them; among equals, to the first
    for name in sorted(sizes, key=lambda name: found[name] - exact[name])[: total - sum(found.values())]:
        found[name] += 1
    none = [name for name, n in found.items() if n < 1]
    if none:
        raise EegfmError(
            f"An epoch of {total:,} windows has none of {', '.join(none)}. Type a larger data.epoch_windows or "
            "another of data.weights, or leave the corpus out: data/corpora=[...]"
        )
    return found


def _check_weights(corpora: Sequence[str], weights: Mapping[str, float] | None) -> None:
    if weights is None or (
        set(weights) == set(corpora)
        and all(
            isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
            for value in weights.values()
        )
    ):
        return
    said = ", ".join(f"{name}: {value}" for name, value in weights.items())
    raise EegfmError(
        f"data.weights={{{said}}}: a number above 0 for every corpus is wanted, as "
        f"data.weights={{{', '.join(f'{name}: 1' for name in corpora)}}}"
    )


# ---- channels --------------------------------------------------------------------------------------------------------


def on_the_scalp(spec: SampleSpec) -> Int[np.ndarray, " row"]:
    """The rows whose places are known."""
    return np.flatnonzero(np.isfinite(spec.montage.coords).all(axis=1))


def one_name_a_place(channels_of: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The channels of every corpus, each under the name that the first corpus with it has for it (T3 is T7)."""
    known: dict[str, str] = {}
    return {
        corpus: [known.setdefault(today(name), name) for name in names]
        for corpus, names in channels_of.items()
    }


def shared_rows(
    channels_of: Mapping[str, Sequence[str]], channels: Channels
) -> dict[str, Int[np.ndarray, " row"]]:
    """The rows of every corpus that hold the shared channels, in the order of the first one's.

    Channels go by name, in any case, old names of the 10-20 system with those of today (T3 is T7).

    Raises:
        EegfmError: another choice; "all", and one corpus has a channel that another has not; fewer than two in common.
    """
    if channels not in ("all", "common"):
        raise EegfmError(f"data.channels={channels}: all, common or own is wanted.")
    rows = {
        corpus: {today(name): i for i, name in enumerate(names)} for corpus, names in channels_of.items()
    }
    shared = [name for name in next(iter(rows.values())) if all(name in known for known in rows.values())]
    different = any(len(names) != len(shared) for names in channels_of.values())
    if different and (channels == "all" or len(shared) < 2):
        said = "; ".join(
            f"{corpus} {len(names)} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
            for corpus, names in channels_of.items()
        )
        raise EegfmError(
            f"These corpora have different channels, and a model is built for one montage: {said}. "
            + (
                f"They have {len(shared)} in common; to use those alone: data.channels=common"
                if len(shared) > 1
                else f"They have {len(shared)} in common, too few. Mix others: data/corpora=[...]"
            )
            + "; or, with a model that reads places (model=samba): data.channels=own"
        )
    return {corpus: np.array([known[name] for name in shared]) for corpus, known in rows.items()}


# ---- leaks -----------------------------------------------------------------------------------------------------------


def keep_apart(parts: Mapping[str, EEGDataModule]) -> list[dict[str, Any]]:
    """Take out of every opened corpus the windows that another has in a later split, and report them.

    Splits come in the order train, val, test. An entry for each corpus, split and reason: {"corpus", "split",
    "windows", "subjects", "what"}; `what` is the first that is shared of "person", "raw file" and "window".
    """
    left_out = []
    for what, name_rows in (("person", _persons), ("raw file", _files), ("window", _windows)):
        names = {corpus: name_rows(corpus, part) for corpus, part in parts.items()}
        later = in_a_later_split(names, {corpus: part.index.split for corpus, part in parts.items()})
        for corpus, rows in later.items():
            index = parts[corpus].index
            for split in SPLITS:
                gone = rows & (index.split == split)
                if gone.any():
                    subjects = sorted(set(index.subject[gone].tolist()))
                    facts = {
                        "corpus": corpus,
                        "split": split,
                        "windows": int(gone.sum()),
                        "subjects": subjects,
                    }
                    left_out.append({**facts, "what": what})
            parts[corpus].index = replace(index, split=np.where(rows, "", index.split))
    for corpus in {entry["corpus"] for entry in left_out}:
        parts[corpus].leakage = leakage(parts[corpus].index, parts[corpus].benchmark.window_s)
    return left_out


def in_a_later_split(
    names: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray]
) -> dict[str, Bool[np.ndarray, " row"]]:
    """Every corpus's rows whose name is in a later split of another. Rows of no split ("") do not count."""
    order = ("", *SPLITS)
    place = {corpus: sum((split == s) * i for i, s in enumerate(order)) for corpus, split in splits.items()}
    unique = {corpus: np.unique(values, return_inverse=True) for corpus, values in names.items()}
    latest: dict[str, dict[Any, int]] = {}
    for corpus, (known, row_of) in unique.items():
        last = np.zeros(len(known), dtype=int)
        np.maximum.at(last, row_of, place[corpus])
        latest[corpus] = dict(zip(known.tolist(), last.tolist(), strict=True))
    found = {}
    for corpus, (known, row_of) in unique.items():
        others = [found for other, found in latest.items() if other != corpus]
        elsewhere = [max((other.get(name, 0) for other in others), default=0) for name in known.tolist()]
        found[corpus] = (place[corpus] > 0) & (np.array(elsewhere, dtype=int)[row_of] > place[corpus])
    return found


def _persons(corpus: str, part: EEGDataModule) -> np.ndarray:
    return np.char.add(f"{part.benchmark.pool or part.benchmark.name}/", part.index.subject)


def _files(corpus: str, part: EEGDataModule) -> np.ndarray:
    """The SHA-256 of the signal's file of every row; where it is not known (an imported store), a name of its own."""
    recordings = part.open().manifest.get("recordings", [])
    sums = {r["recording"]: r["files"][0]["sha256"] for r in recordings if r.get("files")}
    known, row_of = np.unique(part.index.recording, return_inverse=True)
    return np.array([sums.get(name, f"{corpus}/{name}") for name in known.tolist()])[row_of]


def _windows(corpus: str, part: EEGDataModule) -> np.ndarray:
    return part.index.digest


def _by_corpus(each: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    return {f"{name}/{what}": splits for name, shared in each.items() for what, splits in shared.items()}


def _ratio(make: Any, train_ratio: float) -> dict[str, float]:
    """The mix's part of the training windows, for a corpus that has not said its own."""
    own = getattr(make, "keywords", {}).get("train_ratio", 1.0)
    return {"train_ratio": train_ratio} if own == 1.0 else {}


def _refuse_own_loaders(corpus: str, make: Any, loaders: Mapping[str, int]) -> None:
    """Refuse a setting that would be ignored silently; the defaults stand in every config."""
    known = inspect.signature(EEGDataModule).parameters
    for key, value in getattr(make, "keywords", {}).items():
        if key in (*loaders, "device_cache") and value not in (known[key].default, loaders.get(key)):
            said = f"data.corpora.{corpus}.{key}={value}"
            raise EegfmError(
                f"{said}: a mix has the same for all of its corpora. Type data.{key}={value}"
                if key in loaders
                else f"{said}: a mix reads its stores batch by batch. Leave it out."
            )
