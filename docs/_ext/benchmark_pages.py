"""A page a benchmark, written from its module whenever the documentation is built."""

import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import windows_drawn
from hydra.utils import instantiate
from made import CONF, MADE, cell, row, write
from omegaconf import OmegaConf

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec


def benchmarks() -> None:
    """A page a benchmark: its facts, and what its module says of corpus, protocol and quirks."""
    listed = [
        "# Benchmarks",
        "",
        "Each page is written from the benchmark's own file: what the corpus is, what the protocol does, and",
        "where the published protocol and the repaired one differ.",
        "",
        "| `data=` | | classes | windows | access |",
        "|---|---|---|---|---|",
    ]
    names = []
    for file in sorted((CONF / "data").glob("*.yaml")):
        node: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        if not isinstance(node.get("benchmark"), dict):
            continue
        spec = instantiate(node["benchmark"])
        specs = {"repaired": spec}
        if "variant" in node["benchmark"]:
            specs["published"] = instantiate({**node["benchmark"], "variant": "published"})
        module = node["benchmark"].get("path") or node["benchmark"]["_target_"]
        names.append(file.stem)
        write(
            f"benchmarks/{file.stem}.md",
            benchmark_page(file.stem, specs, importlib.import_module(module.rpartition(".")[0])),
        )
        windows = f"{len(spec.channels)} channels, {spec.window_s:g} s at {spec.sfreq:g} Hz"
        listed.append(
            row(f"[`{file.stem}`]({file.stem}.md)", spec.title, len(spec.classes), windows, spec.access)
        )
    write(
        "benchmarks/index.md",
        "\n".join([*listed, "", "```{toctree}", ":hidden:", "", *names, "```"]) + "\n",
    )


def beside(specs: Mapping[str, BenchmarkSpec]) -> list[str]:
    """The published protocol beside the repaired one, where a benchmark has both."""
    if len(specs) == 1:
        return ["There is one form of this protocol here.", ""]

    def counted(spec: BenchmarkSpec) -> str:
        windows = "not counted" if spec.census.windows is None else f"{spec.census.windows:,}"
        each = ", ".join(f"{split} {n:,}" for split, n in (spec.census.per_split or {}).items())
        return f"{windows} ({each})" if each else windows

    def divided(spec: BenchmarkSpec) -> str:
        people = [f"{split} {len(who)}" for split, who in (spec.splits or {}).items()]
        return spec.split_rule or f"subjects: {', '.join(people)}"

    published, repaired = specs["published"], specs["repaired"]
    facts = {
        "`protocol`": [f"`{spec.protocol}`" for spec in (published, repaired)],
        "steps": [
            " ".join(f"{n}. `{step}`" for n, step in enumerate(spec.steps, 1)) or "none"
            for spec in (published, repaired)
        ],
        "windows of the complete corpus": [counted(spec) for spec in (published, repaired)],
        "splits": [divided(spec) for spec in (published, repaired)],
        "a person in two splits": [spec.subject_leak or "refused" for spec in (published, repaired)],
    }
    return [
        "| | `data.benchmark.variant=published` | `repaired` (the default) |",
        "|---|---|---|",
        *(
            row(key, *("the same" if n and both[0] == both[1] else one for n, one in enumerate(both)))
            for key, both in facts.items()
        ),
        "",
        "What else differs, and why, stands below.",
        "",
    ]


def benchmark_page(name: str, specs: Mapping[str, BenchmarkSpec], module: ModuleType) -> str:
    """Facts as tables, a window as a picture, then the text of the module."""
    spec = specs["repaired"]
    drawn = windows_drawn.draw(name, specs, MADE / "benchmarks" / f"{name}.png")
    facts = {
        "protocol": f"`{spec.protocol}`",
        "classes": ", ".join(spec.classes) or "none (pre-training)",
        "window": f"{spec.window_s:g} s, {spec.n_times} samples at {spec.sfreq:g} Hz",
        "channels": f"{len(spec.channels)}: {', '.join(spec.channels)}",
        "licence": spec.licence,
        "access": spec.access,
        "cite": spec.citation,
    }
    lines = [
        f"# {spec.title}",
        "",
        "```sh",
        f"eegfm train data={name} model=stamp encoder=spectrum data.raw=<folder>",
        "```",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| {key} | {cell(value)} |" for key, value in facts.items()]
    lines += [
        "",
        "## A window and its spectrum",
        "",
        f"![A window of {spec.title}, and its spectrum]({name}.png)",
        "",
        drawn,
    ]
    lines += ["", "## Published beside repaired", "", *beside(specs)]
    if len(specs) == 1:
        lines += ["## Steps", "", *[f"{n}. `{step}`" for n, step in enumerate(spec.steps, 1)]]
        lines += ["None."] * (not spec.steps)
    lines += ["", "## Splits and counts", ""]
    if spec.splits is not None:
        lines += ["| split | subjects | windows of the complete corpus |", "|---|---|---|"]
        for split in SPLITS:
            windows = (spec.census.per_split or {}).get(split)
            people = spec.splits.get(split, ())
            lines.append(
                row(
                    split,
                    f"{len(people)}: {', '.join(people)}",
                    "not counted" if windows is None else windows,
                )
            )
    if spec.split_rule:
        lines += ["", spec.split_rule]
    if spec.census.source:
        lines += ["", f"Counts: {spec.census.source}"]
    if spec.splits is None and spec.census.per_split:
        lines += [
            "",
            "Windows of the complete corpus: "
            + ", ".join(f"{k} {v:,}" for k, v in spec.census.per_split.items())
            + ".",
        ]
    return (
        "\n".join([*lines, "", "## Corpus, protocol, quirks", "", paragraphs(module.__doc__ or "")]) + "\n"
    )


def paragraphs(text: str) -> str:
    """A docstring as Markdown: lists keep their dashes, a line without an end before a list is a small heading."""
    lines = inspect.cleandoc(text).splitlines()
    said = []
    for n, line in enumerate(lines):
        if (
            n + 1 < len(lines)
            and lines[n + 1].startswith("- ")
            and not line.startswith(("-", " "))
            and len(line) < 40
            and line
        ):
            said += ["", f"### {line.rstrip(':')}", ""]
        else:
            said.append(line.replace("<", "&lt;"))
    return "\n".join(said)
