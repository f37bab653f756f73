"""The classes' training frequencies for every window: the score of a model that looks at nothing."""

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import SampleSpec


class Majority:
    """Every window's probabilities are the training windows' class frequencies, so the commonest class wins."""

    found = ("frequency",)

    def __init__(self, spec: SampleSpec) -> None:
        self.spec = spec
        self.frequency: Float[np.ndarray, " class"] | None = None

    def fit(
        self,
        x: Float[np.ndarray, "window *sample"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "held_out *sample"],
        label_val: Int[np.ndarray, " held_out"],
    ) -> None:
        """Count the labels of the training windows."""
        self.frequency = np.bincount(label, minlength=len(self.spec.classes)) / len(label)

    def probabilities(self, x: Float[np.ndarray, "window *sample"]) -> Float[np.ndarray, "window class"]:
        """One column per class; all rows are equal."""
        assert self.frequency is not None, "fit comes first"
        return np.tile(self.frequency, (len(x), 1))

    @property
    def n_parameters(self) -> int:
        """The number of frequencies, one per class."""
        return len(self.spec.classes)
