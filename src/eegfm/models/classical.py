"""Shared by models that are fitted in one go: the choice on validation subjects, and covariances of a band.

Their classifiers weigh all classes equally, whatever their frequency. The models are fitted on the training
subjects alone; their only setting (a strength, a number of filters) is the value that scores best on the
validation subjects.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import butter, sosfiltfilt
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from eegfm.contracts import EegfmError, SampleSpec

Setting = TypeVar("Setting")
Covariance = Literal["oas", "lwf", "scm"]

TINY_UV2 = 1e-12  # keeps the logarithm of a silent channel finite; 12 orders below 1 µV²
AT_A_TIME = 64  # windows held in memory as float64


class Fitted(ABC):
    """The base of classifiers on features of raw windows, fitted in one go; a subclass adds features and fit.

    Raises EegfmError if samples are an encoder's vectors.
    """

    found: ClassVar[tuple[str, ...]]  # the attributes that a fit sets and `eegfm.tasks.fitted` stores

    def __init__(self, spec: SampleSpec) -> None:
        refuse_tokens(spec, type(self).__name__)
        self.spec = spec
        self.estimator: Any = None

    @abstractmethod
    def features(self, x: Float[np.ndarray, "window channel time"]) -> Float[np.ndarray, "window feature"]:
        """The classifier's input for every window."""

    def probabilities(
        self, x: Float[np.ndarray, "window channel time"]
    ) -> Float[np.ndarray, "window class"]:
        """One column per class, in the order of the spec's classes."""
        assert self.estimator is not None, "fit comes first"
        found = self.estimator.predict_proba(self.features(x))
        return all_classes(found, self.estimator.classes_, len(self.spec.classes))

    def before(self) -> list[tuple[str, Any]]:
        """The steps of `pipeline` that make the classifier's input."""
        return [("features", FunctionTransformer(self.features))]

    def pipeline(self) -> Pipeline:
        """The fitted model as a pipeline of scikit-learn, from windows [window, channel, time] in microvolts."""
        own = (
            self.estimator.steps
            if isinstance(self.estimator, Pipeline)
            else [("classifier", self.estimator)]
        )
        return Pipeline([*self.before(), *own])


class OfCovariances(Fitted):
    """Features are the output of pyriemann's `transform`, fitted on the training covariances of a band."""

    name: str  # the model's option, for messages

    def __init__(self, spec: SampleSpec, *, band: Sequence[float], covariance: Covariance) -> None:
        super().__init__(spec)
        self.covariance: Covariance = covariance
        self.band = check_band(band, spec.sfreq)
        self.transform: Any = None

    def features(self, x: Float[np.ndarray, "window channel time"]) -> Float[np.ndarray, "window feature"]:
        """The fitted transform of the windows' covariances."""
        assert self.transform is not None, "fit comes first"
        return self.transform.transform(self.covariances(x))

    def before(self) -> list[tuple[str, Any]]:
        return [("covariances", FunctionTransformer(self.covariances)), ("transform", self.transform)]

    def covariances(
        self, x: Float[np.ndarray, "window channel time"]
    ) -> Float[np.ndarray, "window channel channel"]:
        """Each window's covariance in the band. Raises EegfmError without pyriemann."""
        return covariances(
            x, sfreq=self.spec.sfreq, band=self.band, estimator=self.covariance, model=self.name
        )


def refuse_tokens(spec: SampleSpec, model: str) -> None:
    """Raise EegfmError if samples are an encoder's vectors."""
    if len(spec.shape) != 2:
        raise EegfmError(
            f"{model} reads raw windows (channel, time); got samples of {spec.shape}. Type encoder=raw."
        )


def check_band(band: Sequence[float], sfreq: float) -> tuple[float, float]:
    """The ends of a filter's band in Hz. Raises EegfmError if no filter can be made for them."""
    if len(band) != 2 or not 0 < band[0] < band[1] < sfreq / 2:
        raise EegfmError(
            f"model.band={list(band)}: two frequencies are wanted, above 0 and below {sfreq / 2:g} Hz: "
            "model.band=[8,30]"
        )
    return float(band[0]), float(band[1])


