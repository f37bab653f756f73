"""Scores of whole recordings and persons, where a label is theirs: their windows decide together.

A clinic asks about a patient, not about a window. The windows of a person or a recording are summed up in two ways: by
their mean probability, and by their vote, the share of windows that are counted as each class (a tie goes to the mean).
Reports use this module, so it imports no torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.runs.intervals import intervals, scores_by_draw
from eegfm.runs.predictions import PredictionTable, read_predictions
from eegfm.tasks.decision import decide
from eegfm.tasks.metric_names import NEEDS_TWO_CLASSES, spoken

WAYS = {"mean": "mean probability", "vote": "vote of the windows"}
SCORES = ("balanced_accuracy", "auroc", "cohen_kappa")
TIE = 1e-6  # of the mean probability, beside a share of windows


def wholes_of(predictions: Path) -> dict[str, Any]:
    """The `wholes` of a file of predictions; {} where there is none, as of a reconstruction."""
    return wholes([read_predictions(predictions)]) if predictions.is_file() else {}


def wholes(seeds: Sequence[PredictionTable]) -> dict[str, Any]:
    """Scores by "person" and by "recording", each only where all windows of one have one label and some have several.

    The seeds, a table each, score the same windows. {"person": {"n": how many, "persons": how many, "mean":
    {"balanced_accuracy": {"score": their mean, "low", "high"}, ...}, "vote": ...}}; `low` and `high` are the interval
    over persons (see `runs.intervals`), None where there is none.
    """
    first = seeds[0]
    kinds = {"person": first.subjects, "recording": [key.rpartition("/")[0] for key in first.keys]}
    found: dict[str, Any] = {}
    for kind, whole in kinds.items():
        if not _has_one_label(first, whole) or (found and len({*whole}) == found["person"]["n"]):
            continue  # the last: a recording a person
        of_ways = {way: _scored([summed_up(one, whole, way) for one in seeds]) for way in WAYS}
        found[kind] = {"n": len({*whole}), "persons": len({*first.subjects}), **of_ways}
    return found


def _has_one_label(table: PredictionTable, whole: Sequence[str]) -> bool:
    pairs = {*zip(whole, table.labels.tolist(), strict=True)}
    return len(table.classes) > 1 and len(pairs) == len({*whole}) < len(whole)


def summed_up(table: PredictionTable, whole: Sequence[str], way: str) -> PredictionTable:
    """One row for each whole: its label, its person, and the probability of every class by one of the `WAYS`.

    `whole` names that of every window.
    """
    names, first, place = np.unique(np.asarray(whole), return_index=True, return_inverse=True)
    probability = _means(table.probabilities, place)
    if way == "vote":
        share = _means(np.eye(len(table.classes))[decide(table.probabilities)], place)
        probability = (share + TIE * probability) / (1 + TIE)
    return PredictionTable(
        names.tolist(), [table.subjects[i] for i in first], table.labels[first], probability, table.classes
    )


def _means(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.stack([values[place == i].mean(axis=0) for i in range(place.max() + 1)])


def _scored(seeds: Sequence[PredictionTable]) -> dict[str, dict[str, float | None]]:
    persons = sorted(set(seeds[0].subjects))
    once = np.ones((1, len(persons)), dtype=np.int64)
    of_seeds = [scores_by_draw(one, persons, once) for one in seeds]
    one_class = len(set(seeds[0].labels.tolist())) < 2
    ends = intervals(seeds)
    found: dict[str, dict[str, float | None]] = {}
    for name in SCORES:
        if name in of_seeds[0] and not (one_class and name in NEEDS_TWO_CLASSES):
            low, high = ends.get(name, (None, None))
            score = float(np.mean([one[name][0] for one in of_seeds]))
            found[name] = {"score": score, "low": low, "high": high}
    return found


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What `wholes` found, a line for each kind of whole and way, in words."""
    lines = []
    for kind, of in found.items():
        count = f"{of['n']} {kind}s" + (f" of {of['persons']} persons" if kind == "recording" else "")
        for way, how in WAYS.items():
            said = ", ".join(f"{spoken(name)} {number(one)}" for name, one in of[way].items())
            lines.append(f"by {kind} ({count}), {how}: {said}")
    return lines


def number(one: Mapping[str, float | None]) -> str:
    """A score with its interval: "0.750 [0.41, 0.93]"."""
    score, low, high = one["score"], one["low"], one["high"]
    if score is None or score != score:
        return "–"
    return f"{score:.3f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
