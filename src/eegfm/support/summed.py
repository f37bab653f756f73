"""JSON objects that hold their own SHA-256: a flipped bit is found without another file, wherever they are copied."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError

KEY = "sha256"  # of an object's other values, as JSON without spaces and with sorted keys


def with_sum(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a JSON object and, last, their sum."""
    return {**values, KEY: _sum_of(values)}


def without_sum(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The values of an object that was read from `path`, without its sum. One that has none is not known here.

    Raises:
        EegfmError: the values are not those that the sum was made of.
    """
    others = {name: value for name, value in values.items() if name != KEY}
    if KEY in values and values[KEY] != _sum_of(others):
        raise EegfmError(
            f"{path} is damaged, or was changed by hand: its values are not those of its {KEY}. Put a good copy in its "
            "place."
        )
    return others


def _sum_of(values: Mapping[str, Any]) -> str:
    once_read = json.loads(json.dumps(values))  # numbers as names become texts, and tuples lists
    text = json.dumps(once_read, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
