"""How much of a score may come from recognising the person: two measures on windows of known persons.

An EEG tells persons apart far better than it tells most other things. A model that recognises persons scores well if
persons differ in their share of a class, and if a test person is also a training person.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

COMPONENTS = 100  # principal components; a discriminant of this many persons needs no more
AT_LEAST = 4  # windows of a person: two for training and two for testing


def person_alone(
    label: Int[np.ndarray, " window"], subject: Int[np.ndarray, " window"], n_classes: int
) -> Float[np.ndarray, "window class"]:
    """Class probabilities of every window for somebody who knows only its person and that person's labels.

    They are the frequencies of the classes among the person's windows, which nobody can know for a new person. Telling
    persons apart cannot give a better score than these.
    """
    probability = np.empty((len(label), n_classes))
    for name in np.unique(subject):
        rows = subject == name
        probability[rows] = np.bincount(label[rows], minlength=n_classes) / rows.sum()
    return probability


def persons_told(
    x: Float[np.ndarray, "window feature"],
    subject: Int[np.ndarray, " window"],
    when: Float[np.ndarray, " window"] | Int[np.ndarray, " window"],
    seed: int = 0,
) -> dict[str, float]:
    """How well a linear classifier tells persons by features: "balanced_accuracy", "chance", "persons", "windows".

    The windows of each person, ordered by `when`, are cut into two halves. Each half trains a classifier that is tested
    on the other half. So a window and its neighbour in time lie in the same half, except for one pair. Features are
    standardised and reduced to their first 100 principal components; the classifier is a linear discriminant with
    shrinkage. Persons with fewer than four windows are left out; the result is {} if fewer than two persons are left.
    """
    half = np.full(len(subject), -1)
    for name in np.unique(subject):
        rows = np.flatnonzero(subject == name)
        if len(rows) >= AT_LEAST:
            half[rows[np.argsort(when[rows], kind="stable")]] = np.arange(len(rows)) * 2 // len(rows)
    enough = half >= 0  # windows of persons with enough windows
    x, subject, half = x[enough].astype(np.float64), subject[enough], half[enough]
    n = len(np.unique(subject))
    if n < 2:
        return {}
    predicted = np.empty_like(subject)
    for training in (0, 1):
        classifier = _discriminant(x[half == training], subject[half == training], seed)
        predicted[half != training] = classifier.predict(x[half != training])
    score = float(
        np.mean([balanced_accuracy_score(subject[half == i], predicted[half == i]) for i in (0, 1)])
    )
    return {"balanced_accuracy": score, "chance": 1 / n, "persons": float(n), "windows": float(len(x))}


def drift_told(
    x: Float[np.ndarray, "window feature"],
    subject: Int[np.ndarray, " window"],
    when: Float[np.ndarray, " window"] | Int[np.ndarray, " window"],
    seed: int = 0,
) -> dict[str, float]:
    """How well pieces of one and the same recording are told apart, as `persons_told` tells persons: drift alone.

    Every person's windows, in the order of `when`, are cut into as many equal pieces as there are persons (fewer, if
    pieces would have less than four windows). "drift" is the mean balanced accuracy over persons, "drift_chance" that
    of chance. {} if nobody has windows for two pieces.
    """
    names, found = np.unique(subject), []
    for name in names:
        rows = np.flatnonzero(subject == name)
        rows = rows[np.argsort(when[rows], kind="stable")]
        n = min(len(names), len(rows) // AT_LEAST)
        if n > 1:
            piece = np.arange(len(rows)) * n // len(rows)
            found.append(persons_told(x[rows], piece, np.arange(len(rows)), seed))
    if not found:
        return {}
    return {
        "drift": float(np.mean([one["balanced_accuracy"] for one in found])),
        "drift_chance": float(np.mean([one["chance"] for one in found])),
    }


def _discriminant(
    x: Float[np.ndarray, "window feature"], subject: Int[np.ndarray, " window"], seed: int
) -> Pipeline:
    """A linear discriminant with shrinkage and equal priors, fitted on principal components of features."""
    n = len(np.unique(subject))
    equal: Any = np.full(n, 1 / n)
    return make_pipeline(
        StandardScaler(),
        PCA(min(COMPONENTS, *x.shape), random_state=seed),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=equal),
    ).fit(x, subject)
