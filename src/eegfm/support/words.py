"""Counts, lists and texts as a person reads them, and the console on which commands print them."""

import sys
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def some(names: Sequence[str], n: int = 8) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def visible(text: str) -> str:
    """The text with what would steer a terminal, or has no letter, as an escape: control characters, bytes of a name
    that is not UTF-8, marks of writing direction. Line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one) in ("Cc", "Cf", "Cs") and one not in "\n\t"
        else one
        for one in text
    )


def console(**options: Any) -> "Console":
    """A console that prints texts as they are: no name of a channel, a file or a run is markup or an emoji in it.

    Style a text by `style=`, or by `rich.text.Text`.
    """
    from rich.console import Console  # commands start without it

    class Literal(Console):
        def render_str(self, text: str, **options: Any) -> Any:
            return super().render_str(visible(text), **options)

    return Literal(highlight=False, markup=False, emoji=False, **options)


def print_anything() -> None:
    """Let `print` write names that the encoding of the output has no letters for, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def unknown(typed: str, wrong: str, word: str, known: Sequence[str]) -> str:
    """The sentence for a word that is not known: what was typed, what is wrong, and what is near or what there is."""
    near = get_close_matches(word, known, n=1)
    if near:
        return f"{typed}: {wrong}. Did you mean {near[0]}?"
    return f"{typed}: {wrong}." + f" There are: {', '.join(known)}." * bool(known)
