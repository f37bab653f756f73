"""What is hidden from a model that learns to give windows back, and what drawing straight lines would give instead.

A mask is made for a data set, `Spans(spec, ...)`, and called with windows; it says which samples are hidden. Hidden
samples are set to zero (`hide`), as published by EEGM2's successor SAMBA; there is no mask token, and a model is not
told where it looks at a zero. EEGM2 itself hides nothing: that is no mask at all, None.

Unusual: the polarity is that of the word. True is hidden; the reference's masks are 1 where a sample is visible.
"""

from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from eegfm.contracts import EegfmError, SampleSpec


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
        if not 0 < ratio < 1:
            raise EegfmError(
                f"task.mask.ratio={ratio}: a part of the window is wanted, above 0 and below 1. "
                "For no mask: task.mask=null"
            )
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
        n_hidden = round(self.ratio * n_times)
        if not 0 < n_hidden < n_times:
            raise EegfmError(
                f"task.mask.ratio={self.ratio} of a window of {n_times} samples hides {n_hidden} of them. "
                "Choose another ratio, or longer windows."
            )
        rows = n_batch * (n_channels if self.per_channel else 1)
        n_spans = max(1, round(n_hidden / self.span))
        ends = torch.arange(n_spans + 1) * n_hidden // n_spans  # of the spans, were there no gaps
        # each span's start among the visible samples; then the hidden ones before it are counted in
        gaps = torch.randint(n_times - n_hidden + 1, (rows, n_spans), generator=generator).sort(1).values
        turn = torch.randint(n_times, (rows, 1), generator=generator)
        # +1 where a span starts, -1 behind its end: the running sum is 1 inside. Touching spans cancel out.
        edges = torch.zeros(rows, n_times + 1, dtype=torch.int32)
        one = torch.ones((), dtype=torch.int32).expand(rows, n_spans)
        edges.scatter_add_(1, gaps + ends[:-1], one).scatter_add_(1, gaps + ends[1:], -one)
        hidden = edges[:, :-1].cumsum(1) > 0
        hidden = hidden.gather(1, (torch.arange(n_times) + turn) % n_times)
        # drawn on the CPU wherever x is: a seed then gives one mask on every machine
        return hidden.view(n_batch, -1, n_times).expand_as(x).to(x.device)


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
