"""The files that a run leaves behind, and how to read them: `result.json` and `predictions_<split>.csv`.

Both are for people as much as for programs: plain JSON and plain CSV. A result gives the scores, the
subjects, the corpus, the protocol, the code and the machine. Predictions keep every digit, so every number
of a report can be computed again from them. This module is imported before torch; code that needs torch
imports it where it is used.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from eegfm.contracts import EegfmError
from eegfm.data.facts import BenchmarkFacts, Leakage
from eegfm.support.files import readable, sha256_of, write_json
from eegfm.support.summed import with_sum, without_sum

SCHEMA = 1

CONFIG = "config.yaml"  # in a run folder
FILES = (
    CONFIG,
    "*.csv",
    "leakage.json",
    "spatial.npz",
    "figures/*",
)  # what a run has found, beside its checkpoints

# Facts of a subject in `by_subject`, beside its metrics.
SUBJECT_FACTS = ("n_windows", "per_class")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run.

    `metrics` are those of whole splits, `by_subject` those of each subject's windows alone with
    `SUBJECT_FACTS`; an undefined value is NaN here and null in the file. `monitor` names the validation
    metric that chose the weights ("auroc"); `monitor_value` and `best_epoch` (counted from 0) are its
    choice. `started_from` is empty if the backbone started from random weights; else it holds "weights",
    the checkpoint, and "left_out", the tensors of the checkpoint that are not the backbone's. `overlap`
    lists test subjects that these weights were trained or validated on (see `runs.overlap`),
    "tuab/aaaaaaaq". `people` are those whom the kept weights have seen, this run's own among them, as
    checkpoints say it (see `runs.overlap`); `people["whole"]` is false if those of the weights that it
    started from are not known, or not all. `seen` lists the tested benchmarks that published weights were
    trained on, and how that is known (see `corpora_seen`). `diagnostics` holds numbers by control, empty if
    none were asked for (see `analysis.controls`). `wall_s` is the time of the process that finished the
    run, without interrupted processes. `scan` is how the model's Mamba-2 layers were computed (see
    `eegfm.nn.mamba2.scans_used`), empty if it has none. `spatial` is how a model that maps places weighs
    them, by corpus, at the start and at the end (see `analysis.maps.facts`), empty for other models.
    `flops` are the operations of one window through the trained network (see `training.cost`), without an
    encoder whose output is stored; None for a model that is no network. `devices` trained it together.
    `energy_wh` is the energy that their GPUs took meanwhile, None if unknown (see `energy_j`).
    `checkpoints` is the SHA-256 of every file of `checkpoints/` (see `eegfm.support.checksums`), `files` that of the
    other files that hold what the run has found, by their path in its folder; a run of an earlier version names
    none. `threshold` is what `eegfm.training.threshold.worth` says of a decision threshold that validation chose, empty
    where one half decides. `wholes` are the test scores by person and by recording, where a label is theirs (see
    `runs.wholes`), `events` the scores of events where windows lie end to end (see `runs.alarms`). `row` is the hash of
    the resolved config without its seed (see `eegfm.config.identity.row_hash`), empty of a run of an earlier version.
    `environment()` describes its own fields; `peak_memory_mb` is that of the first process.
    """

    name: str
    experiment: str
    status: str = "done"
    model: str
    encoder: str
    data: str
    task: str
    seed: int
    classes: list[str]
    metrics: dict[str, dict[str, float]]
    by_subject: dict[str, dict[str, dict[str, Any]]]
    monitor: str
    monitor_value: float | None
    best_epoch: int | None
    benchmark: BenchmarkFacts
    parameters: dict[str, int]
    wall_s: float
    peak_memory_mb: dict[str, float]
    device: str
    machine: dict[str, Any]
    python: str
    packages: dict[str, str]
    git: dict[str, Any]
    command: str
    finished_at: str
    started_from: dict[str, Any]
    scan: list[str]
    overlap: list[str]
    people: dict[str, Any]
    seen: dict[str, str]
    diagnostics: dict[str, dict[str, float]]
    adapt: str | None  # the option of that group, which says more than the task
    spatial: dict[str, dict[str, Any]]
    flops: int | None
    devices: int
    energy_wh: float | None
    checkpoints: dict[str, str]
    files: dict[str, str]
    threshold: dict[str, float] = field(default_factory=dict)
    wholes: dict[str, Any] = field(default_factory=dict)
    events: dict[str, Any] = field(default_factory=dict)
    row: str = ""
    schema: int = SCHEMA

    @property
    def classifies(self) -> bool:
        """Whether the run tells classes apart. If not, it gives windows back, or the end of each."""
        return "rmse_uv" not in self.metrics["test"]


