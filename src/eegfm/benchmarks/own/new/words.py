"""Counts, rates, lengths and amplitudes in words, and texts as YAML has them."""

import json
from collections.abc import Sequence

import numpy as np

NO_TEXTS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")  # words of YAML


def counted(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def hertz(rates: Sequence[float]) -> str:
    return " and ".join(f"{rate:g}" for rate in rates) + " Hz"


def lengths(seconds: Sequence[float]) -> str:
    """The shortest, the typical and the longest."""
    least, typical, most = min(seconds), float(np.median(seconds)), max(seconds)
    if most - least < 0.5:
        return f"{length(typical)} each"
    return f"{length(least)} to {length(most)}, typically {length(typical)}"


def microvolts(uv: float) -> str:
    """Three digits, with commas where there are thousands."""
    return f"{float(f'{uv:.3g}'):,.0f} µV" if 100 <= abs(uv) < 1e9 else f"{uv:.3g} µV"


def length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def as_yaml(text: str, *, always: bool = False) -> str:
    """A text as YAML reads it back, whatever is in it."""
    plain = text.replace("_", "").replace("-", "")
    if (
        not always
        and plain.isalnum()
        and plain.isascii()
        and not plain[0].isdigit()
        and plain.casefold() not in NO_TEXTS
    ):
        return text
    return json.dumps(
        text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), ensure_ascii=False
    )
