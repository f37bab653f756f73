"""Masks that hide samples from a model that learns to reconstruct windows, and straight lines as its rival.

A mask is made for a data set, `Spans(spec, ...)`, and called with windows; it returns which samples are
hidden. Hidden samples are set to zero (`hide`), as in EEGM2's successor SAMBA; there is no mask token, and
a model is not told which zeros are hidden samples. EEGM2 itself hides nothing: its mask is None.

`Spans` hides stretches of some seconds, `Blocks` stretches of a part of the window, `Samples` single
samples; `Subsequences` keeps blocks of equal length visible, `Semantic` blocks of random lengths. The last
four are the intention of SAMBA's masks; `eegfm.nn.masks_published` has them as published. All keep two
promises at every length, or refuse with a message: round(ratio * T) samples of every window are hidden, and
over many draws every sample equally often.

Unusual: True means hidden, as the word says; the reference's masks are 1 where a sample is visible.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from eegfm.contracts import EegfmError, SampleSpec


@runtime_checkable
@runtime_checkable
class Mask(Protocol):
    """Which samples of windows are hidden: True is hidden.

    Random numbers are drawn on the CPU from `generator`, or from torch's global generator.
    """

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]: ...


class Spans:
    """Hide random stretches of time of about `span_s` seconds, `ratio` of every window, the same on all channels.

    Exactly round(ratio * T) samples of each window are hidden. They are divided into round(hidden / span)
    spans whose lengths differ by one sample at most, so that few long spans may be somewhat longer or
    shorter than asked. The gaps between them are random, and spans may touch. The window is a ring, rotated
    at random: a span that passes its end continues at its beginning, and every sample is hidden equally
    often.

    Args:
        spec: spec of the windows; its rate turns seconds into samples.
        ratio: hidden part of the samples, above 0 and below 1.
        span_s: length of a span in seconds, one sample at least.
        per_channel: hide different stretches on every channel, which neighbouring channels may then reveal.

    Raises:
        EegfmError: a ratio or length outside these bounds; when called, windows too short for the ratio.
    """

    def __init__(self, spec: SampleSpec, *, ratio: float, span_s: float, per_channel: bool = False) -> None:
        check_ratio(ratio)
        self.ratio, self.span, self.per_channel = ratio, round(span_s * spec.sfreq), per_channel
        if self.span < 1:
            raise EegfmError(
                f"task.mask.span_s={span_s}: shorter than a sample at {spec.sfreq:g} Hz. "
                f"The least is {1 / spec.sfreq:g}."
            )

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        n_batch, n_channels, n_times = x.shape
        n_hidden = hidden_of(self.ratio, n_times)
        rows = n_batch * (n_channels if self.per_channel else 1)
        ends = _alike(n_hidden, max(1, round(n_hidden / self.span)))
        return everywhere(_around(rows, n_times, ends, generator), x)


class Blocks:
    """Hide random blocks of time, `ratio` of every window, each about a part `1 / per_window` of it, on all channels.

    Like `Spans`, but the length of a block follows that of the window and not the clock. The published
    blocks of an eighth may overlap and so hide less than they say.

    Args:
        spec: of the windows.
        ratio: of the samples, above 0 and below 1.
        per_window: how many blocks fill a window.

    Raises:
        EegfmError: values outside these bounds; when called, windows too short for them.
    """

    def __init__(self, spec: SampleSpec, *, ratio: float, per_window: int = 8) -> None:
        check_ratio(ratio)
        if per_window < 1:
            raise EegfmError(f"task.mask.per_window={per_window}: a window is 1 block at least.")
        self.ratio, self.per_window = ratio, per_window

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        n_times = x.shape[-1]
        n_hidden, length = hidden_of(self.ratio, n_times), n_times // self.per_window
        if not length:
            raise EegfmError(
                f"task.mask.per_window={self.per_window}: a window of {n_times} samples is not that many blocks. "
                f"The most is {n_times}."
            )
        ends = _alike(n_hidden, max(1, round(n_hidden / length)))
        return everywhere(_around(len(x), n_times, ends, generator), x)


class Samples:
    """Hide random single samples, `ratio` of every window, the same on all channels.

    A model can fill such gaps without knowing much: nearly every hidden sample has a visible neighbour.

    Args:
        spec: of the windows.
        ratio: of the samples, above 0 and below 1.

    Raises:
        EegfmError: a ratio outside these bounds; when called, windows too short for it.
    """

    def __init__(self, spec: SampleSpec, *, ratio: float) -> None:
        check_ratio(ratio)
        self.ratio = ratio

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        return everywhere(scattered(len(x), x.shape[-1], hidden_of(self.ratio, x.shape[-1]), generator), x)


class Subsequences:
    """Keep `n_visible` blocks of time visible and hide the rest, `ratio` of every window, the same on all channels.

    The idea is EEG2Rep's, whose masks keep some stretches whole instead of hiding some. Blocks differ by
    one sample at most, any two have a hidden sample between them, and the other hidden samples are
    distributed at random. As in `Spans` the window is a ring: a block that passes its end continues at its
    beginning.

    Args:
        spec: of the windows.
        ratio: of the samples, above 0 and below 1.
        n_visible: how many blocks stay visible.

    Raises:
        EegfmError: values outside these bounds; when called, windows too short for so many blocks.
    """

    spread = 0.0

    def __init__(self, spec: SampleSpec, *, ratio: float, n_visible: int = 8) -> None:
        check_ratio(ratio)
        if n_visible < 1:
            raise EegfmError(f"task.mask.n_visible={n_visible}: 1 block at least is left to see.")
        self.ratio, self.n_visible = ratio, n_visible

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]:
        n_times, n = x.shape[-1], self.n_visible
        n_hidden = hidden_of(self.ratio, n_times)
        n_seen = n_times - n_hidden
        most = min(n_hidden, int(n_seen * (1 - self.spread)))  # every block and every gap needs a sample
        if n > most:
            raise EegfmError(
                f"task.mask.n_visible={n}: of a window of {n_times} samples {n_seen} are left to see and {n_hidden} "
                "are hidden, too few for so many blocks and the gaps between them. Choose longer windows"
                + (f", or fewer blocks: task.mask.n_visible={most}" if most else ".")
            )
        ends = _alike(n_seen, n)
        if self.spread:
            ends = _unlike(len(x), n_seen, n, self.spread, generator)
        return everywhere(~_around(len(x), n_times, ends, generator, apart=1), x)


class Semantic(Subsequences):
    """Temporal semantic random masking (SAMBA's TSR or TSRM): `Subsequences` with visible blocks of random lengths.

    Lengths are from half to one and a half times their average, to within a sample.
    """

    spread = 0.5


def check_ratio(ratio: float) -> None:
    """Raise EegfmError unless the ratio hides a part of the window."""
    if not 0 < ratio < 1:
        raise EegfmError(
            f"task.mask.ratio={ratio}: a part of the window is wanted, above 0 and below 1. "
            "For no mask: task.mask=null"
        )


def hidden_of(ratio: float, n_times: int) -> int:
    """How many of `n_times` samples to hide. Raises EegfmError for none and for all."""
    n_hidden = round(ratio * n_times)
    if not 0 < n_hidden < n_times:
        raise EegfmError(
            f"task.mask.ratio={ratio} of a window of {n_times} samples hides {n_hidden} of them. "
            "Choose another ratio, or longer windows."
        )
    return n_hidden


def everywhere(
    hidden: Bool[Tensor, "row time"], x: Float[Tensor, "batch channel time"]
) -> Bool[Tensor, "batch channel time"]:
    """Expand masks, drawn per window or per channel, to all channels of the windows, and move them to their device.

    They are drawn on the CPU, whatever x's device, so that a seed gives one mask on every machine.
    """
    return hidden.view(len(x), -1, x.shape[-1]).to(x.device).expand_as(x)


def scattered(
    rows: int, n_times: int, n_hidden: int, generator: Generator | None
) -> Bool[Tensor, "row time"]:
    """`n_hidden` samples of each row, with all choices equally likely."""
    drawn = torch.rand(rows, n_times, generator=generator)
    chosen = drawn.topk(n_hidden, dim=1, sorted=False).indices  # a threshold would take two equal draws
    return torch.zeros(rows, n_times, dtype=torch.bool).scatter_(1, chosen, True)


def inside(
    starts: Int[Tensor, "row block"], stops: Int[Tensor, "row block"], n_times: int
) -> Bool[Tensor, "row time"]:
    """The samples in any block of their row; a block includes its start and excludes its stop.

    A block that stops before it starts continues at the row's beginning.
    """
    # +1 where a block starts, -1 after its end: the running sum counts the blocks that hold a sample
    edges = torch.zeros(len(starts), n_times + 1, dtype=torch.int16)
    one = torch.ones((), dtype=torch.int16).expand_as(starts)
    edges.scatter_add_(1, starts, one).scatter_add_(1, stops, -one)
    edges[:, 0] += (stops < starts).sum(1)
    return edges[:, :-1].cumsum(1, dtype=torch.int16) > 0


def _alike(total: int, n: int) -> Int[Tensor, "1 edge"]:
    """The borders of n adjacent blocks of `total` samples, whose lengths differ by one at most."""
    return (torch.arange(n + 1) * total // n)[None]


def _unlike(
    rows: int, total: int, n: int, spread: float, generator: Generator | None
) -> Int[Tensor, "row edge"]:
    """Like `_alike`, with random lengths of 1 - spread to 1 + spread times their average, to within a sample."""
    off = torch.rand(rows, n, generator=generator, dtype=torch.float64) - 0.5
    off -= off.mean(1, keepdim=True)  # the lengths still add up to the total
    # a row that this has moved beyond the bounds is shrunk
    off *= 2 * spread * (0.5 / off.abs().amax(1, keepdim=True).clamp(min=0.5))
    ends = ((1 + off).cumsum(1) * (total / n) + 0.5).floor().long()
    ends[:, -1] = total
    return torch.cat([ends.new_zeros(rows, 1), ends], dim=1)


def _around(
    rows: int, n_times: int, ends: Int[Tensor, "#row edge"], generator: Generator | None, apart: int = 0
) -> Bool[Tensor, "row time"]:
    """Blocks (see `_alike`) at random places on windows that are rings; True inside a block.

    At least `apart` samples lie between two blocks.
    """
    n = ends.shape[1] - 1
    free = n_times - int(ends[0, -1]) - apart * n
    # each block's start among the samples outside blocks; then samples inside earlier blocks are added
    gaps = torch.randint(free + 1, (rows, n), generator=generator).sort(1).values + apart * torch.arange(n)
    turn = torch.randint(n_times, (rows, 1), generator=generator)
    starts = (gaps + ends[:, :-1] - turn) % n_times
    return inside(starts, (gaps + ends[:, 1:] - turn) % n_times, n_times)


def hide(
    x: Float[Tensor, "batch channel time"], hidden: Bool[Tensor, "batch channel time"]
) -> Float[Tensor, "batch channel time"]:
    """The windows with zeros in place of hidden samples."""
    return x.masked_fill(hidden, 0.0)


def interpolate(
    x: Float[Tensor, "batch channel time"], hidden: Bool[Tensor, "batch channel time"]
) -> Float[Tensor, "batch channel time"]:
    """The windows with a straight line across every hidden stretch, from its last to its next visible sample.

    A model must beat it to have learned anything. Beyond the first and the last visible sample their values
    are held; a row without a visible sample becomes zero.
    """
    n_times = x.shape[-1]
    t = torch.arange(n_times, device=x.device).expand(x.shape)
    before = torch.where(hidden, -1, t).cummax(-1).values
    after = torch.where(hidden, n_times, t).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=n_times - 1)
    right = torch.where(after == n_times, before, after).clamp(min=0)
    visible = hide(x, hidden)
    a, b = visible.gather(-1, left), visible.gather(-1, right)
    along = (t - left).to(x.dtype) / (right - left).clamp(min=1)
    return torch.where(hidden, a + (b - a) * along, x)
