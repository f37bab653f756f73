"""Several benchmarks as one data module, for pre-training: no labels, and every batch is of one of them.

Every training window comes once an epoch, so that a corpus has the share that it has of the windows; to give one less,
take a part of it (its own `train_ratio`). All windows have the same channels and rate; lengths may differ.

Splits hold across corpora. What one corpus tests on, a person, a raw file or a window, is neither trained nor validated
on in another, and what one validates on is not trained on: such windows are left out, and counted. A person is
recognised in corpora of one pool (see `BenchmarkSpec.pool`) and in two forms of one benchmark.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import lightning.pytorch as lightning
import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from eegfm.benchmarks.spec import SPLITS, SplitName
from eegfm.contracts import EEGBatch, EegfmError, Encodes, SampleSpec
from eegfm.data.census import leakage
from eegfm.data.module import EEGDataModule, SplitDataset
from eegfm.data.ready import as_part
from eegfm.data.splits import Division
from eegfm.signal.montage import montage_of, today


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


class Batches(Sampler[tuple[str, list[int]]]):
    """Batches of one corpus each, that hold every window once; `sizes` are the windows of each corpus.

    With a seed, windows and batches come in a random order that is a function of the seed and the epoch alone; without
    one, as they are stored, corpus after corpus.
    """

    def __init__(self, sizes: Mapping[str, int], batch_size: int, seed: int | None = None) -> None:
        self.sizes, self.batch_size, self.seed, self.epoch = sizes, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:  # called by Lightning at the start of every epoch
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-n // self.batch_size) for n in self.sizes.values())

    def __iter__(self) -> Iterator[tuple[str, list[int]]]:
        random = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        batches = []
        for corpus, n in self.sizes.items():
            order = np.arange(n) if random is None else random.permutation(n)
            batches += [(corpus, order[i : i + self.batch_size]) for i in range(0, n, self.batch_size)]
        for i in range(len(batches)) if random is None else random.permutation(len(batches)):
            corpus, places = batches[i]
            yield corpus, places.tolist()


class Named(NamedTuple):
    """What a mix has where one corpus has its benchmark."""

    name: str
    title: str
    protocol: str
    classes: tuple[str, ...] = ()


class Mix(lightning.LightningDataModule):
    """The splits of several benchmarks as loaders.

    Args:
        corpora: by name, what makes the data module of each: `EEGDataModule` without the arguments named below.
        seed: of the training order.
        channels: "all" wants the same channels in every corpus, in any order; "common" takes those that all have, by
            name. Rows come in the order of the first corpus. A name says nothing of the reference.
        encoder, split: as for `EEGDataModule`, the same for every corpus.
        batch_size: windows a batch, in every split and corpus.
        num_workers: loader processes.

    Raises:
        EegfmError: no corpus, channels or rates that do not go together, or a corpus with loaders of its own.
    """

    def __init__(
        self,
        *,
        corpora: Mapping[str, Callable[..., EEGDataModule]],
        seed: int,
        channels: Literal["all", "common"] = "all",
        encoder: Encodes | None = None,
        split: Division | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not corpora:
            raise EegfmError("data=mix is of no corpus. Name some: data/corpora=[tuab,tuev]")
        loaders = {"batch_size": batch_size, "num_workers": num_workers}
        for name, make in corpora.items():
            _refuse_own_loaders(name, make, loaders)
        self.parts = {name: make(encoder=encoder, split=split, **loaders) for name, make in corpora.items()}
        self.seed, self.batch_size, self.num_workers = seed, batch_size, num_workers
        specs = {name: part.spec for name, part in self.parts.items()}
        if len({spec.sfreq for spec in specs.values()}) > 1:
            rates = ", ".join(f"{name} {spec.sfreq:g} Hz" for name, spec in specs.items())
            raise EegfmError(
                f"A mix has one sampling rate, and these have several: {rates}. Leave one out: data/corpora=[...]"
            )
        names = {name: spec.montage.names for name, spec in specs.items()}
        self.rows = shared_rows(names, channels)
        first = next(iter(names))
        self.montage = montage_of([names[first][row] for row in self.rows[first]])
        self._left_out: list[dict[str, Any]] | None = None

    @property
    def spec(self) -> SampleSpec:
        """What a sample looks like: the shared channels, the length of the shortest, no classes."""
        shortest = min((part.spec for part in self.parts.values()), key=lambda spec: spec.shape[1])
        shape = (len(self.montage.names), *shortest.shape[1:])
        return SampleSpec(self.montage, shape, shortest.sfreq, (), tuple(self.parts))

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
        """Make the stores that are not there."""
        for name, part in self.parts.items():
            with as_part(name):
                part.prepare_data()

    def setup(self, stage: str) -> None:
        """Open the stores for a stage (see `EEGDataModule.setup`) and keep their splits apart."""
        for name, part in self.parts.items():
            with as_part(name):
                part.open()
        if self._left_out is None:
            self._left_out = keep_apart(self.parts)
        for entry in self._left_out:
            if not len(self.parts[entry["corpus"]].index.rows(entry["split"])):
                raise EegfmError(
                    f"{entry['corpus']}: its whole {entry['split']} split is in later splits of the others. "
                    "Leave it out: data/corpora=[...]"
                )
        for part in self.parts.values():
            part.setup(stage)

    def train_dataloader(self) -> DataLoader[EEGBatch]:
        return self._loader("train", self.seed)

    def val_dataloader(self) -> DataLoader[EEGBatch]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[EEGBatch]:
        return self._loader("test")

    def split_dataloader(self, split: SplitName) -> DataLoader[EEGBatch]:
        """Any split as it is stored, corpus after corpus, for evaluation."""
        return self._loader(split)

    def datasets(self, split: SplitName) -> dict[str, Part]:
        """A split as it is stored, by corpus. The test split opens in the test stage only."""
        coords = torch.tensor(self.montage.coords, dtype=torch.float32)
        found, first = {}, 0
        for name, part in self.parts.items():
            found[name] = Part(part.dataset(split), name, self.rows[name], coords, first)
            first += len(part.subjects)
        return found

    def provenance(self) -> dict[str, Any]:
        """What the data were, for the run's result: the facts of each corpus, and what they say of all at once."""
        each = {name: part.provenance() for name, part in self.parts.items()}

        def named(key: str) -> list[str]:
            return [f"{name}: {value}" for name, facts in each.items() for value in facts[key]]

        def of_each(key: str) -> list[Any]:
            return [facts[key] for facts in each.values()]

        return {
            "benchmark": self.benchmark.name,
            "title": self.benchmark.title,
            "protocol": self.benchmark.protocol,
            "published_steps": all(of_each("published_steps")),
            "window_s": next((s for s in of_each("window_s") if s is not None), None),
            "fingerprint": "+".join(of_each("fingerprint")),
            "store": ", ".join(of_each("store")),
            "complete": all(of_each("complete")),
            "simulated": any(of_each("simulated")),
            "imported": "; ".join(f"{name}: {f['imported']}" for name, f in each.items() if f["imported"]),
            "subjects": {
                split: [f"{name}/{subject}" for name, f in each.items() for subject in f["subjects"][split]]
                for split in SPLITS
            },
            "subjects_total": sum(of_each("subjects_total")),
            "missing": named("missing"),
            "unusable": [
                {**file, "recording": f"{name}: {file['recording']}"}
                for name, facts in each.items()
                for file in facts["unusable"]
            ],
            "census": {split: [sum(census[split]) for census in of_each("census")] for split in SPLITS},
            "census_differences": named("census_differences"),
            "within_subject": any(of_each("within_subject")),
            "split": self._split_facts({name: facts["split"] for name, facts in each.items()}),
            "leakage": self._leakage({name: facts["leakage"] for name, facts in each.items()}),
            "corpora": each,
        }

    def _split_facts(self, each: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """The division, which is the same for all, and the part of the training windows, which is not."""
        found: dict[str, Any] = {}
        for name, facts in each.items():
            ratio = {f"train_ratio of {name}": facts["train_ratio"]} if "train_ratio" in facts else {}
            found |= {key: value for key, value in facts.items() if key != "train_ratio"} | ratio
        return found

    def _leakage(self, each: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """What the splits of each corpus have in common; what was left out, so that those of different ones do not."""
        near = {name: facts for name, facts in each.items() if facts["nearest_s"] is not None}
        nearest = min(near, key=lambda name: near[name]["nearest_s"], default=None)
        pools = [part.benchmark.pool for part in self.parts.values()]
        benchmarks = {name: part.benchmark for name, part in self.parts.items()}
        return {
            "shared_subjects": _by_corpus(each, "shared_subjects"),
            "shared_recordings": _by_corpus(each, "shared_recordings"),
            "nearest_s": None if nearest is None else near[nearest]["nearest_s"],
            "nearest": None
            if nearest is None
            else [f"{nearest}/{key}" for key in near[nearest]["nearest"]],
            "identical": [
                {f"{name}/{key}": split for key, split in keys.items()}
                for name, facts in each.items()
                for keys in facts["identical"]
            ],
            "left_out": self._left_out,
            "not_told": {
                name: b.pool_gap for name, b in benchmarks.items() if b.pool_gap and pools.count(b.pool) > 1
            },
        }

    def _loader(self, split: SplitName, seed: int | None = None) -> DataLoader[EEGBatch]:
        parts = self.datasets(split)
        sizes = {name: len(part) for name, part in parts.items()}
        return DataLoader(
            Parts(parts),
            batch_size=None,  # what the sampler gives is a batch already
            sampler=Batches(sizes, self.batch_size, seed),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )


# ---- channels --------------------------------------------------------------------------------------------------------


def shared_rows(
    channels_of: Mapping[str, Sequence[str]], channels: Literal["all", "common"]
) -> dict[str, Int[np.ndarray, " row"]]:
    """The rows of every corpus that hold the shared channels, in the order of the first one's.

    Channels go by name, in any case, old names of the 10-20 system with those of today (T3 is T7).

    Raises:
        EegfmError: another choice; "all", and one corpus has a channel that another has not; fewer than two in common.
    """
    if channels not in ("all", "common"):
        raise EegfmError(f"data.channels={channels}: all or common is wanted.")
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
        )
    return {corpus: np.array([known[name] for name in shared]) for corpus, known in rows.items()}


# ---- leaks -----------------------------------------------------------------------------------------------------------


def keep_apart(parts: Mapping[str, EEGDataModule]) -> list[dict[str, Any]]:
    """Take out of every opened corpus what another has in a later split, and say what that was.

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
    """Of every corpus the rows whose name stands in a later split of another. Rows of no split ("") do not count."""
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


def _by_corpus(each: Mapping[str, dict[str, Any]], key: str) -> dict[str, Any]:
    return {f"{name}/{what}": splits for name, facts in each.items() for what, splits in facts[key].items()}


def _refuse_own_loaders(corpus: str, make: Any, loaders: Mapping[str, int]) -> None:
    """A setting that would be passed over in silence is refused; the defaults stand in every config."""
    known = inspect.signature(EEGDataModule).parameters
    for key, value in getattr(make, "keywords", {}).items():
        if key in (*loaders, "device_cache") and value not in (known[key].default, loaders.get(key)):
            said = f"data.corpora.{corpus}.{key}={value}"
            raise EegfmError(
                f"{said}: a mix has the same for all of its corpora. Type data.{key}={value}"
                if key in loaders
                else f"{said}: a mix reads its stores batch by batch. Leave it out."
            )
