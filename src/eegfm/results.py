"""What a run leaves behind, and how it is read again: `result.json` and `predictions_<split>.csv`.

Both are for people as much as for programs: plain JSON and plain CSV. A result says what came out, on which subjects of
which corpus under which protocol, from which code on which machine. Predictions keep every digit, so every number of a
report can be computed again from them. This module is read before torch is; what needs it is imported where it is used.
"""

import csv
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from eegfm.contracts import SampleSpec
    from eegfm.tasks.errors import Reconstructions
    from eegfm.tasks.metrics import Predictions

SCHEMA = 1

# Facts of a subject in `by_subject`, beside its metrics.
SUBJECT_FACTS = ("n_windows", "per_class")

# Metrics that compare classes: scikit-learn gives them numbers, where it does, also for a subject of one class only.
NEEDS_TWO_CLASSES = ("auroc", "auc_pr", "average_precision", "cohen_kappa")


@dataclass(frozen=True, kw_only=True)
class BenchmarkFacts:
    """What the data of a run were: the fields of `EEGDataModule.provenance()`.

    `subjects` are those found, by split, of `subjects_total` in the protocol; `missing` and `unusable` are recordings.
    `census` counts windows by split and class, `census_differences` says where a partial corpus is not the protocol's.
    `within_subject`: some test subject is also a training subject. `split` is the division (see `eegfm.data.splits`)
    and the part of the training windows, empty where both are the published ones; `leakage` what its splits have in
    common (see `eegfm.data.census.Leakage`). `imported` says where a store is from that was not made from raw files.
    `window_s` is the length of windows in seconds where they are not the protocol's. Of a mix (`eegfm.data.mix`) these
    are the facts of all corpora at once, `census` counts windows by corpus in place of classes, and `corpora` holds the
    facts of each; `draws` are the windows of each in an epoch of training, empty where they are all and each once.
    """

    benchmark: str
    title: str
    protocol: str
    published_steps: bool
    fingerprint: str
    store: str
    complete: bool
    simulated: bool
    subjects: dict[str, list[str]]
    subjects_total: int
    missing: list[str]
    unusable: list[dict[str, str]]
    census: dict[str, list[int]]
    within_subject: bool = False
    census_differences: list[str] = field(default_factory=list)
    split: dict[str, Any] = field(default_factory=dict)
    leakage: dict[str, Any] = field(default_factory=dict)
    imported: str = ""
    window_s: float | None = None
    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    draws: dict[str, int] = field(default_factory=dict)

    def which(self, fact: str, value: bool) -> str:
        """Of a mix, the corpora of which a fact has this value: " (tuab, tuev)"; of one corpus nothing."""
        names = [name for name, facts in self.corpora.items() if facts[fact] == value]
        return f" ({', '.join(names)})" if names else ""

    def without(self) -> list[str]:
        """Of a mix, the splits that some corpora have nothing for: "no validation subject of eye_state"."""
        found = []
        for split, name in (("val", "validation"), ("test", "test")):
            corpora = [corpus for corpus, facts in self.corpora.items() if not sum(facts["census"][split])]
            found += [f"no {name} subject of {', '.join(corpora)}"] * bool(corpora)
        return found


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One finished run.

    `metrics` are those of whole splits, `by_subject` those of each subject's windows alone with `SUBJECT_FACTS`; a
    value that is not defined is NaN here and null in the file. `monitor` names the validation metric that chose the
    weights ("auroc"), `monitor_value` and `best_epoch` (counted from 0) what it chose. `started_from` is empty where
    the backbone's weights were random at the start; else it holds "weights", the checkpoint, and "left_out", those of
    its tensors that are not the backbone's. `overlap` are test subjects whom these weights were trained or validated on
    (see `eegfm.overlap`), "tuab/aaaaaaaq". `seen` are the benchmarks tested on that published weights were trained on,
    and how that is known (see `eegfm.build.corpora_seen`). `diagnostics` are numbers of controls, by control, empty
    where none were asked for (see `eegfm.diagnostics`). `wall_s` is the time of the process that finished the run,
    without those that were interrupted. `scan` is how the model's Mamba-2 layers were computed (see
    `eegfm.nn.mamba2.scans_used`), empty where it has none. `spatial` is what a model that maps places sees of them, by
    corpus, at the start and at the end (see `eegfm.maps.facts`), empty for others. `flops` are the operations of one
    window through what was trained (see `eegfm.tasks.cost`), without an encoder whose output is stored; None of what is
    no network. `devices` trained it together. `energy_wh` is what their GPUs took meanwhile, None where that is not
    known (see `eegfm.tasks.cost.energy_j`). `peak_memory_mb`, of the first process, and `environment()`'s fields are
    described there.
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
    started_from: dict[str, Any] = field(default_factory=dict)
    scan: list[str] = field(default_factory=list)
    overlap: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    diagnostics: dict[str, dict[str, float]] = field(default_factory=dict)
    adapt: str | None = None  # the option of that group, which says more than the task
    spatial: dict[str, dict[str, Any]] = field(default_factory=dict)
    flops: int | None = None
    devices: int = 1
    energy_wh: float | None = None
    schema: int = SCHEMA


