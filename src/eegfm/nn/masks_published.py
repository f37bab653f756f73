"""SAMBA's masks as published, faults included, for comparison and to repeat published work.

Written from facts about github.com/Jiazhen-Hong/SAMBA, utility/masking.py (no licence; nothing copied). The
names are those of `eegfm.nn.masks`, where the same ideas keep their promise. Measured, a ratio of a half
hides:

- `Samples`: int(ratio * T) samples, a half.
- `Blocks`: 0.41 on average and as little as 0.14 in a window, since blocks overlap; never the last sample.
- `Subsequences`: 0.50 if all blocks have found a place; always the last sample.
- `Semantic`: 0.498 at T=256, 0.473 at T=64, nothing at T=32: eight blocks of four samples fill the window. Shorter
  windows are refused; the reference would draw from an empty range.

Differs: masks are drawn for a batch at once, on the CPU, by a generator; True means hidden, not visible.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.masks import check_ratio, everywhere, inside, scattered

LEAST = 4  # fewest samples in a block of `Semantic`
DRAWS = 100  # after so many draws `Subsequences` keeps the blocks that it has


class Samples:
    """Hide int(ratio * T) random samples of every window ("Random")."""

    def __init__(self, spec: SampleSpec, *, ratio: float = 0.5) -> None:
        check_ratio(ratio)
        self.ratio = ratio

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        n_times = x.shape[-1]
        return everywhere(scattered(len(x), n_times, int(self.ratio * n_times), generator), x)


class Blocks:
    """Hide int(T * ratio / length) blocks of length T // per_window, which may overlap ("Block random").

    The range of starts always leaves the last sample visible. Samples near both ends are hidden less often
    than others. Raises EegfmError, when called, for windows shorter than `per_window` or no longer than a
    block.
    """

    def __init__(self, spec: SampleSpec, *, ratio: float = 0.5, per_window: int = 8) -> None:
        check_ratio(ratio)
        self.ratio, self.per_window = ratio, per_window

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        n_times = x.shape[-1]
        length = n_times // self.per_window
        if not 0 < length < n_times:
            raise _too_short(n_times, f"{self.per_window} blocks of equal length (task.mask.per_window)")
        n = int(n_times * self.ratio / length)
        starts = torch.randint(n_times - length, (len(x), n), generator=generator)
        return everywhere(inside(starts, starts + length, n_times), x)


class Subsequences:
    """Keep `n_visible` blocks of ceil(int((1 - ratio) * T) / n_visible) samples visible ("SSP", after EEG2Rep).

    Places are drawn up to 100 times, and a block is kept if it overlaps no earlier one: a window may have
    fewer blocks. With `evenly_spaced`, each of `n_visible` intervals of T // n_visible samples holds one
    block, which starts at the latest where it still fits. A block starts at T - length - 1 at the latest, so that the
    last sample is always hidden, and samples near the ends are visible less often than others.
    """

    def __init__(
        self, spec: SampleSpec, *, ratio: float = 0.5, n_visible: int = 8, evenly_spaced: bool = False
    ) -> None:
        check_ratio(ratio)
        self.ratio, self.n_visible, self.evenly_spaced = ratio, n_visible, evenly_spaced

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        (n_batch, _, n_times), n = x.shape, self.n_visible
        length = math.ceil(int((1 - self.ratio) * n_times) / n)
        if not length or n_times < n or length >= n_times:
            raise _too_short(n_times, f"{n} blocks to see (task.mask.n_visible)")
        if self.evenly_spaced:
            interval = n_times // n
            late = torch.randint(max(1, interval - length), (n_batch, n), generator=generator)
            starts = interval * torch.arange(n) + late
            return everywhere(~inside(starts, (starts + length).clamp(max=n_times), n_times), x)
        drawn = torch.randint(n_times - length, (n_batch, DRAWS), generator=generator)
        placed = torch.full(
            (n_batch, n), -length
        )  # absent blocks lie before the window, where they overlap nothing
        found = torch.zeros(n_batch, 1, dtype=torch.long)
        for start in drawn.split(1, dim=1):  # a draw for the whole batch
            stays = ((start - placed).abs() >= length).all(1, keepdim=True) & (found < n)
            place = found.clamp(max=n - 1)
            placed.scatter_(1, place, torch.where(stays, start, placed.gather(1, place)))
            found += stays
        return everywhere(~inside(placed.clamp(min=0), placed + length, n_times), x)


class Semantic:
    """Keep `n_visible` blocks of random lengths visible, with random gaps ("TSR", temporal semantic random masking).

    The average length is int((1 - ratio) * T) // n_visible; all blocks but the last have that times a
    number from `min_ratio` to `max_ratio`, the last has the rest, and none has less than four samples. Gaps
    are random shares of the remaining samples; the last gap takes the remainder of rounding. Samples are
    not hidden equally often.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        ratio: float = 0.5,
        n_visible: int = 8,
        min_ratio: float = 0.5,
        max_ratio: float = 1.5,
    ) -> None:
        check_ratio(ratio)
        self.ratio, self.n_visible = ratio, n_visible
        self.min_ratio, self.max_ratio = min_ratio, max_ratio

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        (n_batch, _, n_times), n = x.shape, self.n_visible
        visible = int((1 - self.ratio) * n_times)
        share = torch.rand(n_batch, n - 1, generator=generator)
        share = self.min_ratio + (self.max_ratio - self.min_ratio) * share
        first = (visible // n * share).floor().long().clamp(min=LEAST)
        last = (visible - first.sum(1, keepdim=True)).clamp(min=LEAST)
        lengths = torch.cat([first, last], dim=1)
        n_hidden = n_times - lengths.sum(1, keepdim=True)
        if (n_hidden < 0).any():
            raise _too_short(n_times, f"{n} blocks of {LEAST} samples and more (task.mask.n_visible)")
        weight = torch.rand(n_batch, n + 1, generator=generator) + 1e-6
        # the last of the n + 1 gaps, with the remainder of rounding, is all that follows the last block
        gaps = (weight / weight.sum(1, keepdim=True) * n_hidden).floor().long()[:, :n]
        stops = (gaps + lengths).cumsum(1)
        return everywhere(~inside(stops - lengths, stops, n_times), x)


def _too_short(n_times: int, wanted: str) -> EegfmError:
    return EegfmError(
        f"A window of {n_times} samples does not hold {wanted}. Choose fewer of them, longer windows, or a mask of "
        "eegfm.nn.masks."
    )
