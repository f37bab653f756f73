"""The benchmarks that published weights were trained on, as declared; the people seen are in `overlap`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eegfm.config.from_file import read
from eegfm.config.identity import CORPORA_SEEN, PRETRAIN, PUBLISHED
from eegfm.contracts import EegfmError
from eegfm.data.facts import BenchmarkFacts
from eegfm.runs.overlap import overlap, people_seen
from eegfm.runs.place import Place
from eegfm.runs.reservations import UNKNOWN_WEIGHTS, Reservation, reservations, reservations_of
from eegfm.tasks.weights import config_of

DEEP = 20  # runs that each started from the one before


def corpora_seen(config: Mapping[str, Any], weights: str | Path | None, deep: int = 0) -> dict[str, str]:
    """By benchmark, how the published weights of a run were trained on it, as their YAML files declare.

    An encoder's `seen` holds unless its weights are random. The model's `seen` (at the top level, since its
    file is global) holds if the backbone starts from weights that no run of ours wrote; otherwise the
    declaration of that run holds. In a file of several models (`model.name`) each model's declaration
    stands under its name. `config` is plain; `weights` is the place that `config.weights` stands for.
    """
    found = _declared(config)
    if weights is None or (weights != PUBLISHED and not Path(weights).exists()):
        return found
    theirs, checkpoint = "", None
    if weights != PUBLISHED:
        checkpoint = Place.of(weights).checkpoint
        theirs = config_of(checkpoint)
    if not theirs:
        declared = config.get(CORPORA_SEEN) or {}
        own = declared.get(str((config.get("model") or {}).get("name")))
        found |= {name: how for name, how in declared.items() if isinstance(how, str)}
        return found | (dict(own) if isinstance(own, Mapping) else {})
    before = read(theirs, str(checkpoint))
    start = before.get("weights")
    if deep > DEEP or not isinstance(start, str | None):
        raise EegfmError(
            f"{checkpoint} says that it started from weights that started from weights without end."
        )
    return found | corpora_seen(before, None if start == PRETRAIN else start, deep + 1)


def corpora_seen_here(
    config: Mapping[str, Any], weights: str | Path | None, facts: BenchmarkFacts
) -> dict[str, str]:
    """The part of `corpora_seen` that concerns the data of these facts.

    Another protocol on the files of a benchmark has its name in front of its own: `tuab_eegm2` is of `tuab`.
    """
    known = corpora_seen(config, None if weights == PRETRAIN else weights)
    found = {}
    for one in facts.each.values():
        named = [name for name in known if f"{one.benchmark}_".startswith(f"{name}_")]
        found |= {one.benchmark: known[max(named, key=len)]} if named else {}
    return found


def reservations_at(
    place: Place, config: Mapping[str, Any], data: Any, *, tested: int | None = None
) -> list[Reservation]:
    """The reservations about numbers that the weights of a place give on its data, which are set up.

    `config` is the place's own. If no finished run says what the weights have seen, the checkpoint does.
    """
    facts, result = data.provenance(), place.result
    if result is None:
        people, whole = people_seen(place.checkpoint)
        seen = corpora_seen_here(config, config.get("weights"), facts)
        return reservations(
            facts, overlap=overlap(data, people), unknown=not whole, seen=seen, tested=tested
        )
    return reservations(
        facts,
        task=result.task,
        started_from=result.started_from,
        overlap=result.overlap,
        unknown=not result.people.get("whole"),
        seen=result.seen,
        tested=tested,
    )


def reservations_elsewhere(place: Place) -> list[Reservation]:
    """The reservations about what the weights of a place say of recordings that are not its data."""
    return [UNKNOWN_WEIGHTS] if place.result is None else reservations_of(place.result)


def _declared(node: Mapping[Any, Any]) -> dict[str, str]:
    """The declarations of the nodes below this one, except those of random weights."""
    found: dict[str, str] = {}
    for key, value in node.items():
        if key == CORPORA_SEEN or not isinstance(value, Mapping):
            continue
        if value.get("weights") != "random":
            declared = value.get(CORPORA_SEEN)
            found |= dict(declared) if isinstance(declared, Mapping) else {}
        found |= _declared(value)
    return found