def write_result(folder: Path, result: RunResult) -> Path:
    """Write `<folder>/result.json`, on disk under that name only when all of it is; returns its path."""
    from eegfm.data.store import write_json

    path = folder / "result.json"
    write_json(path, {"schema": result.schema, **json_values(asdict(result))})
    return path


def read_result(folder: Path) -> RunResult:
    """The result of a run folder.

    Raises:
        EegfmError: no result there, or one that is not ours, not whole, or of another schema.
    """
    path = folder / "result.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _error(
            f"No finished run at {folder}: it has no result.json. Is the path right, and has the run ended?"
        ) from None
    except (OSError, ValueError) as error:
        raise _error(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        found = values.get("schema") if isinstance(values, dict) else type(values).__name__
        raise _error(f"{path} has schema {found}; this version of eegfm reads schema {SCHEMA}.")
    _check_names(path, "", values, RunResult)
    _check_names(path, "benchmark.", values["benchmark"], BenchmarkFacts)
    values["benchmark"] = BenchmarkFacts(**values["benchmark"])
    values["metrics"] = {split: _nan_for_null(found) for split, found in values["metrics"].items()}
    values["by_subject"] = {
        split: {subject: _nan_for_null(found) for subject, found in subjects.items()}
        for split, subjects in values["by_subject"].items()
    }
    values["diagnostics"] = {
        name: _nan_for_null(found) for name, found in values.get("diagnostics", {}).items()
    }
    return RunResult(**values)


def spatial_sentences(spatial: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`RunResult.spatial`, a sentence a corpus: what its spatial matrix lets through, and how near the truth it is."""
    found = []
    for corpus, one in spatial.items():
        times = [one[when] for when in ("start", "end") if when in one]
        second = " → ".join(f"{time['second']:.3g}" for time in times)
        rank = " → ".join(f"{time['effective_rank']:.1f}" for time in times)
        said = (
            f"spatial matrix{f' of {corpus}' * (len(spatial) > 1)}: second singular value {second} of the first, "
            f"effective rank {rank} ({len(one['channels'])} channels seen from {one['targets']} places)"
        )
        judged = [time for time in times if "rank_correlation" in time]
        parts = []
        for name in dict.fromkeys(name for time in judged for name in time["rank_correlation"]):
            for kind, sign in (("rank_correlation", "ρ"), ("correlation", "r")):
                values = [time.get(kind, {}).get(name) for time in judged]
                shown = " → ".join("–" if v is None or v != v else f"{v:.2f}" for v in values)
                parts.append(f"{name.replace('_', ' ') + ' ' if sign == 'ρ' else ''}{sign} {shown}")
        if parts:
            said += f"; channels against the true lead field: {', '.join(parts)}"
        found.append(said)
    return found


def overlap_sentence(result: RunResult) -> str:
    """That test subjects were in the pre-training, and who."""
    names = result.overlap
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"OVERLAP: the weights have seen {len(names)} of the test subjects ({', '.join(names[:5])}{more})"
    )


def seen_sentence(seen: Mapping[str, str]) -> str:
    """That published weights were trained on what is tested on."""
    said = "; ".join(f"{name}: {how}" for name, how in seen.items())
    return f"SEEN: the weights were trained on what is tested here ({said})"


def diagnostic_sentences(
    diagnostics: Mapping[str, Mapping[str, float]], tested: Mapping[str, float]
) -> list[str]:
    """`RunResult.diagnostics`, a sentence a control, beside the run's own test metrics."""
    found = []
    said = {
        "shuffled": "labels shuffled in training",
        "shuffled_within_person": "labels shuffled within each person",
        "person_alone": "knowing nothing but who it is",
    }
    for name, what in said.items():
        numbers = diagnostics.get(name, {})
        shown = [
            f"{metric.replace('_', ' ')} {_two(numbers[metric])} (this {_two(tested[metric])})"
            for metric in ("balanced_accuracy", "auroc", "cohen_kappa")
            if metric in numbers and metric in tested
        ]
        if shown:
            found.append(f"{what}: {', '.join(shown)}")
    told = diagnostics.get("persons_told", {})
    if told:
        found.append(
            f"{told['persons']:.0f} test persons told apart by the features: balanced accuracy "
            f"{_two(told['balanced_accuracy'])} (chance {_two(told['chance'])})"
        )
    return found


def _two(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def subject_scores(
    probabilities: "np.ndarray", labels: "np.ndarray", subjects: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Every subject's number of windows, in all and by class, and its metrics; by subject id.

    Arguments as for `write_predictions`. Where a subject has windows of one class only, the metrics that compare
    classes (`NEEDS_TWO_CLASSES`) are NaN, and its balanced accuracy is the recall of that class.
    """
    import numpy as np

    from eegfm.tasks.metrics import scores_by_subject

    ids, position = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    labels = np.asarray(labels)
    found = scores_by_subject(probabilities, labels, position, len(classes))
    rows: dict[str, dict[str, Any]] = {}
    for i, subject in enumerate(ids.tolist()):
        counts = np.bincount(labels[position == i], minlength=len(classes)).tolist()
        scores = found[i]
        if sum(count > 0 for count in counts) < 2:
            scores = {name: math.nan if name in NEEDS_TWO_CLASSES else v for name, v in scores.items()}
        per_class = dict(zip(classes, counts, strict=True))
        rows[subject] = {"n_windows": sum(counts), "per_class": per_class, **scores}
    return rows


def record(
    folder: Path,
    split: str,
    found: "Predictions | Reconstructions",
    subjects: Sequence[str],
    spec: "SampleSpec",
) -> tuple[Path, dict[str, float], dict[str, dict[str, Any]]]:
    """Write what a task has said of a split, and score it: the file, the split's metrics, and those of each subject.

    `subjects` are the ids of the subjects of the windows.
    """
    from eegfm.tasks.metrics import Predictions, scores

    if isinstance(found, Predictions):
        path, classes = folder / f"predictions_{split}.csv", spec.classes
        write_predictions(path, found.keys, subjects, found.label, found.probability, classes)
        by_subject = subject_scores(found.probability, found.label, subjects, classes)
        return path, scores(found.probability, found.label, len(classes)), by_subject
    path = folder / f"reconstruction_{split}.csv"
    write_errors(path, found, subjects, spec.montage.names)
    ids = dict(zip(found.subject.tolist(), subjects, strict=True))
    rows = {
        ids[i]: {"n_windows": int((found.subject == i).sum()), "per_class": {}, **errors}
        for i, errors in found.by_subject().items()
    }
    return path, found.metrics(), rows


def write_errors(
    path: Path, found: "Reconstructions", subjects: Sequence[str], channels: Sequence[str]
) -> None:
    """One row a window: its name, its subject's id, and root mean squared errors in µV, of all channels and of each.

    With a mask also those of the hidden samples, of the visible ones, and of straight lines over the hidden ones, of
    all channels. The field of a channel that a window does not have is empty. Errors have all their digits; their
    squares average to those of the split.
    """
    temporary = path.with_name(path.name + ".tmp")
    parts = [part for part in found.square if part != "all"]
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["rmse_uv", *(f"{part}_rmse_uv" for part in parts)]
        writer.writerow(["key", "subject", *names, *(f"rmse_uv({name})" for name in channels)])
        whole = [found.by_window(part) for part in ("all", *parts)]
        columns = [*whole, *(found.square["all"] ** 0.5).T]
        for key, subject, *row in zip(found.keys, subjects, *columns, strict=True):
            # NaN is a channel that the window does not have
            writer.writerow(
                [key, subject, *("" if value != value else repr(float(value)) for value in row)]
            )
    os.replace(temporary, path)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions as read from a file: `labels` are positions in `classes`, `probabilities` has a column a class."""

    keys: list[str]
    subjects: list[str]
    labels: "np.ndarray"
    probabilities: "np.ndarray"
    classes: tuple[str, ...]


def write_predictions(
    path: Path,
    keys: Sequence[str],
    subjects: Sequence[str],
    labels: "np.ndarray",
    probabilities: "np.ndarray",
    classes: Sequence[str],
) -> None:
    """One row a window: its name, its subject's id, the name of its class, the probability of every class.

    Probabilities keep all their digits, so scores computed from the file are those of the run to the last one.
    """
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "subject", "label", *(f"p({name})" for name in classes)])
        for key, subject, label, row in zip(keys, subjects, labels, probabilities, strict=True):
            writer.writerow([key, subject, classes[int(label)], *(repr(float(p)) for p in row)])
    os.replace(temporary, path)


def read_predictions(path: Path) -> PredictionTable:
    """What `write_predictions` wrote.

    Raises:
        EegfmError: no such file, or not one of predictions.
    """
    import numpy as np

    if not path.is_file():
        raise _error(f"No predictions at {path}. A finished run has predictions_val.csv and _test.csv.")
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    classes = tuple(name[2:-1] for name in header[3:] if name.startswith("p(") and name.endswith(")"))
    if header[:3] != ["key", "subject", "label"] or len(classes) != len(header) - 3 or not classes:
        raise _error(f"{path} is not a file of predictions: its columns are {', '.join(header) or 'none'}.")
    position = {name: i for i, name in enumerate(classes)}
    try:
        labels = np.array([position[row[2]] for row in rows], dtype=np.int64)
        values = np.array([[float(p) for p in row[3:]] for row in rows]).reshape(len(rows), len(classes))
    except (KeyError, IndexError, ValueError) as error:
        raise _error(f"{path} is damaged: {error!r}. Evaluate the run again to write it anew.") from None
    return PredictionTable([row[0] for row in rows], [row[1] for row in rows], labels, values, classes)


def environment() -> dict[str, Any]:
    """What a result has to say of code and machine, as `RunResult`'s fields of the same names.

    `git` is {"commit", "dirty"} of the checkout that this code was imported from, None each where there is none (an
    installed wheel, no git); dirty counts files that git does not know as well. `packages` are the versions of our
    direct dependencies, as installed. `finished_at` is UTC.
    """
    return {
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _git(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory_mb() -> dict[str, float]:
    """The most memory that this process has held so far, in MB (10^6 bytes): "host", and "gpu" where one was used.

    "gpu" is what torch had allocated for tensors; what the driver and the allocator's cache take comes on top.
    """
    peak: dict[str, float] = {}
    try:  # not getrusage's maximum on Linux: a child starts with its parent's
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak["host"] = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6
    except (OSError, IndexError):
        if sys.platform == "darwin":
            import resource

            peak["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes, there
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["gpu"] = (
            max(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())) / 1e6
        )
    return {name: round(value, 1) for name, value in peak.items()}


def _machine() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_available()
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch is not None and has_gpu else None,
    }


def _packages() -> dict[str, str]:
    from eegfm import __version__

    try:
        wanted = [
            r for r in metadata.requires("eegfm") or [] if "extra == 'dev'" not in r.replace('"', "'")
        ]
    except metadata.PackageNotFoundError:  # run from a bare source tree
        wanted = ["torch", "lightning", "hydra-core", "numpy", "scipy", "scikit-learn", "mne", "lmdb"]
    versions = {"eegfm": __version__}
    # granite-tsfm: installed beside us, since its own pins exclude current torch
    for name in sorted({re.split(r"[^A-Za-z0-9._-]", r)[0] for r in wanted} | {"granite-tsfm"}):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return versions


def _git() -> dict[str, Any]:
    here = Path(__file__).resolve()
    # a wheel inside somebody else's checkout (a .venv in it) must not take that checkout's commit for ours
    if _git_says("ls-files", "--error-unmatch", here.name) is None:
        return {"commit": None, "dirty": None}
    changes = _git_says("status", "--porcelain")
    return {
        "commit": _git_says("rev-parse", "--verify", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git_says(*arguments: str) -> str | None:
    """Git's answer about the checkout of this file; None where git is absent, refuses, or does not know."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).resolve().parent), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def json_values(value: Any) -> Any:
    """The value in JSON's types; what is not a finite number becomes null, which JSON has, unlike NaN."""
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
    known = {field.name for field in fields(kind)}
    # what has a default came later than some results, or goes without saying
    wanted = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    found = set(values) if isinstance(values, dict) else set()
    lacks, knows_not = sorted(wanted - found), sorted(found - known)
    if lacks or knows_not:
        parts = [f"lacks {place}{', '.join(lacks)}"] * bool(lacks)
        parts += [f"has an unknown {place}{', '.join(knows_not)}"] * bool(knows_not)
        raise _error(f"{path} {' and '.join(parts)}. Was it edited, or written by another version?")


def _error(sentence: str) -> ValueError:
    from eegfm.contracts import EegfmError  # costs the import of torch, so only where something is wrong

    return EegfmError(sentence)
