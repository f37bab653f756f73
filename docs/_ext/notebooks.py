"""Pages of the documentation as notebooks: one text for both.

A block ```console becomes cells for bash, a command each; a block ```pycon cells of Python; what the page shows of
their output stands below them, as after a run. Blocks of other kinds, and all words, stay text.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from made import HERE, write
from markdown_it import MarkdownIt

PAGES = (
    *sorted(path.relative_to(HERE) for path in (HERE / "tutorials").glob("*.md")),
    Path("howto/from_python.md"),
)
BASH = {"kind": "console", "first": "$ ", "more": "> ", "magic": "%%bash\n"}
PYTHON = {"kind": "pycon", "first": ">>> ", "more": "... ", "magic": ""}


def cells(text: str) -> Iterator[tuple[str, str, str]]:
    """The cells of a page: markdown or code, the source, and the output that the page shows."""
    lines = text.splitlines()
    behind = 0
    for token in MarkdownIt().parse(text):
        kind = next((one for one in (BASH, PYTHON) if token.info.split()[:1] == [one["kind"]]), None)
        if token.type != "fence" or not token.map or token.level or kind is None:
            continue
        start, end = token.map
        yield "markdown", "\n".join(lines[behind:start]).strip(), ""
        yield from typed(token.content.splitlines(), kind)
        behind = end
    yield "markdown", "\n".join(lines[behind:]).strip(), ""


def typed(lines: list[str], kind: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """What is typed in a block, up to each output; commands of a shell one by one."""
    source: list[str] = []
    shown: list[str] = []

    def cell() -> tuple[str, str, str]:
        return "code", kind["magic"] + "\n".join(source), "\n".join(shown).strip()

    for line in lines:
        more = line.startswith(kind["more"]) or line == kind["more"].strip()
        if line.startswith(kind["first"]):
            if shown or (source and kind is BASH):
                yield cell()
                source, shown = [], []
            source.append(line.removeprefix(kind["first"]))
        elif more and source and not shown:
            source.append(line.removeprefix(kind["more"]).removeprefix(kind["more"].strip()))
        else:
            shown.append(line)
    if source:
        yield cell()


def notebook(text: str) -> dict[str, Any]:
    """A page as a notebook of version 4.5."""
    found = []
    for kind, source, shown in cells(re.sub(r"<!--.*?-->\n?", "", text)):
        if not source:
            continue
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"cell-{len(found)}",
            "metadata": {},
            "source": source.splitlines(keepends=True),
        }
        if kind == "code":
            output = {
                "output_type": "stream",
                "name": "stdout",
                "text": f"{shown}\n".splitlines(keepends=True),
            }
            cell |= {"execution_count": None, "outputs": [output] if shown else []}
        found.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_json(text: str) -> str:
    """The file of a page's notebook."""
    return json.dumps(notebook(text), indent=1, ensure_ascii=False) + "\n"


def example() -> None:
    """Write examples/three_calls.ipynb, the one notebook that is kept in the repository."""
    text = (HERE / "howto/from_python.md").read_text(encoding="utf-8")
    (HERE.parent / "examples" / "three_calls.ipynb").write_text(as_json(text), encoding="utf-8")


def notebooks() -> None:
    """Write the notebooks, and a page that lists them."""
    lines = [
        "# Notebooks",
        "",
        "Each is written from its page when the site is built: the same words, the same commands.",
        "They want eegfm and Jupyter in one environment, and a new folder to work in.",
        "",
        "| page | notebook |",
        "|---|---|",
    ]
    texts = {page: (HERE / page).read_text(encoding="utf-8") for page in PAGES}
    titles = {page: re.findall("^# (.*)$", text, re.M)[0] for page, text in texts.items()}
    for page, title in sorted(titles.items(), key=lambda one: one[1]):
        text = texts[page]
        write(f"notebooks/{page.stem}.ipynb", as_json(text))
        lines.append(
            f"| [{title}](../{page.as_posix()}) | {{download}}`{page.stem}.ipynb <notebooks/{page.stem}.ipynb>` |"
        )
    write("notebooks.md", "\n".join(lines) + "\n")