def preferred(
    fit: Callable[[Setting], Any],
    settings: Sequence[Setting],
    x_val: np.ndarray,
    label_val: Int[np.ndarray, " held_out"],
    n_classes: int,
) -> tuple[Any, Setting, dict[Setting, float]]:
    """The estimator that scores best on the validation windows, its setting, and the score of every setting.

    `fit` takes a setting; of equally good settings the first is kept.
    """
    made = {setting: fit(setting) for setting in settings}
    scores = {
        setting: validation_score(all_classes(one.predict_proba(x_val), one.classes_, n_classes), label_val)
        for setting, one in made.items()
    }
    best = max(scores, key=lambda setting: scores[setting])
    return made[best], best, scores


def validation_score(
    probability: Float[np.ndarray, "window class"], label: Int[np.ndarray, " window"]
) -> float:
    """AUROC for two classes, Cohen's kappa for more; accuracy if all windows are of one class."""
    if len(np.unique(label)) < 2:
        return float((probability.argmax(axis=1) == label).mean())
    if probability.shape[1] == 2:
        return float(roc_auc_score(label, probability[:, 1]))
    return float(cohen_kappa_score(label, probability.argmax(axis=1)))


def all_classes(
    found: Float[np.ndarray, "window present"], present: np.ndarray, n_classes: int
) -> Float[np.ndarray, "window class"]:
    """Columns for all classes; a class that was absent from training has probability 0."""
    full = np.zeros((len(found), n_classes))
    full[:, present] = found
    return full


def refuse_one_class(label: Int[np.ndarray, " window"]) -> None:
    """Raise EegfmError if all windows are of one class."""
    if len(np.unique(label)) < 2:
        raise EegfmError(
            f"All {len(label)} training windows are of one class. Choose shorter windows (data.window_s), more "
            "subjects, or another split."
        )


def probabilities_of(estimator: Any, x: np.ndarray, n_classes: int) -> Float[np.ndarray, "window class"]:
    """What a fitted scikit-learn classifier says of windows, a column for each of all classes."""
    if hasattr(estimator, "predict_proba"):
        found = np.asarray(estimator.predict_proba(x), dtype=np.float64)
    else:
        value = np.asarray(estimator.decision_function(x), dtype=np.float64)
        value = np.stack([np.zeros_like(value), value], axis=1) if value.ndim == 1 else value
        power = np.exp(value - value.max(axis=1, keepdims=True))
        found = power / power.sum(axis=1, keepdims=True)
    return all_classes(found, estimator.classes_, n_classes)


def covariances(
    x: Float[np.ndarray, "window channel time"],
    *,
    sfreq: float,
    band: tuple[float, float],
    estimator: Covariance,
    model: str,
) -> Float[np.ndarray, "window channel channel"]:
    """The covariance over time of each window's signal in a band, in µV².

    A Butterworth filter of order 4 runs forward and backward over each window alone: no sample outside it
    is used. "oas" and "lwf" shrink towards equal, uncorrelated channels, the more the shorter the window;
    "scm" does not shrink, and is singular where rows depend on each other (an average reference, closed
    loops of bipolar rows).

    Raises:
        EegfmError: pyriemann is not installed (`model` names the model that needs it).
    """
    try:
        from pyriemann.estimation import Covariances
    except ImportError as error:
        raise EegfmError(
            f"model={model} needs pyriemann ({error}). Type: python -m pip install 'pyriemann>=0.8'"
        ) from error
    sos = butter(4, band, "bandpass", fs=sfreq, output="sos")
    found = np.empty((len(x), x.shape[1], x.shape[1]))
    for start in range(0, len(x), AT_A_TIME):
        part = sosfiltfilt(sos, x[start : start + AT_A_TIME].astype(np.float64), axis=-1)
        found[start : start + AT_A_TIME] = Covariances(estimator=estimator).transform(part)
    return found + TINY_UV2 * np.eye(x.shape[1])
