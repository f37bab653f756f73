"""Riemannian tangent space and logistic regression: covariances as points of a curved space, flattened at their mean.

Barachant et al. 2012 (doi:10.1109/TBME.2011.2172210), by pyriemann: the covariances of a band, the mean of
those of the training windows, and for every window the logarithm of its covariance as seen from that mean.
Classifier: scikit-learn's logistic regression, classes weighted by their inverse frequency, its strength
chosen on the validation subjects. With the affine-invariant metric and no shrinkage, an invertible mixing
of the channels changes nothing. Covariances are not centred on each person: that would use all windows of a
test subject at once.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression

from eegfm.contracts import SampleSpec
from eegfm.models.classical import Covariance, OfCovariances, preferred, refuse_one_class


class Tangent(OfCovariances):
    """Fitted in one go from arrays of raw windows, [window, channel, time] in microvolts.

    Features are tangent vectors, one entry per pair of channels; their length is the distance from the
    mean.

    Args:
        band: two frequencies in Hz, of the filter that comes first.
        strengths: inverse strengths of the regularisation to choose from.
        covariance: how a window's covariance is estimated (see `eegfm.models.classical.covariances`).
        metric: that of the mean and the logarithm; "riemann" is the affine-invariant one.
        max_iter: most iterations of the regression.
    """

    name = "tangent"
    found = ("transform", "estimator", "strength", "validation")

    def __init__(
        self,
        spec: SampleSpec,
        *,
        band: Sequence[float],
        strengths: Sequence[float],
        covariance: Covariance,
        metric: Literal["riemann", "logeuclid"],
        max_iter: int,
    ) -> None:
        super().__init__(spec, band=band, covariance=covariance)
        self.strengths, self.metric, self.max_iter = strengths, metric, max_iter
        self.strength: float | None = None
        self.validation: dict[float, float] = {}

    def fit(
        self,
        x: Float[np.ndarray, "window channel time"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "held_out channel time"],
        label_val: Int[np.ndarray, " held_out"],
    ) -> None:
        """Fit on the training pair at every strength, and keep the strength that scores best on the validation pair."""
        refuse_one_class(label)
        found = self.covariances(x)
        from pyriemann.tangentspace import TangentSpace

        self.transform = TangentSpace(metric=self.metric).fit(found)
        train = self.transform.transform(found)

        def at(strength: float) -> LogisticRegression:
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=self.max_iter)
            return model.fit(train, label)

        self.estimator, self.strength, self.validation = preferred(
            at, self.strengths, self.features(x_val), label_val, len(self.spec.classes)
        )

    @property
    def n_parameters(self) -> int:
        """The numbers in the mean covariance (one per pair of channels), coefficients and intercepts."""
        assert self.estimator is not None, "fit comes first"
        n = self.spec.shape[0]
        return int(n * (n + 1) // 2 + np.size(self.estimator.coef_) + np.size(self.estimator.intercept_))
