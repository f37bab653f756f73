"""Every message that stops a command with one sentence, out of the source: what was found, and what to type."""

import ast
from pathlib import Path

from made import HERE, cell, write

SOURCE = HERE.parent / "src" / "eegfm"


def text_of(node: ast.AST) -> str | None:
    """A message as one reads it, with `...` for what is filled in; None where the source does not show it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "..."
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "..." for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{text_of(node.left) or '...'}{text_of(node.right) or '...'}"
    return None


def found_in(file: Path) -> list[str]:
    """The messages of a file, in its order, each once."""
    said = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "EegfmError" and node.args:
            text = text_of(node.args[0])
            if text and text.strip(" ."):
                said.append(text)
    return list(dict.fromkeys(said))


def messages() -> None:
    """Write the page, a section a room of the code."""
    lines = [
        "# Messages",
        "",
        "What stops a command with one sentence and exit status 1, out of the source; `...` stands for what varies.",
        "The search of this site finds a message by its words.",
    ]
    for room in sorted({path.relative_to(SOURCE).parts[0] for path in SOURCE.rglob("*.py")}):
        place = SOURCE / room
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        rows = [(file, text) for file in files for text in found_in(file)]
        if rows:
            lines += ["", f"## {room.removesuffix('.py')}", "", "| message | raised in |", "|---|---|"]
            lines += [f"| {escaped(text)} | `{file.relative_to(SOURCE)}` |" for file, text in rows]
    write("messages.md", "\n".join(lines) + "\n")


def escaped(text: str) -> str:
    """A message as a cell: stars, brackets and the like are themselves."""
    return "".join(f"\\{letter}" if letter in "*_[]`{}#$" else letter for letter in cell(text))