def write_result(folder: Path, result: RunResult) -> Path:
    """Write `<folder>/result.json`, which gets that name only when it is complete; return its path."""
    path = folder / "result.json"
    write_json(path, with_sum({"schema": result.schema, **json_values(asdict(result))}))
    return path


def sums_of_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a run folder that its result names in `files`."""
    found = sorted(path for pattern in FILES for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in found}


def refuse_changed_file(result: RunResult, folder: Path, name: str) -> None:
    """Raise EegfmError if a file of a finished run is not the one that its result names; others are not known."""
    path, wanted = folder / name, result.files.get(name)
    if wanted is None or not path.is_file():
        return
    found = sha256_of(path)
    if found != wanted:
        raise EegfmError(
            f"{path} is not as the run wrote it: its SHA-256 is {found}, and result.json says {wanted}. It is damaged, "
            f"or another run's. Put a good copy in its place; or delete {folder} and train that run again."
        )


def read_result(folder: Path) -> RunResult:
    """The result of a run folder.

    Raises:
        EegfmError: there is no result, or it is not ours, not complete, changed, or of another schema.
    """
    path = folder / "result.json"
    try:
        values = json.loads(readable(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise unreadable(
            f"No finished run at {folder}: it has no result.json. Is the path right, and has the run ended?"
        ) from None
    except (OSError, ValueError) as error:
        raise unreadable(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        found = values.get("schema") if isinstance(values, dict) else type(values).__name__
        raise unreadable(f"{path} has schema {found}; this version of eegfm reads schema {SCHEMA}.")
    values = {
        "files": {},
        "threshold": {},
        "wholes": {},
        "events": {},
        "row": "",
        **without_sum(values, path),
    }
    _check_names(path, "", values, RunResult)
    facts = values["benchmark"]
    _check_names(path, "benchmark.", facts, BenchmarkFacts)
    _check_names(path, "benchmark.leakage.", facts["leakage"], Leakage)
    for corpus, one in facts["corpora"].items() if isinstance(facts["corpora"], dict) else ():
        _check_names(path, f"benchmark.corpora.{corpus}.", one, BenchmarkFacts)
    _check_types(path, values)
    values["benchmark"] = BenchmarkFacts.of_json(facts)
    values["metrics"] = {split: _nan_for_null(found) for split, found in values["metrics"].items()}
    values["by_subject"] = {
        split: {subject: _nan_for_null(found) for subject, found in subjects.items()}
        for split, subjects in values["by_subject"].items()
    }
    values["threshold"] = _nan_for_null(values["threshold"])
    values["diagnostics"] = {name: _nan_for_null(found) for name, found in values["diagnostics"].items()}
    return RunResult(**values)


def json_values(value: Any) -> Any:
    """The value in JSON's types; NaN and infinity become null, since JSON has neither."""
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    number = value.item() if hasattr(value, "item") else value  # a scalar of numpy or torch
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _nan_for_null(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def _check_names(path: Path, place: str, values: Any, kind: type) -> None:
    known = {one.name for one in fields(kind)}
    found = set(values) if isinstance(values, dict) else set()
    lacks, knows_not = sorted(known - found), sorted(found - known)
    if lacks or knows_not:
        parts = [f"lacks {place}{', '.join(lacks)}"] * bool(lacks)
        parts += [f"has an unknown {place}{', '.join(knows_not)}"] * bool(knows_not)
        raise unreadable(f"{path} {' and '.join(parts)}. Was it edited, or written by another version?")


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    for name, hint in get_type_hints(RunResult).items():
        if not _fits(values[name], hint):
            raise unreadable(f"{path} is damaged: its {name} is {str(values[name])[:80]!r}.")
    if not {"trainable", "total"} <= values["parameters"].keys():
        raise unreadable(f"{path} is damaged: its parameters lack trainable or total.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is one for an annotation; a float that is not finite is null there."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if is_dataclass(hint):
        assert isinstance(hint, type)
        hints = get_type_hints(hint)
        return isinstance(value, dict) and all(_fits(value.get(name), one) for name, one in hints.items())
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if hint is float:
        return value is None or isinstance(value, int | float)
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))


def unreadable(sentence: str) -> ValueError:

    return EegfmError(sentence)
