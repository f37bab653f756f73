"""How much of a score may be who the person is: two questions about windows of known persons.

An EEG tells persons apart far better than most of what it is asked. A model that recognises people scores well wherever
people differ in their share of a class, and where a test person is a training person as well.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

COMPONENTS = 100  # principal ones that are kept: a discriminant of so many persons needs no more
AT_LEAST = 4  # windows of a person, two to learn from and two to be told by


def person_alone(
    label: Int[np.ndarray, " window"], subject: Int[np.ndarray, " window"], n_classes: int
) -> Float[np.ndarray, "window class"]:
    """Each window's class probabilities for somebody who knows its person, and that person's labels, and nothing else.

    They are the frequencies of the classes among that person's windows: what nobody can know of a new person. The score
    of these is as much as telling persons apart could ever bring.
    """
    found = np.empty((len(label), n_classes))
    for name in np.unique(subject):
        rows = subject == name
        found[rows] = np.bincount(label[rows], minlength=n_classes) / rows.sum()
    return found


def persons_told(
    x: Float[np.ndarray, "window feature"],
    subject: Int[np.ndarray, " window"],
    when: Float[np.ndarray, " window"] | Int[np.ndarray, " window"],
    seed: int = 0,
) -> dict[str, float]:
    """How well a linear classifier tells persons by features: balanced accuracy, chance, how many persons and windows.

    Of each person, one half of the windows by order of `when` teaches and the other half asks, and the other way
    round: a window and its neighbour in time lie on one side, but for one pair. Features are standardised and reduced
    to their first 100 principal components; the classifier is a shrunk linear discriminant. Persons of fewer than four
    windows are left out; {} where fewer than two are left.
    """
    half = np.full(len(subject), -1)
    for name in np.unique(subject):
        rows = np.flatnonzero(subject == name)
        if len(rows) >= AT_LEAST:
            half[rows[np.argsort(when[rows], kind="stable")]] = np.arange(len(rows)) * 2 // len(rows)
    kept = half >= 0
    x, subject, half = x[kept].astype(np.float64), subject[kept], half[kept]
    n = len(np.unique(subject))
    if n < 2:
        return {}
    told = np.empty_like(subject)
    for teaching in (0, 1):
        learnt = _discriminant(x[half == teaching], subject[half == teaching], seed)
        told[half != teaching] = learnt.predict(x[half != teaching])
    score = float(np.mean([balanced_accuracy_score(subject[half == i], told[half == i]) for i in (0, 1)]))
    return {"balanced_accuracy": score, "chance": 1 / n, "persons": float(n), "windows": float(len(x))}


def _discriminant(
    x: Float[np.ndarray, "window feature"], subject: Int[np.ndarray, " window"], seed: int
) -> Pipeline:
    n = len(np.unique(subject))
    alike: Any = np.full(n, 1 / n)
    return make_pipeline(
        StandardScaler(),
        PCA(min(COMPONENTS, *x.shape), random_state=seed),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=alike),
    ).fit(x, subject)
