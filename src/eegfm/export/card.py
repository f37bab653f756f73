"""The model card of an exported model: what it is, its training and test data, its scores and its limits.

A card has the hub's format: a head of YAML, then Markdown. It says only what the run folder and the benchmark's facts
say. Whoever publishes weights chooses their licence, so the card leaves that field out.
"""

import json
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from eegfm.contracts import EegfmError
from eegfm.export.described import FITTED, class_of, say_input
from eegfm.export.from_run import HUB
from eegfm.export.model import Portable
from eegfm.reporting.groups import Group, deviation, group_runs, mean
from eegfm.reporting.remarks import marks
from eegfm.reporting.run_folders import Run as Finished
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.place import CHECKPOINTS, Place
from eegfm.runs.reservations import reservations_of, titled
from eegfm.runs.results import SUBJECT_FACTS
from eegfm.tasks.metric_names import spoken

OUT = {
    "classify": "The output is class probabilities `[batch, class]`: {classes}.",
    "reconstruct": "The output is the reconstructed window in microvolts; no part of the input is hidden.",
    "forecast": "The output is the end of the window in microvolts, predicted from its beginning.",
}
NONE = "–"


def card(
    model: Portable, place: Path, benchmarks: Mapping[str, Any], *, tag: str, programs: Mapping[str, str]
) -> str:
    """README.md of an exported run.

    `benchmarks` holds the `BenchmarkSpec` of its data by name. `tag` is the name of its weights (`tag_of`). `programs`
    holds a sentence about each program beside them, by file name.

    Raises:
        EegfmError: the run has no test scores.
    """
    runs, problems = read_runs([place])
    if not runs:
        raise EegfmError(f"{place}: {problems[0].what}. Only a model with test scores gets a card.")
    run = runs[0]
    sections = [
        _head(model, run, benchmarks),
        _title(run),
        _use(model, run, tag, programs),
        _data(model, run, benchmarks),
        _scores(run),
        _training(run),
        _limits(model, run),
        _licences(model, benchmarks),
        _papers(model, benchmarks),
    ]
    return "\n\n".join(sections) + "\n"


def _head(model: Portable, run: Finished, benchmarks: Mapping[str, Any]) -> str:
    """The YAML head for the hub: tags, and test scores in the hub's format."""
    r = run.result
    rows = [
        {"type": name, "name": spoken(name), "value": round(value, 4)}
        for name, value in r.metrics["test"].items()
        if math.isfinite(value)
    ]
    title = r.benchmark.title
    evaluation = {
        "task": {"type": f"eeg-{r.task}", "name": f"EEG, {r.task}"},
        "dataset": {
            "type": r.data,
            "name": titled(title, reservations_of(r)),
            "split": "test",
            "config": r.benchmark.protocol,
        },
        "metrics": rows,
    }
    values = {
        "library_name": "eegfm",
        "tags": list(dict.fromkeys(["eeg", "eegfm", r.task, r.model, r.encoder, *benchmarks])),
        "model-index": [{"name": r.name, "results": [evaluation]}],
    }
    return "---\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000) + "---"


def _title(run: Finished) -> str:
    r = run.result
    over = "" if r.encoder == "raw" else f" over the encoder {r.encoder}"
    warnings = marks(Group([run]))
    paragraphs = [
        f"# {r.model} on {r.benchmark.title}",
        f"This is one run of {r.model}{over}: task {r.task}, seed {r.seed}, {r.parameters['trainable']:,} trainable "
        f"parameters of {r.parameters['total']:,}. Written by `eegfm export` from the run `{r.name}`.",
    ]
    if warnings:
        paragraphs.append(
            "\n".join(
                f"> **{warning}.**" if i == 0 else f">\n> **{warning}.**"
                for i, warning in enumerate(warnings)
            )
        )
    return "\n\n".join(paragraphs)


