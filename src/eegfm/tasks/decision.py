"""Which class a window is counted as, and the threshold between two. Reports use this, so it imports no torch."""

import numpy as np
from jaxtyping import Float, Int


def decide(probabilities: Float[np.ndarray, "window class"]) -> Int[np.ndarray, " window"]:
    """The class that each window is counted as: the most probable one, in a tie the first."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] > 0.5).astype(np.int64)
    return probabilities.argmax(axis=1)


def best_threshold(score: Float[np.ndarray, " one"], label: Int[np.ndarray, " one"]) -> float:
    """The logit above which windows, or wholes of them, count as the second class, for the highest balanced accuracy.

    Of several, the one nearest to 0, which is one half. A set of one class asks for no other than 0.
    """
    order = np.argsort(score)
    score, label = score[order], label[order]
    n = np.bincount(label, minlength=2)
    if not n.all():
        return 0.0
    ends = np.flatnonzero(np.r_[np.diff(score) > 0, True])  # windows up to here are the first class
    first = np.cumsum(label == 0)[ends] / n[0]
    second = 1 - np.cumsum(label == 1)[ends] / n[1]
    right = np.r_[0.5, (first + second) / 2]  # before the first end all windows are the second class
    between = np.r_[score[0] - 1, (score[ends[:-1]] + score[ends[:-1] + 1]) / 2, score[-1] + 1]
    zero = np.searchsorted(score[ends], 0.0, side="right")  # how many distinct scores are not above 0
    between[zero] = 0.0  # it divides the windows as its own gap does
    best = np.flatnonzero(right >= right.max() - 1e-12)
    return float(between[best[np.abs(between[best]).argmin()]])
