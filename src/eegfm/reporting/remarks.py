"""Sentences about a group: its reservations, its controls, its spatial matrices, and why a published number differs."""

from collections.abc import Iterable
from typing import Any

from eegfm.reporting.groups import Group, mean, setting_differences
from eegfm.reporting.published import Reference, published
from eegfm.runs.reservations import (
    Reservation,
    diagnostic_sentences,
    reservations_of,
    spatial_sentences,
    threshold_sentence,
)
from eegfm.tasks.metric_names import spoken


def marks(group: Group) -> list[str]:
    """The reservations about the group's data and weights, as sentences."""
    return [reservation.sentence for reservation in reservations_of(group.first)]


def reservations_about(groups: Iterable[Group]) -> list[Reservation]:
    """The reservations about any of these groups, each mark once."""
    every = [reservation for group in groups for reservation in reservations_of(group.first)]
    return list({reservation.mark: reservation for reservation in every}.values())


def controls(group: Group) -> list[str]:
    """The results of `diagnostics=true` as means over the seeds that have them, beside the same seeds' scores."""
    results = [run.result for run in group.runs if run.result.diagnostics]
    averaged = {
        name: {
            metric: mean([result.diagnostics.get(name, {}).get(metric) for result in results])
            for metric in numbers
        }
        for name, numbers in (results[0].diagnostics if results else {}).items()
    }
    tested = {
        metric: mean([result.metrics["test"].get(metric) for result in results])
        for metric in (results[0].metrics["test"] if results else {})
    }
    few = f" ({len(results)} of {len(group.runs)} seeds)" * (len(results) < len(group.runs))
    return [sentence + few for sentence in diagnostic_sentences(averaged, tested)]


def decided(group: Group) -> list[str]:
    """Sentences on how the group's windows become classes: thresholds, and seeds that predict one class only."""
    n, chosen = len(group.one_sided), [run.result.threshold for run in group.runs if run.result.threshold]
    averaged = {name: mean([one[name] for one in chosen]) for name in (chosen[0] if chosen else {})}
    sentences = [threshold_sentence(averaged)] if chosen else []
    if not n:
        return sentences
    return [
        *sentences,
        f"{n} of {len(group.runs)} seeds count every test window as the same class (one side)",
    ]


def places(group: Group) -> list[str]:
    """Sentences about the group's spatial matrices, as means over the seeds; empty for a model without one."""
    by_seed = [run.result.spatial for run in group.runs]
    averaged: dict[str, dict[str, Any]] = {}
    for corpus, matrix in group.first.spatial.items():
        averaged[corpus] = {"channels": matrix["channels"], "targets": matrix["targets"]}
        for when in ("start", "end"):
            times = [spatial[corpus][when] for spatial in by_seed if when in spatial.get(corpus, {})]
            if len(times) < len(by_seed):
                continue  # not every run recorded its matrix at the start
            averaged[corpus][when] = {
                name: mean([time[name] for time in times]) for name in ("second", "effective_rank")
            }
            for kind in ("rank_correlation", "correlation"):
                known = [time[kind] for time in times if kind in time]
                if known:
                    averages = {name: mean([values.get(name) for values in known]) for name in known[0]}
                    averaged[corpus][when][kind] = averages
    return spatial_sentences(averaged)


def incomparable(group: Group, reference: Reference | None = None) -> list[str]:
    """Why a published number must not be compared with the group's; empty if it may be.

    Without a `reference`, the published numbers of the group's model count, or all numbers on its data if its model has
    none.
    """
    facts, reasons = group.first.benchmark, []
    beside = [reference] if reference else list(group.references.values())
    beside = beside or [r for r in published() if r.data == group.first.data]
    reasons += ["partial corpus"] * (not facts.complete) + ["simulated"] * facts.simulated
    # no reason: a within-subject protocol. The published numbers follow the same protocol
    reasons += ["another split"] * (bool(facts.split) and not facts.own)
    reasons += ["other signal processing"] * (not facts.published_steps)
    lengths = {r.settings.get("data.window_s") for r in beside}
    reasons += ["other windows"] * (facts.window_s is not None and facts.window_s not in lengths)
    reasons += ["test subjects in pre-training"] * bool(group.first.overlap)
    cut = any(reservation.mark == "CUT" for reservation in reservations_of(group.first))
    reasons += ["part of the test split"] * cut
    protocols = {r.protocol for r in beside}
    if protocols and facts.protocol.split("@")[0] not in protocols:
        reasons.append(f"published on the protocol of {', '.join(sorted(protocols))}")
    return reasons


def remarks(group: Group) -> list[str]:
    """Sentences on how far the published numbers of the group's model compare with the group's."""
    reasons = incomparable(group)
    sentences = [f"not comparable: {', '.join(reasons)}"] if reasons else []
    if not group.references:
        return [*sentences, "no published number of this model on this benchmark"]
    by_metric = {metric: setting_differences(group, r) for metric, r in group.references.items()}
    shared = [
        d
        for d in next(iter(by_metric.values()))
        if all(d in differences for differences in by_metric.values())
    ]
    if shared:
        sentences.append(f"settings, ours (published): {', '.join(shared)}")
    for metric, differences in by_metric.items():
        own = [difference for difference in differences if difference not in shared]
        if own:
            sentences.append(f"for {spoken(metric)} also: {', '.join(own)}")
    return sentences or ["no difference found in data, protocol and the settings listed in published.yaml"]
