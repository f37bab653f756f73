"""Probing: a small classifier shows what a backbone knows without training for the question.

Follows EEGM2 and SAMBA: pooled statistics of one layer, a stratified part of at most 100,000 training
windows, standardised, a linear probe. Differs: the part is drawn before features are computed, and the
layer's time axis is known (see `eegfm.tasks.features`).
"""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.scaling import Scale, fit_unit, give_unit
from eegfm.tasks.features import Features, Pooling
from eegfm.tasks.fitted import Fits
from eegfm.tasks.heads import HEADS
from eegfm.tasks.metrics import Predictions, monitor_of, refuse_unlabelled

HeadName = Literal["logistic", "mlp", "knn", "ridge"]


class Probe:
    """Fit a head on features of a frozen backbone, in one go.

    Args:
        layer: module path of the layer whose features are pooled over time; None for the embedding.
        pooling: statistics of every feature, as published, or logcov (see `eegfm.tasks.features.Features`).
        head: logistic (one against the rest), mlp (EEGM2 Light's), knn, or ridge. See `eegfm.tasks.heads`.
        balanced: classes weigh by their inverse frequency (SAMBA's probe); otherwise windows weigh alike (EEGM2's).
        at_most: limit on training windows, the same part of every class; the head sees no others.
        scale: divides the input, as in the pre-training (see `eegfm.nn.scaling.size_of`).
        device: "auto" (a GPU if there is one, else the CPU) or a name for torch.device.

    Raises:
        EegfmError: fewer than two classes, or a layer that the backbone does not show.
    """

    def __init__(
        self,
        backbone: nn.Module,
        spec: SampleSpec,
        *,
        layer: str | None = None,
        pooling: Pooling = "statistics",
        head: HeadName = "logistic",
        balanced: bool = False,
        at_most: int = 100_000,
        scale: Scale = None,
        device: str = "auto",
        seed: int,
    ) -> None:
        refuse_unlabelled(spec.classes, "probe")
        if head not in HEADS:
            raise EegfmError(f"task.head={head}: wanted one of {', '.join(HEADS)}.")
        if not isinstance(backbone, nn.Module):
            raise EegfmError(
                f"{type(backbone).__name__} is no network to look into. Choose another model, or task=estimate."
            )
        self.backbone, self.at_most, self.seed = backbone, at_most, seed
        give_unit(backbone, scale)
        self.features = Features(backbone, layer=layer, pooling=pooling, scale=scale)
        self.head = HEADS[head](len(spec.classes), balanced=balanced, seed=seed)
        self.monitor = monitor_of(spec.classes)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)

    def fit(self, data: Any) -> None:
        """`data` is the data module, set up for "fit"."""
        fit_unit(self.backbone, (x for corpus in data.corpora.values() for x in corpus.train_inputs()))
        train, val = data.dataset("train"), data.dataset("val")
        part = stratified(train.labels, self.at_most, self.seed)
        self.head.fit(self._table(train, part, data), train.labels[part], *self._split(val, data))

    def predict(self, data: Any, split: str) -> Predictions:
        """Predictions of a split in stored order."""
        rows = data.dataset(split)
        x, label = self._split(rows, data)
        return Predictions(
            keys=[rows.store.index.key(row) for row in rows.rows],
            subject=rows.subject[rows.rows],
            label=label,
            probability=self.head.probabilities(x),
        )

    @property
    def fitted(self) -> Fits:
        """The object that a fit changes: the head."""
        return self.head

    @property
    def parameters(self) -> dict[str, int]:
        """The numbers of the head's parameters, which were fitted, and of all."""
        head = self.head.n_parameters
        return {"trainable": head, "total": head + sum(p.numel() for p in self.backbone.parameters())}

    def _split(
        self, rows: Any, data: Any
    ) -> tuple[Float[np.ndarray, "window feature"], Int[np.ndarray, " window"]]:
        return self._table(rows, np.arange(len(rows)), data), rows.labels

    def _table(
        self, rows: Any, part: Int[np.ndarray, " window"], data: Any
    ) -> Float[np.ndarray, "window feature"]:
        self.backbone.to(self.device)
        return table(self.features, rows, part, data.batch_size, self.device)


def table(
    features: Features, rows: Any, part: Int[np.ndarray, " window"], batch_size: int, device: torch.device
) -> Float[np.ndarray, "window feature"]:
    """Features of some windows of a split (a `SplitDataset`), float32.

    Raises:
        EegfmError: a feature is not a number.
    """
    batches = [part[start : start + batch_size] for start in range(0, len(part), batch_size)]
    found = torch.cat([features.of(rows.__getitems__(batch), device) for batch in batches]).numpy()
    bad = int((~np.isfinite(found)).any(axis=1).sum())
    if bad:
        raise EegfmError(
            f"Features of {bad} of {len(found)} windows are not numbers: the weights have diverged, or the store "
            "holds NaN."
        )
    return found


def stratified(label: Int[np.ndarray, " window"], at_most: int, seed: int) -> Int[np.ndarray, " part"]:
    """Positions of at most `at_most` windows, the same part of every class (one at least), in stored order."""
    if len(label) <= at_most:
        return np.arange(len(label))
    random = np.random.default_rng(seed)
    chosen = []
    for name in np.unique(label):
        places = np.flatnonzero(label == name)
        n = max(1, int(len(places) * at_most / len(label)))
        chosen.append(random.permutation(places)[:n])
    return np.sort(np.concatenate(chosen))
