"""Sentences about a group: its reservations, its controls, and how far published numbers compare with it."""

from collections.abc import Iterable
from typing import Any

from eegfm.reporting.groups import Group, mean, setting_differences
from eegfm.reporting.published import Reference, published
from eegfm.runs.reservations import Reservation, diagnostic_sentences, reservations_of, spatial_sentences
from eegfm.tasks.metric_names import spoken


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
