"""How much every channel matters to a backbone that maps places (`contracts.MapsPlaces`), while it trains.

A spatial matrix depends on coordinates, never on a window, so a corpus has one matrix at a time. A channel's importance
has three definitions:

- column mean: the mean over targets of the magnitude of the channel's weights. SAMBA publishes this picture. It shows
  what the first layer lets through, not what the layers behind it use.
- gradient (of a classifier): the gradient of the logit margin with respect to the channel's samples, as root mean
  square over time and mean over validation windows. The margin is the logit of the window's class minus the largest
  other logit; with one logit it is that logit with the sign of the window's class. A gradient is a filter: it is also
  large at a channel that only helps to cancel noise.
- pattern: that filter times the covariance of the data. It shows at which channels the signal appears that the filter
  extracts (Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067, equation 6 for one output). Windows are taken to
  be stationary, so that the covariance of channels and times is the cross-spectrum of the validation windows,
  frequency by frequency. It is a root mean square over time and a mean over windows, like the gradient.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from lightning.pytorch import Callback
from torch import Tensor, nn

from eegfm.contracts import MapsPlaces, Montage
from eegfm.support.checksums import refuse_changed, write_with_sum
from eegfm.tasks.classify import Classify

FILE = "spatial.npz"
FRAMES = 10  # pictures in a row, including the one before training
START = -1  # the "epoch" before training


@dataclass(frozen=True, eq=False)
class Look:
    """The spatial matrix for one montage, and the importance of every channel by each definition."""

    weights: Float[np.ndarray, "target channel"]
    importance: dict[str, Float[np.ndarray, " channel"]]


def maps_places(task: Any) -> bool:
    """Whether the task's backbone has a spatial matrix."""
    backbone = getattr(task, "backbone", None)
    return isinstance(backbone, nn.Module) and isinstance(backbone, MapsPlaces)


def look(task: Any, montages: Mapping[str, Montage], data: Any = None) -> dict[str, Look]:
    """The current spatial matrix and importance of channels, for every montage.

    `data` is a data module after `setup`; with it, the importance of a classifier includes the gradient and the pattern
    on its validation windows.
    """
    looks = {}
    for corpus, montage in montages.items():
        weights = matrix(task.backbone, montage)
        importance = {"column_mean": column_mean(weights)}
        if data is not None and isinstance(task, Classify):
            importance |= gradient_and_pattern(task, data)
        looks[corpus] = Look(weights, importance)
    return looks


def matrix(backbone: Any, montage: Montage) -> Float[np.ndarray, "target channel"]:
    """The spatial matrix for a montage."""
    coords = torch.tensor(
        montage.coords, dtype=torch.float32, device=next(iter(backbone.parameters())).device
    )
    with torch.no_grad():
        return backbone.spatial_weights(coords).float().cpu().numpy()


def column_mean(weights: Float[np.ndarray, "target channel"]) -> Float[np.ndarray, " channel"]:
    """How much the targets see of every channel: the mean magnitude of its weights."""
    return np.abs(weights).mean(axis=0)


def gradient_and_pattern(task: Classify, data: Any) -> dict[str, Float[np.ndarray, " channel"]]:
    """A classifier's "gradient" (logits per µV) and "pattern" (logits times µV), over the validation windows."""
    spectrum = _cross_spectrum(data)
    totals, n = {"gradient": 0.0, "pattern": 0.0}, 0
    # gradients need autograd, and dropout would add noise to them
    with _evaluating(task), torch.enable_grad():
        for batch in _batches(data):
            x = batch.x.to(task.device).requires_grad_()
            logits = task(x, batch.coords.to(task.device)).float()
            (slope,) = torch.autograd.grad(margin(logits, batch.label.to(task.device)).sum(), x)
            slope = slope.double().cpu()
            through = torch.einsum("fcd,bdf->bcf", spectrum, torch.fft.rfft(slope))
            for name, values in (
                ("gradient", slope),
                ("pattern", torch.fft.irfft(through, slope.shape[-1])),
            ):
                totals[name] += values.square().mean(-1).sqrt().sum(0).numpy()
            n += len(x)
    return {name: np.asarray(total) / max(n, 1) for name, total in totals.items()}


def _cross_spectrum(data: Any) -> Complex[Tensor, "frequency channel channel"]:
    """The cross-spectral density of the validation windows, in µV² per sample."""
    total, n = torch.zeros(()), 0
    for batch in _batches(data):
        waves = torch.fft.rfft(batch.x.double())
        total = total + torch.einsum("bcf,bdf->fcd", waves, waves.conj())
        n += len(waves) * batch.x.shape[-1]
    return total / max(n, 1)


