"""What a backbone that maps places (`contracts.MapsPlaces`) sees of every channel, while it learns.

A spatial matrix is one of coordinates, never of a window, so a corpus has one matrix at a time. Three definitions of
how much a channel matters:

- column mean: the mean over targets of the magnitude of its weights. This is the picture that SAMBA publishes. It says
  what the first layer lets through, not what the layers behind it use.
- gradient: of a classifier, the mean over validation windows of the root mean square over time of the gradient of the
  logit margin with respect to the channel's samples. The margin is the logit of the window's class less the largest
  other one; of one logit, that logit with the sign of the window's class. A gradient is a filter: it is large too
  where a channel is of use to cancel noise.
- pattern: that filter times the covariance of the data, which says where what the filter takes out is seen (Haufe et
  al. 2014, doi:10.1016/j.neuroimage.2013.10.067, equation 6 for one output). Windows are held for stationary, so that
  the covariance of channels and moments is the cross-spectrum of the validation windows, frequency by frequency. Root
  mean square over time, mean over windows, as for the gradient.
"""

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
from eegfm.files import whole
from eegfm.tasks.classify import Classify

FILE = "spatial.npz"
FRAMES = 10  # pictures in a row, the one before training among them
START = -1  # the epoch that stands for: before training


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of one montage: the spatial matrix, and how much every channel matters by each definition."""

    weights: Float[np.ndarray, "target channel"]
    importance: dict[str, Float[np.ndarray, " channel"]]


def maps_places(task: Any) -> bool:
    """Whether the task's backbone is one."""
    backbone = getattr(task, "backbone", None)
    return isinstance(backbone, nn.Module) and isinstance(backbone, MapsPlaces)


def look(task: Any, montages: Mapping[str, Montage], data: Any = None) -> dict[str, Look]:
    """What the backbone of a task sees of every montage as it is now.

    With `data`, a data module set up, a classifier's gradient and pattern on its validation windows as well.
    """
    found = {}
    for corpus, montage in montages.items():
        weights = matrix(task.backbone, montage)
        importance = {"column_mean": column_mean(weights)}
        if data is not None and isinstance(task, Classify):
            importance |= judged(task, data)
        found[corpus] = Look(weights, importance)
    return found


def matrix(backbone: Any, montage: Montage) -> Float[np.ndarray, "target channel"]:
    """The spatial matrix for a montage."""
    coords = torch.tensor(
        montage.coords, dtype=torch.float32, device=next(iter(backbone.parameters())).device
    )
    with torch.no_grad():
        return backbone.spatial_weights(coords).float().cpu().numpy()


def column_mean(weights: Float[np.ndarray, "target channel"]) -> Float[np.ndarray, " channel"]:
    """How much of every channel the targets see: the mean magnitude of its weights."""
    return np.abs(weights).mean(axis=0)


def judged(task: Classify, data: Any) -> dict[str, Float[np.ndarray, " channel"]]:
    """A classifier's "gradient" (logits per µV) and "pattern" (logits times µV), over the validation windows."""
    spectrum = _cross_spectrum(data)
    found, n = {"gradient": 0.0, "pattern": 0.0}, 0
    # not inference mode, and no noise: what the classifier would say
    with _judging(task), torch.enable_grad():
        for batch in _batches(data):
            x = batch.x.to(task.device).requires_grad_()
            logits = task(x, batch.coords.to(task.device)).float()
            (slope,) = torch.autograd.grad(margin(logits, batch.label.to(task.device)).sum(), x)
            slope = slope.double().cpu()
            through = torch.einsum("fcd,bdf->bcf", spectrum, torch.fft.rfft(slope))
            for name, one in (("gradient", slope), ("pattern", torch.fft.irfft(through, slope.shape[-1]))):
                found[name] += one.square().mean(-1).sqrt().sum(0).numpy()
            n += len(x)
    return {name: np.asarray(total) / max(n, 1) for name, total in found.items()}


def _cross_spectrum(data: Any) -> Complex[Tensor, "frequency channel channel"]:
    """The cross-spectral density of the validation windows, µV² a sample."""
    total, n = torch.zeros(()), 0
    for batch in _batches(data):
        waves = torch.fft.rfft(batch.x.double())
        total = total + torch.einsum("bcf,bdf->fcd", waves, waves.conj())
        n += len(waves) * batch.x.shape[-1]
    return total / max(n, 1)


