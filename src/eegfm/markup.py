"""Text as HTML: a docstring, a table, a link, a sentence. What is passed in is plain text unless it says otherwise."""

import base64
import re
from collections.abc import Sequence
from html import escape


def prose(text: str) -> str:
    """A docstring as HTML: paragraphs, "Key: ..." lines, headings over lists, lists, and indented lines as they are."""
    found: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        kind, last = (found[-1][0] if found else "", line.strip())
        if not last:
            found.append(("end", ""))
        elif line.startswith("    "):
            if kind == "pre":
                found[-1] = ("pre", f"{found[-1][1]}\n{line[4:]}")
            else:
                found.append(("pre", line[4:]))
        elif line.startswith("- "):
            found.append(("li", line[2:]))
        elif kind in ("li", "p") and not (found[-1][1].endswith(".") and re.match(r"[A-Z][a-z ]+: ", line)):
            found[-1] = (kind, f"{found[-1][1]} {last}")
        else:
            found.append(("p", last))
    parts = []
    for i, (kind, content) in enumerate(found):
        after = found[i + 1][0] if i + 1 < len(found) else ""
        before = found[i - 1][0] if i else ""
        if kind == "pre":
            parts.append(f"<pre>{escape(content)}</pre>")
        elif kind == "li":
            opening, closing = "<ul>" * (before != "li"), "</ul>" * (after != "li")
            parts.append(f"{opening}<li>{marked_up(content)}</li>{closing}")
        elif kind == "p":
            tag = "h4" if after == "li" and len(content) < 40 else "p"
            parts.append(f"<{tag}>{marked_up(content)}</{tag}>")
    return "\n".join(parts)


def marked_up(text: str) -> str:
    """A line of a docstring: `names` between backticks become code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def linked(text: str) -> str:
    """A link where the text is an address and nothing else; it is followed only when clicked."""
    said = escape(text)
    return f'<a href="{said}" rel="noreferrer">{said}</a>' if re.fullmatch(r"https?://\S+", text) else said


def table(head: Sequence[str], lines: Sequence[Sequence[str]], numbers_from: int = 1) -> str:
    """A head and its lines; from column `numbers_from` on they are numbers, set to the right."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = ("" if i < numbers_from else ' class="n"' for i in range(len(values)))
        return "".join(f"<{tag}{kind}>{escape(v)}</{tag}>" for kind, v in zip(kinds, values, strict=True))

    rows = "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f"<table><tr>{cells('th', head)}</tr>{rows}</table>"


def paragraph(text: str) -> str:
    """A sentence or some."""
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    """A remark under a picture; HTML, so what comes from files is escaped by the caller."""
    return f'<p class="note">{text}</p>'


def picture(png: bytes, about: str) -> str:
    """An image within the page."""
    data = base64.b64encode(png).decode()
    return f'<p><img src="data:image/png;base64,{data}" alt="{escape(about)}"></p>'


def document(title: str, style: str, body: Sequence[str]) -> str:
    """A page of its own; `body` are lines of HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


PLAIN = (
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 1168px; margin: 0 auto; padding: 20px; } "
    "img { max-width: 100%; } td, th { padding: 2px 12px 2px 0; text-align: left; } "
    "td.n, th.n { text-align: right; }"
)
