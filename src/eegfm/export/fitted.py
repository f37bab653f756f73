"""Models that are fitted in one step (probe, estimate, classical), as torch modules."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError
from eegfm.nn.head import class_probabilities, light_mlp


class FittedHead(nn.Module):
    """Probabilities of all classes from features, by a head of `eegfm.tasks.heads` or of a classical model.

    `link` turns linear values into probabilities: "softmax" (a sigmoid for one value) or "rest" (a sigmoid for each
    class, then shares). "mlp" replaces the linear values by EEGM2 Light's network, and uses "softmax". The module
    computes in double precision. `classes` are the classes of the training windows; others have probability zero.
    """

    mean: Tensor
    std: Tensor
    place: Tensor

    def __init__(
        self, *, n_classes: int, link: str, n_features: int, n_values: int, classes: Sequence[int]
    ) -> None:
        super().__init__()
        self.link = link
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("std", torch.ones(n_features, dtype=torch.float64))
        place = F.one_hot(torch.tensor(classes), n_classes).double()
        self.register_buffer("place", place, persistent=False)
        values = light_mlp if link == "mlp" else nn.Linear
        self.values: nn.Module = values(n_features, n_values).double()

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch class"]:
        values = self.values((features.double() - self.mean) / self.std)
        if self.link == "rest" and values.shape[1] > 1:
            shares = values.sigmoid()
            return shares / shares.sum(1, keepdim=True) @ self.place
        return class_probabilities(values) @ self.place


class Classical(nn.Module):
    """The features of a classical model, computed by its own code; its fitted arrays are buffers."""

    def __init__(self, model: Any, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.names = list(config["fitted"])
        for name, shape in config["fitted"].items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def features(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch feature"]:
        """The features of windows. Raises EegfmError if the model needs pyriemann and it is not installed."""
        refuse_export()
        if not hasattr(self.model, "features"):  # the majority class needs no features
            return x.new_zeros(len(x), 1, dtype=torch.float64)
        if self.names:
            self.model.transform = transform_of(self.model)
            for name in self.names:
                setattr(self.model.transform, name, self.get_buffer(name).numpy(force=True))
        features = self.model.features(x.detach().cpu().numpy())
        return torch.from_numpy(np.asarray(features, dtype=np.float64)).to(x.device)


class OwnEstimator(nn.Module):
    """A person's fitted estimator of scikit-learn, which `Portable.estimator` holds, in the place of a backbone."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.estimator: Any = None

    def features(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch class"]:
        """The probabilities of all classes."""
        refuse_export()
        from eegfm.tasks.estimate import (
            probabilities_of,  # imports scikit-learn, which other models do not need
        )

        found = probabilities_of(self.estimator, x.detach().cpu().numpy(), self.n_classes)
        return torch.from_numpy(found).to(x.device)


def refuse_export() -> None:
    """Raise EegfmError during an export, because classical models compute outside torch."""
    if torch.compiler.is_compiling():
        raise EegfmError(
            "Classical models compute with scikit-learn and pyriemann, so no program of torch operators can hold "
            "them. model.safetensors and config.json hold the whole model. Load it with eegfm.load(<folder>)."
        )


def transform_of(model: Any) -> Any:
    """The unfitted pyriemann transform of a classical model. Raises EegfmError if pyriemann is not installed."""
    try:
        from pyriemann.spatialfilters import CSP
        from pyriemann.tangentspace import TangentSpace
    except ImportError as error:
        raise EegfmError(
            f"{type(model).__name__} needs pyriemann ({error}). Type: python -m pip install 'pyriemann>=0.8'"
        ) from error
    if hasattr(model, "filters"):
        return CSP(nfilter=int(max(model.filters)), metric="euclid", log=True)
    return TangentSpace(metric=model.metric)
