"""The Lightning data module of one benchmark: it prepares the store if needed and serves batches of `EEGBatch`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, SplitName
from eegfm.contracts import EegfmError, Encodes, SampleSpec
from eegfm.data.base import EEGData
from eegfm.data.census import count, leakage
from eegfm.data.facts import BenchmarkFacts, Leakage
from eegfm.data.loaders import Loader, SplitDataset, Windows
from eegfm.data.ready import Preparation
from eegfm.data.recipe import Recipe
from eegfm.data.resident import ResidentLoader
from eegfm.data.splits import Division, KFold, KFoldByKind, few, subset
from eegfm.data.store import SampleIndex, SampleStore
from eegfm.signal.steps import Step


class EEGDataModule(EEGData):
    """A benchmark's splits as loaders.

    Args:
        benchmark: corpus and protocol.
        raw: folder of the raw files; it may be missing once the store is prepared.
        cache: folder of all stores.
        seed: seed of the training order.
        encoder: a frozen encoder whose vectors are stored and served instead of the raw windows, or None.
        split: a division other than the published one (see `eegfm.data.splits`), or None.
        train_ratio: the fraction of the training windows to train on, drawn by the seed in every class.
        train_windows: the number of them, drawn alike; None for all of that fraction.
        steps: signal processing other than the published one, or None.
        window_s: windows of another length in seconds than the protocol's (see `eegfm.benchmarks.length`), or None.
        imported: use the store that `eegfm convert` made from an LMDB of the reference, and prepare nothing from `raw`.
        batch_size: windows in a batch of any split, over all processes together.
        together: the most windows of one recording that stand side by side in the training order; 1 for chance.
        num_workers: loader processes. 0 is fastest if the store fits in memory, since a batch is one read.
        prepare_workers: processes that prepare recordings side by side.
        allow_partial: accept an incomplete corpus; every report then says PARTIAL.
        download: fetch the raw files first, if the corpus is open without a login.
        device_cache: keep whole splits on the trainer's device, so that no batch has to be copied there.
    """

    def __init__(
        self,
        *,
        benchmark: BenchmarkSpec,
        raw: str | Path,
        cache: str | Path,
        seed: int,
        encoder: Encodes | None = None,
        split: Division | None = None,
        train_ratio: float = 1.0,
        train_windows: int | None = None,
        steps: Sequence[Step] | None = None,
        window_s: float | None = None,
        imported: bool = False,
        batch_size: int = 64,
        together: int = 1,
        num_workers: int = 0,
        prepare_workers: int = 1,
        allow_partial: bool = False,
        download: bool = False,
        device_cache: bool = False,
        progress: bool = True,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise EegfmError(f"data.batch_size={batch_size}: a batch has at least one window.")
        if together < 1:
            raise EegfmError(f"data.together={together}: a number of windows, 1 or more, is wanted.")
        self.preparation = Preparation(
            benchmark=benchmark,
            raw=Path(raw),
            cache=Path(cache),
            encoder=encoder,
            steps=steps,
            window_s=window_s,
            imported=imported,
            prepare_workers=prepare_workers,
            allow_partial=allow_partial,
            download=download,
            progress=progress,
        )
        self.benchmark, self.encoder, self.steps = self.preparation.sized, encoder, steps
        self.split, self.train_ratio, self.device_cache = split, train_ratio, device_cache
        self.train_windows, self.together = train_windows, together
        self.seed, self.batch_size, self.num_workers = seed, batch_size, num_workers
        self.store: SampleStore | None = None
        self.index: SampleIndex
        self.leakage: Leakage
        self._stage: str | None = None

    @property
    def spec(self) -> SampleSpec:
        """What a sample looks like; known before any file is opened."""
        benchmark, encoder = self.benchmark, self.encoder
        shape: tuple[int, ...] = (len(benchmark.channels), benchmark.n_times)
        if encoder is not None:
            shape = (shape[0], round(benchmark.window_s), encoder.width)
        return SampleSpec(benchmark.montage, shape, benchmark.sfreq, benchmark.classes)

    @property
    def corpora(self) -> "Mapping[str, EEGDataModule]":
        return {"": self}

    @property
    def recipe(self) -> Recipe:
        return self.preparation.recipe

    @property
    def within_subject(self) -> bool:
        """Whether a test subject may also be a training subject."""
        return self.benchmark.within_subject if self.split is None else self.split.within_subject

    @property
    def subjects(self) -> list[str]:
        """Subject ids, in the order of `EEGBatch.subject`."""
        assert self.store is not None
        return self.store.subjects

    def prepare_data(self) -> None:
        """Make the store if it is missing (see `Preparation.store`)."""
        self.preparation.store()

    def open(self) -> SampleStore:
        """Open the prepared store. Raises EegfmError if its splits leak."""
        if self.store is None:
            store = SampleStore.open(self.preparation.cache, self.recipe)
            self._refuse_unknown_seconds(store)
            window_s = self.benchmark.window_s
            if self.benchmark.own and type(self.split) is KFold and KFoldByKind.fits(store.index):
                self.split = KFoldByKind(**vars(self.split))
            split = store.index.split if self.split is None else self.split(store.index, window_s)
            split = subset(store.index, split, self.train_ratio, self.seed)
            if self.train_windows is not None:
                split = few(store.index, split, self.train_windows, self.seed)
            # only this copy gets the split; the store's own index keeps the published one
            self.index = replace(store.index, split=split)
            self.leakage = leakage(self.index, window_s)
            leaks = self.leakage.undeclared(self.benchmark, within_subject=self.within_subject)
            if leaks:
                raise EegfmError(
                    f"{store.folder}: the splits leak: {'; '.join(leaks)}."
                    + (" Delete the folder and prepare again." if self.split is None else "")
                )
            self.store = store
            self._coords = torch.tensor(self.benchmark.montage.coords, dtype=torch.float32)
        return self.store

    def setup(self, stage: str) -> None:
        """Open the store for a stage: "fit", "validate", "test" or "predict"."""
        self.enter(stage)
        for split in ("test",) if stage == "test" else ("train", "val"):
            self.refuse_empty(split)

    def enter(self, stage: str) -> None:
        """Open the store for a stage, whatever its splits hold."""
        self._stage = stage
        self.open()

    def train_inputs(self) -> Iterator[Tensor]:
        """The x of the training split, batch by batch in stored order, for statistics of the training set."""
        data = self.dataset("train")
        for start in range(0, len(data), self.batch_size):
            yield data.__getitems__(range(start, min(start + self.batch_size, len(data)))).x

    def class_counts(self) -> Tensor:
        """The number of training windows of each class."""
        assert self.store is not None
        label = self.index.label[self.index.rows("train")]
        return torch.from_numpy(np.bincount(label, minlength=len(self.benchmark.classes)))

    def shuffle_labels(self, *, within_subject: bool, draw: int = 0) -> bool:
        """Shuffle the labels of training and of validation windows: a control, for fits from now on.

        Draws are told apart by their number, under the seed. With `within_subject`, each subject keeps its number of
        windows of every class. The test keeps its labels. Returns False, and changes nothing, if there is no other
        order of the training labels.
        """
        assert self.store is not None
        label = self.index.label.copy()
        random = np.random.default_rng([self.seed, draw])
        for split in ("train", "val"):
            rows = self.index.rows(split)
            group = self.index.subject[rows] if within_subject else np.zeros(len(rows), dtype=np.int64)
            groups = [rows[group == name] for name in np.unique(group)]
            if split == "train" and all(len(np.unique(label[own])) < 2 for own in groups):
                return False
            for own in groups:
                label[own] = random.permutation(label[own])
        self.index = replace(self.index, label=label)
        self.store.index = replace(self.store.index, label=label)  # no other module reads this instance
        return True

    def arrays(self, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        """A whole split as arrays (x float32, label), for estimators that are fitted in one go."""
        data = self.dataset(split)
        assert self.store is not None
        return self.store.read(data.rows).astype(np.float32), data.labels

    def dataset(self, split: SplitName) -> SplitDataset:
        """A split in stored order. The test split opens only in the test stage, so nothing can be chosen on it."""
        if self.store is None:
            raise EegfmError("The data module is not set up: call prepare_data() and setup(stage) first.")
        if split == "test" and self._stage != "test":
            raise EegfmError(
                f'The test split was asked for in stage "{self._stage}"; it opens in setup("test") only.'
            )
        return SplitDataset(self.store, self.index.rows(split), self._coords)

    def datasets(self, split: SplitName) -> dict[str, SplitDataset]:
        return {"": self.dataset(split)}

    def provenance(self) -> BenchmarkFacts:
        """Facts about the data, for the run's result: recipe, protocol, completeness, subjects by split."""
        assert self.store is not None
        counts = count(self.index, len(self.benchmark.kinds))
        return replace(
            BenchmarkFacts.of_store(
                self.store.folder,
                self.store.manifest,
                self.benchmark,
                self.preparation.other_s,
                content=self.store.content,
            ),
            not_compared=self.preparation.not_compared,
            subjects=counts["subjects"],
            census=counts["per_class"],
            within_subject=self.within_subject,
            split=self._split_facts(),
            leakage=self.leakage,
        )

    def _split_facts(self) -> dict[str, Any]:
        """The division of the windows, if it is not the published one."""
        facts = {} if self.split is None else {"name": type(self.split).__name__, **vars(self.split)}
        ratio = {} if self.train_ratio == 1 else {"train_ratio": self.train_ratio}
        number = {} if self.train_windows is None else {"train_windows": self.train_windows}
        return facts | ratio | number

    def _loader(self, split: SplitName, seed: int | None = None) -> Loader | ResidentLoader:
        data = self.dataset(split)
        ranks = self._ranks({split: len(data)} if seed is None else {})
        recordings = None if self.together == 1 else data.recordings
        order = Windows(
            len(data), self.batch_size, seed, together=self.together, recordings=recordings, **ranks
        )
        if seed is not None:
            self._going_on(order)
        if self.device_cache:
            return ResidentLoader(data, order, self._device())
        return Loader(data, order, self.num_workers)

    def _device(self) -> torch.device:
        if self.trainer is None:
            return torch.device("cpu")
        if self.trainer.world_size > 1:
            raise EegfmError(
                "data.device_cache=true keeps a split on one device and would give every device the same batches. "
                "Leave it out, or train on one device: trainer.devices=1"
            )
        return self.trainer.strategy.root_device

    def _refuse_unknown_seconds(self, store: SampleStore) -> None:
        imported = store.manifest.imported
        if (
            imported
            and not imported["onsets_in_seconds"]
            and self.split is not None
            and self.split.within_subject
        ):
            raise EegfmError(
                f"{store.folder} is {imported['said']}; this split keeps windows of one recording apart by seconds. "
                "Divide by subject (split=kfold or split=loso), or prepare the raw files: data.imported=false"
            )

    def refuse_empty(self, split: SplitName) -> None:
        """Raise EegfmError if the opened store has no window of a split."""
        if len(self.index.rows(split)):
            return
        assert self.store is not None
        counts = {name: len(self.index.rows(name)) for name in SPLITS}
        said = f"{self.benchmark.title}: the {split} split of {self.store.folder} is empty ({counts})."
        published = self.benchmark.splits if self.split is None else None
        if published is not None and not published[split]:
            raise EegfmError(
                f"{said} The corpus has no subject for it; it serves for pre-training together with others: "
                f"data=mix data/corpora=[...,{self.benchmark.name}]"
            )
        if self.benchmark.own and self.split is None:
            raise EegfmError(
                f"{said} Say in its file who is in it (split: {{train: [...], val: [...], test: [...]}}), or divide "
                "the recordings anew: split=kfold, split=loso, split=recordings"
            )
        who = (
            f"Its subjects are {', '.join(published[split][:8])} ...: add them"
            if published
            else "Add files"
        )
        raise EegfmError(f"{said} {who} and prepare again.")
