"""A trained task along a recording of any length: the causal stream, cross-faded windows, probabilities of windows.

`take(start, stop)` returns a signal, microvolts [channel, time]; nothing here holds more than a piece of
it. All windows and pieces go through the task as in its tests: eval mode, nothing hidden, its own scale.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eegfm.contracts import EegfmError, Encodes
from eegfm.nn.scaling import unit_of
from eegfm.tasks.metrics import probabilities

Take = Callable[[int, int], Float[np.ndarray, "channel time"]]
PIECE = 2048  # samples of a stream that pass the network at once: bounds memory and fits a cache
STRETCH = 12_288  # samples from which windows are cut: a minute at 200 Hz
BATCH = 16  # windows at once


class Back(NamedTuple):
    """A reconstructed stretch: its first sample, the signal, and the model's output, in microvolts."""

    start: int
    true: Float[np.ndarray, "channel time"]
    pred: Float[np.ndarray, "channel time"]


class Step(nn.Module):
    """Passes a piece through a causal backbone: microvolts and memory (a flat list of tensors) in and out."""

    def __init__(self, backbone: Any, coords: Float[Tensor, "channel 3"], scale: float) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale
        device = next(backbone.parameters()).device
        self._like = backbone.initial_state(torch.zeros(1, len(coords), 8, device=device))
        self.register_buffer("coords", coords.to(device, torch.float32), persistent=False)

    @property
    def empty(self) -> list[Tensor]:
        """The memory at the start of a recording."""
        return [torch.zeros_like(tensor) for tensor in _tensors(self._like)]

    def forward(
        self, x: Float[Tensor, "1 channel time"], state: list[Tensor]
    ) -> tuple[Float[Tensor, "1 channel ready"], list[Tensor]]:
        y, after = self.backbone.stream(x / self.scale, self.coords, _filled(self._like, iter(state)))
        return y * self.scale, _tensors(after)


def can_stream(backbone: Any) -> bool:
    """Whether the model can go through a recording with a memory: Eegm2 or Samba with causal=true."""
    return getattr(backbone, "causal", False) and not getattr(backbone, "light", False)


def stepper(task: Any, coords: Float[Tensor, "channel 3"]) -> Step:
    """The causal backbone of a reconstruction as a `Step`, for channels at `coords`.

    Raises EegfmError if the backbone is not causal, or if its scale is computed from a whole window.
    """
    if not can_stream(task.backbone):
        raise EegfmError(
            "This model sees the future of a sample and has no memory to carry on. Train one with model=eegm2 "
            "model.causal=true model.light=false task=reconstruct."
        )
    scale = unit_of(task.scale, task.backbone)
    if isinstance(scale, str):
        raise EegfmError(
            f"task.scale={task.scale} divides a window by a number that its last sample may change; a stream has no "
            "last sample. Train with a scale that is known beforehand: task.scale=100"
        )
    return Step(task.backbone, coords, 1.0 if scale is None else float(scale))


def streamed(
    task: Any,
    pieces: Iterable[Float[np.ndarray, "channel _"]],
    *,
    coords: Float[Tensor, "channel 3"],
    device: Any = "cpu",
) -> Iterator[Back]:
    """Run a causal model over the pieces of a recording; up to rounding, it equals one pass over the whole.

    Yields finished samples in blocks of 8, and the rest at the end. Raises EegfmError as `stepper` does.
    """
    task.backbone.to(device)
    step = stepper(task, coords).eval()
    state, start = step.empty, 0
    waiting = np.empty((len(coords), 0), dtype=np.float32)
    for piece in pieces:
        for part in np.split(piece, range(PIECE, piece.shape[1], PIECE), axis=1):
            x = np.ascontiguousarray(part, dtype=np.float32)
            with torch.inference_mode():
                y, state = step(torch.from_numpy(x)[None].to(device), state)
            waiting = np.concatenate([waiting, x], axis=1)
            ready = y.shape[-1]
            if ready:
                yield Back(start, waiting[:, :ready], y[0].cpu().numpy())
            start, waiting = start + ready, waiting[:, ready:]
    if waiting.shape[1]:
        rest = waiting.shape[1]
        # a pass over the whole recording fills the last block with zeros as well
        fill = torch.zeros(1, len(waiting), -rest % 8, device=device)
        with torch.inference_mode():
            y, _ = step(fill, state)
        yield Back(start, waiting, y[0, :, :rest].cpu().numpy())


def cross_faded(
    task: Any,
    take: Take,
    n_times: int,
    *,
    window: int,
    hop: int,
    coords: Float[Tensor, "channel 3"],
    device: Any = "cpu",
) -> Iterator[Back]:
    """Run a model of whole windows over a recording: one every `hop` samples, faded into one another.

    A sample is the mean of the windows that hold it, weighted by the square of a sine over each window: 0
    at its ends, where the model knows least, 1 in its middle. The last window ends where the recording
    ends.

    The result differs from a single pass: for a small Eegm2 with its random initial weights, by 0.2 % of
    the output (root mean square) for windows of 800 samples every 400, and by 2 % for 64 every 32.

    Raises EegfmError for a recording shorter than a window.
    """
    _at_least_a_window(n_times, window)
    weight = np.sin(np.pi * (np.arange(window) + 0.5) / window)[None] ** 2
    starts = np.array([*range(0, n_times - window, hop), n_times - window])
    total = np.zeros(
        (len(coords), 0)
    )  # sum of the windows that hold samples from `done` on; `weights` is that of their weights
    weights = np.zeros((1, 0))
    done = 0
    groups = _groups(starts, window, hop)
    for group, after in zip(groups, [*(later[0] for later in groups[1:]), n_times], strict=True):
        assert done == group[0]  # all samples before the first of these windows were yielded
        signal = take(done, int(group[-1]) + window).astype(np.float32)
        more = signal.shape[1] - total.shape[1]
        total, weights = (np.pad(a, ((0, 0), (0, more))) for a in (total, weights))
        for x, places in _batches(signal, group - done, window):
            with torch.inference_mode():
                backs = task(x.to(device), coords).cpu().numpy()
            for back, place in zip(backs, places, strict=True):
                total[:, place : place + window] += weight * back
                weights[:, place : place + window] += weight
        n = int(after) - done
        yield Back(done, signal[:, :n], (total[:, :n] / weights[:, :n]).astype(np.float32))
        done, total, weights = int(after), total[:, n:], weights[:, n:]


