"""Whom a person trusts: modules, or packages, whose classes and functions a file that is read may name."""

from collections.abc import Sequence

# of ours, those that make what somebody's `path` names
OWN_PATH = ("eegfm.models.mine.Mine", "eegfm.models.mine.Estimator")


def trusted(name: str, trust: Sequence[str]) -> bool:
    """Whether a dotted name is one of these, or in one of these."""
    return any(name == one or name.startswith(f"{one}.") for one in trust)
