"""The U-Net along time that EEGM2 and SAMBA share, and its parts.

A causal network goes through a recording piece by piece. Its layers take the past that they need from a
`Carry`, and leave there what the next piece needs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.covariance import log_covariance, n_pairs
from eegfm.nn.mamba2 import Mamba2

BLOCK = 8  # samples per step of the bottleneck: three halvings
BRANCHES = (1, 3, 7)  # samples that the three convolutions of the input see
EPSILON = 1e-5  # added to a variance under its root, so that a flat stretch has a gradient

Pooling = Literal["mean_std", "mean", "logcov"]
Body = Literal[
    "pool3", "bottleneck", "mixer3", "rise2", "mixer2"
]  # layers that an embedding can be taken from


class Carry:
    """The memory of a stream during a piece: what every layer kept from the last piece and keeps for the next.

    Layers use it in the same order every time, so that the memory is a tuple. None is an empty past.
    """

    def __init__(self, past: Sequence[Any] | None) -> None:
        self._past: Iterator[Any] | None = None if past is None else iter(past)
        self._kept: list[Any] = []

    def take(self) -> Any:
        """The value that this layer kept from the last piece; None at the beginning."""
        return None if self._past is None else next(self._past)

    def keep(self, value: Any) -> None:
        self._kept.append(value)

    @property
    def kept(self) -> tuple[Any, ...]:
        return tuple(self._kept)


class Conv(nn.Conv1d):
    """A convolution along time that keeps the length: centred, or with `causal` over the past only.

    `kernel_size` is odd. The parameters are those of torch's layer, which the centred convolution equals.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, causal: bool) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=0 if causal else kernel_size // 2)
        self.n_past = kernel_size - 1 if causal else 0

    def forward(
        self, input: Float[Tensor, "batch channel time"], carry: Carry | None = None
    ) -> Float[Tensor, "batch feature time"]:
        if not self.n_past:
            return super().forward(input)
        past = None if carry is None else carry.take()
        if past is None:
            past = input.new_zeros(*input.shape[:2], self.n_past)
        seen = torch.cat([past, input], dim=-1)
        if carry is not None:
            # cloned, because a view would keep the whole piece alive
            carry.keep(seen[..., seen.shape[-1] - self.n_past :].clone())
        return super().forward(seen)


def lift(
    h: Float[Tensor, "batch channel coarse"], n_times: int, *, hold: bool
) -> Float[Tensor, "batch channel fine"]:
    """Double the moments of time, to `n_times`: linear between neighbours, or each held twice.

    Linear interpolation reads the next moment; holding reads no later one.
    """
    if hold:
        return h.repeat_interleave(2, dim=-1)[..., :n_times]
    return F.interpolate(h, size=n_times, mode="linear", align_corners=False)


class Rise(nn.Module):
    """`lift` as a layer, so that its output can be probed."""

    def __init__(self, *, hold: bool) -> None:
        super().__init__()
        self.hold = hold

    def forward(
        self, h: Float[Tensor, "batch channel coarse"], n_times: int
    ) -> Float[Tensor, "batch channel fine"]:
        return lift(h, n_times, hold=self.hold)


class Branches(nn.Module):
    """Three convolutions over 1, 3 and 7 samples side by side, fused by a linear layer."""

    def __init__(self, n_channels: int, width: int, *, causal: bool) -> None:
        super().__init__()
        self.branch1, self.branch3, self.branch7 = (
            Conv(n_channels, width, size, causal=causal) for size in BRANCHES
        )
        self.fuse = nn.Conv1d(len(BRANCHES) * width, width, 1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], carry: Carry | None = None
    ) -> Float[Tensor, "batch width time"]:
        branches = (self.branch1, self.branch3, self.branch7)
        return self.fuse(torch.cat([branch(x, carry) for branch in branches], dim=1))


