"""How several processes share a training batch, and a split that is scored.

The processes divide each training batch, so a step sees the same windows for any number of processes. Losses, number
of steps and schedule stay those of one process, and any number of processes can resume a checkpoint. A split that is
scored is cut into one block for each process, without a window in common.
"""

from collections.abc import Sequence

from eegfm.contracts import EegfmError


class Share(list[int]):
    """One process's share of a batch, as positions in the split.

    `part` is the weight of the mean over these windows when the means of all processes are averaged.
    """

    part = 1.0


def share(batch: Sequence[int], rank: int, n_ranks: int) -> Share:
    """The share of process `rank` of `n_ranks` in a batch: consecutive windows; shares differ by at most one window.

    If a batch has fewer windows than there are processes (an epoch's last), a window is in several shares, with less
    weight in each.
    """
    n = len(batch)
    if n < n_ranks:
        own = Share([batch[rank % n]])
        own.part = n_ranks / (n * len(range(rank % n, n_ranks, n)))
    else:
        own = Share(batch[rank * n // n_ranks : (rank + 1) * n // n_ranks])
        own.part = len(own) * n_ranks / n
    return own


def block(n: int, batch_size: int, *, rank: int, n_ranks: int) -> list[list[int]]:
    """The batches that process `rank` scores of a split of `n` windows; the blocks of all ranks make up the split.

    All processes have equally many batches, since networks may exchange statistics in every batch. If a process has
    one window more than another, its last batch is larger by one.
    """
    first, end = rank * n // n_ranks, (rank + 1) * n // n_ranks
    if first == end:
        return []
    size = -(-batch_size // n_ranks)
    n_batches = max(1, -(-(n // n_ranks) // size))
    starts = [first + i * size for i in range(n_batches)]
    return [list(range(a, b)) for a, b in zip(starts, [*starts[1:], end], strict=True)]


def refuse_too_many(n_ranks: int, batch_size: int, windows: dict[str, int]) -> None:
    """Raise EegfmError if a process would have no window of a batch, or of one of these splits."""
    if batch_size < n_ranks:
        raise EegfmError(
            f"data.batch_size={batch_size} is shared by {n_ranks} processes, and each needs at least one window. "
            f"Type data.batch_size={n_ranks} or more, or a smaller trainer.devices."
        )
    for split, n in windows.items():
        if n < n_ranks:
            raise EegfmError(
                f"The {split} split has {n} windows, fewer than there are processes ({n_ranks}). "
                "Type a smaller trainer.devices."
            )
