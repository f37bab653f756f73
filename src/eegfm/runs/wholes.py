"""Scores of whole recordings and persons, where a label is theirs: their windows decide together.

A clinic asks about a patient, not about a window. The windows of a person or a recording are summed up in two ways: by
their mean probability, and by their vote, the share of windows that are counted as each class (a tie goes to the mean).
Of two classes there is a third way, a rule that is fitted on validation data: the mean probability against the cut that
gives the wholes of the validation split the highest balanced accuracy, instead of against one half.
Reports use this module, so it imports no torch.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.runs.intervals import intervals, scores_by_draw
from eegfm.runs.predictions import PredictionTable, read_predictions
from eegfm.tasks.decision import best_threshold, decide
from eegfm.tasks.metric_names import NEEDS_TWO_CLASSES, spoken

WAYS = {"mean": "mean probability", "vote": "vote of the windows", "fitted": "cut fitted on validation"}
SCORES = ("balanced_accuracy", "auroc", "cohen_kappa")
TIE = 1e-6  # of the mean probability, beside a share of windows
LEAST = 1e-12  # a probability of 0 or 1 has no logit


def wholes_of(predictions: Path, validation: Path) -> dict[str, Any]:
    """The `wholes` of a file of predictions, with the rule of one of validation, if there is any.

    {} where there are no predictions, as of a reconstruction.
    """
    if not predictions.is_file():
        return {}
    fitted_on = [read_predictions(validation)] if validation.is_file() else []
    return wholes([read_predictions(predictions)], fitted_on)


def wholes(seeds: Sequence[PredictionTable], fitted_on: Sequence[PredictionTable] = ()) -> dict[str, Any]:
    """Scores by "person" and by "recording", each only where all windows of one have one label and some have several.

    The seeds, a table each, score the same windows; `fitted_on` are their predictions of validation windows, in the
    same order, or none. {"person": {"n": how many, "persons": how many, "mean": {"balanced_accuracy": {"score":
    their mean, "low", "high"}, ...}, "vote": ..., "fitted": ..., "rule": ...}}; `low` and `high` are the interval over
    persons (see `runs.intervals`), None where there is none. "fitted" and its "rule" are there where one can be fitted:
    {"cut": the mean of the seeds', "n": validation wholes, "balanced_accuracy": theirs at the cut}.
    """
    first = seeds[0]
    found: dict[str, Any] = {}
    for kind in ("person", "recording"):
        whole = names_of(first, kind)
        if not _has_one_label(first, whole) or (found and len({*whole}) == found["person"]["n"]):
            continue  # the last: a recording a person
        ways = {way: [summed_up(one, whole, way) for one in seeds] for way in ("mean", "vote")}
        rules = [rule for one in fitted_on if (rule := fitted(one, kind))]
        rule: dict[str, Any] = {}
        if rules and len(rules) == len(seeds):
            ways["fitted"] = [against(one, r["cut"]) for one, r in zip(ways["mean"], rules, strict=True)]
            rule = {"rule": {name: float(np.mean([one[name] for one in rules])) for name in rules[0]}}
        of_ways = {way: _scored(tables) for way, tables in ways.items()}
        found[kind] = {"n": len({*whole}), "persons": len({*first.subjects}), **of_ways, **rule}
    return found


def names_of(table: PredictionTable, kind: str) -> list[str]:
    """The person, or the recording, of every window."""
    return table.subjects if kind == "person" else [key.rpartition("/")[0] for key in table.keys]


def fitted(validation: PredictionTable, kind: str) -> dict[str, float]:
    """The rule that validation predictions give for the mean probability of a "person" or a "recording".

    {} of other than two classes, where their labels are not of such a whole, or where one class has none.
    """
    if len(validation.classes) != 2 or not len(validation.keys):
        return {}
    whole = names_of(validation, kind)
    if len({*zip(whole, validation.labels.tolist(), strict=True)}) > len({*whole}):
        return {}
    table = summed_up(validation, whole, "mean")
    counts = np.bincount(table.labels, minlength=2)
    if not counts.all():
        return {}
    logits = _logits(table)
    cut = best_threshold(logits, table.labels)
    decided = logits > cut
    right = [float((decided[table.labels == one] == bool(one)).mean()) for one in (0, 1)]
    return {"cut": 1 / (1 + math.exp(-cut)), "n": float(counts.sum()), "balanced_accuracy": sum(right) / 2}


def against(table: PredictionTable, cut: float) -> PredictionTable:
    """The table with probabilities moved so that those above the cut are above one half; their order stays."""
    second = 1 / (1 + np.exp(-(_logits(table) - math.log(cut / (1 - cut)))))
    return PredictionTable(
        table.keys, table.subjects, table.labels, np.stack([1 - second, second], axis=1), table.classes
    )


def _logits(table: PredictionTable) -> np.ndarray:
    second = np.clip(table.probabilities[:, 1], LEAST, 1 - LEAST)
    return np.log(second / (1 - second))


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
        for way in ways_of(of):
            said = ", ".join(f"{spoken(name)} {number(one)}" for name, one in of[way].items())
            lines.append(f"by {kind} ({count}), {how_of(of, way, kind)}: {said}")
    return lines


def ways_of(of: Mapping[str, Any]) -> list[str]:
    """The ways that a kind of whole has scores of."""
    return [way for way in WAYS if way in of]


def how_of(of: Mapping[str, Any], way: str, kind: str) -> str:
    """A way in words: "cut 0.382, fitted on 12 persons of validation"."""
    rule = of.get("rule")
    return (
        f"cut {rule['cut']:.3f}, fitted on {rule['n']:.0f} validation {kind}s"
        if way == "fitted" and rule
        else WAYS[way]
    )


def number(one: Mapping[str, float | None]) -> str:
    """A score with its interval: "0.750 [0.41, 0.93]"."""
    score, low, high = one["score"], one["low"], one["high"]
    if score is None or score != score:
        return "–"
    return f"{score:.3f}" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
