"""Batches of one split: their order, their workers, and going on within an epoch."""

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from eegfm.contracts import EEGBatch
from eegfm.data.store import SampleStore


class SplitDataset(Dataset[EEGBatch]):
    """Rows of a store. A loader asks for a whole batch at a time, which costs one read transaction."""

    def __init__(self, store: SampleStore, rows: Int[np.ndarray, " row"], coords: Tensor) -> None:
        self.store, self.rows, self.coords = store, rows, coords
        position = {subject: i for i, subject in enumerate(store.subjects)}
        self.subject = np.array(
            [position[subject] for subject in store.index.subject.tolist()], dtype=np.int64
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, items: Sequence[int]) -> EEGBatch:
        rows = self.rows[np.asarray(items)]
        return EEGBatch(
            x=torch.from_numpy(self.store.read(rows)).float(),
            coords=self.coords,
            label=torch.from_numpy(self.store.index.label[rows]),
            subject=torch.from_numpy(self.subject[rows]),
            key=[self.store.index.key(row) for row in rows.tolist()],
            part=getattr(items, "part", 1.0),
        )

    def __getitem__(self, item: int) -> EEGBatch:
        return self.__getitems__([item])


class EpochShuffle(Sampler[int]):
    """A random order that is a function of the seed and the epoch alone, whatever else has drawn random numbers."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0
        self.skipped: tuple[int, int] = (0, 0)

    def set_epoch(self, epoch: int) -> None:  # called by Lightning at the start of every epoch
        self.epoch = epoch

    def skip(self, epoch: int, n: int) -> None:
        """Leave out the first `n` of an epoch that was interrupted, and of no other; the length stays the whole's."""
        self.skipped = (epoch, n)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        epoch, n = self.skipped
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)
        yield from order[n if epoch == self.epoch else 0 :].tolist()


class LateLoader(DataLoader[EEGBatch]):
    """A loader whose workers begin with the first batch.

    Lightning asks for an iterator before it says which epoch it is: of a fit that goes on in a later one, workers that
    began at once would draw the order of the first.
    """

    def __iter__(self) -> Iterator[EEGBatch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield from super().__iter__()


def as_is(batch: Any) -> EEGBatch:
    return batch  # the data set hands over whole batches


def ignore_stop_signals(worker: int) -> None:
    """Make a loader's worker ignore the signals that ask a run to stop: a cluster sends them to every process.

    The run saves first and ends its workers itself; one that had died before would end it with an error.
    """
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
