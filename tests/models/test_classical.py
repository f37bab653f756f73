"""Models that are fitted in one go, against SciPy and scikit-learn, and against a mixing of the channels."""

import sys
from pathlib import Path

import hydra.utils
import numpy as np
import pytest
import scipy
from omegaconf import OmegaConf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.models.classical import covariances, preferred, validation_score
from eegfm.models.majority import Majority
from eegfm.tasks.estimate import Estimate
from eegfm.tasks.fitted import read_fitted, write_fitted
from eegfm.tasks.metrics import scores

pytest.importorskip("pyriemann", reason="model=csp_lda and model=tangent need pyriemann")

CONF = Path(__file__).parents[2] / "conf" / "model"
N_CHANNELS, N_TIMES, SFREQ = 8, 400, 200.0
CLASSES = ("left", "right", "feet")


def spec(n_classes=2):
    places = np.random.default_rng(0).normal(size=(N_CHANNELS, 3))
    montage = Montage(tuple(f"E{i}" for i in range(N_CHANNELS)), places)
    return SampleSpec(montage, (N_CHANNELS, N_TIMES), SFREQ, CLASSES[:n_classes])


def built(name, n_classes=2, **changes):
    node = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml").model, changes)
    return hydra.utils.instantiate(node, _convert_="object")(spec(n_classes))