def _use(model: Portable, run: Finished, tag: str, programs: Mapping[str, str]) -> str:
    out = OUT["classify" if model.kind in FITTED else model.kind].format(
        classes=", ".join(model.spec.classes)
    )
    shape = ", ".join(("batch", *map(str, model.spec.shape)))
    what = "windows in **microvolts**" if len(model.spec.shape) == 2 else "vectors of the encoder"
    paragraphs = [
        "## Use",
        "```python\nimport eegfm\n\n"
        f'model = eegfm.load("{HUB}<user>/<name>", revision="{tag}")  # or the path of this folder\n'
        "output = model(x)\n```",
        f"`x` are {what}, `[{shape}]`: {say_input(model.spec)}. {out} `model.embed(x)` gives the backbone's vector, "
        f"and `model.spec` the channels, their places and the classes. The model needs {_needs(model)}.",
        f"Channels, in this order: {', '.join(model.spec.montage.names)}.",
    ]
    left_out = model.config["encoder_left_out"]
    if left_out:
        paragraphs.append(
            f"This folder does not hold the encoder {run.result.encoder} ({left_out}), so the model takes its vectors: "
            "one for every second of every channel alone, rounded to 16 bits, as `eegfm.tasks.stream.embedded` makes "
            "them."
        )
    paragraphs += [f"`{name}`: {sentence}" for name, sentence in programs.items()]
    if programs:
        paragraphs.append(
            "A program carries no checksum of its own: `sha256sum -c SHA256SUMS` tells whether these files are as "
            "they were written."
        )
    return "\n\n".join(paragraphs)


EXTRAS = {  # the extras of eegfm, each with the modules that need it
    "braindecode": ("models.braindecode",),
    "riemann": ("models.csp_lda", "models.tangent"),
    "tsfm": (
        "encoders.chronos",
        "encoders.moment",
        "encoders.tspulse",
        "encoders.ttm",
        "models.stamp_lora",
    ),
}


def _needs(model: Portable) -> str:
    """The package to install, with its extras."""
    named = json.dumps([model.config["backbone"], model.config["encoder"]])
    needed = [
        extra for extra, modules in EXTRAS.items() if any(f"eegfm.{name}" in named for name in modules)
    ]
    return f"eegfm[{','.join(needed)}]" if needed else "eegfm"


def _data(model: Portable, run: Finished, benchmarks: Mapping[str, Any]) -> str:
    facts = run.result.benchmark
    rows = ["| split | subjects | windows | by class |", "|---|---|---|---|"]
    for split, ids in facts.subjects.items():
        counts = facts.census.get(split, [])
        names = model.spec.classes if len(model.spec.classes) == len(counts) else [NONE] * len(counts)
        by_class = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts, strict=True))
        who = f"{len(ids)} ({', '.join(ids[:40])}{', ...' if len(ids) > 40 else ''})"
        rows.append(f"| {split} | {who} | {sum(counts):,} | {by_class} |")
    used = len({subject for ids in facts.subjects.values() for subject in ids})
    paragraphs = [
        "## Data",
        f"{facts.title}, protocol `{facts.protocol}`, store `{facts.fingerprint}`: {used} of {facts.subjects_total} "
        f"subjects, {len(facts.missing)} recordings missing, {len(facts.unusable)} unusable.",
        "\n".join(rows),
    ]
    for name, spec in benchmarks.items():
        steps = model.config["steps"].get(name, [])
        paragraphs.append(
            f"Processed by: {', '.join(f'`{step}`' for step in steps) or 'nothing'}"
            + (f" ({name})" if len(benchmarks) > 1 else "")
            + f". {spec.split_rule}".rstrip(". ")
            + "."
        )
    return "\n\n".join(paragraphs)


def _scores(run: Finished) -> str:
    group = Group([run])
    r = run.result
    intervals = group.intervals
    rows = ["| test | this run | 95 % over test subjects | over seeds |", "|---|---|---|---|"]
    seeds = _seeds(run)
    for name, value in r.metrics["test"].items():
        interval = intervals.get(name)
        between = NONE if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        values = [] if seeds is None else seeds.test(name)
        over = f"{mean(values):.3f} ± {deviation(values):.3f}" if len(values) > 1 else NONE
        rows.append(f"| {spoken(name)} | {_number(value)} | {between} | {over} |")
    paragraphs = ["## Scores", "\n".join(rows)]
    if seeds is not None and len(seeds.runs) > 1:
        paragraphs.append(
            f"Over seeds: mean and population standard deviation of {len(seeds.runs)} runs of the same settings (seeds "
            f"{', '.join(str(other.result.seed) for other in seeds.runs)}); these weights are those of seed {r.seed}."
        )
    subjects = r.by_subject.get("test", {})
    tested = list(next(iter(subjects.values()), {}))
    columns = [name for name in tested if name not in SUBJECT_FACTS][:3]
    if columns:
        table = [f"| subject | windows | {' | '.join(map(spoken, columns))} |"]
        table.append("|---" * (2 + len(columns)) + "|")
        for subject, row in list(subjects.items())[:50]:
            values = " | ".join(_number(row.get(name)) for name in columns)
            table.append(f"| {subject} | {row['n_windows']} | {values} |")
        paragraphs.append("\n".join(table))
    paragraphs.append(
        f"Weights chosen by validation {r.monitor} {_number(r.monitor_value)}"
        + ("" if r.best_epoch is None else f", epoch {r.best_epoch + 1}")
        + f". The interval draws persons with replacement; with {len(subjects)} persons it is "
        + ("too short." if len(subjects) < 20 else "only a guide.")
    )
    return "\n\n".join(paragraphs)