def _batches(data: Any) -> Iterator[Any]:
    """The validation windows, in batches."""
    for rows in data.datasets("val").values():
        for start in range(0, len(rows), data.batch_size):
            yield rows.__getitems__(range(start, min(start + data.batch_size, len(rows))))


def margin(logits: Float[Tensor, "batch logit"], label: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """The logit of a window's class minus the largest other logit; with one logit, its value signed by the class."""
    if logits.shape[1] == 1:
        return logits[:, 0] * (2 * label - 1)
    own = torch.nn.functional.one_hot(label, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).amax(1)


class KeepPlaces(Callback):
    """Write the spatial matrices of a fit to `<folder>/spatial.npz`: before training, and after every n-th epoch.

    n keeps the number of frames at or below `FRAMES`. The file holds "epoch" (-1 before training) and, for each corpus,
    "weights/<corpus>" [frame, target, channel]. For the first frame alone it holds each importance as
    "start/<corpus>/<name>". With `judge`, this includes a classifier's gradient and pattern. A resumed fit continues
    the existing file.
    """

    def __init__(self, folder: Path, montages: Mapping[str, Montage], *, judge: bool) -> None:
        self.path, self.montages, self.judge = folder / FILE, montages, judge
        self.arrays: dict[str, Any] = {}

    # not on_fit_start: a backbone with statistics of the training split may not have them by then
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step == 0:
            data: Any = trainer.datamodule if self.judge else None  # type: ignore[attr-defined]
            looks = look(pl_module, self.montages, data)
            self.arrays = {"epoch": np.array([START])}
            for corpus, first in looks.items():
                self.arrays[f"weights/{corpus}"] = first.weights[None]
                self.arrays |= {f"start/{corpus}/{name}": value for name, value in first.importance.items()}
            self._write(trainer)
        elif self.path.exists():
            self.arrays = _read(self.path)
            # epochs after the checkpoint run again
            past = self.arrays["epoch"] < trainer.current_epoch
            for name in ["epoch", *(f"weights/{corpus}" for corpus in self.montages)]:
                self.arrays[name] = self.arrays[name][past]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self.arrays or (trainer.current_epoch + 1) % _every(trainer):
            return
        self.arrays["epoch"] = np.append(self.arrays["epoch"], trainer.current_epoch)
        for corpus, montage in self.montages.items():
            weights = matrix(pl_module.backbone, montage)
            self.arrays[f"weights/{corpus}"] = np.concatenate(
                [self.arrays[f"weights/{corpus}"], weights[None]]
            )
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:
            content = io.BytesIO()
            np.savez(content, **self.arrays)
            write_with_sum(self.path, content.getbuffer())


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames that `KeepPlaces` wrote for one corpus: epochs (-1 before training), matrices, and the first look."""

    epoch: Int[np.ndarray, " frame"]
    weights: Float[np.ndarray, "frame target channel"]
    start: Look


def read_frames(folder: Path) -> dict[str, Frames]:
    """The frames in a run folder, by corpus; empty if there is no file."""
    if not (folder / FILE).exists():
        return {}
    arrays, frames = _read(folder / FILE), {}
    for name in arrays:
        kind, _, corpus = name.partition("/")
        if kind == "weights":
            first = f"start/{corpus}/"
            importance = {
                key.removeprefix(first): array for key, array in arrays.items() if key.startswith(first)
            }
            frames[corpus] = Frames(arrays["epoch"], arrays[name], Look(arrays[name][0], importance))
    return frames


def _read(path: Path) -> dict[str, Any]:
    refuse_changed(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _every(trainer: lightning.Trainer) -> int:
    """Epochs between two frames, so that a fit writes at most `FRAMES` - 1 after the first; 10 if it has no end."""
    epochs = trainer.max_epochs or -1
    if trainer.max_steps > 0:
        of_steps = -(-trainer.max_steps * trainer.accumulate_grad_batches // trainer.num_training_batches)
        epochs = min(epochs, int(of_steps)) if epochs > 0 else int(of_steps)
    return max(1, -(-epochs // (FRAMES - 1))) if epochs > 0 else 10


@contextmanager
def _evaluating(task: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and restore the mode of each module: a frozen backbone and its head have different ones."""
    modes = {module: module.training for module in task.modules()}
    task.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
