"""Counts and lists as a person reads them."""

from collections.abc import Sequence


def some(names: Sequence[str], n: int = 8) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
