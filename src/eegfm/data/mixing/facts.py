"""The facts about all corpora of a mix at once, made of the facts about each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.data.facts import BenchmarkFacts, Leakage


class Named(NamedTuple):
    """The mix's counterpart of a corpus's benchmark."""

    name: str
    title: str
    protocol: str
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, each: Mapping[str, BenchmarkSpec]) -> "Named":
        return cls(
            "+".join(each),
            " + ".join(benchmark.title for benchmark in each.values()),
            " + ".join(f"{name} {benchmark.protocol}" for name, benchmark in each.items()),
        )


def facts_of_all(
    benchmark: Named,
    each: Mapping[str, BenchmarkFacts],
    *,
    left_out: list[dict[str, Any]],
    not_told: dict[str, str],
    draws: dict[str, int],
) -> BenchmarkFacts:
    """The facts of the whole mix, where names of subjects and files stand behind the name of their corpus.

    `left_out` and `not_told` are those of `Leakage`, `draws` those of `BenchmarkFacts`.
    """
    facts = list(each.values())
    return BenchmarkFacts(
        benchmark=benchmark.name,
        title=benchmark.title,
        protocol=benchmark.protocol,
        published_steps=all(one.published_steps for one in facts),
        window_s=next((one.window_s for one in facts if one.window_s is not None), None),
        fingerprint="+".join(one.fingerprint for one in facts),
        content="+".join(one.content for one in facts),
        store=", ".join(one.store for one in facts),
        complete=all(one.complete for one in facts),
        simulated=any(one.simulated for one in facts),
        imported="; ".join(f"{name}: {one.imported}" for name, one in each.items() if one.imported),
        not_compared="; ".join(
            f"{name}: {one.not_compared}" for name, one in each.items() if one.not_compared
        ),
        subjects={
            split: [f"{name}/{subject}" for name, one in each.items() for subject in one.subjects[split]]
            for split in SPLITS
        },
        subjects_total=sum(one.subjects_total for one in facts),
        missing=[f"{name}: {file}" for name, one in each.items() for file in one.missing],
        unusable=[
            {**file, "recording": f"{name}: {file['recording']}"}
            for name, one in each.items()
            for file in one.unusable
        ],
        census={split: [sum(one.census[split]) for one in facts] for split in SPLITS},
        census_differences=[
            f"{name}: {said}" for name, one in each.items() for said in one.census_differences
        ],
        within_subject=any(one.within_subject for one in facts),
        split=_split({name: one.split for name, one in each.items()}),
        leakage=_leakage({name: one.leakage for name, one in each.items()}, left_out, not_told),
        corpora=dict(each),
        draws=draws,
    )


def _split(each: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The common division, and each corpus's part of the training windows."""
    found: dict[str, Any] = {}
    for name, facts in each.items():
        own = ("train_ratio", "train_windows")
        found |= {f"{key} of {name}" if key in own else key: value for key, value in facts.items()}
    return found


def _leakage(
    each: Mapping[str, Leakage], left_out: list[dict[str, Any]], not_told: dict[str, str]
) -> Leakage:
    """The leaks within each corpus, and the windows left out to prevent leaks between corpora."""
    near = [
        (one.nearest_s, (f"{name}/{one.nearest[0]}", f"{name}/{one.nearest[1]}"))
        for name, one in each.items()
        if one.nearest_s is not None and one.nearest is not None
    ]
    nearest_s, nearest = min(near, key=lambda found: found[0], default=(None, None))
    return Leakage(
        shared_subjects=_by_corpus({name: one.shared_subjects for name, one in each.items()}),
        shared_recordings=_by_corpus({name: one.shared_recordings for name, one in each.items()}),
        nearest_s=nearest_s,
        nearest=nearest,
        identical=[
            {f"{name}/{key}": split for key, split in keys.items()}
            for name, one in each.items()
            for keys in one.identical
        ],
        left_out=left_out,
        not_told=not_told,
    )


def _by_corpus(each: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    return {f"{name}/{what}": splits for name, shared in each.items() for what, splits in shared.items()}