def _seeds(run: Finished) -> Group | None:
    """The group of this run and the runs beside it that differ only in their seed."""
    runs, _ = read_runs(find_runs([run.folder.resolve().parent]))
    groups, _ = group_runs(runs)
    name = run.folder.resolve().name
    return next(
        (group for group in groups if any(member.folder.name == name for member in group.runs)), None
    )


def _training(run: Finished) -> str:
    r = run.result
    start = "random weights"
    if r.started_from:
        path = Path(r.started_from["weights"])
        start = f"`{Place.of(path).folder.name if path.parent.name == CHECKPOINTS else path.name}`"
    adapted = "" if r.adapt is None else f", adapt={r.adapt}"
    commit = (r.git.get("commit") or "unknown")[:12] + (
        " with uncommitted changes" if r.git.get("dirty") else ""
    )
    versions = ", ".join(
        f"{name} {r.packages[name]}" for name in ("eegfm", "torch", "lightning") if name in r.packages
    )
    return (
        f"## Training\n\nTask {r.task}{adapted}, seed {r.seed}, from {start}, on {r.device}. eegfm commit {commit}; "
        f"{versions}; Python {r.python}; finished {r.finished_at}."
    )


def _limits(model: Portable, run: Finished) -> str:
    r = run.result
    n = len(r.benchmark.subjects.get("test", []))
    limits = [
        f"Tested on {n} {'person' if n == 1 else 'persons'} of one corpus, by one protocol. Other amplifiers, "
        "montages, ages and conditions were not tested.",
        "Not a medical device: not for diagnosis, and not for decisions about a person.",
        f"Windows must be in microvolts and processed as above. Another rate than {model.spec.sfreq:g} Hz or another "
        "order of the channels gives numbers without meaning, mostly without an error.",
    ]
    if r.benchmark.simulated:
        limits.insert(0, "Trained and tested on simulated signals: the scores say nothing about persons.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _licences(model: Portable, benchmarks: Mapping[str, Any]) -> str:
    licences = [
        "The code is eegfm's, MIT. These weights have no licence yet: whoever publishes them chooses one that the "
        "licences of the data allow."
    ]
    for spec in benchmarks.values():
        licences.append(f"{spec.title}: {spec.licence}. {spec.access} {spec.corpus}".rstrip())
    encoder = model.config["encoder"] or model.config["backbone"]["arguments"].get("encoder")
    if encoder is not None and model.config["encoder_weights"] == "published":
        kind = class_of(encoder["class"])
        where = getattr(kind, "repository", None)  # not a string if it depends on the size
        source = (
            f"https://huggingface.co/{where} ({kind.about})" if isinstance(where, str) else "see its papers"
        )
        licences.append(
            f"This folder holds the weights of the encoder {kind.name}, which are from {source}."
        )
    if encoder is not None and model.config["encoder_weights"] == "random":
        licences.append("The encoder has random weights, as a control.")
    return "## Licences\n\n" + "\n".join(f"- {licence}" for licence in licences)


def _papers(model: Portable, benchmarks: Mapping[str, Any]) -> str:
    modules = [model.config["backbone"]["class"].rpartition(".")[0]]
    if model.config["encoder"]:
        modules.append(model.config["encoder"]["class"].rpartition(".")[0])
    papers = [_first_paragraph(module) for module in modules]
    papers += [f"{spec.title}: {spec.citation}" for spec in benchmarks.values()]
    return "## Papers to cite\n\n" + "\n".join(f"- {paper}" for paper in papers)


def _first_paragraph(module: str) -> str:
    """The first paragraph of a module's docstring, which names its paper."""
    text = (import_module(module).__doc__ or module).strip()
    return " ".join(text.split("\n\n")[0].split())


def _number(value: Any) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"
