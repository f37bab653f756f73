"""Where pages are written that are made from the tree, and how their tables are."""

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
CONF = HERE.parent / "conf"
MADE = HERE / "_made"


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
