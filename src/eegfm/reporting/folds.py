"""The folds of one division as one run: every person is tested once, by the fold that left that person out.

Runs that differ in `split.fold` and in nothing else are joined. Their test predictions are pooled and scored as a whole
(so that the probabilities of different folds are compared with one another, which costs AUROC where their networks are
calibrated differently), and by person. The interval is then one over all persons.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eegfm.config.identity import run_identity
from eegfm.reporting.run_folders import Problem, Run
from eegfm.runs.agreement import scores_of
from eegfm.runs.predictions import OF_TEST, PredictionTable, read_predictions


@dataclass(frozen=True)
class FoldedRun(Run):
    """Several folds with one seed; `folder`, `result` and `config` are of the first, with the scores of all."""

    parts: tuple[Run, ...]

    def label(self) -> str:
        return f"{len(self.parts)} folds beside {self.folder.as_posix()}"

    @property
    def predictions(self) -> PredictionTable:
        """The test predictions of all folds."""
        return pooled(self.parts)

    @property
    def validated(self) -> None:
        """No fold's rule is that of all."""
        return None


def folded(runs: Iterable[Run]) -> tuple[list[Run], list[Problem]]:
    """The runs, those of one division as one, and the older of two runs of the same fold and seed."""
    others: list[Run] = []
    divisions: dict[str, dict[int, Run]] = {}
    repeats = []
    for run in sorted(runs, key=lambda run: (run.result.finished_at, run.label())):
        fold = run.result.benchmark.split.get("fold")
        if fold is None or not run.config or not run.result.classifies:
            others.append(run)
            continue
        folds = divisions.setdefault(_division(run), {})
        if fold in folds:
            older = folds[fold]
            repeats.append(
                Problem(older.folder, f"not counted: {run.label()} is a later run of the same fold")
            )
        folds[fold] = run
    for folds in divisions.values():
        others += _joined([folds[fold] for fold in sorted(folds)])
    return others, repeats


def _division(run: Run) -> str:
    """What the folds of one division share."""
    identity, facts = run_identity(run.config), run.result.benchmark
    split = {key: value for key, value in (identity.pop("split", None) or {}).items() if key != "fold"}
    data = (run.result.data, facts.protocol, facts.fingerprint, facts.content, facts.complete)
    return json.dumps(
        [identity, split, run.result.model, run.result.encoder, run.result.task, data], default=str
    )


def _joined(folds: Sequence[Run]) -> Sequence[Run]:
    """The folds as one run; as they are if there is one, or if one person is tested in several."""
    tested = [subject for run in folds for subject in run.result.benchmark.subjects["test"]]
    if len(folds) == 1 or len({*tested}) < len(tested):
        return folds
    first = folds[0]
    metrics, rows = scores_of(pooled(folds), first.folder / OF_TEST)
    facts, split = first.result.benchmark, dict(first.result.benchmark.split)
    del split["fold"]
    whole = split.get("folds") or len({one for ids in facts.subjects.values() for one in ids})
    counts = np.sum([run.result.benchmark.census.get("test", []) for run in folds], axis=0)
    result = replace(
        first.result,
        metrics={"test": metrics},
        by_subject={"test": rows},
        wall_s=sum(run.result.wall_s for run in folds),
        overlap=sorted({one for run in folds for one in run.result.overlap}),
        benchmark=replace(
            facts,
            split={**split, "folds": f"{len(folds)} of {whole}"},
            subjects={**facts.subjects, "test": sorted(tested)},
            census={**facts.census, "test": counts.tolist()},
        ),
    )
    config = {**first.config, "split": {k: v for k, v in first.config["split"].items() if k != "fold"}}
    return [FoldedRun(first.folder, result, config, tuple(folds))]


def pooled(folds: Sequence[Run]) -> PredictionTable:
    """The test predictions of all folds in one table."""
    tables = [read_predictions(run.folder / OF_TEST) for run in folds]
    return PredictionTable(
        keys=[key for table in tables for key in table.keys],
        subjects=[subject for table in tables for subject in table.subjects],
        labels=np.concatenate([table.labels for table in tables]),
        probabilities=np.concatenate([table.probabilities for table in tables]),
        classes=tables[0].classes,
    )
