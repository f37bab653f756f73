"""Group runs over seeds, name the groups, and find the published scores that each group repeats.

A group's number is a mean over runs that differ in their seed and in nothing else. This module does not import torch,
so that `eegfm report` starts quickly.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from eegfm.config.identity import row_hash, run_identity
from eegfm.reporting.published import Reference, flat, published
from eegfm.reporting.run_folders import Problem, Run
from eegfm.runs.intervals import ends
from eegfm.runs.results import SUBJECT_FACTS, RunResult
from eegfm.tasks.metric_names import one_side


@dataclass
class Group:
    """Runs that differ only in their seed, sorted by it. `label` distinguishes the group from similar ones.

    `references` holds, by metric, the published score that the group repeats.
    """

    runs: list[Run]
    label: str = ""
    identity: str = ""
    references: dict[str, Reference] = field(default_factory=dict)

    @property
    def first(self) -> RunResult:
        return self.runs[0].result

    def test(self, metric: str) -> list[float]:
        """The test score of every seed; NaN where a run lacks it."""
        return [run.result.metrics["test"].get(metric, math.nan) for run in self.runs]

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the means over test subjects, by metric (`runs.intervals`).

        Empty unless every run has its predictions.
        """
        seeds = [run.drawn for run in self.runs if run.drawn]
        return ends(seeds) if len(seeds) == len(self.runs) else {}

    @property
    def one_sided(self) -> list[Run]:
        """The seeds that count every test window as the same class."""
        return [run for run in self.runs if one_side(run.result.metrics["test"])]

    def subjects(self) -> dict[str, dict[str, Any]]:
        """By test subject: its facts, and its metrics as means over the seeds."""
        rows = [run.result.by_subject.get("test", {}) for run in self.runs]
        return {
            subject: {
                name: value if name in SUBJECT_FACTS else mean([row[subject].get(name) for row in rows])
                for name, value in facts.items()
            }
            for subject, facts in rows[0].items()
        }


def group_runs(runs: Iterable[Run]) -> tuple[list[Group], list[Problem]]:
    """Groups of runs that differ only in their seed, and the runs that are not counted.

    The runs of a group share data, protocol, store and what is in it, subjects, test windows, model, encoder, task, and
    everything that `run_identity` keeps of the config except the seed. If two runs have one seed, the newer one counts
    and the older one becomes a problem.
    """
    members: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        r, facts = run.result, run.result.benchmark
        # without a config nobody can tell which other runs this one equals: it gets a group of its own
        identity = (
            row_hash(run.config, r.row or run.folder.name) if run.config else f"config of {run.label()}"
        )
        data = (
            r.data,
            facts.protocol,
            facts.fingerprint,
            facts.content,
            facts.complete,
            facts.simulated,
            facts.within_subject,
        )
        subjects = tuple((split, *sorted(ids)) for split, ids in sorted(facts.subjects.items()))
        tested = tuple(
            sorted((name, row["n_windows"]) for name, row in r.by_subject.get("test", {}).items())
        )
        key = (identity, r.model, r.encoder, r.task, *data, subjects, tested)
        members.setdefault(key, []).append(run)
    groups, repeats = [], []
    for (identity, *_), alike in members.items():
        newest: dict[int, Run] = {}
        for run in sorted(alike, key=lambda run: (run.result.finished_at, run.label())):
            older = newest.get(run.result.seed)
            if older is not None:
                repeats.append(
                    Problem(older.folder, f"not counted: {run.label()} is a later run of the same seed")
                )
            newest[run.result.seed] = run
        groups.append(Group([newest[seed] for seed in sorted(newest)], identity=identity))
    _label(groups)
    groups.sort(key=lambda g: (g.first.data, g.first.model, g.first.encoder, g.first.adapt or "", g.label))
    references = published()
    for group in groups:
        group.references = nearest_references(group, references)
    return groups, repeats