def judged(
    task: Any,
    encoder: Encodes | None,
    take: Take,
    n_times: int,
    *,
    window: int,
    hop: int,
    coords: Float[Tensor, "channel 3"],
    device: Any = "cpu",
) -> Iterator[tuple[Int[np.ndarray, " window"], Float[np.ndarray, "window class"]]]:
    """Yield the first samples and class probabilities of all whole windows, one every `hop` samples.

    Raises EegfmError for a recording shorter than a window.
    """
    _at_least_a_window(n_times, window)
    starts = np.arange(0, n_times - window + 1, hop)
    for group in _groups(starts, window, hop):
        signal = take(int(group[0]), int(group[-1]) + window).astype(np.float32)
        for x, places in _batches(signal, group - group[0], window):
            with torch.inference_mode():
                x = x if encoder is None else embedded(encoder, x)
                found = probabilities(task(x.to(device), coords))
            yield places + group[0], found


def embedded(
    encoder: Encodes, x: Float[Tensor, "window channel time"]
) -> Float[Tensor, "window channel second width"]:
    """Windows as an encoder's store holds them: each second of each channel alone, rounded to 16 bits."""
    per_second = round(encoder.sfreq)
    n, channels, n_times = x.shape
    vectors = encoder.encode(x.reshape(-1, per_second))
    return vectors.cpu().half().float().reshape(n, channels, n_times // per_second, -1)


class Seconds:
    """Means over every second of a signal that comes in pieces."""

    def __init__(self, n_channels: int, sfreq: float) -> None:
        self.sfreq, self.done, self.second = sfreq, 0, 0
        self.sum, self.count = np.zeros(n_channels), 0

    def add(
        self, values: Float[np.ndarray, "channel time"]
    ) -> Iterator[tuple[int, Float[np.ndarray, " channel"]]]:
        """The seconds that these values complete."""
        start = 0
        while start < values.shape[1]:
            after = math.ceil((self.second + 1) * self.sfreq - 1e-6)  # the first sample of the next second
            part = values[:, start : start + after - self.done]
            self.sum += part.sum(axis=1)
            self.count += part.shape[1]
            self.done += part.shape[1]
            start += part.shape[1]
            if self.done == after:
                yield self.second, self.sum / self.count
                self.sum, self.count, self.second = self.sum * 0, 0, self.second + 1

    def rest(self) -> Iterator[tuple[int, Float[np.ndarray, " channel"]]]:
        """The last, incomplete second."""
        if self.count:
            yield self.second, self.sum / self.count


def export(task: Any, path: Path, *, coords: Float[Tensor, "channel 3"], samples: int = 8) -> None:
    """Save the causal model as a program of torch.export: (x, state) -> (y, state), `samples` at a time.

    A model that reads electrode places is exported for channels at `coords`. x and y are [1, channel,
    samples] in microvolts, and the state is a list of tensors, zeros at the start of a recording.
    `torch.export.load(path)` loads the program without this package; its `example_inputs[0]` are a piece of
    silence and the empty state. Raises EegfmError as `stepper` does, and if `samples` is no multiple of 8.
    """
    if samples < 8 or samples % 8:
        raise EegfmError(f"samples={samples}: a piece is whole blocks of 8 samples.")
    task = copy.deepcopy(task.cpu()).requires_grad_(False)
    step = stepper(task, coords).eval()
    x = torch.zeros(1, len(coords), samples)
    with torch.no_grad():
        program = torch.export.export(step, (x, step.empty))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path)


def _groups(starts: Int[np.ndarray, " window"], window: int, hop: int) -> list[Int[np.ndarray, " part"]]:
    """Windows whose signal is taken at once; each stretch also costs its surroundings, so long ones are cheaper."""
    n = max(1, 1 + (STRETCH - window) // hop)
    return np.split(starts, range(n, len(starts), n))


def _batches(
    signal: Float[np.ndarray, "channel time"], places: Int[np.ndarray, " window"], window: int
) -> Iterator[tuple[Float[Tensor, "batch channel window"], Int[np.ndarray, " batch"]]]:
    """The windows that begin at some places of a signal, a few at once."""
    for some in np.split(places, range(BATCH, len(places), BATCH)):
        yield torch.from_numpy(np.stack([signal[:, place : place + window] for place in some])), some


def _at_least_a_window(n_times: int, window: int) -> None:
    if n_times < window:
        raise EegfmError(
            f"The recording has {n_times:,} samples after its steps, and a window of this run {window:,}. "
            "Choose a longer recording."
        )


def _tensors(value: Any) -> list[Tensor]:
    """The tensors of nested tuples in their order."""
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in _tensors(part)]


def _filled(like: Any, tensors: Iterator[Tensor]) -> Any:
    """Nested tuples of the shape of `like`, holding the given tensors."""
    if isinstance(like, Tensor):
        return next(tensors)
    parts = [_filled(part, tensors) for part in like]
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)
