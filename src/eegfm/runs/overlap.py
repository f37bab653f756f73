"""The people that weights were trained on, so that no run tests on them unawares.

A checkpoint, and a file that was exported from it, lists the people that its run, and the runs that it
started from, trained or validated on, by pool or benchmark (see `BenchmarkSpec.pool`). A run that starts
from it is refused if its own test subjects are among them, unless allow_overlap=true, which every report
then says.

People are compared by their ids within a pool or a benchmark, and raw files by their SHA-256 everywhere: a
person with different names in two corpora is found where a file is the same. Where ids of a pool are not the
pool's own, the result says so. (A mix also compares windows of its own corpora: `eegfm.data.mixing.apart`.)
If a protocol itself tests on training subjects, it accepts weights that were trained with exactly the same
test windows held out.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eegfm.contracts import EegfmError
from eegfm.data.base import EEGData
from eegfm.data.facts import BenchmarkFacts
from eegfm.data.module import EEGDataModule
from eegfm.tasks.weights import PEOPLE_SEEN, exported_people, read_checkpoint

log = logging.getLogger(__name__)

# By pool or benchmark: "subjects", their ids; "beside", digests of the test windows that were held out; "files",
# the first 16 digits of the SHA-256 of raw files; "corpora", the benchmarks; "gaps", "<benchmark>: <its pool_gap>".
People = dict[str, dict[str, list[str]]]
KINDS = ("subjects", "beside", "files", "corpora", "gaps")


def people_of(data: EEGData) -> People:
    """The people that a run on these data trains and validates on. The data must be set up."""
    found: People = {}
    for part in data.corpora.values():
        index = part.index
        seen = (index.split == "train") | (index.split == "val")
        name, gap = part.benchmark.name, part.benchmark.pool_gap
        facts = {
            "subjects": sorted(set(index.subject[seen].tolist())),
            "beside": [_tested(part)],
            "files": sorted(_files(part, index.recording[seen])),
            "corpora": [name],
            "gaps": [f"{name}: {gap}"] * bool(gap),
        }
        found = joined(found, {_pool(part): facts})
    return found


def joined(*several: People) -> People:
    """All of these people."""
    names = sorted({name for people in several for name in people})
    return {
        name: {
            key: sorted({value for people in several for value in people.get(name, {}).get(key, [])})
            for key in KINDS
        }
        for name in names
    }


def people_seen(checkpoint: Path) -> tuple[People, bool]:
    """The people that the weights of a checkpoint have seen, and whether the list is complete.

    A file that no run of ours wrote lists nobody.
    """
    if not checkpoint.is_file():
        return {}, False
    if checkpoint.suffix == ".safetensors":
        return _said(exported_people(checkpoint))
    return _said(read_checkpoint(checkpoint).get(PEOPLE_SEEN))


def overlap(data: EEGData, people: People) -> list[str]:
    """The test subjects of these data who are among the people, each after the name of the benchmark.

    A subject is among them by id, or by a recording whose raw file is one of theirs.
    """
    found = []
    for part in data.corpora.values():
        index = part.index
        tested = set(index.subject[index.split == "test"].tolist())
        own = {_pool(part), part.benchmark.name}
        seen: set[str] = set()
        files: set[str] = set()
        for name, known in people.items():
            if name in own and part.within_subject and known.get("beside") == [_tested(part)]:
                continue
            files |= set(known.get("files", []))
            if name in own:
                seen |= set(known.get("subjects", []))
        recordings = _files(part, index.recording[index.split == "test"])
        same = [recording for file in files & recordings.keys() for recording in recordings[file]]
        seen |= set(index.subject[np.isin(index.recording, same)].tolist())
        found += [f"{part.benchmark.name}/{subject}" for subject in sorted(tested & seen)]
    return found


def check_overlap(data: EEGData, people: People, whole: bool, *, weights: str, allowed: bool) -> list[str]:
    """Return the overlap of these data and the people that weights have seen, unless it is refused.

    Raises:
        EegfmError: test subjects are among the people, and `allowed` is False.
    """
    found = overlap(data, people)
    if not whole:
        log.warning(
            "It is not known whom %s was trained on%s: that none of them is a test subject here cannot be checked.",
            weights,
            " in all" if people else "",
        )
    if found and not allowed:
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise EegfmError(
            f"{weights} was trained or validated on {len(found)} of this run's test subjects: "
            f"{', '.join(found[:8])}{more}. Scores of them would not be those of new people. Start from weights that "
            "have not seen them; or, to have it said in every report: allow_overlap=true"
        )
    return found


def not_told(data: EEGData, people: People) -> dict[str, str]:
    """By corpus, whom these data and those of the people cannot recognise in each other (see `Leakage`)."""
    found = {}
    for part in data.corpora.values():
        known, name = people.get(part.benchmark.pool, {}), part.benchmark.name
        if part.benchmark.pool_gap and set(known.get("corpora", [])) - {name}:
            found[name] = part.benchmark.pool_gap
        for corpus, _, gap in (said.partition(": ") for said in known.get("gaps", [])):
            if corpus != name:
                found[corpus] = gap
    return found


def facts_beside(data: EEGData, people: People) -> BenchmarkFacts:
    """The facts about these data, and whom they and those of the people cannot recognise in each other."""
    facts = data.provenance()
    untold = {**facts.leakage.not_told, **not_told(data, people)}
    return replace(facts, leakage=replace(facts.leakage, not_told=untold))


def of_others(config: Mapping[str, Any]) -> bool:
    """Whether an encoder of a plain config is a network with published weights: they list no people."""
    model = config.get("model") or {}
    encoders = (
        config.get("encoder") or {},
        (model.get("encoder") or {}) if isinstance(model, Mapping) else {},
    )
    return any("weights" in one and one["weights"] != "random" for one in encoders)


def _files(part: EEGDataModule, recordings: np.ndarray) -> dict[str, list[str]]:
    """By a raw file's SHA-256, those of these recordings whose signal it holds; an imported store knows no files."""
    wanted, found = set(recordings.tolist()), {}
    for fact in part.open().manifest.recordings:
        if fact["recording"] in wanted and fact.get("files"):
            found.setdefault(fact["files"][0]["sha256"][:16], []).append(fact["recording"])
    return found


def _said(kept: Any) -> tuple[People, bool]:
    """What a file says of the people; nobody, and not all, where it says nothing or something else."""
    people = kept.get("people") if isinstance(kept, dict) else None
    if not isinstance(people, dict):
        return {}, False
    for facts in people.values():
        lists = list(facts.values()) if isinstance(facts, dict) else [None]
        if not all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists):
            return {}, False
    return people, kept.get("whole") is True


def _pool(part: EEGDataModule) -> str:
    return part.benchmark.pool or part.benchmark.name


def _tested(part: EEGDataModule) -> str:
    """A digest of the names of a corpus's test windows: equal if two runs test on the same windows."""
    index = part.index
    keys = sorted(index.key(int(row)) for row in index.rows("test"))
    return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()[:16]