def _label(groups: Sequence[Group]) -> None:
    """Label groups by model and encoder, and by the settings in which groups of one name differ on the same data.

    Groups of two ways of adapting (or of two tasks) differ in most settings. So settings are compared only within one
    way, and the label names the way if there are several. Settings of a pre-training are compared only among the
    groups that have one.
    """
    namesakes: dict[tuple[str, str, str, str], list[Group]] = {}
    for group in groups:
        r = group.first
        namesakes.setdefault((r.data, r.model, r.encoder, r.adapt or r.task), []).append(group)
    for (data, model, encoder, way), alike in namesakes.items():
        several = len([names for names in namesakes if names[:3] == (data, model, encoder)]) > 1
        settings = [flat(run_identity(group.runs[0].config)) for group in alike]
        known = [values for values in settings if values]
        names = sorted({name for values in known for name in values} - {"seed"})
        differing = [name for name in names if _differs(name, known)]
        facts = [
            (
                f"store {g.first.benchmark.fingerprint}",
                f"{n_subjects(g.first)} subjects",
                f"content {g.first.benchmark.content}",
            )
            for g in alike
        ]
        for group, values, (store, subjects, content) in zip(alike, settings, facts, strict=True):
            parts = [f"{name}={values.get(name)}" for name in differing] if values else ["no config.yaml"]
            parts += [store] * (len({store for store, *_ in facts}) > 1)
            parts += [subjects] * (len({subjects for _, subjects, _ in facts}) > 1)
            of_store = {one[2] for one in facts if one[:2] == (store, subjects)}
            parts += [content] * (len(of_store) > 1)
            name = f"{model} · {encoder}" + f" · {way}" * several
            group.label = name + (f" ({', '.join(parts)})" if parts else "")


def _differs(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting has several values; one of the pre-training counts only where there was a pre-training."""
    compared = [values for values in settings if name in values or not name.startswith("pretrain.")]
    return len({str(values.get(name)) for values in compared}) > 1


def n_subjects(result: RunResult) -> int:
    """How many subjects of the corpus a run used, over all splits."""
    return len({subject for ids in result.benchmark.subjects.values() for subject in ids})


def mean(values: Sequence[float | None]) -> float:
    """The mean; NaN if a value is missing or None."""
    return (
        sum(math.nan if value is None else value for value in values) / len(values) if values else math.nan
    )


def deviation(values: Sequence[float]) -> float:
    """The population standard deviation (ddof 0)."""
    centre = mean(values)
    return math.sqrt(mean([(value - centre) ** 2 for value in values]))


def nearest_references(group: Group, references: Sequence[Reference]) -> dict[str, Reference]:
    """By metric, the first of the published scores that the group repeats."""
    nearest: dict[str, Reference] = {}
    for reference in repeated(group, references):
        nearest.setdefault(reference.metric, reference)
    return nearest


def repeated(group: Group, references: Sequence[Reference]) -> list[Reference]:
    """The published scores of the group's model on its data that come nearest to it, metric by metric.

    Scores of the tables that the group's experiment repeats go first. Among them the scores with the fewest different
    settings remain. Several remain if several main tables publish the model; a study that varies one setting gives
    one.
    """
    if not group.first.classifies:
        return []  # only scores of classification are published
    known = [r for r in references if (r.model, r.data) == (group.first.model, group.first.data)]
    tables = tables_repeated(group)
    distance = {
        id(r): (r.table not in tables, len(setting_differences(group, r)), not r.headline) for r in known
    }
    chosen: list[Reference] = []
    for metric in dict.fromkeys(r.metric for r in known):
        of_metric = [r for r in known if r.metric == metric]
        least = min(distance[id(r)] for r in of_metric)
        nearest = [r for r in of_metric if distance[id(r)] == least]
        chosen += nearest if nearest[0].headline else nearest[:1]
    return chosen


def tables_repeated(group: Group) -> list[str]:
    """The tables of `published.yaml` that the group's experiment repeats, as its config says (`paper.tables`)."""
    return (group.runs[0].config.get("paper") or {}).get("tables", [])


def setting_differences(group: Group, reference: Reference) -> list[str]:
    """The settings in which the group differs from the published number, ours first: "model.width 64 (128)"."""
    ours = flat(group.runs[0].config)
    # published.yaml names the encoder with its size: moment_large
    size = f"_{ours['encoder.size']}" if "encoder.size" in ours else ""
    ours["encoder"] = group.first.encoder.removesuffix(size) + size
    ours["encoder"] += " of random weights" * (ours.get("encoder.weights") == "random")
    return [
        f"{name} {ours.get(name, 'absent')} ({value})"
        for name, value in reference.settings.items()
        if ours.get(name) != value
    ]
