"""The scores of a classification benchmark, from whole splits and never from averaged batches.

The two sets are those of the CBraMod and STAMP tables: balanced accuracy, AUC-PR and AUROC for two classes,
balanced accuracy, Cohen's kappa and weighted F1 for more. scikit-learn computes every number. torchmetrics
only accumulates (and gathers over processes): its macro accuracy counts a class that is predicted but
absent from the labels as a recall of zero, which is likely for few windows of a rare class.

Unusual: the published AUC-PR is the trapezoid under the precision-recall curve. It is more optimistic than average
precision, which is our AUC-PR; the trapezoid stands only beside rows of papers. Where many windows have one score it
means nothing: at a prevalence of 0.25, one score of all windows gives 0.625.

A new metric also needs an entry in `metric_names.py` (its name, place in tables, better end, chance level) and a form
for many draws at once in `eegfm.runs.intervals`: docs/howto/own_metric.md.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from eegfm.contracts import EegfmError
from eegfm.nn.head import class_probabilities
from eegfm.tasks.decision import decide


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's class probabilities for each window of a split, in the loader's order.

    `subject` is the position in the store's sorted list of subject ids; `probability` has one column per
    class, in the order of `SampleSpec.classes`, also for two classes.
    """

    keys: list[str]
    subject: Int[np.ndarray, " window"]
    label: Int[np.ndarray, " window"]
    probability: Float[np.ndarray, "window class"]


def refuse_unlabelled(classes: Sequence[str], to_do: str) -> None:
    """Raise EegfmError for fewer than two classes; the message names what was `to_do`."""
    if len(classes) < 2:
        raise EegfmError(
            f"To {to_do} takes at least two classes, and this data set names {len(classes)}. "
            "Choose labelled data (data=...) or another task (task=...)."
        )


def monitor_of(classes: Sequence[str]) -> tuple[str, Literal["max"]]:
    """The validation metric that chooses a checkpoint, and its better end: AUROC for two classes, else kappa."""
    return ("auroc" if len(classes) == 2 else "cohen_kappa"), "max"


def probabilities(logits: Float[Tensor, "window logit"]) -> Float[np.ndarray, "window class"]:
    """Class probabilities of logits: the softmax; a single logit's sigmoid is that of the second class.

    Computed in float64, where a confident model's logits do not yet saturate to ties (in float32 the
    sigmoid is 1 from 17 on).
    """
    return class_probabilities(logits.detach().cpu().double()).numpy()


