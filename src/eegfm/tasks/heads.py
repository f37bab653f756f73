"""Small classifiers over features: logistic regression, a small network, nearest neighbours, ridge regression.

Each standardises features by the training split's mean and deviation, is fitted in one go, and chooses its
settings on the validation split. The first is the references' linear probe, the second EEGM2's "Light"; the
last two cost almost nothing and show whether a difference between two backbones comes from the head.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from eegfm.models.classical import all_classes, validation_score
from eegfm.nn.head import light_mlp

Table = Float[np.ndarray, "window feature"]
Labels = Int[np.ndarray, " window"]
OtherTable = Float[np.ndarray, "other feature"]  # of validation
OtherLabels = Int[np.ndarray, " other"]


class Logistic:
    """Standardised features; a logistic regression of each class against the rest (EEGM2, SAMBA; L2 of strength 1).

    `balanced` weighs classes by their inverse frequency, as SAMBA's probe does and EEGM2's does not.
    """

    found = ("estimator",)

    def __init__(self, n_classes: int, *, balanced: bool = False, seed: int) -> None:
        self.n_classes = n_classes
        regression = LogisticRegression(max_iter=1_000_000, class_weight="balanced" if balanced else None)
        self.estimator: Pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(regression))

    def fit(self, x: Table, label: Labels, x_val: OtherTable, label_val: OtherLabels) -> None:
        self.estimator.fit(x, label)

    def probabilities(self, x: Table) -> Float[np.ndarray, "window class"]:
        return all_classes(self.estimator.predict_proba(x), self.estimator.classes_, self.n_classes)

    @property
    def n_parameters(self) -> int:
        rest: Any = self.estimator[-1]
        return _n_coefficients(rest.estimators_)


class Ridge:
    """Standardised features and ridge regression on plus and minus one, in closed form; its strength is chosen.

    Strengths from 1 to 1e6 are compared on the validation split (AUROC for two classes, Cohen's kappa for
    more). Probabilities are the logistic function (for more classes the softmax) of the regression's
    values: their order is right, but they are no frequencies.
    """

    found = ("estimator", "strength")
    STRENGTHS = tuple(10.0**exponent for exponent in range(7))

    def __init__(self, n_classes: int, *, balanced: bool = False, seed: int) -> None:
        self.n_classes, self.weight = n_classes, "balanced" if balanced else None
        self.estimator: Pipeline | None = None
        self.strength: float | None = None

    def fit(self, x: Table, label: Labels, x_val: OtherTable, label_val: OtherLabels) -> None:
        best = -np.inf
        for strength in self.STRENGTHS:
            made = make_pipeline(StandardScaler(), RidgeClassifier(strength, class_weight=self.weight)).fit(
                x, label
            )
            score = validation_score(self._probabilities(made, x_val), label_val)
            if self.estimator is None or score > best:
                best, self.estimator, self.strength = score, made, strength

    def probabilities(self, x: Table) -> Float[np.ndarray, "window class"]:
        assert self.estimator is not None, "fit comes first"
        return self._probabilities(self.estimator, x)

    def _probabilities(self, estimator: Pipeline, x: Table) -> Float[np.ndarray, "window class"]:
        value = np.asarray(estimator.decision_function(x), dtype=np.float64)
        if value.ndim == 1:  # two classes: 2v is the difference of their two values
            value = np.stack([-value, value], axis=1)
        power = np.exp(value - value.max(axis=1, keepdims=True))
        return all_classes(power / power.sum(axis=1, keepdims=True), estimator.classes_, self.n_classes)

    @property
    def n_parameters(self) -> int:
        assert self.estimator is not None, "fit comes first"
        return _n_coefficients([self.estimator[-1]])


class Neighbours:
    """Standardised features and the share of each class among the 20 nearest training windows; nothing is learned."""

    found = ("estimator", "share")
    N = 20

    def __init__(self, n_classes: int, *, balanced: bool = False, seed: int) -> None:
        self.n_classes = n_classes
        self.weight = balanced
        self.estimator: Pipeline | None = None

    def fit(self, x: Table, label: Labels, x_val: OtherTable, label_val: OtherLabels) -> None:
        near = KNeighborsClassifier(min(self.N, len(x)))
        self.share = np.bincount(label, minlength=self.n_classes) / len(label)
        self.estimator = make_pipeline(StandardScaler(), near).fit(x, label)

    def probabilities(self, x: Table) -> Float[np.ndarray, "window class"]:
        assert self.estimator is not None, "fit comes first"
        found = all_classes(self.estimator.predict_proba(x), self.estimator.classes_, self.n_classes)
        if self.weight:
            found = found / np.where(self.share > 0, self.share, 1)
            found = found / found.sum(axis=1, keepdims=True)
        return found

    @property
    def n_parameters(self) -> int:
        return 0


class Mlp:
    """EEGM2 Light's head: features -> 128 -> ReLU -> dropout .5 -> 32 -> ReLU -> dropout .5 -> classes.

    AdamW at 1e-4 (torch's weight decay), batches of 64, 30 epochs, cross-entropy; the epoch with the lowest
    validation loss is kept, as published. Features are standardised, which the reference's code does not
    show. Two classes have two outputs, as in the reference. Weights, order and dropout follow the seed.
    """

    found = ("scaler", "weights")
    EPOCHS, BATCH, RATE = 30, 64, 1e-4

    def __init__(self, n_classes: int, *, balanced: bool = False, seed: int) -> None:
        self.n_classes, self.balanced, self.seed = n_classes, balanced, seed
        self.scaler: Any = StandardScaler()
        self.net = nn.Sequential()

    def fit(self, x: Table, label: Labels, x_val: OtherTable, label_val: OtherLabels) -> None:
        inputs, labels = self._tensor(self.scaler.fit(x).transform(x)), torch.from_numpy(label).long()
        val, val_labels = self._tensor(self.scaler.transform(x_val)), torch.from_numpy(label_val).long()
        weight = None
        if self.balanced:
            count = torch.bincount(labels, minlength=self.n_classes)
            weight = len(labels) / count.clamp(min=1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = light_mlp(x.shape[1], self.n_classes)
            optimizer = torch.optim.AdamW(net.parameters(), lr=self.RATE)
            least = float("inf")
            for _ in range(self.EPOCHS):
                net.train()
                for rows in torch.randperm(len(inputs)).split(self.BATCH):
                    optimizer.zero_grad()
                    F.cross_entropy(net(inputs[rows]), labels[rows], weight).backward()
                    optimizer.step()
                with torch.no_grad():
                    loss = float(F.cross_entropy(net.eval()(val), val_labels, weight))
                if loss < least or not len(self.net):
                    least, self.net = loss, copy.deepcopy(net)

    def probabilities(self, x: Table) -> Float[np.ndarray, "window class"]:
        assert len(self.net), "fit comes first"
        with torch.no_grad():
            logits = self.net.eval()(self._tensor(self.scaler.transform(x)))
        return torch.softmax(logits.double(), dim=1).numpy()

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The network's weights, by name."""
        return {name: value.numpy() for name, value in self.net.state_dict().items()}

    @weights.setter
    def weights(self, arrays: dict[str, np.ndarray]) -> None:
        self.net = light_mlp(self.scaler.n_features_in_, self.n_classes)
        self.net.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    @staticmethod
    def _tensor(values: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.float32))


HEADS: dict[str, Callable[..., Any]] = {"logistic": Logistic, "mlp": Mlp, "knn": Neighbours, "ridge": Ridge}


def _n_coefficients(models: Any) -> int:
    return int(sum(np.size(model.coef_) + np.size(model.intercept_) for model in models))