def windows(n=60, n_classes=2, seed=0):
    """Source i of class i is three times as strong at 10 Hz; all sources are mixed into all channels."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    time = np.arange(N_TIMES) / SFREQ
    phase = random.uniform(0, 2 * np.pi, size=(n, N_CHANNELS, 1))
    strength = np.where(np.arange(N_CHANNELS) == label[:, None], 3.0, 1.0)[..., None]
    sources = strength * np.sin(2 * np.pi * 10 * time + phase) + random.normal(
        size=(n, N_CHANNELS, N_TIMES)
    )
    mixing = np.random.default_rng(99).normal(size=(N_CHANNELS, N_CHANNELS))
    return (10 * mixing @ sources).astype(np.float32), label


def fitted(name, n_classes=2, **changes):
    model = built(name, n_classes, **changes)
    model.fit(*windows(n_classes=n_classes), *windows(30, n_classes, seed=1))
    return model


FITTED_IN_ONE_GO = sorted(
    path.stem
    for path in CONF.glob("*.yaml")
    if "override /task: estimate" in path.read_text()
    and path.stem != "sklearn"  # a person's own: test_mine.py
)
for_each = pytest.mark.parametrize("name", FITTED_IN_ONE_GO)


def test_the_baselines_are_there():
    assert {"majority", "bandpower", "csp_lda", "tangent"} <= set(FITTED_IN_ONE_GO)


@for_each
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_some_and_a_windows_do_not_depend_on_the_others(name, n_classes):
    model = fitted(name, n_classes)
    x, label = windows(31, n_classes, seed=2)
    found = model.probabilities(x)
    assert found.shape == (31, n_classes) and (found >= 0).all()
    rounding = 4 * n_classes * np.finfo(np.float32).eps  # of an exponential, a sum and a division, a class
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=rounding)
    np.testing.assert_allclose(model.probabilities(x[7:9]), found[7:9], rtol=1e-9)
    np.testing.assert_array_equal(fitted(name, n_classes).probabilities(x), found)
    assert model.n_parameters > 0
    told = scores(found, label, n_classes)["balanced_accuracy"]
    # by band power alone the mixed sources are told apart less well, by nothing not at all
    assert told == pytest.approx(1 / n_classes) if name == "majority" else told > 0.6
    if name in ("csp_lda", "tangent"):
        assert told > 0.95


@for_each
def test_a_class_that_training_lacks_has_no_probability(name):
    model = built(name, 3)
    x, label = windows(60, 2)
    model.fit(x, 2 * label, *windows(30, 3, seed=1))  # left and feet
    found = model.probabilities(x)
    assert (found[:, 1] == 0).all() and found[:, 2].max() > 0


@pytest.mark.parametrize("name", [name for name in FITTED_IN_ONE_GO if name != "majority"])
def test_one_class_and_tokens_are_refused_with_a_sentence(name):
    x, label = windows(20)
    with pytest.raises(EegfmError, match="All 20 training windows are of one class"):
        built(name).fit(x, 0 * label, x, label)
    node = OmegaConf.load(CONF / f"{name}.yaml").model
    tokens = SampleSpec(spec().montage, (N_CHANNELS, 2, 32), SFREQ, CLASSES)
    with pytest.raises(EegfmError, match="encoder=raw"):
        hydra.utils.instantiate(node, _convert_="object")(tokens)


@pytest.mark.parametrize("name", ["csp_lda", "tangent"])
@pytest.mark.parametrize("band", [[0.0, 30.0], [30.0, 8.0], [8.0, 100.0], [8.0]])
def test_a_band_that_no_filter_has_is_refused(name, band):
    with pytest.raises(EegfmError, match=r"model\.band=.*below 100 Hz"):
        built(name, band=band)


@pytest.mark.parametrize("filters", [[], [0], [2, 9]])
def test_more_filters_than_channels_are_refused(filters):
    with pytest.raises(EegfmError, match=r"from 1 to the 8 channels"):
        built("csp_lda", filters=filters)


@pytest.mark.parametrize("name", ["csp_lda", "tangent"])
def test_without_pyriemann_it_says_what_to_type(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyriemann.estimation", None)
    with pytest.raises(EegfmError, match=rf"model={name} needs pyriemann .*pip install"):
        fitted(name)


def band_covariances(x, **changes):
    given = {"sfreq": SFREQ, "band": (8.0, 30.0), "estimator": "scm", "model": "tangent", **changes}
    return covariances(x, **given)


def test_a_covariance_is_that_of_the_band():
    """Two sines of amplitude a and b in phase within the band: a²/2, b²/2, ab/2. What lies outside is not there."""
    time = np.arange(2000) / SFREQ
    wave, mains, drift = (np.sin(2 * np.pi * hz * time) for hz in (15, 60, 1))
    x = np.stack([4 * wave + 5 * mains, 6 * wave + 5 * drift])[None]
    np.testing.assert_allclose(band_covariances(x)[0], [[8, 12], [12, 18]], rtol=0.02)


@pytest.mark.parametrize("estimator", ["oas", "lwf"])
def test_flat_and_dependent_channels_have_a_covariance_with_a_logarithm(estimator):
    x, label = windows(12)
    x[:, 3] = 0
    x -= x.mean(axis=1, keepdims=True)  # an average reference
    assert np.linalg.eigvalsh(band_covariances(x, estimator=estimator)).min() > 0
    for name in ("csp_lda", "tangent"):
        model = built(name, covariance=estimator)
        model.fit(x, label, x, label)
        assert np.isfinite(model.features(x)).all()


@pytest.mark.parametrize("name", ["csp_lda", "tangent"])
def test_an_invertible_mixing_of_the_channels_changes_nothing(name):
    """So neither depends on the reference or on volume conduction; with shrinkage they would."""
    (x, label), (x_val, label_val), (x_test, _) = windows(), windows(30, seed=1), windows(20, seed=2)
    mixing = np.random.default_rng(3).normal(size=(N_CHANNELS, N_CHANNELS))
    found = []
    for mix in (np.eye(N_CHANNELS), mixing):
        model = built(name, covariance="scm")
        model.fit(mix @ x.astype(float), label, mix @ x_val.astype(float), label_val)
        found.append(model.probabilities(mix @ x_test.astype(float)))
    np.testing.assert_allclose(*found, atol=1e-4)


def test_csp_makes_the_covariances_of_both_classes_diagonal_and_lda_is_scikit_learns():
    model = fitted("csp_lda", covariance="scm", filters=[8])
    x, label = windows()
    found = band_covariances(x)
    means = [found[label == i].mean(axis=0) for i in (0, 1)]
    for mean in means:
        turned = model.transform.filters_ @ mean @ model.transform.filters_.T
        size = np.sqrt(np.outer(turned.diagonal(), turned.diagonal()))
        np.testing.assert_allclose(turned / size, np.eye(N_CHANNELS), atol=1e-6)
    wanted = scipy.linalg.eigh(means[1], means[0] + means[1], eigvals_only=True)
    shares = [model.transform.filters_ @ mean @ model.transform.filters_.T for mean in means]
    np.testing.assert_allclose(np.sort(shares[1].diagonal() / sum(shares).diagonal()), wanted, rtol=1e-6)
    oracle = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(model.features(x), label)
    x_test, _ = windows(20, seed=2)
    np.testing.assert_allclose(
        model.probabilities(x_test), oracle.predict_proba(model.features(x_test)), rtol=1e-9
    )


def test_a_tangent_vector_is_as_long_as_its_window_is_far_from_the_mean():
    """Two covariances' distance: the root of the sum of the squared logarithms of their generalised eigenvalues."""
    model = fitted("tangent", covariance="scm")
    x, _ = windows(5, seed=2)
    for vector, covariance in zip(model.features(x), band_covariances(x), strict=True):
        ratios = scipy.linalg.eigh(covariance, model.transform.reference_, eigvals_only=True)
        np.testing.assert_allclose(np.linalg.norm(vector), np.linalg.norm(np.log(ratios)), rtol=1e-6)


