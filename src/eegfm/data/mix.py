"""Several benchmarks as one data module, for pre-training: no labels, and every batch is of one benchmark.

Every training window comes once an epoch, so a corpus has the share that its windows have. `weights` give
other shares and `epoch_windows` another length: a corpus with fewer windows than its share goes through
them again. All windows have the same rate; lengths may differ, and so may channels where the model reads
their places (channels="own"). Batches are then of one montage as they come, and nothing is padded.

Splits hold across corpora: see `eegfm.data.mixing.apart`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from eegfm.benchmarks.spec import SplitName
from eegfm.contracts import EegfmError, Encodes, SampleSpec
from eegfm.data.base import EEGData
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.loaders import Loader
from eegfm.data.mixing.apart import keep_apart, not_told
from eegfm.data.mixing.batches import Batches, Part, Parts, check_weights, shares
from eegfm.data.mixing.channels import Channels, choose
from eegfm.data.mixing.facts import Named, facts_of_all
from eegfm.data.module import EEGDataModule
from eegfm.data.ready import as_part
from eegfm.data.splits import Division


class Mix(EEGData):
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
        train_ratio, train_windows: the same, of every corpus that has none of its own.
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
        train_windows: int | None = None,
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
        part = {"train_ratio": train_ratio, "train_windows": train_windows}
        self._corpora = {name: make(**every, **_unsaid(make, part)) for name, make in corpora.items()}
        self.seed, self.batch_size, self.num_workers = seed, batch_size, num_workers
        check_weights(tuple(self.corpora), weights)
        self.weights, self.epoch_windows, self.encoder = weights, epoch_windows, encoder
        specs = {name: part.spec for name, part in self.corpora.items()}
        if len({spec.sfreq for spec in specs.values()}) > 1:
            rates = ", ".join(f"{name} {spec.sfreq:g} Hz" for name, spec in specs.items())
            raise EegfmError(
                f"A mix has one sampling rate, and these have several: {rates}. Leave one out: data/corpora=[...]"
            )
        self.channels = choose(specs, channels)
        self._left_out: list[dict[str, Any]] | None = None

    @property
    def corpora(self) -> dict[str, EEGDataModule]:
        return self._corpora

    @property
    def spec(self) -> SampleSpec:
        """What a sample looks like: the shared channels, or all of them, the length of the shortest, no classes."""
        shortest = min((part.spec for part in self.corpora.values()), key=lambda spec: spec.shape[1])
        montage, montages = self.channels.montage, tuple(self.channels.montages.values())
        shape = (len(montage.names), *shortest.shape[1:])
        return SampleSpec(montage, shape, shortest.sfreq, (), tuple(self.corpora), montages)

    @property
    def benchmark(self) -> Named:
        return Named.of({name: part.benchmark for name, part in self.corpora.items()})

    @property
    def subjects(self) -> list[str]:
        """Subject ids, each behind the name of its corpus, in the order of `EEGBatch.subject`."""
        return [f"{name}/{subject}" for name, part in self.corpora.items() for subject in part.subjects]

    def prepare_data(self) -> None:
        """Make the missing stores."""
        for name, part in self.corpora.items():
            with as_part(name):
                part.prepare_data()

    def setup(self, stage: str) -> None:
        """Open the stores for a stage (see `EEGDataModule.setup`) and keep their splits apart.

        A corpus may have no subject to validate or to test on, where it is partial or a recording of one person; it is
        then trained on all the same, as long as another has some.
        """
        for name, part in self.corpora.items():
            with as_part(name):
                part.enter(stage)
        if self._left_out is None:
            self._left_out = keep_apart(self.corpora)
        for entry in self._left_out:
            if not len(self.corpora[entry["corpus"]].index.rows(entry["split"])):
                raise EegfmError(
                    f"{entry['corpus']}: its whole {entry['split']} split is in later splits of the others. "
                    "Leave it out: data/corpora=[...]"
                )
        for name, part in self.corpora.items():
            with as_part(name):
                part.refuse_empty("train")
        for split in ("val", "test"):
            if not any(len(part.index.rows(split)) for part in self.corpora.values()):
                raise EegfmError(
                    f"{', '.join(self.corpora)}: none of these corpora has a window of the {split} split, so that "
                    "nothing can be chosen or scored. Mix in one that has: data/corpora=[...]"
                )
        self.draws()

    def datasets(self, split: SplitName) -> dict[str, Part]:
        found, first = {}, 0
        for name, part in self.corpora.items():
            montage = self.channels.montages.get(name, self.channels.montage)
            coords = torch.tensor(montage.coords, dtype=torch.float32)
            mine = Part(part.dataset(split), name, self.channels.rows[name], coords, first)
            if len(mine):
                found[name] = mine
            first += len(part.subjects)
        return found

    def provenance(self) -> BenchmarkFacts:
        """The facts about the data, for the run's result: of each corpus, and of all at once."""
        return facts_of_all(
            self.benchmark,
            {name: part.provenance() for name, part in self.corpora.items()},
            left_out=self._left_out or [],
            not_told=not_told(self.corpora),
            draws={} if self.weights is None and self.epoch_windows is None else self.draws(),
        )

    def draws(self) -> dict[str, int]:
        """Windows of each corpus in an epoch of training."""
        sizes = {name: len(part.index.rows("train")) for name, part in self.corpora.items()}
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


def _unsaid(make: Any, part: Mapping[str, Any]) -> dict[str, Any]:
    """The mix's part of the training windows, for a corpus that has not said its own."""
    own, known = getattr(make, "keywords", {}), inspect.signature(EEGDataModule).parameters
    return {
        key: value for key, value in part.items() if own.get(key, known[key].default) == known[key].default
    }


def _refuse_own_loaders(corpus: str, make: Any, loaders: Mapping[str, int]) -> None:
    """Refuse a setting that would be ignored silently; the defaults stand in every config."""
    known = inspect.signature(EEGDataModule).parameters
    for key, value in getattr(make, "keywords", {}).items():
        if key in (*loaders, "device_cache", "together") and value not in (
            known[key].default,
            loaders.get(key),
        ):
            said = f"data.corpora.{corpus}.{key}={value}"
            raise EegfmError(
                f"{said}: a mix has the same for all of its corpora. Type data.{key}={value}"
                if key in loaders
                else f"{said}: a mix reads its stores batch by batch. Leave it out."
            )
