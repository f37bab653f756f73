"""A run's facts about its data: `BenchmarkFacts`, and `Leakage`, the things that splits share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eegfm.benchmarks.spec import OWN, BenchmarkSpec
from eegfm.data.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What the splits of a corpus or a mix share.

    `shared_*` stand in more than one split, each with its splits. `nearest_s` is the smallest distance
    between windows of different splits in one recording, from the end of the one to the beginning of the
    other (negative: they overlap; None: no recording is shared), `nearest` their keys. `identical` are
    windows of different splits with the same bytes: keys with their splits. In a mix, `left_out` are the
    windows that were removed from a corpus because another corpus has them in a later split (see
    `eegfm.data.mixing.apart.keep_apart`). `not_told` says by corpus whom the others, of the mix or of what
    the weights were trained on before, cannot recognise.
    """

    shared_subjects: dict[str, list[str]] = field(default_factory=dict)
    shared_recordings: dict[str, list[str]] = field(default_factory=dict)
    nearest_s: float | None = None
    nearest: tuple[str, str] | None = None
    identical: list[dict[str, str]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    not_told: dict[str, str] = field(default_factory=dict)

    def undeclared(self, benchmark: BenchmarkSpec, *, within_subject: bool | None = None) -> list[str]:
        """The leaks that the benchmark does not declare, a clause each; empty if nothing leaks.

        `within_subject` overrides the benchmark's own word, for a split that is not its published one.
        """
        found = []
        if not (benchmark.within_subject if within_subject is None else within_subject):
            declared = {"train", "val"} if benchmark.subject_leak else set()
            subjects = {
                name: splits for name, splits in self.shared_subjects.items() if set(splits) - declared
            }
            shared = {"subject": subjects, "recording": self.shared_recordings}
            found = [
                f"{what} {name} in {' and '.join(splits)}"
                for what, names in shared.items()
                for name, splits in list(names.items())[:5]
            ]
        known = [set(group) for group in benchmark.duplicates]
        for keys in self.identical:
            if not any({key.rsplit("/", 1)[0] for key in keys} <= group for group in known):
                found.append(
                    "byte-identical window in "
                    + " and ".join(f"{split} ({key})" for key, split in keys.items())
                )
        return found[:10]

    def sentence(self) -> str:
        """All leaks in one line."""
        across = [
            f"left out of {gone['corpus']}, {gone['split']}: {gone['windows']:,} windows of {len(gone['subjects'])} "
            f"subjects ({gone['what']} in a later split of another corpus)"
            for gone in self.left_out
        ]
        across += [
            f"{name}: {gap}, so that they are not recognised in other corpora"
            for name, gap in self.not_told.items()
        ]
        subjects, identical = len(self.shared_subjects), len(self.identical)
        if not subjects and not identical and self.nearest is None:
            return "; ".join(["none; splits share no subject, no recording and no window", *across])
        said = [f"{subjects} subjects in more than one split" if subjects else "splits share no subject"]
        if self.nearest is not None:
            first, second = self.nearest
            said.append(
                f"{len(self.shared_recordings)} recordings shared, windows of different splits as near as "
                f"{self.nearest_s:g} s ({first} and {second})"
            )
        said.append(f"{identical} byte-identical windows across splits" if identical else "no window twice")
        return "; ".join([*said, *across])


@dataclass(frozen=True, kw_only=True)
class BenchmarkFacts:
    """The facts about a run's data, as `provenance()` of a data module returns them.

    `fingerprint` is that of the store's recipe, `content` that of what is in it (see `SampleStore.content_of`).
    `subjects` are those found, by split, of `subjects_total` in the protocol; `missing` and `unusable` are recordings.
    `census` counts windows by split and class, `census_differences` says where a partial corpus is not the protocol's.
    `within_subject`: some test subject is also a training subject. `split` is the division (see `eegfm.data.splits`)
    and the part of the training windows, empty where both are the published ones. `imported` says where a store is from
    that was not made from raw files, `not_compared` why a store was not compared with its raw files.
    `window_s` is the length of windows in seconds where they are not the protocol's.
    For a mix (`eegfm.data.mix`) these are the facts of all corpora at once, `census` counts windows by corpus in place
    of classes, and `corpora` holds the facts of each; `draws` are the windows of each in an epoch of training, empty
    where they are all and each once.
    """

    benchmark: str
    title: str
    protocol: str
    published_steps: bool
    fingerprint: str
    content: str
    store: str
    complete: bool
    simulated: bool
    subjects: dict[str, list[str]]
    subjects_total: int
    missing: list[str]
    unusable: list[dict[str, str]]
    census: dict[str, list[int]]
    within_subject: bool
    census_differences: list[str]
    split: dict[str, Any]
    leakage: Leakage
    imported: str
    not_compared: str
    window_s: float | None
    corpora: dict[str, "BenchmarkFacts"]
    draws: dict[str, int]

    @classmethod
    def of_store(
        cls,
        folder: Path,
        manifest: Manifest,
        benchmark: BenchmarkSpec,
        window_s: float | None = None,
        *,
        content: str,
    ) -> "BenchmarkFacts":
        """The facts of a store in the published splits; `window_s` if its windows are not the benchmark's."""
        return cls(
            benchmark=benchmark.name,
            title=benchmark.title,
            protocol=benchmark.protocol,
            published_steps=manifest.recipe.facts["published_steps"],
            window_s=window_s,
            fingerprint=manifest.recipe.fingerprint,
            content=content,
            store=str(folder),
            complete=manifest.complete,
            simulated=manifest.simulated,
            imported="" if manifest.imported is None else manifest.imported["said"],
            not_compared="",
            subjects=manifest.census["subjects"],
            subjects_total=manifest.subjects_total,
            missing=manifest.missing,
            unusable=[
                {"recording": one["recording"], "reason": one["reason"]} for one in manifest.unusable
            ],
            census=manifest.census["per_class"],
            census_differences=manifest.census_differences,
            within_subject=manifest.within_subject,
            split={},
            leakage=Leakage(),
            corpora={},
            draws={},
        )

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "BenchmarkFacts":
        """The facts that `dataclasses.asdict` and JSON have made of them."""
        leakage = dict(values["leakage"])
        if leakage["nearest"] is not None:
            leakage["nearest"] = tuple(leakage["nearest"])
        corpora = {name: cls.of_json(one) for name, one in values["corpora"].items()}
        return cls(**{**values, "leakage": Leakage(**leakage), "corpora": corpora})

    @property
    def each(self) -> "dict[str, BenchmarkFacts]":
        """The facts of every corpus by name; the name of one that is alone is ""."""
        return self.corpora or {"": self}

    @property
    def own(self) -> bool:
        """Whether all of it is somebody's own recordings: there is no published protocol to differ from."""
        return all(facts.protocol.endswith(OWN) for facts in self.each.values())

    @property
    def division(self) -> str:
        """`split` in words."""
        return ", ".join(str(v) if key == "name" else f"{key} {v}" for key, v in self.split.items())

    @property
    def n_subjects(self) -> int:
        """Subjects found, each counted once."""
        return len({subject for ids in self.subjects.values() for subject in ids})

    def which(self, fact: str, value: bool) -> str:
        """The corpora of a mix whose fact has this value: " (tuab, tuev)"; empty for one corpus."""
        names = [name for name, facts in self.corpora.items() if getattr(facts, fact) == value]
        return f" ({', '.join(names)})" if names else ""

    def without(self) -> list[str]:
        """The splits that corpora of a mix have nothing for: "no validation subject of eye_state"."""
        found = []
        for split, name in (("val", "validation"), ("test", "test")):
            corpora = [corpus for corpus, facts in self.corpora.items() if not sum(facts.census[split])]
            found += [f"no {name} subject of {', '.join(corpora)}"] * bool(corpora)
        return found
