"""What class a window is counted as. Imports no torch, by reports."""

import numpy as np
from jaxtyping import Float, Int


def decide(probabilities: Float[np.ndarray, "window class"]) -> Int[np.ndarray, " window"]:
    """The class that each window is counted as: the most probable one, a tie being the first."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > 0.5).astype(np.int64)
    return probabilities.argmax(axis=1)
