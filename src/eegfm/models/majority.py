"""The frequencies of the classes in training, whatever the window: what a score is worth that looks at nothing."""

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import SampleSpec


class Majority:
    """Every window gets the training windows' class frequencies as its probabilities, and so the commonest class."""

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
        """One column a class, all rows alike."""
        assert self.frequency is not None, "fit comes first"
        return np.tile(self.frequency, (len(x), 1))

    @property
    def n_parameters(self) -> int:
        """A frequency a class."""
        return len(self.spec.classes)
