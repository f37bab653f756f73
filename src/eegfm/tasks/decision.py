"""Which class a window is counted as. Reports use this module, so it imports no torch."""

import numpy as np
from jaxtyping import Float, Int


def decide(probabilities: Float[np.ndarray, "window class"]) -> Int[np.ndarray, " window"]:
    """The class that each window is counted as: the most probable one, in a tie the first."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > 0.5).astype(np.int64)
    return probabilities.argmax(axis=1)
