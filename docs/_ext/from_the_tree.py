"""Pages that are written from the tree whenever the documentation is built, below docs/_made.

Options with their comments out of conf/, commands out of their parsers, benchmarks out of their modules: what they say
stands in one place.
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import yaml
from benchmark_pages import benchmarks
from diagrams import diagrams
from hydra.utils import get_object
from made import CONF, cell, write
from messages import messages
from notebooks import notebooks
from results_drawn import results
from sphinx.application import Sphinx

from eegfm.commands import COMMANDS
from eegfm.config.schema import RunSchema

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


DEFAULTS = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: ""}


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


def types(node: Any, target: Any = None, path: str = "") -> dict[str, str]:
    """What each key of a file of options may be: as the constructor has it that takes it, else as its default."""
    if not isinstance(node, Mapping):
        return {}
    name = node.get("_target_")
    if isinstance(name, str) and not name.startswith("hydra."):
        target = get_object(name)
    hints: dict[str, Any] = {}
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target) if target else {}
    except (NameError, TypeError):  # a type that is only known to a checker
        pass
    found = {}
    for key, value in node.items():
        if isinstance(key, str):
            hint = hints.get(key)
            named = type_name(hint) if hint is not None else DEFAULTS.get(type(value), "")
            found[f"{path}{key}"] = named
            found.update(types(value, None, f"{path}{key}."))
    return found


def type_name(hint: Any) -> str:
    """A type as one reads it: names without their modules, the values of a Literal as they are typed."""
    text = hint.__name__ if inspect.isclass(hint) and not getattr(hint, "__args__", ()) else str(hint)
    text = re.sub(
        r"Literal\[([^\]]*)\]", lambda found: found[1].replace(", ", " | ").replace("'", ""), text
    )
    text = re.sub(r"\b(?:\w+\.)+(\w)", r"\1", text)
    return re.sub(r"\bNone\b", "null", text)


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
            may_be = types(yaml.safe_load(text))
            lines += ["", f"## {name}", "", first_comment(text).replace("<", "&lt;"), ""]
            if rows:
                lines += ["| key | default | type | |", "|---|---|---|---|"]
                scope = "" if "# @package _global_" in text else f"{group}."
                lines += [
                    f"| `{scope}{key}` | {f'`{cell(value)}`' if value else ''} | {cell(may_be.get(key, ''))} "
                    f"| {cell(comment)} |"
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
    hints = get_type_hints(RunSchema)
    lines += ["", "## Keys of a whole run", "", "| key | default | type | |", "|---|---|---|---|"]
    lines += [
        f"| `{key}` | {f'`{cell(value)}`' if value else ''} | {cell(type_name(hints.get(key, '')))} | {cell(comment)} |"
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


def written(_: Sphinx) -> None:
    options()
    commands()
    benchmarks()
    diagrams()
    notebooks()
    results()
    messages()


def to_made_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to folders of the tree, which a reader of the sources can open, into links to pages made of them."""
    made = [
        (r"src/eegfm/", "messages.md"),
        (r"src/eegfm/commands/", "commands.md"),
        (r"src/eegfm/benchmarks/", "benchmarks/index.md"),
        (r"conf/", "options/index.md"),
        (r"conf/(\w+)/", r"options/\1.md"),
    ]
    for folder, page in made:
        source[0] = re.sub(rf"\]\(\.\./\.\./{folder}\)", f"](../_made/{page})", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", written)
    app.connect("source-read", to_made_pages)
    return {"parallel_read_safe": True}
