"""Pages that are written from the tree whenever the documentation is built, below docs/_made.

Options with their comments out of conf/, commands out of their parsers, benchmarks out of their modules: what they say
stands in one place.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf
from sphinx.application import Sphinx

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec
from eegfm.commands import COMMANDS

HERE = Path(__file__).parents[1]
CONF = HERE.parent / "conf"
MADE = HERE / "_made"
GROUPS = {  # the groups of options in the order in which a reader meets them
    "data": "what is trained on: a benchmark, a mix, or your own recordings",
    "split": "who trains, who validates, who tests",
    "model": "the network, or the classical method",
    "encoder": "what turns samples into vectors before the model",
    "task": "what is learnt: classes, a reconstruction, a forecast, a probe",
    "adapt": "how pre-trained weights are used",
    "trainer": "epochs, device, processes",
    "callbacks": "when a training stops early",
    "logger": "where curves go",
    "search": "a search for settings",
    "row": "a row of a table: a model, its encoder and its weights in one name",
    "experiment": "whole tables",
}


def write(path: str, text: str) -> None:
    """Write a page where it differs, so that a second build reads only what is new."""
    file = MADE / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;")


def row(*cells: object) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell(str(one)) for one in cells)} |"


def first_comment(text: str) -> str:
    """What the first comment lines of an option's file say."""
    lines = text.splitlines()
    said = []
    for line in lines:
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(said)


def keys(text: str) -> Iterator[tuple[str, str, str]]:
    """Every key of a file of options with its value and the comment behind or above it."""
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        if not line.strip():
            above = []
            continue
        if line.lstrip().startswith("#"):
            above.append(line.strip().lstrip("# "))
            continue
        found = re.match(r"^( *)([A-Za-z_][\w@/]*):(?: +(.*))?$", line)
        if found is None:
            above = []
            continue
        indent, key, rest = len(found[1]), found[2], found[3] or ""
        while path and path[-1][0] >= indent:
            path.pop()
        path.append((indent, key))
        value, _, comment = re.sub(r"\s+#\s?", "\0", rest, count=1).partition("\0")
        if value.startswith("#"):
            value, comment = "", value.lstrip("# ")
        name = ".".join(one for _, one in path)
        if not name.startswith(("defaults", "hydra")) and key not in (
            "_target_",
            "_partial_",
            "_recursive_",
        ):
            yield name, value.strip(), comment.strip() or " ".join(above)
        above = []


def options() -> None:
    """A page a group of options, and one of what a run is made of."""
    listed = []
    for group, what in GROUPS.items():
        files = sorted((CONF / group).glob("*.yaml"))
        lines = [
            f"# {group}=",
            "",
            f"{what[0].upper()}{what[1:]}. `eegfm train --help` lists them as well.",
            "",
        ]
        lines += [f"| `{group}=` | |", "|---|---|"]
        texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
        lines += [
            f"| [`{name}`](#{name.replace('_', '-')}) | {cell(first_comment(text))} |"
            for name, text in texts.items()
        ]
        for name, text in texts.items():
            rows = [(key, value, comment) for key, value, comment in keys(text)]
            lines += ["", f"## {name}", "", first_comment(text).replace("<", "&lt;"), ""]
            if rows:
                lines += ["| key | default | |", "|---|---|---|"]
                scope = "" if "# @package _global_" in text else f"{group}."
                lines += [
                    f"| `{scope}{key}` | {f'`{cell(value)}`' if value else ''} | {cell(comment)} |"
                    for key, value, comment in rows
                ]
            lines += [
                "",
                f":::{{dropdown}} conf/{group}/{name}.yaml",
                "```yaml",
                text.rstrip(),
                "```",
                ":::",
            ]
        write(f"options/{group}.md", "\n".join(lines) + "\n")
        listed.append(group)
    train = (CONF / "train.yaml").read_text(encoding="utf-8")
    lines = [
        "# Options",
        "",
        "A run is composed of one option of each group, then of what you type. Each key can be typed as it stands.",
        "",
    ]
    lines += ["| group | chooses |", "|---|---|"]
    lines += [f"| [`{group}=`]({group}.md) | {what} |" for group, what in GROUPS.items()]
    lines += ["", "## Keys of a whole run", "", "| key | default | |", "|---|---|---|"]
    lines += [
        f"| `{key}` | {f'`{cell(value)}`' if value else ''} | {cell(comment)} |"
        for key, value, comment in keys(train)
    ]
    lines += [
        "",
        "## Which value wins",
        "",
        "```yaml",
        train.split("defaults:")[0].rstrip(),
        "```",
        "",
        "```{toctree}",
        ":hidden:",
        "",
    ]
    lines += [*listed, "```"]
    write("options/index.md", "\n".join(lines) + "\n")


def commands() -> None:
    """Every command with what it takes."""
    lines = ["# Commands", "", "| | |", "|---|---|"]
    lines += [f"| [`eegfm {name}`](#eegfm-{name}) | {cell(what)} |" for name, (_, what) in COMMANDS.items()]
    for name, (module_name, what) in COMMANDS.items():
        module = importlib.import_module(module_name)
        lines += ["", f"## eegfm {name}", "", f"{what[0].upper()}{what[1:]}.", ""]
        parser = getattr(module, "_parser", None) or getattr(module, "parser", None)
        config = CONF / f"{name}.yaml"
        if config.is_file() and name != "train":
            text = config.read_text(encoding="utf-8")
            lines += [
                "```sh",
                *(line.lstrip("# ") for line in text.splitlines() if line.startswith("# eegfm")),
                "```",
                "",
                "| key | default | |",
                "|---|---|---|",
            ]
            lines += [
                f"| `{key}` | {f'`{cell(value)}`' if value else ''} | {cell(comment)} |"
                for key, value, comment in keys(text)
            ]
        elif name == "train":
            lines += ["Takes every [option](options/index.md)."]
        elif parser is not None:
            lines += ["```text", parser().format_help().rstrip(), "```"]
        else:
            lines += [inspect.cleandoc(module.__doc__ or "")]
    write("commands.md", "\n".join(lines) + "\n")


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
        module = node["benchmark"].get("path") or node["benchmark"]["_target_"]
        names.append(file.stem)
        write(
            f"benchmarks/{file.stem}.md",
            benchmark_page(file.stem, spec, importlib.import_module(module.rpartition(".")[0])),
        )
        windows = f"{len(spec.channels)} channels, {spec.window_s:g} s at {spec.sfreq:g} Hz"
        listed.append(
            row(f"[`{file.stem}`]({file.stem}.md)", spec.title, len(spec.classes), windows, spec.access)
        )
    write(
        "benchmarks/index.md",
        "\n".join([*listed, "", "```{toctree}", ":hidden:", "", *names, "```"]) + "\n",
    )


def benchmark_page(name: str, spec: BenchmarkSpec, module: ModuleType) -> str:
    """Facts as tables, then the text of the module."""
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
        "## Steps",
        "",
        *[f"{n}. `{step}`" for n, step in enumerate(spec.steps, 1)],
        *(["None."] * (not spec.steps)),
    ]
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


def written(_: Sphinx) -> None:
    options()
    commands()
    benchmarks()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", written)
    return {"parallel_read_safe": True}
