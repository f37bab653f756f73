"""Text as HTML: a docstring, a table, a link, a sentence. Arguments are plain text unless stated otherwise."""

import base64
import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt

# only the Markdown that docstrings hold: stars and underscores are part of names
MARKDOWN = MarkdownIt("zero").enable(["list", "code", "heading", "backticks"])


def prose(text: str) -> str:
    """A docstring as HTML: Markdown in which "Key: ..." lines are paragraphs; a line above a list is its heading."""
    text = re.sub(r"(?<=\.)\n(?=[A-Z][a-z ]+: )", "\n\n", text.strip())
    text = re.sub(r"(?<=\n\n)(\S.{,38})\n(?=- )", r"#### \1\n", text)
    return MARKDOWN.render(text)


def marked_up(text: str) -> str:
    """A line of a docstring: `names` between backticks become code."""
    return MARKDOWN.renderInline(text)


def linked(text: str) -> str:
    """A link if the text is an address and nothing else; nothing is loaded until it is clicked."""
    said = escape(text)
    return f'<a href="{said}" rel="noreferrer">{said}</a>' if re.fullmatch(r"https?://\S+", text) else said


def table(head: Sequence[str], lines: Sequence[Sequence[str]], numbers_from: int = 1) -> str:
    """A table of a head and lines; columns from `numbers_from` on hold numbers, aligned to the right."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = ("" if i < numbers_from else ' class="n"' for i in range(len(values)))
        return "".join(f"<{tag}{kind}>{escape(v)}</{tag}>" for kind, v in zip(kinds, values, strict=True))

    rows = "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f"<table><tr>{cells('th', head)}</tr>{rows}</table>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    """A remark under a picture; `text` is HTML, so the caller escapes what comes from files."""
    return f'<p class="note">{text}</p>'


def picture(png: bytes, about: str) -> str:
    """An image within the page."""
    data = base64.b64encode(png).decode()
    return f'<p><img src="data:image/png;base64,{data}" alt="{escape(about)}"></p>'


def document(title: str, style: str, body: Sequence[str], *, head: str = "") -> str:
    """A whole page; `body` holds lines of HTML, `head` is HTML for its head."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{head}'
        f"<style>{style}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


PLAIN = (
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 1168px; margin: 0 auto; padding: 20px; } "
    "img { max-width: 100%; } td, th { padding: 2px 12px 2px 0; text-align: left; } "
    "td.n, th.n { text-align: right; }"
)

LIGHT_AND_DARK = (
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
)
COLOURS = 7

# A page's colours in light and dark mode (its head needs LIGHT_AND_DARK), and the style of its SVG pictures.
PICTURES = """
:root { --ink: #222; --dim: #666; --faint: #d9d9d9; --paper: #fff; --wash: #f4f5f7; --warn: #a33c00;
  --c0: #0072B2; --c1: #D55E00; --c2: #009E73; --c3: #B0578D; --c4: #3A97D3; --c5: #B57A00; --c6: #444; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e6e6e6; --dim: #a0a0a0; --faint: #3c3f44; --paper: #17191c; --wash: #212429; --warn: #ff9d5c;
  --c0: #58aee8; --c1: #f58a4b; --c2: #3fc79a; --c3: #dd97bb; --c4: #9bd4f7; --c5: #f0b840; --c6: #cfcfcf; } }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
svg text { fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; stroke-linejoin: round; }
svg .dim { fill: var(--dim); } svg .small { font-size: 9px; } svg .head { font-size: 13px; font-weight: 600; }
svg .bare { stroke: none; } svg .r { text-anchor: end; } svg .m { text-anchor: middle; }
svg .axis { stroke: var(--dim); fill: none; } svg .grid { stroke: var(--faint); fill: none; }
svg .bar { stroke: var(--ink); stroke-width: 2; } svg .mains { stroke: var(--dim); stroke-dasharray: 3 3; }
svg .trace path { fill: none; stroke: currentColor; stroke-width: .8; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
svg .band { fill: currentColor; opacity: .16; } svg .fill { fill: currentColor; }
svg .disc { fill: var(--paper); stroke: var(--ink); } svg .pair { stroke: var(--c0); stroke-width: 2; }
""" + "\n".join(f".c{i} {{ color: var(--c{i}); }}" for i in range(COLOURS))
