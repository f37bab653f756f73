"""What came of the cases of a script, counted."""

from collections import Counter
from collections.abc import Mapping, Sequence


def counted(outcomes: Mapping[str, Counter[str]], names: Sequence[str]) -> int:
    """Print how often each verdict fell, by kind of case and in all; returns how many cases failed."""
    whole = sum(outcomes.values(), Counter())
    print(f"{'':<28}" + "".join(f"{name:>16}" for name in names))
    for kind, of_kind in {**outcomes, "all": whole}.items():
        print(f"{kind:<28}" + "".join(f"{of_kind[name]:>16}" for name in names))
    return whole["FAILED"]