def _batches(data: Any) -> Iterator[Any]:
    """The validation windows."""
    for rows in data.datasets("val").values():
        for start in range(0, len(rows), data.batch_size):
            yield rows.__getitems__(range(start, min(start + data.batch_size, len(rows))))


def margin(logits: Float[Tensor, "batch logit"], label: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """How far the class of a window is ahead of the others."""
    if logits.shape[1] == 1:
        return logits[:, 0] * (2 * label - 1)
    own = torch.nn.functional.one_hot(label, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).amax(1)


class KeepPlaces(Callback):
    """Keeps the spatial matrices of a fit in `<folder>/spatial.npz`: before training, and of every n-th epoch.

    n is such that there are at most `FRAMES` of them. The file holds "epoch" (-1 before training), and for each corpus
    "weights/<corpus>" [frame, target, channel]; for the first frame alone, each importance as "start/<corpus>/<name>".
    `judge` asks for a classifier's gradient before training. A resumed fit goes on with the file that is there.
    """

    def __init__(self, folder: Path, montages: Mapping[str, Montage], *, judge: bool) -> None:
        self.path, self.montages, self.judge = folder / FILE, montages, judge
        self.kept: dict[str, Any] = {}

    # not on_fit_start: there a backbone that is set by the training split may not have seen it yet
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step == 0:
            data: Any = trainer.datamodule if self.judge else None  # type: ignore[attr-defined]
            seen = look(pl_module, self.montages, data)
            self.kept = {"epoch": np.array([START])}
            for corpus, one in seen.items():
                self.kept[f"weights/{corpus}"] = one.weights[None]
                self.kept |= {f"start/{corpus}/{name}": value for name, value in one.importance.items()}
            self._write(trainer)
        elif self.path.exists():
            self.kept = _read(self.path)
            # an epoch behind the checkpoint comes again
            past = self.kept["epoch"] < trainer.current_epoch
            for name in ["epoch", *(f"weights/{corpus}" for corpus in self.montages)]:
                self.kept[name] = self.kept[name][past]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self.kept or (trainer.current_epoch + 1) % _every(trainer):
            return
        self.kept["epoch"] = np.append(self.kept["epoch"], trainer.current_epoch)
        for corpus, montage in self.montages.items():
            weights = matrix(pl_module.backbone, montage)
            self.kept[f"weights/{corpus}"] = np.concatenate([self.kept[f"weights/{corpus}"], weights[None]])
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:
            with whole(self.path) as temporary:
                np.savez(temporary, **self.kept)


@dataclass(frozen=True, eq=False)
class Kept:
    """What `KeepPlaces` has written of one corpus: epochs (-1 before training), their matrices, the first look."""

    epoch: Int[np.ndarray, " frame"]
    weights: Float[np.ndarray, "frame target channel"]
    start: Look


def kept(folder: Path) -> dict[str, Kept]:
    """What a run folder holds of it, by corpus; nothing where there is no file."""
    if not (folder / FILE).exists():
        return {}
    held, found = _read(folder / FILE), {}
    for name in held:
        kind, _, corpus = name.partition("/")
        if kind == "weights":
            first = f"start/{corpus}/"
            importance = {key.removeprefix(first): held[key] for key in held if key.startswith(first)}
            found[corpus] = Kept(held["epoch"], held[name], Look(held[name][0], importance))
    return found


def _read(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _every(trainer: lightning.Trainer) -> int:
    """Epochs between two frames, so that a fit gives one less than `FRAMES` at most; ten where it has no end."""
    epochs = trainer.max_epochs or -1
    if trainer.max_steps > 0:
        of_steps = -(-trainer.max_steps * trainer.accumulate_grad_batches // trainer.num_training_batches)
        epochs = min(epochs, int(of_steps)) if epochs > 0 else int(of_steps)
    return max(1, -(-epochs // (FRAMES - 1))) if epochs > 0 else 10


@contextmanager
def _judging(task: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards every module's own: a frozen backbone is in another than its head."""
    modes = {module: module.training for module in task.modules()}
    task.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
