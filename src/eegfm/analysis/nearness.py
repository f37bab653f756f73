"""Do near windows share their class or their person? Numbers, and a picture that only illustrates them.

t-SNE can show clusters that do not exist and hide clusters that do, so the numbers use the features themselves.
Features are standardised over the given windows, distances are Euclidean, and nothing is trained. The nearest windows
of other subjects vote for the class of a window. The nearest windows of all subjects vote for its subject; they may be
from the same minute.
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
COMPONENTS = 50  # principal components that t-SNE gets, as its authors do it
PERPLEXITY = 30.0

Table = Float[np.ndarray, "window feature"]
Labels = Int[np.ndarray, " window"]


def nearness(x: Table, label: Labels, subject: Labels) -> dict[str, dict[str, float | None]]:
    """How well nearness in a space tells the class and the subject: {"class": ..., "subject": ...}.

    Each holds the "silhouette" (1: apart, 0: mixed), the "balanced_accuracy" of the vote of the five nearest windows,
    and its level of "chance". They are None if there is only one class, or one subject. If there is only one subject,
    its other windows vote for the class.
    """
    distance = euclidean_distances(_standardised(x))
    others = subject[:, None] != subject[None]
    itself = np.eye(len(x), dtype=bool)
    questions = {"class": (label, others if others.any() else ~itself), "subject": (subject, ~itself)}
    return {name: _scores(distance, values, allowed) for name, (values, allowed) in questions.items()}


def votes(
    distance: Float[np.ndarray, "window window"], label: Labels, allowed: Bool[np.ndarray, "window window"]
) -> Labels:
    """The label of most of the five nearest allowed windows; the lowest label if several are equally frequent."""
    k = min(N_NEAREST, int(allowed.sum(axis=1).min()))
    nearest = np.argsort(np.where(allowed, distance, np.inf), axis=1, kind="stable")[:, :k]
    counts = (label[nearest][:, :, None] == np.unique(label)).sum(axis=1)  # window label
    return np.unique(label)[counts.argmax(axis=1)]


def flat(x: Table, seed: int) -> Float[np.ndarray, "window 2"]:
    """t-SNE of a space, for a picture.

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


def _scores(
    distance: Float[np.ndarray, "window window"], label: Labels, allowed: Bool[np.ndarray, "window window"]
) -> dict[str, float | None]:
    """Silhouette, balanced accuracy of the votes, and chance, for one kind of label."""
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
