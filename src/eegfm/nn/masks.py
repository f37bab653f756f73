"""What is hidden from a model that learns to give windows back, and what drawing straight lines would give instead.

A mask is made for a data set, `Spans(spec, ...)`, and called with windows; it says which samples are hidden. Hidden
samples are set to zero (`hide`), as published by EEGM2's successor SAMBA; there is no mask token, and a model is not
told where it looks at a zero. EEGM2 itself hides nothing: that is no mask at all, None.

`Spans` hides stretches of some seconds, `Blocks` of a part of the window, `Samples` single samples; `Subsequences`
leaves blocks of one length to see, `Semantic` blocks of random lengths. The last four are what SAMBA's masks are meant
to be; as they were published, they are in `eegfm.nn.masks_published`. All keep two promises at every length, or refuse
with a sentence: round(ratio * T) samples of every window are hidden, and over many draws every sample equally often.

Unusual: the polarity is that of the word. True is hidden; the reference's masks are 1 where a sample is visible.
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

    Random numbers come from `generator`, on the CPU, or from torch's global one.
    """

    def __call__(
        self, x: Float[Tensor, "batch channel time"], generator: Generator | None = None
    ) -> Bool[Tensor, "batch channel time"]: ...


class Spans:
    """Hide random stretches of time of about `span_s` seconds, `ratio` of every window, the same on all channels.

    Exactly round(ratio * T) samples of each window are hidden. They are divided into round(hidden / span) spans whose
    lengths differ by one sample at most, so that few long spans may be somewhat longer or shorter than asked. The gaps
    between them are random, spans may touch, and the window is closed to a ring and turned at random: a span that
    passes its end goes on at its beginning, and every sample is hidden equally often.

    Args:
        spec: of the windows; its rate turns seconds into samples.
        ratio: of the samples, above 0 and below 1.
        span_s: length of a span in seconds, one sample at least.
        per_channel: hide other stretches on every channel, which neighbours on the scalp then give away.

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

    As `Spans`, but for the length of a block, which goes with the window's and not with the clock. Published: blocks of
    an eighth, which may lie upon each other and so hide less than they say.

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
    """Hide single samples by chance, `ratio` of every window, the same on all channels.

    A model need not know much to fill such gaps: nearly every hidden sample has a visible neighbour.

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
    """Leave `n_visible` blocks of time to see and hide the rest, `ratio` of every window, the same on all channels.

    The idea is EEG2Rep's, whose masks keep some stretches whole instead of hiding some. Blocks differ by one sample
    at most, a hidden sample is between any two, and the rest of what is hidden is shared out by
    chance. As in `Spans` the window is a ring: a block that passes its end goes on at its beginning.

    Args:
        spec: of the windows.
        ratio: of the samples, above 0 and below 1.
        n_visible: how many blocks are left to see.

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
        most = min(n_hidden, int(n_seen * (1 - self.spread)))  # every block and every gap has a sample
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
    """Temporal semantic random masking: `Subsequences` whose visible blocks have random lengths, from half to one and a
    half times their average, to within a sample. What SAMBA calls TSR or TSRM.
    """

    spread = 0.5


def check_ratio(ratio: float) -> None:
    """Raise EegfmError unless a part of the window is to be hidden."""
    if not 0 < ratio < 1:
        raise EegfmError(
            f"task.mask.ratio={ratio}: a part of the window is wanted, above 0 and below 1. "
            "For no mask: task.mask=null"
        )


def hidden_of(ratio: float, n_times: int) -> int:
    """How many of so many samples are to be hidden. Raises EegfmError for none and for all."""
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
    """Masks that were drawn one a window (or one a channel), for all channels of the windows, where the windows are.

    They are drawn on the CPU wherever x is: a seed then gives one mask on every machine.
    """
    return hidden.view(len(x), -1, x.shape[-1]).to(x.device).expand_as(x)


def scattered(
    rows: int, n_times: int, n_hidden: int, generator: Generator | None
) -> Bool[Tensor, "row time"]:
    """So many samples of each row, all choices equally likely."""
    drawn = torch.rand(rows, n_times, generator=generator)
    chosen = drawn.topk(n_hidden, dim=1, sorted=False).indices  # a threshold would take two that drew alike
    return torch.zeros(rows, n_times, dtype=torch.bool).scatter_(1, chosen, True)


def inside(
    starts: Int[Tensor, "row block"], stops: Int[Tensor, "row block"], n_times: int
) -> Bool[Tensor, "row time"]:
    """The samples that are in any block of their row, from its start to before its stop.

    One that stops before it starts goes on at the beginning.
    """
    # +1 where a block starts, -1 behind its end: the running sum counts the blocks a sample is in
    edges = torch.zeros(len(starts), n_times + 1, dtype=torch.int16)
    one = torch.ones((), dtype=torch.int16).expand_as(starts)
    edges.scatter_add_(1, starts, one).scatter_add_(1, stops, -one)
    edges[:, 0] += (stops < starts).sum(1)
    return edges[:, :-1].cumsum(1, dtype=torch.int16) > 0


def _alike(total: int, n: int) -> Int[Tensor, "1 edge"]:
    """Where n blocks of `total` samples begin and end, laid end to end; lengths differ by one at most."""
    return (torch.arange(n + 1) * total // n)[None]


def _unlike(
    rows: int, total: int, n: int, spread: float, generator: Generator | None
) -> Int[Tensor, "row edge"]:
    """As `_alike`, of random lengths between 1 - spread and 1 + spread times their average, to within a sample."""
    off = torch.rand(rows, n, generator=generator, dtype=torch.float64) - 0.5
    off -= off.mean(1, keepdim=True)  # they still make up the total
    # a row that has left the bounds for it is drawn together
    off *= 2 * spread * (0.5 / off.abs().amax(1, keepdim=True).clamp(min=0.5))
    ends = ((1 + off).cumsum(1) * (total / n) + 0.5).floor().long()
    ends[:, -1] = total
    return torch.cat([ends.new_zeros(rows, 1), ends], dim=1)


def _around(
    rows: int, n_times: int, ends: Int[Tensor, "#row edge"], generator: Generator | None, apart: int = 0
) -> Bool[Tensor, "row time"]:
    """Blocks (see `_alike`) laid by chance on windows that are closed to rings; True inside a block.

    `apart` samples at least are between two blocks.
    """
    n = ends.shape[1] - 1
    free = n_times - int(ends[0, -1]) - apart * n
    # each block's start among the samples outside blocks; then those inside before it are counted in
    gaps = torch.randint(free + 1, (rows, n), generator=generator).sort(1).values + apart * torch.arange(n)
    turn = torch.randint(n_times, (rows, 1), generator=generator)
    starts = (gaps + ends[:, :-1] - turn) % n_times
    return inside(starts, (gaps + ends[:, 1:] - turn) % n_times, n_times)


def hide(
    x: Float[Tensor, "batch channel time"], hidden: Bool[Tensor, "batch channel time"]
) -> Float[Tensor, "batch channel time"]:
    """The windows with zeros where they are hidden."""
    return x.masked_fill(hidden, 0.0)


def interpolate(
    x: Float[Tensor, "batch channel time"], hidden: Bool[Tensor, "batch channel time"]
) -> Float[Tensor, "batch channel time"]:
    """The windows with a straight line across every hidden stretch, from its last to its next visible sample.

    What a model must beat to have learned anything. Beyond the first and the last visible sample their values are held;
    a row without a visible sample becomes zero.
    """
    n_times = x.shape[-1]
    t = torch.arange(n_times, device=x.device).expand(x.shape)
    before = torch.where(hidden, -1, t).cummax(-1).values
    after = torch.where(hidden, n_times, t).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=n_times - 1)
    right = torch.where(after == n_times, before, after).clamp(min=0)
    seen = hide(x, hidden)
    a, b = seen.gather(-1, left), seen.gather(-1, right)
    along = (t - left).to(x.dtype) / (right - left).clamp(min=1)
    return torch.where(hidden, a + (b - a) * along, x)