def scores(
    probabilities: Float[np.ndarray, "window class"], labels: Int[np.ndarray, " window"], n_classes: int
) -> dict[str, float]:
    """Score one whole set of windows.

    Two classes are decided by P(second class) > 0.5 (a tie is the first class) and give
    `balanced_accuracy`, `predicted_positive`, the share of windows that are counted as the second class, `auroc`,
    `auc_pr` (trapezoid), `average_precision`, and `prevalence`, the share of the second class and chance level of the
    last two. `auc_pr` is NaN where half of all windows, and more than one, have the same probability. More classes are
    decided by the largest probability (a tie is the earlier class) and give `balanced_accuracy`, `most_predicted`, the
    share of the class that most windows are counted as, `cohen_kappa`, `weighted_f1`, `accuracy`.

    Balanced accuracy is the mean recall over the classes that occur in `labels`. Where `labels` hold one class only,
    the values are scikit-learn's, without its warnings: `auroc` is NaN; `cohen_kappa` is NaN if that class is also all
    that was predicted, else 0; `auc_pr` and `average_precision` are 1 if the class is the second and otherwise 0.5 and
    0, numbers without a meaning, which a `prevalence` of 0 gives away.

    Raises EegfmError for no windows, for probabilities that are not finite numbers in [0, 1], and for labels that name
    no class.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    _check(probabilities, labels, n_classes)
    predicted = decide(probabilities)
    with warnings.catch_warnings():
        # labels of one class, or a predicted class that the labels lack: the docstring says what results
        warnings.simplefilter("ignore", category=UserWarning)
        warnings.simplefilter("ignore", category=RuntimeWarning)
        if n_classes == 2:
            positive = probabilities[:, 1]
            precision, recall, _ = sk.precision_recall_curve(labels, positive)
            alike = np.unique(positive, return_counts=True)[1].max()
            found = {
                "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
                "predicted_positive": predicted.mean(),
                "auroc": sk.roc_auc_score(labels, positive),
                "auc_pr": np.nan if 1 < alike >= len(labels) / 2 else sk.auc(recall, precision),
                "average_precision": sk.average_precision_score(labels, positive),
                "prevalence": labels.mean(),
            }
        else:
            found = {
                "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
                "most_predicted": np.bincount(predicted).max() / len(labels),
                "cohen_kappa": sk.cohen_kappa_score(labels, predicted),
                "weighted_f1": sk.f1_score(labels, predicted, average="weighted"),
                "accuracy": sk.accuracy_score(labels, predicted),
            }
    return {name: float(value) for name, value in found.items()}


def scores_by_subject(
    probabilities: Float[np.ndarray, "window class"],
    labels: Int[np.ndarray, " window"],
    subjects: Int[np.ndarray, " window"],
    n_classes: int,
) -> dict[int, dict[str, float]]:
    """`scores` of each subject's windows alone, by ascending subject.

    A subject may have one class only (with a diagnosis always); `scores` says what is then undefined.
    """
    probabilities, labels, subjects = np.asarray(probabilities), np.asarray(labels), np.asarray(subjects)
    return {
        int(subject): scores(probabilities[subjects == subject], labels[subjects == subject], n_classes)
        for subject in np.unique(subjects)
    }


class Scores(Metric):
    """Gathers the logits of a split and scores them once, at its end.

    The states are lists that torchmetrics concatenates over processes, so every process computes the score
    of the whole split. A sampler that pads its shards with repeated windows (torch's DistributedSampler)
    would count those twice: our loaders deliver every window once (`eegfm.data.processes`).
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    logits: list[Tensor]
    labels: list[Tensor]
    subjects: list[Tensor]

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.n_classes = len(classes)
        for name in ("logits", "labels", "subjects"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        logits: Float[Tensor, "batch logit"],
        label: Int[Tensor, " batch"],
        subject: Int[Tensor, " batch"],
    ) -> None:
        self.logits.append(logits.detach().float())
        self.labels.append(label)
        self.subjects.append(subject)

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """`scores` of everything since the last reset, as scalars on the metric's device."""
        found = scores(probabilities(dim_zero_cat(self.logits)), _numpy(self.labels), self.n_classes)
        return {name: torch.tensor(value, device=self.device) for name, value in found.items()}

    def predictions(self, keys: list[str]) -> Predictions:
        """Predictions of all processes since the last reset, by window; `keys` are those of this process."""
        with self.sync_context():
            return Predictions(
                keys=of_all_processes(keys),
                subject=_numpy(self.subjects),
                label=_numpy(self.labels),
                probability=probabilities(dim_zero_cat(self.logits)),
            )


def of_all_processes(keys: list[str]) -> list[str]:
    """The keys of all processes, by ascending rank: the order of torchmetrics' states."""
    if not (dist.is_available() and dist.is_initialized()):
        return list(keys)
    found: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, keys)
    return [key for of_one in found for key in of_one]


def _numpy(state: list[Int[Tensor, " _"]]) -> Int[np.ndarray, " window"]:
    return dim_zero_cat(state).cpu().numpy()


def _check(probabilities: np.ndarray, labels: np.ndarray, n_classes: int) -> None:
    if probabilities.shape != (len(labels), n_classes):
        raise EegfmError(
            f"Found probabilities of shape {probabilities.shape} for {len(labels)} labels; wanted one row a label and "
            f"one column a class, ({len(labels)}, {n_classes}), also for two classes."
        )
    if len(labels) == 0:
        raise EegfmError(
            "There is no window to score. Check the split and its limits (trainer.limit_*_batches)."
        )
    n_bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if n_bad:
        raise EegfmError(
            f"The model's output is not a number for {n_bad} of {len(labels)} windows: training has diverged. "
            "Lower the learning rate, clip the gradient (trainer.gradient_clip_val=1.0), or look for NaN in the data."
        )
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise EegfmError(
            f"Found probabilities from {probabilities.min():.3g} to {probabilities.max():.3g}; wanted [0, 1]. "
            "Are these logits? eegfm.tasks.metrics.probabilities turns them."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise EegfmError(
            f"Found labels from {labels.min()} to {labels.max()} for {n_classes} classes; wanted 0 to {n_classes - 1}."
        )