def test_validation_chooses_and_of_equals_the_first():
    asked = []

    class Told:
        classes_ = np.array([0, 1])

        def __init__(self, right):
            asked.append(right)
            self.right = right

        def predict_proba(self, x):
            return np.stack([x < self.right, x >= self.right], axis=1).astype(float)

    x, label = np.arange(10), (np.arange(10) >= 5).astype(int)
    best, setting, found = preferred(Told, [2, 5, 9], x, label, 2)
    assert asked == [2, 5, 9] and setting == 5 and best.right == 5 and found[5] == 1.0
    assert preferred(Told, [4, 4], x, label, 2)[1] == 4
    assert validation_score(np.eye(2)[[0, 0, 1]], np.array([0, 0, 0])) == pytest.approx(2 / 3)


def test_the_majority_is_that_of_training():
    model = Majority(spec(3))
    x = np.zeros((4, N_CHANNELS, N_TIMES))
    model.fit(x, np.array([2, 2, 0, 1]), x, np.zeros(4, int))
    np.testing.assert_array_equal(model.probabilities(x[:2]), [[0.25, 0.25, 0.5]] * 2)
    label = np.array([0, 1, 2, 2])
    found = scores(model.probabilities(x), label, 3)
    assert (found["balanced_accuracy"], found["cohen_kappa"]) == (pytest.approx(1 / 3), 0)
    binary = np.tile([0.7, 0.3], (4, 1))
    assert scores(binary, np.array([0, 0, 0, 1]), 2)["auroc"] == 0.5


@for_each
def test_a_task_fits_it_and_predicts_by_key_and_again_from_its_file(name, tmp_path):
    class Split:
        def __init__(self, n, seed):
            self.x, self.label = windows(n, seed=seed)
            self.rows, self.subject, self.store = np.arange(n), np.zeros(n, int), self
            self.index = self

        def key(self, row):
            return f"r/{row}s"

    class Data:
        def __init__(self):
            self.splits = {"train": Split(40, 0), "val": Split(20, 1), "test": Split(12, 2)}

        def arrays(self, split):
            return self.splits[split].x, self.splits[split].label

        def dataset(self, split):
            return self.splits[split]

    task = Estimate(built(name), spec())
    task.fit(Data())
    found = task.predict(Data(), "test")
    assert found.keys[:2] == ["r/0s", "r/1s"] and found.probability.shape == (12, 2)
    assert task.parameters["trainable"] == task.backbone.n_parameters
    write_fitted(task, tmp_path)
    again = Estimate(built(name), spec())
    read_fitted(again, tmp_path)
    np.testing.assert_array_equal(again.predict(Data(), "test").probability, found.probability)
    assert again.parameters == task.parameters
