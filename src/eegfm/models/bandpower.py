"""Log band power and logistic regression: the classical baseline that an honest table needs.

Features: for every channel, the natural logarithm of the mean periodogram power (Hann window, mean removed)
in each band over the whole window. Classifier: scikit-learn's logistic regression on standardised features,
classes weighted by their inverse frequency. It is fitted on the training subjects alone; the strength of
its regularisation is chosen on the validation subjects (by AUROC for two classes, Cohen's kappa for more).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import periodogram
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.models.classical import TINY_UV2, Fitted, preferred, refuse_one_class


class BandPower(Fitted):
    """Fitted in one go from arrays of raw windows, [window, channel, time] in microvolts."""

    found = ("estimator", "strength", "validation")

    def __init__(
        self,
        spec: SampleSpec,
        *,
        bands: Sequence[Sequence[float]],
        strengths: Sequence[float],
        max_iter: int,
    ) -> None:
        super().__init__(spec)
        for low, high in bands:
            if not 0 <= low < high <= spec.sfreq / 2:
                raise EegfmError(
                    f"model.bands: {low} to {high} Hz does not lie within 0 to {spec.sfreq / 2:g} Hz."
                )
        self.bands, self.strengths, self.max_iter = bands, strengths, max_iter
        self.strength: float | None = None
        self.validation: dict[float, float] = {}

    def features(self, x: Float[np.ndarray, "window channel time"]) -> Float[np.ndarray, "window feature"]:
        """Log power, [window, channel x band]."""
        frequency, power = periodogram(x, self.spec.sfreq, window="hann", detrend="constant", axis=-1)
        bands = [power[..., (frequency >= low) & (frequency < high)].mean(-1) for low, high in self.bands]
        return np.log(np.stack(bands, axis=-1) + TINY_UV2).reshape(len(x), -1)

    def fit(
        self,
        x: Float[np.ndarray, "window channel time"],
        label: Int[np.ndarray, " window"],
        x_val: Float[np.ndarray, "held_out channel time"],
        label_val: Int[np.ndarray, " held_out"],
    ) -> None:
        """Fit on the training pair at every strength, and keep the strength that scores best on the validation pair."""
        refuse_one_class(label)
        train, val = self.features(x), self.features(x_val)

        def at(strength: float) -> Pipeline:
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=self.max_iter)
            return make_pipeline(StandardScaler(), model).fit(train, label)

        self.estimator, self.strength, self.validation = preferred(
            at, self.strengths, val, label_val, len(self.spec.classes)
        )

    @property
    def n_parameters(self) -> int:
        """Coefficients and intercepts of the fitted regression."""
        assert self.estimator is not None, "fit comes first"
        model: LogisticRegression = self.estimator[-1]
        return int(np.size(model.coef_) + np.size(model.intercept_))
