"""Common spatial patterns and linear discriminant analysis: the classical decoder of imagined movement.

The steps are covariances of a band, spatial filters whose variance differs most between the classes, their
log variances, and LDA (Koles et al. 1990; Blankertz et al. 2008, doi:10.1109/MSP.2008.4408441; for more
than two classes approximate joint diagonalisation, Grosse-Wentrup and Buss 2008,
doi:10.1109/TBME.2008.921154). The filters are pyriemann's, LDA is scikit-learn's. Differs from MOABB's
pipeline of that name: LDA assumes equally likely classes, and the number of filters is chosen on the
validation subjects.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.models.classical import Covariance, OfCovariances, preferred, refuse_one_class


class CspLda(OfCovariances):
    """Fitted in one go from arrays of raw windows, [window, channel, time] in microvolts.

    Features are log variances after the spatial filters; the filters that separate the classes best come
    first.

    Args:
        band: two frequencies in Hz, of the filter that comes first.
        filters: numbers of spatial filters to choose from.
        covariance: how a window's covariance is estimated (see `eegfm.models.classical.covariances`).
    """

    name = "csp_lda"
    found = ("transform", "estimator", "n_filters", "validation")

    def __init__(
        self, spec: SampleSpec, *, band: Sequence[float], filters: Sequence[int], covariance: Covariance
    ) -> None:
        super().__init__(spec, band=band, covariance=covariance)
        if not filters or min(filters) < 1 or max(filters) > spec.shape[0]:
            raise EegfmError(
                f"model.filters={list(filters)}: numbers of spatial filters are wanted, from 1 to the "
                f"{spec.shape[0]} channels: model.filters=[2,4]"
            )
        self.filters = filters
        self.n_filters: int = 0
        self.validation: dict[int, float] = {}

    def fit(
        self,
        x: Float[np.ndarray, "window channel time"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "held_out channel time"],
        label_val: Int[np.ndarray, " held_out"],
    ) -> None:
        """Fit on the training pair; keep the number of filters that scores best on the validation pair."""
        refuse_one_class(label)
        found = self.covariances(x)
        from pyriemann.spatialfilters import CSP

        # a smaller number of filters means the first of these
        self.transform = CSP(nfilter=int(max(self.filters)), metric="euclid", log=True).fit(found, label)
        train, n_present = self.transform.transform(found), len(np.unique(label))

        def first(n: int) -> Pipeline:
            some = ColumnTransformer([("filters", "passthrough", slice(0, n))])
            lda = LinearDiscriminantAnalysis(priors=np.full(n_present, 1 / n_present))
            return make_pipeline(some, lda).fit(train, label)

        self.estimator, self.n_filters, self.validation = preferred(
            first, self.filters, self.features(x_val), label_val, len(self.spec.classes)
        )

    @property
    def n_parameters(self) -> int:
        """The number of weights of the chosen filters, of coefficients and of intercepts."""
        assert self.estimator is not None, "fit comes first"
        lda: Any = self.estimator[-1]
        filters = self.transform.filters_[: self.n_filters]
        return int(np.size(filters) + np.size(lda.coef_) + np.size(lda.intercept_))
