"""The batches of a mix: which windows of which corpus, in which order.

Every training window comes once an epoch, so a corpus has the share that its windows have; weights give
other shares (see `shares`).
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.loaders import Order, SplitDataset


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

    @property
    def labels(self) -> Int[np.ndarray, " window"]:
        """The labels of all windows, in stored order."""
        return self.split.labels

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


def check_weights(corpora: Sequence[str], weights: Mapping[str, float] | None) -> None:
    """Raise EegfmError unless there is a number above 0 for every corpus, or no weight at all."""
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
