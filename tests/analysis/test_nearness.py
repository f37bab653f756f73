"""Known clusters give known numbers, and the votes are scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, pairwise_distances, silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from eegfm.analysis.nearness import flat, nearness, votes
from eegfm.contracts import EegfmError
from eegfm.drawing import embeddings

N_CLASSES, N_SUBJECTS, N = 2, 4, 160


def windows(*, of_class=0.0, of_subject=0.0, seed=0):
    """Noise, half of whose features are moved by so much as the class says, the other half as the subject does."""
    random = np.random.default_rng(seed)
    label, subject = np.arange(N) % N_CLASSES, np.arange(N) // (N // N_SUBJECTS)
    x = random.normal(size=(N, 10))
    x[:, :5] += of_class * label[:, None]
    x[:, 5:] += of_subject * random.normal(size=(N_SUBJECTS, 5))[subject]
    return x.astype(np.float32), label, subject


def test_noise_says_nothing_of_either():
    found = nearness(*windows())
    for what, chance in (("class", 0.5), ("subject", 0.25)):
        assert found[what]["chance"] == chance
        assert found[what]["balanced_accuracy"] == pytest.approx(chance, abs=0.12)
        assert abs(found[what]["silhouette"]) < 0.05


def test_a_space_of_classes_tells_classes_and_no_subjects():
    found = nearness(*windows(of_class=30))
    assert found["class"]["balanced_accuracy"] == 1 and found["class"]["silhouette"] > 0.25
    assert found["subject"]["balanced_accuracy"] < 0.4 and abs(found["subject"]["silhouette"]) < 0.05


def test_a_space_of_subjects_tells_subjects_and_the_class_not_at_all():
    """The class of a window is asked of other subjects: one's own neighbours must not give it away."""
    x, label, subject = windows(of_subject=30)
    found = nearness(x, label, subject)
    assert found["subject"]["balanced_accuracy"] == 1 and found["subject"]["silhouette"] > 0.25
    assert found["class"]["balanced_accuracy"] == pytest.approx(0.5, abs=0.12)
    # a subject has one class, and the subject nearest to it the other
    x = np.array([0.0, 1.0, 10.0, 11.0])[subject, None] + 0.01 * x[:, :1]
    found = nearness(x.astype(np.float32), subject % 2, subject)
    assert found["subject"]["balanced_accuracy"] == 1 and found["class"]["balanced_accuracy"] == 0


def test_votes_and_silhouettes_are_those_of_scikit_learn():
    x, label, subject = windows(of_class=1.0, of_subject=1.0)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    near = KNeighborsClassifier(5)
    by_class = cross_val_predict(near, scaled, label, groups=subject, cv=LeaveOneGroupOut())
    by_subject = cross_val_predict(near, scaled, subject, cv=LeaveOneOut())
    found = nearness(x, label, subject)
    assert found["class"]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, by_class))
    assert found["subject"]["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(subject, by_subject)
    )
    assert found["class"]["silhouette"] == pytest.approx(silhouette_score(scaled, label))
    others = subject[:, None] != subject[None]
    np.testing.assert_array_equal(votes(pairwise_distances(scaled), label, others), by_class)


def test_no_more_windows_vote_than_everybody_may_ask():
    """Window 0 may ask two others, both of class 1; those that are nearer may not be asked, and do not fill up."""
    place = np.array([0.0, 5, 6, 1, 2, 3])
    label = np.array([0, 1, 1, 0, 0, 0])
    allowed = ~np.eye(6, dtype=bool)
    allowed[0, 3:] = False
    found = votes(np.abs(place[:, None] - place), label, allowed)
    assert found[0] == 1 and (found[3:] == 0).all()


def test_one_subject_is_asked_of_itself_and_what_there_is_one_of_has_no_number():
    x, label, _ = windows(of_class=30)
    found = nearness(x, label, np.zeros(N, dtype=int))
    assert found["class"]["balanced_accuracy"] == 1
    assert set(found["subject"].values()) == {None}
    assert set(nearness(x, np.zeros(N, dtype=int), np.arange(N) % 4)["class"].values()) == {None}
    assert set(nearness(x, label, np.arange(N))["subject"].values()) == {None}  # a window each


def test_a_unit_changes_nothing_and_a_flat_feature_neither():
    x, label, subject = windows(of_class=1.0)
    units = np.concatenate([1000 * x, np.full((N, 1), 7, dtype=np.float32)], axis=1)
    first, second = nearness(x, label, subject), nearness(units, label, subject)
    for what in first:
        assert first[what] == pytest.approx(second[what], rel=1e-4)


def test_the_picture_is_seeded_and_takes_what_there_is():
    x, label, subject = windows(of_class=30)
    xy = flat(x, seed=0)
    assert xy.shape == (N, 2) and np.array_equal(xy, flat(x, seed=0))
    assert silhouette_score(xy, label) > 0.5
    assert flat(x[:5], seed=0).shape == (5, 2) and flat(x[:9, :1], seed=0).shape == (9, 2)
    with pytest.raises(EegfmError, match="too few"):
        flat(x[:4], seed=0)
    for one in (subject, np.arange(N) % 20, np.zeros(N, dtype=int)):
        names = [f"S{i}" for i in range(20)]
        figure = embeddings.embedding_map(
            {"raw": xy, "trained": xy},
            dict.fromkeys(("raw", "trained"), nearness(x, label, one)),
            label,
            one,
            classes=["left", "right"],
            subjects=names,
            title="a",
        )
        figure.draw_without_rendering()
        assert len(figure.axes) == 4
        assert "silhouette" in figure.axes[0].get_title()
