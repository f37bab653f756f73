"""Run folders, found, read and grouped over seeds, and how far a group compares with what is published.

A group's number is a mean over runs that differ in their seed and in nothing else. A folder that gives no number is a
`Problem` with its reason; nothing is left out in silence. Imports no torch, so that `eegfm.report` is quick.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from eegfm.config.identity import identity_hash, run_identity
from eegfm.reporting.published import Reference, flat, published
from eegfm.runs.intervals import Drawn, drawn, ends
from eegfm.runs.predictions import read_predictions
from eegfm.runs.reservations import Reservation, diagnostic_sentences, reservations_of, spatial_sentences
from eegfm.runs.results import SUBJECT_FACTS, RunResult, read_result
from eegfm.tasks.metric_names import spoken


@dataclass(frozen=True)
class Run:
    """A finished run: its folder as given, its result, and its resolved config ({} where that is missing)."""

    folder: Path
    result: "RunResult"
    config: dict[str, Any]

    def label(self) -> str:
        return self.folder.as_posix()

    @cached_property
    def drawn(self) -> "Drawn | None":
        """Its test scores with other subjects, which take seconds of many windows; None without predictions."""
        file = self.folder / "predictions_test.csv"
        return drawn(read_predictions(file)) if file.is_file() else None


@dataclass(frozen=True)
class Problem:
    """A folder that gives no number, and why."""

    folder: Path
    what: str


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Every run folder at or below the paths, each once, sorted: one with a result, a config, a status or `.hydra`.

    Raises:
        ValueError: a path that is not there, or that holds no run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        path = path.parent if path.is_file() else path
        if not path.is_dir():
            raise ValueError(
                f"There is no folder {path}. Runs lie in runs/<experiment>/<name>; for all of them: "
                "python -m eegfm.report runs"
            )
        here = []
        for place, inner, files in os.walk(path, followlinks=True):
            if {"result.json", "config.yaml", "status.json"} & {*files} or ".hydra" in inner:
                here.append(Path(place))
                inner.clear()  # what lies in a run is the run's
        if not here:
            raise ValueError(
                f"There is no run at or below {path}: no folder there has a result.json, a config.yaml or a .hydra. "
                "Train one with:  python -m eegfm.train"
            )
        for folder in here:
            found.setdefault(folder.resolve(), folder)
    return sorted(found.values())


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """The finished runs among the folders, and what is the matter with the others."""
    runs, problems = [], []
    for folder in folders:
        if not (folder / "result.json").exists():
            problems.append(Problem(folder, _how_far(folder)))
            continue
        try:
            result = read_result(folder)
        except ValueError as error:
            problems.append(Problem(folder, f"unreadable: {error}"))
            continue
        if result.status != "done" or not result.metrics.get("test"):
            problems.append(Problem(folder, f"no test score: its status is {result.status}"))
            continue
        runs.append(Run(folder, result, read_config(folder)))
    return runs, problems


def _how_far(folder: Path) -> str:
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            epochs = sum(1 for _ in csv.DictReader(file))
    except OSError:
        epochs = 0
    done = (
        f"after {epochs} {'epoch' if epochs == 1 else 'epochs'}"
        if epochs
        else "before the end of its first epoch"
    )
    return f"not finished: no result.json, {done} (running, interrupted or failed)"


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run; {} where there is none."""
    from omegaconf import OmegaConf

    if not (folder / "config.yaml").exists():
        return {}
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


@dataclass
class Group:
    """Runs that differ in their seed only, by ascending seed. `label` tells the group from its neighbours."""

    runs: list[Run]
    label: str = ""
    identity: str = ""
    references: dict[str, "Reference"] = field(default_factory=dict)

    @property
    def first(self) -> "RunResult":
        return self.runs[0].result

    def test(self, metric: str) -> list[float]:
        return [run.result.metrics["test"].get(metric, math.nan) for run in self.runs]

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % of the means by metric with other test subjects (`runs.intervals`); nothing without all predictions."""
        seeds = [run.drawn for run in self.runs if run.drawn]
        return ends(seeds) if len(seeds) == len(self.runs) else {}

    def subjects(self) -> dict[str, dict[str, Any]]:
        """Every test subject's facts, and its metrics as means over the seeds."""
        rows = [run.result.by_subject.get("test", {}) for run in self.runs]
        return {
            subject: {
                name: value if name in SUBJECT_FACTS else mean([row[subject].get(name) for row in rows])
                for name, value in facts.items()
            }
            for subject, facts in rows[0].items()
        }


