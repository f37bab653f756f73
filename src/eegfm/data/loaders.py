"""The order of an epoch's batches, and the loaders that follow it.

The order is a function of the seed and the epoch alone, and a checkpoint holds how many batches of the epoch were
trained on (`eegfm.data.base`). So an interrupted epoch continues after its last step.
"""

import signal
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from eegfm.contracts import EEGBatch, EegfmError
from eegfm.data.processes import block, share
from eegfm.data.store import SampleStore
from eegfm.support.alive import stop_signals


class SplitDataset(Dataset[EEGBatch]):
    """Rows of a store as a data set. A loader asks for whole batches; each is read in one step."""

    def __init__(self, store: SampleStore, rows: Int[np.ndarray, " row"], coords: Tensor) -> None:
        store.open_values()  # before workers are forked
        self.store, self.rows, self.coords = store, rows, coords
        position = {subject: i for i, subject in enumerate(store.subjects)}
        self.subject = np.array(
            [position[subject] for subject in store.index.subject.tolist()], dtype=np.int64
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Int[np.ndarray, " window"]:
        """The labels of all windows, in stored order."""
        return self.store.index.label[self.rows]

    @property
    def recordings(self) -> Int[np.ndarray, " window"]:
        """A number for the recording of every window, in stored order."""
        return np.unique(self.store.index.recording[self.rows], return_inverse=True)[1]

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

    def __getitem__(self, places: Sequence[int]) -> EEGBatch:
        return self.__getitems__(places)


class Order(DistributedSampler[Any]):
    """The batches of an epoch; each process gets its share (see `eegfm.data.processes`).

    The order depends on nothing but the seed and the epoch; without a seed, windows come in stored order. `skip`
    continues an interrupted epoch; the length stays that of the whole epoch.

    It is a DistributedSampler only in name, so that Lightning leaves it in place: Lightning would wrap any
    other sampler, pad its batches by repeats, and tell the epoch to the wrapper alone.
    """

    def __init__(self, batch_size: int, seed: int | None, *, rank: int = 0, n_ranks: int = 1) -> None:
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.rank, self.n_ranks = rank, n_ranks
        self.skipped: tuple[int, int] = (0, 0)

    def set_epoch(self, epoch: int) -> None:  # called by Lightning at the start of every epoch
        self.epoch = epoch

    def skip(self, epoch: int, n: int) -> None:
        """Leave out the first `n` batches of this epoch only."""
        self.skipped = (epoch, n)

    def __iter__(self) -> Iterator[Any]:
        epoch, n = self.skipped
        yield from islice(self.batches(), n if epoch == self.epoch else 0, None)

    def batches(self) -> Iterator[Any]:
        """All batches of the epoch."""
        raise NotImplementedError

    def _share(self, batch: Sequence[int]) -> list[int]:
        return share(batch, self.rank, self.n_ranks)

    def _block(self, n: int) -> list[list[int]]:
        return block(n, self.batch_size, rank=self.rank, n_ranks=self.n_ranks)


class Windows(Order):
    """An order of the `n` windows of a split, as positions in the split.

    With `recordings`, the recording of each, at most `together` windows of one recording stand side by side in a seeded
    order: a batch of 16 with together=4 is of four recordings or so. Every window comes once all the same.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int | None = None,
        *,
        together: int = 1,
        recordings: Int[np.ndarray, " n"] | None = None,
        **ranks: int,
    ) -> None:
        super().__init__(batch_size, seed, **ranks)
        self.n, self.together, self.recordings = n, together, recordings

    def __len__(self) -> int:
        return len(self._block(self.n)) if self.seed is None else -(-self.n // self.batch_size)

    def batches(self) -> Iterator[list[int]]:
        if self.seed is None:
            yield from self._block(self.n)
            return
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(self.n)
        if self.together > 1 and self.recordings is not None:
            order = self._side_by_side(order, random)
        order = order.tolist()
        for start in range(0, self.n, self.batch_size):
            yield self._share(order[start : start + self.batch_size])

    def _side_by_side(
        self, order: Int[np.ndarray, " n"], random: np.random.Generator
    ) -> Int[np.ndarray, " n"]:
        """The windows of each recording in the order that they have, in groups; the groups in a random order."""
        assert self.recordings is not None
        order = order[np.argsort(self.recordings[order], kind="stable")]
        _, first, counts = np.unique(self.recordings[order], return_index=True, return_counts=True)
        place = np.arange(self.n) - np.repeat(first, counts)
        groups = np.split(order, np.flatnonzero(place % self.together == 0)[1:])
        return np.concatenate([groups[i] for i in random.permutation(len(groups))])


class Loader(DataLoader[EEGBatch]):
    """Load whole batches of a data set in a given order.

    Its workers start with the first batch. Lightning asks for an iterator before it sets the epoch, so in a resumed
    fit, workers that started at once would follow the order of the first epoch.
    """

    def __init__(self, data: Dataset[EEGBatch], order: Order, num_workers: int = 0) -> None:
        super().__init__(
            _Telling(data) if num_workers else data,
            batch_size=None,  # the order gives whole batches
            sampler=order,
            num_workers=num_workers,
            collate_fn=as_is,
            worker_init_fn=ignore_stop_signals,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=num_workers > 0,
        )

    def __iter__(self) -> Iterator[EEGBatch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for batch in super().__iter__():
            if isinstance(batch, EegfmError):
                # workers that live on would be waited for at the end of the process: they ignore its signals
                self._iterator = None
                raise batch
            yield batch


class _Telling(Dataset[Any]):
    """A data set whose sentences come as values: torch makes a traceback of a worker's error, and waits."""

    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __getitem__(self, places: Any) -> Any:
        try:
            return self.data[places]
        except EegfmError as error:
            return error


def as_is(batch: Any) -> EEGBatch:
    return batch  # the data set already gives whole batches


def ignore_stop_signals(worker: int) -> None:
    """Make a loader's worker ignore the signals that ask a run to stop: a cluster sends them to every process.

    The run saves first and ends its workers itself; a worker that died earlier would end the run with an
    error.
    """
    for signum in stop_signals():
        signal.signal(signum, signal.SIG_IGN)
