"""The metrics by name: what they are called, in which order they stand, which end is better, what a guess gets.

`eegfm.tasks.metrics` and `eegfm.tasks.errors` compute them. Imports neither torch nor scikit-learn, so that a report
of finished runs stays quick.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MetricName:
    """What is known of a metric beside how it is computed.

    Args:
        short: the head of a column; `spoken` in a sentence and at an axis.
        main: it stands in every table; `beside_papers`, only where a row of a paper has it.
        on_summary: it stands on the screen at the end of a run.
        needs_two_classes: it compares classes; scikit-learn gives it a number, where it does, also for one class.
        better: which end; None for what is no score but the level that others are held against.
        chance: what a guess gets, of so many classes; None where that is no fixed number.
    """

    short: str
    spoken: str
    main: bool = False
    beside_papers: bool = False
    on_summary: bool = False
    needs_two_classes: bool = False
    better: Literal["max", "min"] | None = "max"
    chance: Callable[[int], float] | None = None


def _score(
    short: str, spoken: str, *, two: bool, chance: Callable[[int], float] | None = None
) -> MetricName:
    return MetricName(
        short=short, spoken=spoken, main=True, on_summary=True, needs_two_classes=two, chance=chance
    )


def _error(short: str, spoken: str, *, on_summary: bool = True) -> MetricName:
    return MetricName(short=short, spoken=spoken, on_summary=on_summary, better="min")


# In the order of the published tables; what is not in them follows.
METRICS = {
    "balanced_accuracy": _score("balanced acc.", "balanced accuracy", two=False, chance=lambda n: 1 / n),
    "predicted_positive": MetricName(
        short="pred. positive", spoken="share predicted positive", main=True, on_summary=True, better=None
    ),
    "most_predicted": MetricName(
        short="most predicted",
        spoken="share of the class predicted most",
        main=True,
        on_summary=True,
        better=None,
    ),
    "auroc": _score("AUROC", "AUROC", two=True, chance=lambda n: 0.5),
    "average_precision": _score("AUC-PR", "AUC-PR", two=True),
    # the papers', which is more optimistic: for one score of all windows it gives 0.625 at a prevalence of 0.25
    "auc_pr": MetricName(
        short="AUC-PR, trapezoid",
        spoken="AUC-PR by trapezoids",
        main=True,
        beside_papers=True,
        needs_two_classes=True,
    ),
    "cohen_kappa": _score("Cohen's kappa", "Cohen's kappa", two=True, chance=lambda n: 0.0),
    "weighted_f1": _score("weighted F1", "weighted F1", two=False),
    "prevalence": MetricName(short="AUC-PR chance", spoken="prevalence", better=None),
    "accuracy": MetricName(short="accuracy", spoken="accuracy"),
    "rmse_uv": _error("RMSE µV", "RMSE in µV"),
    "hidden_rmse_uv": _error("hidden µV", "RMSE of hidden samples in µV"),
    "interpolation_rmse_uv": _error("straight lines µV", "RMSE of straight lines in µV"),
    "visible_rmse_uv": _error("visible µV", "RMSE of visible samples in µV", on_summary=False),
    "persistence_rmse_uv": _error("last sample held µV", "RMSE of the last sample held in µV"),
    "mean_rmse_uv": _error("mean of the past µV", "RMSE of the mean of the past in µV", on_summary=False),
    "zero_rmse_uv": _error("zero µV", "RMSE of zero in µV"),
    "mae_uv": _error("MAE µV", "MAE in µV", on_summary=False),
    "r2": MetricName(short="R²", spoken="R²", on_summary=True),
}
MAIN = tuple(name for name, one in METRICS.items() if one.main)
NEEDS_TWO_CLASSES = tuple(name for name, one in METRICS.items() if one.needs_two_classes)
NO_SCORE = tuple(name for name, one in METRICS.items() if one.better is None)
WITH_CHANCE = tuple(name for name, one in METRICS.items() if one.chance is not None)


def short(name: str) -> str:
    """The head of a metric's column."""
    return METRICS[name].short if name in METRICS else name.replace("_", " ")


def spoken(name: str) -> str:
    """A metric's name in a sentence or at an axis."""
    return METRICS[name].spoken if name in METRICS else name.replace("_", " ")


def chance(name: str, n_classes: int) -> float | None:
    """What a guess gets; None where that is no fixed number."""
    of = METRICS[name].chance if name in METRICS else None
    return None if of is None else of(n_classes)


def one_side(scores: Mapping[str, float]) -> bool:
    """Whether every window is counted as the same class: a balanced accuracy then says nothing."""
    return scores.get("predicted_positive") in (0, 1) or scores.get("most_predicted") == 1


def in_order(present: Iterable[str], cited: Iterable[str] = ()) -> list[str]:
    """Those of these metrics that have columns, in their order: not the loss, nor what is of one corpus of a mix.

    What stands only beside rows of papers must be `cited` by one.
    """
    hidden = {"loss", *(name for name, one in METRICS.items() if one.beside_papers)} - {*cited}
    found = {name for name in present if name not in hidden and "/" not in name}
    return [name for name in METRICS if name in found] + sorted(found - METRICS.keys())
