"""The recipe of a store: everything that its bytes depend on, and the fingerprint of it that names the folder.

The training recipe of a model is another thing: see `conf/recipe/`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.contracts import Encodes
from eegfm.signal.steps import Step


@dataclass(frozen=True)
class Recipe:
    """A store's recipe: everything that can change a stored byte, as plain JSON values."""

    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        benchmark: BenchmarkSpec,
        steps: Sequence[Step] | None = None,
        *,
        imported: bool = False,
    ) -> "Recipe":
        """The recipe of a benchmark's windows.

        With other `steps` than the published ones the fingerprint is another. So it is if the windows are
        `imported` by `eegfm convert`: then others processed them, by their own account with these steps.
        """
        chosen = benchmark.steps if steps is None else tuple(steps)
        facts: dict[str, Any] = {
            "benchmark": benchmark.name,
            "protocol": benchmark.protocol,
            "published_steps": chosen == benchmark.steps,
            "channels": list(benchmark.channels),
            "classes": list(benchmark.classes),
            "sfreq": benchmark.sfreq,
            "window_s": benchmark.window_s,
            "steps": [step_facts(step) for step in chosen],
            "splits": None
            if benchmark.splits is None
            else {split: list(benchmark.splits[split]) for split in SPLITS},
            "dtype": "float32",
        }
        if benchmark.split_rule:
            facts["split_rule"] = benchmark.split_rule
        if benchmark.choices:
            facts["choices"] = dict(benchmark.choices)
        if imported:
            facts["imported"] = True
        return cls(plain(facts))

    def encoded(self, encoder: Encodes) -> "Recipe":
        """The recipe of an encoder's vectors of these windows."""
        named = {"name": encoder.name, **encoder.settings()}
        return Recipe(plain({**self.facts, "dtype": "float16", "encoder": named}))

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """Where the store lies below the cache."""
        return Path(self.facts["benchmark"]) / self.fingerprint

    def diff(self, other: "Recipe") -> list[str]:
        """The differences, a line each: "steps[1].high: 75 → 45" (other → self)."""
        return differences(self.facts, other.facts)


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """The differences of two nodes of plain values, a line each: "steps[1].high: 75 → 45" (old → new)."""
    mine, theirs = _flatten(new), _flatten(old)
    return [
        f"{key}: {theirs.get(key, 'absent')} → {mine.get(key, 'absent')}"
        for key in sorted(mine.keys() | theirs.keys())
        if mine.get(key, _ABSENT) != theirs.get(key, _ABSENT)
    ]


_ABSENT = object()


def plain(value: Any) -> Any:
    """A value as it comes back from JSON: lists for tuples, and 200 for 200.0, since a YAML file may say either."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def step_facts(step: Step) -> dict[str, Any]:
    """A step as the recipe lists it: its name, its version and its fields."""
    values = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]  # steps are dataclasses
    return {"step": type(step).__name__, "version": type(step).version, **values}


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        parts = [_flatten(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        parts = [_flatten(item, f"{path}[{i}]") for i, item in enumerate(value)]
    else:
        return {path: value}
    return {key: item for part in parts for key, item in part.items()}