def group_runs(runs: Iterable[Run]) -> tuple[list[Group], list[Problem]]:
    """Groups of runs that differ in their seed only, and the runs that are not counted.

    A group shares data, protocol, store, subjects, test windows, model, encoder, task, and all of its config that
    `run_identity` keeps, but for the seed. Of two runs of one seed the newest counts; the other is named.
    """
    members: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        r, facts = run.result, run.result.benchmark
        # a run without its config cannot be shown to be like any other
        identity = (
            identity_hash(run.config, without_seed=True) if run.config else f"config of {run.label()}"
        )
        data = (
            r.data,
            facts.protocol,
            facts.fingerprint,
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
    """Name groups by model and encoder, and by what tells them from their namesakes on the same data.

    Groups of another way of adapting, or of another task, differ in most settings: those of one way are told apart,
    and the way is said where there are several. So are those that start from nothing and from a pre-training: what the
    pre-training was is said where there are two.
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
            (f"store {g.first.benchmark.fingerprint}", f"{n_subjects(g.first)} subjects") for g in alike
        ]
        for group, values, (store, subjects) in zip(alike, settings, facts, strict=True):
            parts = [f"{name}={values.get(name)}" for name in differing] if values else ["no config.yaml"]
            parts += [store] * (len({store for store, _ in facts}) > 1)
            parts += [subjects] * (len({subjects for _, subjects in facts}) > 1)
            name = f"{model} · {encoder}" + f" · {way}" * several
            group.label = name + (f" ({', '.join(parts)})" if parts else "")


def _differs(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    said = [values for values in settings if name in values or not name.startswith("pretrain.")]
    return len({str(values.get(name)) for values in said}) > 1


def n_subjects(result: "RunResult") -> int:
    """How many subjects of the corpus a run has used, over all splits."""
    return len({subject for ids in result.benchmark.subjects.values() for subject in ids})


def mean(values: Sequence[float | None]) -> float:
    """The mean; NaN where a value is missing or is none."""
    return (
        sum(math.nan if value is None else value for value in values) / len(values) if values else math.nan
    )


def deviation(values: Sequence[float]) -> float:
    """The population standard deviation (ddof 0)."""
    centre = mean(values)
    return math.sqrt(mean([(value - centre) ** 2 for value in values]))


def nearest_references(group: Group, references: Sequence[Reference]) -> dict[str, Reference]:
    """By metric, the first of the published scores that the group repeats."""
    found: dict[str, Reference] = {}
    for reference in repeated(group, references):
        found.setdefault(reference.metric, reference)
    return found


def repeated(group: Group, references: Sequence[Reference]) -> list[Reference]:
    """Published scores of the group's model on its data: of the table that its experiment repeats, where it has any.

    Of these the one of every metric whose settings differ least from the group's; several, where several were
    published of a model as it is, and one in a study that varies it.
    """
    if not group.first.classifies:
        return []  # what is published is of classes
    known = [r for r in references if (r.model, r.data) == (group.first.model, group.first.data)]
    tables = tables_repeated(group)
    distance = {
        id(r): (r.table not in tables, len(setting_differences(group, r)), not r.headline) for r in known
    }
    found: list[Reference] = []
    for metric in dict.fromkeys(r.metric for r in known):
        of_metric = [r for r in known if r.metric == metric]
        least = min(distance[id(r)] for r in of_metric)
        nearest = [r for r in of_metric if distance[id(r)] == least]
        found += nearest if nearest[0].headline else nearest[:1]
    return found


def tables_repeated(group: Group) -> list[str]:
    """The tables of `published.yaml` that the group's experiment says it repeats."""
    return (group.runs[0].config.get("paper") or {}).get("tables", [])


def setting_differences(group: Group, reference: Reference) -> list[str]:
    """Where the group's settings are not those of the published number: "model.width 64 (128)", ours and published."""
    ours = flat(group.runs[0].config)
    # the published scores say moment_large
    size = f"_{ours['encoder.size']}" if "encoder.size" in ours else ""
    ours["encoder"] = group.first.encoder.removesuffix(size) + size
    ours["encoder"] += " of random weights" * (ours.get("encoder.weights") == "random")
    return [
        f"{name} {ours.get(name, 'absent')} ({value})"
        for name, value in reference.settings.items()
        if ours.get(name) != value
    ]


def marks(group: Group) -> list[str]:
    """What a reader must know of the group's data and weights before any of its numbers, in sentences."""
    return [one.sentence for one in reservations_of(group.first)]


def known(groups: Iterable[Group]) -> list[Reservation]:
    """What must be known of some of these groups, each mark once."""
    every = [one for group in groups for one in reservations_of(group.first)]
    return list({one.mark: one for one in every}.values())


def controls(group: Group) -> list[str]:
    """What `diagnostics=true` has found, as means over the seeds that have them, beside the same seeds' scores."""
    held = [run.result for run in group.runs if run.result.diagnostics]
    averaged = {
        name: {
            metric: mean([one.diagnostics.get(name, {}).get(metric) for one in held]) for metric in numbers
        }
        for name, numbers in (held[0].diagnostics if held else {}).items()
    }
    tested = {
        metric: mean([one.metrics["test"].get(metric) for one in held])
        for metric in (held[0].metrics["test"] if held else {})
    }
    few = f" ({len(held)} of {len(group.runs)} seeds)" * (len(held) < len(group.runs))
    return [sentence + few for sentence in diagnostic_sentences(averaged, tested)]


def places(group: Group) -> list[str]:
    """What the group's spatial matrices are like, as means over the seeds; nothing of a model without one."""
    held = [run.result.spatial for run in group.runs]
    averaged: dict[str, dict[str, Any]] = {}
    for corpus, one in group.first.spatial.items():
        averaged[corpus] = {"channels": one["channels"], "targets": one["targets"]}
        for when in ("start", "end"):
            times = [spatial[corpus][when] for spatial in held if when in spatial.get(corpus, {})]
            if len(times) < len(held):
                continue  # a start that nobody has looked at
            averaged[corpus][when] = {
                name: mean([time[name] for time in times]) for name in ("second", "effective_rank")
            }
            for kind in ("rank_correlation", "correlation"):
                known = [time[kind] for time in times if kind in time]
                if known:
                    averages = {name: mean([one.get(name) for one in known]) for name in known[0]}
                    averaged[corpus][when][kind] = averages
    return spatial_sentences(averaged)


def incomparable(group: Group, reference: Reference | None = None) -> list[str]:
    """Why a published number must not be held against the group's; empty where it may be.

    Without one: those of the group's model, or all on its data where there are none of it.
    """
    facts, found = group.first.benchmark, []
    beside = [reference] if reference else list(group.references.values())
    beside = beside or [r for r in published() if r.data == group.first.data]
    found += ["partial corpus"] * (not facts.complete) + ["simulated"] * facts.simulated
    # a protocol that is within-subject is so in the published numbers too
    found += ["another split"] * bool(facts.split)
    found += ["other signal processing"] * (not facts.published_steps)
    lengths = {r.settings.get("data.window_s") for r in beside}
    found += ["other windows"] * (facts.window_s is not None and facts.window_s not in lengths)
    found += ["test subjects in pre-training"] * bool(group.first.overlap)
    cut = any(one.mark == "CUT" for one in reservations_of(group.first))
    found += ["part of the test split"] * cut
    protocols = {r.protocol for r in beside}
    if protocols and facts.protocol.split("@")[0] not in protocols:
        found.append(f"published on the protocol of {', '.join(sorted(protocols))}")
    return found


def remarks(group: Group) -> list[str]:
    """How far the published numbers of the group's model can be held against the group's."""
    reserved = incomparable(group)
    found = [f"not comparable: {', '.join(reserved)}"] if reserved else []
    if not group.references:
        return [*found, "no published number of this model on this benchmark"]
    by_metric = {metric: setting_differences(group, r) for metric, r in group.references.items()}
    shared = [d for d in next(iter(by_metric.values())) if all(d in found for found in by_metric.values())]
    if shared:
        found.append(f"settings, ours (published): {', '.join(shared)}")
    for metric, differences in by_metric.items():
        own = [difference for difference in differences if difference not in shared]
        if own:
            found.append(f"for {spoken(metric)} also: {', '.join(own)}")
    return found or ["no difference found in data, protocol and the settings listed in published.yaml"]
