"""A trained task on windows in microvolts: class probabilities, or a vector a window, as in its tests."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError, Encodes
from eegfm.tasks.classify import Classify
from eegfm.tasks.estimate import Estimate
from eegfm.tasks.features import Features
from eegfm.tasks.metrics import probabilities
from eegfm.tasks.probe import Probe
from eegfm.tasks.stream import embedded

Of = Literal["backbone", "encoder"]


class OnWindows:
    """A trained task, whatever way it was trained, behind its encoder if it has one.

    `device` is where the network works; an encoder has its own.
    """

    def __init__(self, task: Any, encoder: Encodes | None, device: str) -> None:
        self.task, self.encoder, self.device = task, encoder, torch.device(device)
        network = task if isinstance(task, nn.Module) else task.backbone
        if isinstance(network, nn.Module):
            network.to(self.device).eval()

    @property
    def classifies(self) -> bool:
        """Whether it tells classes apart."""
        return isinstance(self.task, Classify | Probe | Estimate)

    def probabilities(
        self, x: Float[np.ndarray, "window channel time"], coords: Float[np.ndarray, "channel 3"]
    ) -> Float[np.ndarray, "window class"]:
        """The probability of every class, of a task that `classifies`."""
        assert self.classifies
        samples, places = self._inputs(x, coords)
        if isinstance(self.task, Estimate):
            return self.task.backbone.probabilities(samples.numpy())
        if isinstance(self.task, Probe):
            return self.task.head.probabilities(self._features(self.task.features, samples, places))
        with torch.inference_mode():
            return probabilities(self.task(samples.to(self.device), places))

    def vectors(
        self,
        x: Float[np.ndarray, "window channel time"],
        coords: Float[np.ndarray, "channel 3"],
        of: Of = "backbone",
    ) -> Float[np.ndarray, "window width"]:
        """A vector a window: the backbone's, or the mean of the encoder's over channels and seconds.

        Where a probe looks at a layer, and where a fitted model computes features, the vector is what the classifier is
        given. Raises EegfmError for a model without vectors.
        """
        if of == "encoder":
            if self.encoder is None:
                raise EegfmError(
                    "of=encoder: this model reads raw windows and has no encoder. Leave it out."
                )
            return embedded(self.encoder, torch.from_numpy(x)).mean(dim=(1, 2)).numpy()
        samples, places = self._inputs(x, coords)
        backbone: Any = self.task.backbone
        if isinstance(self.task, Estimate):
            if not hasattr(backbone, "features"):
                raise EegfmError(f"{type(backbone).__name__} computes no features of a window.")
            return np.asarray(backbone.features(samples.numpy()), dtype=np.float32)
        if isinstance(self.task, Probe):
            return self._features(self.task.features, samples, places)
        if not hasattr(backbone, "embed"):
            raise EegfmError(f"{type(backbone).__name__} gives no vector for a window.")
        return self._features(Features(backbone, layer=None, scale=self.task.scale), samples, places)

    def _inputs(self, x: np.ndarray, coords: np.ndarray) -> tuple[Tensor, Tensor]:
        samples = torch.from_numpy(x)
        places = torch.tensor(coords, dtype=torch.float32, device=self.device)
        return (samples if self.encoder is None else embedded(self.encoder, samples)), places

    def _features(self, features: Features, samples: Tensor, places: Tensor) -> np.ndarray:
        return features(samples.to(self.device), places).cpu().numpy()
