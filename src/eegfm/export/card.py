"""The model card of an exported model: what it is, what it was trained and tested on, how well, and what it is not.

In the hub's format, a head of YAML and Markdown. Everything in it is read from the run folder and from the benchmark's
facts. Whoever publishes weights chooses their licence: the card says what is known and leaves the field out.
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
    "classify": "Out come class probabilities `[batch, class]`: {classes}.",
    "reconstruct": "Out comes the window given back, in microvolts; nothing is hidden.",
    "forecast": "Out comes the end of the window, in microvolts, foretold from its beginning.",
}
NONE = "–"


def card(
    model: Portable, place: Path, benchmarks: Mapping[str, Any], *, tag: str, programs: Mapping[str, str]
) -> str:
    """README.md of an exported run.

    `benchmarks` are the `BenchmarkSpec` of its data by name, `tag` is the name of its weights (`tag_of`),
    `programs` what is beside them: a sentence a file.

    Raises:
        EegfmError: the run has no test scores.
    """
    runs, problems = read_runs([place])
    if not runs:
        raise EegfmError(f"{place}: {problems[0].what}. A model without test scores has no card.")
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
    """The YAML that the hub reads: tags, and test scores as it lists them."""
    r = run.result
    rows = [
        {"type": name, "name": spoken(name), "value": round(value, 4)}
        for name, value in r.metrics["test"].items()
        if math.isfinite(value)
    ]
    title = r.benchmark.title
    found = {
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
        "model-index": [{"name": r.name, "results": [found]}],
    }
    return "---\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000) + "---"


def _title(run: Finished) -> str:
    r = run.result
    over = "" if r.encoder == "raw" else f" over the encoder {r.encoder}"
    warnings = marks(Group([run]))
    said = [
        f"# {r.model} on {r.benchmark.title}",
        f"One run of {r.model}{over}, task {r.task}, seed {r.seed}, {r.parameters['trainable']:,} trainable parameters "
        f"of {r.parameters['total']:,}. Written by `eegfm export` from the run `{r.name}`.",
    ]
    if warnings:
        said.append(
            "\n".join(
                f"> **{warning}.**" if i == 0 else f">\n> **{warning}.**"
                for i, warning in enumerate(warnings)
            )
        )
    return "\n\n".join(said)


def _use(model: Portable, run: Finished, tag: str, programs: Mapping[str, str]) -> str:
    out = OUT["classify" if model.kind in FITTED else model.kind].format(
        classes=", ".join(model.spec.classes)
    )
    shape = ", ".join(("batch", *map(str, model.spec.shape)))
    what = "windows in **microvolts**" if len(model.spec.shape) == 2 else "vectors of the encoder"
    found = [
        "## Use",
        "```python\nimport eegfm\n\n"
        f'model = eegfm.load("{HUB}<user>/<name>", revision="{tag}")  # or the path of this folder\n'
        "output = model(x)\n```",
        f"`x` are {what}, `[{shape}]`: {say_input(model.spec)}. {out} `model.embed(x)` is the backbone's vector, "
        f"`model.spec` says channels, places and classes. It needs {_needs(model)}.",
        f"Channels, in this order: {', '.join(model.spec.montage.names)}.",
    ]
    left_out = model.config["encoder_left_out"]
    if left_out:
        found.append(
            f"The encoder {run.result.encoder} is not in here ({left_out}), so that its vectors are wanted: every "
            "second of every channel alone, rounded to 16 bits, as `eegfm.tasks.stream.embedded` makes them."
        )
    found += [f"`{name}`: {said}" for name, said in programs.items()]
    return "\n\n".join(found)


EXTRAS = {  # of eegfm, by what wants them
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
    """What has to be installed."""
    named = json.dumps([model.config["backbone"], model.config["encoder"]])
    wanted = [
        extra for extra, modules in EXTRAS.items() if any(f"eegfm.{name}" in named for name in modules)
    ]
    return f"eegfm[{','.join(wanted)}]" if wanted else "eegfm"


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
    found = [
        "## Data",
        f"{facts.title}, protocol `{facts.protocol}`, store `{facts.fingerprint}`: {used} of {facts.subjects_total} "
        f"subjects, {len(facts.missing)} recordings missing, {len(facts.unusable)} unusable.",
        "\n".join(rows),
    ]
    for name, spec in benchmarks.items():
        steps = model.config["steps"].get(name, [])
        found.append(
            f"Processed by: {', '.join(f'`{step}`' for step in steps) or 'nothing'}"
            + (f" ({name})" if len(benchmarks) > 1 else "")
            + f". {spec.split_rule}".rstrip(". ")
            + "."
        )
    return "\n\n".join(found)


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
    found = ["## Scores", "\n".join(rows)]
    if seeds is not None and len(seeds.runs) > 1:
        found.append(
            f"Over seeds: mean and population standard deviation of {len(seeds.runs)} runs of the same settings (seeds "
            f"{', '.join(str(one.result.seed) for one in seeds.runs)}); these weights are those of seed {r.seed}."
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
        found.append("\n".join(table))
    found.append(
        f"Chosen by validation {r.monitor} {_number(r.monitor_value)}"
        + ("" if r.best_epoch is None else f", epoch {r.best_epoch + 1}")
        + f". Persons are drawn with replacement for the interval; of {len(subjects)} it is "
        + ("too short." if len(subjects) < 20 else "a guide, no more.")
    )
    return "\n\n".join(found)


def _seeds(run: Finished) -> Group | None:
    """The runs beside this one that differ in their seed alone, with it."""
    runs, _ = read_runs(find_runs([run.folder.resolve().parent]))
    groups, _ = group_runs(runs)
    name = run.folder.resolve().name
    return next((group for group in groups if any(one.folder.name == name for one in group.runs)), None)


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
    found = [
        f"Tested on {n} {'person' if n == 1 else 'persons'} of one corpus, by one protocol. Nothing is known of other "
        "amplifiers, montages, ages or conditions.",
        "Not a medical device: not for diagnosis, and not for decisions about a person.",
        f"Windows have to be processed as above and in microvolts. Another rate than {model.spec.sfreq:g} Hz or "
        "another order of the channels gives numbers without a meaning, mostly without an error.",
    ]
    if r.benchmark.simulated:
        found.insert(0, "Trained and tested on simulated signals: it says nothing of persons.")
    return "## Limits\n\n" + "\n".join(f"- {one}" for one in found)


def _licences(model: Portable, benchmarks: Mapping[str, Any]) -> str:
    found = ["The code is eegfm's, MIT. No licence was chosen for these weights: whoever publishes them does, within "
             "what the data allow."]  # fmt: skip
    for spec in benchmarks.values():
        found.append(f"{spec.title}: {spec.licence}. {spec.access} {spec.corpus}".rstrip())
    encoder = model.config["encoder"] or model.config["backbone"]["arguments"].get("encoder")
    if encoder is not None and model.config["encoder_weights"] == "published":
        kind = class_of(encoder["class"])
        where = getattr(kind, "repository", None)  # of several sizes it depends on the size
        source = (
            f"https://huggingface.co/{where} ({kind.about})" if isinstance(where, str) else "see its papers"
        )
        found.append(f"The weights of the encoder {kind.name} are in here; they are from {source}.")
    if encoder is not None and model.config["encoder_weights"] == "random":
        found.append("The weights of the encoder are random ones, a control.")
    return "## Licences\n\n" + "\n".join(f"- {one}" for one in found)


def _papers(model: Portable, benchmarks: Mapping[str, Any]) -> str:
    modules = [model.config["backbone"]["class"].rpartition(".")[0]]
    if model.config["encoder"]:
        modules.append(model.config["encoder"]["class"].rpartition(".")[0])
    found = [_first_line(module) for module in modules]
    found += [f"{spec.title}: {spec.citation}" for spec in benchmarks.values()]
    return "## Papers to cite\n\n" + "\n".join(f"- {one}" for one in found)


def _first_line(module: str) -> str:
    """The first paragraph of a module's docstring, which names its paper."""
    text = (import_module(module).__doc__ or module).strip()
    return " ".join(text.split("\n\n")[0].split())


def _number(value: Any) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"
