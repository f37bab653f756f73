"""How several processes train on one batch together, and score one split.

A batch is divided among the processes, so that a step sees the same windows however many they are: the losses, the
number of steps and the schedule stay those of one process, and a checkpoint can be gone on from by any number. A split
that is scored is cut into as many blocks as there are processes, none of which has a window of another.
"""

from collections.abc import Sequence

from eegfm.contracts import EegfmError


class Share(list[int]):
    """One process's share of a batch, as places in its split.

    `part` is the weight of the mean over these windows when the means of all processes are averaged.
    """

    part = 1.0


def share(batch: Sequence[int], rank: int, n_ranks: int) -> Share:
    """The share of process `rank` of `n_ranks` in a batch: neighbours, as many as the others or one more.

    If a batch has fewer windows than there are processes (an epoch's last), some are in several, and count
    less.
    """
    n = len(batch)
    if n < n_ranks:
        found = Share([batch[rank % n]])
        found.part = n_ranks / (n * len(range(rank % n, n_ranks, n)))
    else:
        found = Share(batch[rank * n // n_ranks : (rank + 1) * n // n_ranks])
        found.part = len(found) * n_ranks / n
    return found


def block(n: int, batch_size: int, *, rank: int, n_ranks: int) -> list[list[int]]:
    """Batches of the block of a split of `n` windows that one process scores; the blocks in a row are the split.

    All processes have equally many batches, since in each of them a network may exchange its statistics. Where one has
    a window more than another, its last batch is larger by that.
    """
    first, behind = rank * n // n_ranks, (rank + 1) * n // n_ranks
    if first == behind:
        return []
    size = -(-batch_size // n_ranks)
    n_batches = max(1, -(-(n // n_ranks) // size))
    starts = [first + i * size for i in range(n_batches)]
    return [list(range(a, b)) for a, b in zip(starts, [*starts[1:], behind], strict=True)]


def refuse_too_many(n_ranks: int, batch_size: int, windows: dict[str, int]) -> None:
    """Raise EegfmError where a process would have no window of a batch, or of one of these splits."""
    if batch_size < n_ranks:
        raise EegfmError(
            f"data.batch_size={batch_size} is of all {n_ranks} processes together, and each wants one window at least. "
            f"Type data.batch_size={n_ranks} or more, or a smaller trainer.devices."
        )
    for split, n in windows.items():
        if n < n_ranks:
            raise EegfmError(
                f"The {split} split has {n} windows, fewer than there are processes ({n_ranks}). "
                "Type a smaller trainer.devices."
            )
