"""The manifest of a store, its `recipe.json`: the recipe, and what was found when the store was made."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.data.checksums import damaged, read_whole
from eegfm.data.recipe import Recipe

FILE = "recipe.json"
# The keys of `recipe.json` behind an encoder, as they have always been written: the same store is the same bytes.
_BEHIND_ENCODER = (
    *("fingerprint", "recipe", "shape", "windows", "protocol", "complete", "simulated", "within_subject"),
    *("census", "census_differences", "recordings", "missing", "unusable", "left_out", "imported"),
    *("subjects_total", "prepared_with", "source"),
)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says of itself.

    `fingerprint` is that of the recipe, `shape` that of each of the `windows`. `complete`: every recording of the
    protocol is in it; the protocol has `subjects_total`. `census` counts (see `data.census.count`),
    `census_differences` says where a whole corpus is not what the protocol's census says. `recordings` are those in the
    store, each with "recording", "subject", "split", "windows", "files" (with their SHA-256) and perhaps "notes".
    `missing` names recordings without a file; `unusable` ("recording", "reason", "files") were refused, `left_out`
    likewise as the protocol says. `imported` says what `eegfm convert` took the windows from: "said" is the sentence
    for people. `source` ties an encoder's vectors to the store of their windows. Both are None in other stores, and
    not in the file.
    """

    fingerprint: str
    recipe: Recipe
    shape: tuple[int, ...]
    windows: int
    protocol: str
    imported: dict[str, Any] | None = None
    simulated: bool
    within_subject: bool
    complete: bool
    subjects_total: int
    census: dict[str, Any]
    census_differences: list[str]
    missing: list[str]
    unusable: list[dict[str, Any]]
    left_out: list[dict[str, str]]
    recordings: list[dict[str, Any]]
    prepared_with: dict[str, str]
    source: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a store's folder. Raises EegfmError where it is damaged or another version's."""
        path = folder / FILE
        try:
            values = json.loads(read_whole(path))
            recipe, shape = Recipe(values["recipe"]), tuple(values["shape"])
            return cls(**{**values, "recipe": recipe, "shape": shape})
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, EegfmError):
                raise
            what = f"it is no manifest, or another version's ({type(error).__name__}: {error})"
            raise damaged(path, what) from None

    def values(self) -> dict[str, Any]:
        """The content of `recipe.json`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found |= {"recipe": dict(self.recipe.facts), "shape": list(self.shape)}
        keys = found if self.source is None else _BEHIND_ENCODER
        return {key: found[key] for key in keys if found[key] is not None}

    @property
    def n_subjects(self) -> int:
        """Subjects with a recording in the store."""
        return len({recording["subject"] for recording in self.recordings})
