"""Models that are fitted in one go from arrays, with the splits, predictions and scores of trained models."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import SampleSpec
from eegfm.models.classical import probabilities_of as probabilities_of
from eegfm.tasks.fitted import Fits
from eegfm.tasks.metrics import Predictions, monitor_of, refuse_unlabelled


@runtime_checkable
class Estimates(Fits, Protocol):
    """A model that is fitted in one go, on arrays: `fit` sees training and validation data."""

    n_parameters: int

    def fit(
        self,
        x: Float[np.ndarray, "window channel *time"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "other channel *time"],
        label_val: Int[np.ndarray, " other"],
    ) -> None: ...

    def probabilities(
        self, x: Float[np.ndarray, "window channel *time"]
    ) -> Float[np.ndarray, "window class"]: ...


class Estimate:
    """Fit on the training split, choose settings on the validation split, predict any split."""

    def __init__(self, backbone: Any, spec: SampleSpec) -> None:
        refuse_unlabelled(spec.classes, "estimate")
        # the argument is `Any`: a check of the protocol at run time asks for n_parameters, which come with the fit
        self.backbone: Estimates = backbone
        self.spec = spec
        self.monitor = monitor_of(spec.classes)

    def fit(self, data: Any) -> None:
        """`data` is the data module, set up for "fit"."""
        self.backbone.fit(*data.arrays("train"), *data.arrays("val"))

    @property
    def fitted(self) -> Fits:
        """The object that a fit changes: the model."""
        return self.backbone

    @property
    def parameters(self) -> dict[str, int]:
        """The number of parameters; all of them were fitted."""
        return {"trainable": self.backbone.n_parameters, "total": self.backbone.n_parameters}

    def predict(self, data: Any, split: str) -> Predictions:
        """Predictions of a split in stored order."""
        x, label = data.arrays(split)
        rows = data.dataset(split)
        return Predictions(
            keys=[rows.store.index.key(row) for row in rows.rows],
            subject=rows.subject[rows.rows],
            label=label,
            probability=self.backbone.probabilities(x),
        )