class Residual(nn.Module):
    """x + norm(mix(x)); it can stream if `mix` is a Mamba-2."""

    def __init__(self, mix: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.mix = mix
        self.norm = norm

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        if carry is None:
            return x + self.norm(self.mix(x))
        assert isinstance(self.mix, Mamba2)
        h, state = self.mix.stream(x, carry.take())
        carry.keep(state)
        return x + self.norm(h)


class Steps(nn.Sequential):
    """Layers in a row; the mixers among them receive the memory of a stream."""

    def forward(
        self, input: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        for module in self:
            # without a stream to every layer alike: an adapted nn.Linear is one no more
            plain = carry is None or isinstance(module, nn.Linear)
            input = module(input) if plain else module(input, carry)
        return input


class Stream(NamedTuple):
    """A causal U-Net's memory between two pieces: samples of an incomplete block, and what layers keep."""

    waiting: Float[Tensor, "batch channel rest"]
    layers: tuple[Any, ...] | None


class MambaUNet(nn.Module):
    """The U-Net of EEGM2 and SAMBA: three halvings, sequence mixers along time, skips at every rate.

    A model is built by `_make`; its `_through` adds the steps before and after. `causal` makes convolutions
    look back only, and holds values in the decoder where linear interpolation looks ahead; windows are then
    padded with zeros to whole blocks of 8 samples, and no output depends on an input after its block.
    """

    causal: bool
    layer: str

    def _make(
        self,
        widths: Sequence[int],
        *,
        embedding: nn.Module,
        conv: Callable[[int, int], nn.Module],
        first: Callable[[int], nn.Module],
        middle: Callable[[int], nn.Module] | None,
        mixed: Callable[[int], nn.Module],
    ) -> None:
        """Make the layers, in the order of the references' state dicts. Without a `middle`, make only the encoder.

        `embedding` and `conv` see [batch feature time]; `first`, `middle` and `mixed`, of one width, see
        [batch time width].
        """
        w1, w2, w3 = widths
        # modules by path, with the axis of time in their output
        self.time_axis: dict[str, int] = {"input_embedding": 2, "encoder1": 1, "pool1": 2, "encoder2": 2}
        self.time_axis |= {"pool2": 2, "encoder3": 2, "pool3": 2}
        self.input_embedding = embedding
        self.encoder1 = first(w1)
        self.pool1 = nn.MaxPool1d(2, 2)
        self.encoder2 = conv(w1, w2)
        self.pool2 = nn.MaxPool1d(2, 2)
        self.encoder3 = conv(w2, w3)
        self.pool3 = nn.MaxPool1d(2, 2)
        if middle is None:
            return
        self.bottleneck = middle(w3)
        self.rise3, self.rise2, self.rise1 = (Rise(hold=self.causal) for _ in range(3))
        self.decoder3 = conv(w3 + w3, w3)
        self.mixer3 = mixed(w3)
        self.decoder2 = conv(w2 + w3, w2)
        self.mixer2 = mixed(w2)
        self.decoder1 = conv(w1 + w2, w1)
        self.time_axis |= {
            "bottleneck": 1,
            "rise3": 2,
            "decoder3": 2,
            "mixer3": 1,
            "rise2": 2,
            "decoder2": 2,
        }
        self.time_axis |= {"mixer2": 1, "rise1": 2, "decoder1": 2}

    def adapted_layers(self) -> Sequence[str]:
        """The parts that an embedding passes; of the decoder only what comes before `layer`."""
        encoder = ["input_embedding", "encoder1", "encoder2", "encoder3"]
        way = ["bottleneck", "decoder3", "mixer3", "decoder2", "mixer2", "decoder1", "output_embedding"]
        passed = {"pool3": 0, "bottleneck": 1, "mixer3": 3, "rise2": 3, "mixer2": 5}
        return encoder + way[: passed.get(self.layer)]

    @property
    def latency(self) -> int | None:
        """The most samples that an output waits for if `causal`; None for the whole window."""
        return BLOCK - 1 if self.causal else None

    def stream(
        self,
        x: Float[Tensor, "batch channel time"],
        coords: Float[Tensor, "channel 3"],
        state: Stream | None = None,
    ) -> tuple[Float[Tensor, "batch channel ready"], Stream]:
        """Process the next piece of a recording: returns the finished output and the state for the next piece.

        Output is finished for complete blocks of 8 samples; the pieces' outputs in a row equal that of one
        pass, to rounding, and start at the first sample. At the end, pass zeros for the missing samples of
        the last block.

        Raises EegfmError if the network is not causal.
        """
        self._check_streams()
        if state is not None:
            x = torch.cat([state.waiting, x], dim=-1)
        ready = x.shape[-1] // BLOCK * BLOCK
        layers = None if state is None else state.layers
        waiting = x[..., ready:].clone()  # a view would keep the whole piece alive
        if not ready:
            return x[..., :0], Stream(waiting, layers)
        carry = Carry(layers)
        return self._through(x[..., :ready], coords, carry), Stream(waiting, carry.kept)

    def initial_state(self, x: Float[Tensor, "batch channel time"]) -> Stream:
        """The empty past of a stream like `x`, as tensors of their final shapes, for exporting `stream` with its state.

        Raises EegfmError if the network cannot stream.
        """
        with torch.no_grad():
            block = x.new_zeros(*x.shape[:2], BLOCK)
            _, (waiting, layers) = self.stream(block, block.new_zeros(x.shape[1], 3))
        return Stream(waiting, tuple(_emptied(layer) for layer in layers or ()))

    def _check_streams(self) -> None:
        if not self.causal:
            raise EegfmError(f"Only a causal {type(self).__name__} can stream. Type model.causal=true")

    def _check_spec(self, spec: SampleSpec) -> None:
        if len(spec.shape) != 2:
            raise EegfmError(
                f"{type(self).__name__} reads raw windows, (channel, time), and these samples have shape "
                f"{tuple(spec.shape)}: an encoder's vectors. Type encoder=raw."
            )

    def _check_length(self, n_times: int) -> None:
        if n_times < BLOCK:
            raise EegfmError(
                f"{type(self).__name__} halves windows three times: it takes {BLOCK} samples or more, of any number, "
                f"and these have {n_times}."
            )

    def _through(self, x: Tensor, coords: Tensor, carry: Carry | None = None) -> Tensor:
        """Reconstruct windows of whole blocks."""
        raise NotImplementedError

    def _down(self, x: Tensor, carry: Carry | None = None) -> tuple[list[Tensor], Tensor]:
        """The skips at full, half and quarter rate, and the output of the encoder, [batch width time/8]."""
        h = self.input_embedding(x, carry)
        x1 = self.encoder1(h.transpose(1, 2), carry).transpose(1, 2)
        x2 = self.encoder2(self.pool1(x1), carry)
        x3 = self.encoder3(self.pool2(x2), carry)
        return [x1, x2, x3], self.pool3(x3)

    def _middle(self, h: Tensor, carry: Carry | None = None) -> Tensor:
        return self.bottleneck(h.transpose(1, 2), carry).transpose(1, 2)

    def _quarter(self, skips: list[Tensor], h: Tensor, carry: Carry | None = None) -> Tensor:
        """The decoder at a quarter of the rate: mixer3."""
        h = self.decoder3(torch.cat([skips[2], self.rise3(h, skips[2].shape[-1])], dim=1), carry)
        return self.mixer3(h.transpose(1, 2), carry).transpose(1, 2)

    def _half(self, skips: list[Tensor], h: Tensor, carry: Carry | None = None) -> Tensor:
        """The decoder up to half the rate: mixer2."""
        h = self.rise2(self._quarter(skips, h, carry), skips[1].shape[-1])
        h = self.decoder2(torch.cat([skips[1], h], dim=1), carry)
        return self.mixer2(h.transpose(1, 2), carry).transpose(1, 2)

    def _up(self, skips: list[Tensor], h: Tensor, carry: Carry | None = None) -> Tensor:
        """The decoder up to the full rate, [batch width time]."""
        h = self.rise1(self._half(skips, h, carry), skips[0].shape[-1])
        return self.decoder1(torch.cat([skips[0], h], dim=1), carry)

    def _looked_at(self, skips: list[Tensor], h: Tensor) -> Float[Tensor, "batch feature time"]:
        """The output of `layer`, one of `Body`, from what `_down` gives."""
        if self.layer == "pool3":
            return h
        h = self._middle(h)
        if self.layer == "bottleneck":
            return h
        if self.layer == "mixer2":
            return self._half(skips, h)
        h = self._quarter(skips, h)
        return h if self.layer == "mixer3" else self.rise2(h, skips[1].shape[-1])

    def _filled(self, x: Tensor) -> Tensor:
        """Pad to whole blocks if the network is causal: a stream would complete the last block."""
        return F.pad(x, (0, -x.shape[-1] % BLOCK)) if self.causal else x


def pooled(h: Float[Tensor, "batch feature time"], pooling: Pooling) -> Float[Tensor, "batch width"]:
    """The mean of every feature over time, with "mean_std" also its standard deviation; or `log_covariance`."""
    if pooling == "mean":
        return h.mean(-1)
    if pooling == "logcov":
        return log_covariance(h)
    h = h.to(torch.promote_types(h.dtype, torch.float32))  # a variance needs at least these bits
    return torch.cat([h.mean(-1), (h.var(-1, correction=0) + EPSILON).sqrt()], dim=1)


def pooled_width(n_features: int, pooling: Pooling) -> int:
    """The length of what `pooled` gives."""
    return {"mean": n_features, "mean_std": 2 * n_features, "logcov": n_pairs(n_features)}[pooling]


def _emptied(value: Any) -> Any:
    """The same structure with zeros in every tensor: an empty past."""
    return torch.zeros_like(value) if isinstance(value, Tensor) else type(value)(*map(_emptied, value))
