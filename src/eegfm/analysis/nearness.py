"""What lies near what among windows: is it the class, or the person? And the picture of it, which is not the argument.

A picture by t-SNE shows clusters where there are none and hides those that are there, so numbers are taken from the
features themselves. Features are standardised over the windows at hand; nothing is learned, and distances are
Euclidean. A class is told by the nearest windows of other subjects, a subject by the nearest other windows, which may
be of the same minute.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler

from eegfm.contracts import EegfmError

N_NEAREST = 5
COMPONENTS = 50  # of the features' variance, which t-SNE is given: what its authors do
PERPLEXITY = 30.0

Table = Float[np.ndarray, "window feature"]
Labels = Int[np.ndarray, " window"]


def nearness(x: Table, label: Labels, subject: Labels) -> dict[str, dict[str, float | None]]:
    """How much nearness in a space says of the class and of the subject: {"class": ..., "subject": ...}.

    Of each the "silhouette" (1: apart, 0: mixed), the "balanced_accuracy" of the five nearest windows' vote, and its
    level of "chance". None where there is one class, or one subject, only. Where there is one subject, a class is told
    by other windows of that one.
    """
    distance = euclidean_distances(_standardised(x))
    others = subject[:, None] != subject[None]
    itself = np.eye(len(x), dtype=bool)
    asked = {"class": (label, others if others.any() else ~itself), "subject": (subject, ~itself)}
    return {name: _said(distance, values, allowed) for name, (values, allowed) in asked.items()}


def votes(
    distance: Float[np.ndarray, "window window"], label: Labels, allowed: Bool[np.ndarray, "window window"]
) -> Labels:
    """The label of most of the five nearest windows among those allowed, the lowest of those that most have."""
    k = min(N_NEAREST, int(allowed.sum(axis=1).min()))
    nearest = np.argsort(np.where(allowed, distance, np.inf), axis=1, kind="stable")[:, :k]
    counts = (label[nearest][:, :, None] == np.unique(label)).sum(axis=1)  # window label
    return np.unique(label)[counts.argmax(axis=1)]


def flat(x: Table, seed: int) -> Float[np.ndarray, "window 2"]:
    """t-SNE of a space, to look at.

    Raises:
        EegfmError: fewer than five windows.
    """
    if len(x) < 5:
        raise EegfmError(
            f"{len(x)} windows are too few to draw a map of. Choose another split, or more windows."
        )
    x = _standardised(x)
    x = PCA(min(COMPONENTS, *x.shape), random_state=seed).fit_transform(x)
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    start: Any = "pca" if x.shape[1] > 1 else "random"
    return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(x)


def _said(
    distance: Float[np.ndarray, "window window"], label: Labels, allowed: Bool[np.ndarray, "window window"]
) -> dict[str, float | None]:
    n = len(np.unique(label))
    if not 1 < n < len(label):
        return {"silhouette": None, "balanced_accuracy": None, "chance": None}
    return {
        "silhouette": float(silhouette_score(distance, label, metric="precomputed")),
        "balanced_accuracy": float(balanced_accuracy_score(label, votes(distance, label, allowed))),
        "chance": 1 / n,
    }


def _standardised(x: Table) -> Float[np.ndarray, "window feature"]:
    return StandardScaler().fit_transform(x.astype(np.float64))
