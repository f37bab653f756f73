"""A helpful message for a misspelt choice (in the style of MNE's `_check_option`)."""

from collections.abc import Sequence

from eegfm.contracts import EegfmError


def check_option(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise EegfmError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise EegfmError(f"{name}={value!r} is not a choice. Choose one of: {', '.join(allowed)}.")
