"""The channels of anybody's file, matched with those that are wanted."""

import re
from collections.abc import Sequence
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.signal.montage import today


def matched(
    there: Sequence[str],
    wanted: Sequence[str],
    path: Path,
    remedy: str = "Choose a recording of that montage, or rename its channels.",
) -> dict[str, str]:
    """Match a file's channels with the wanted ones: the file's name -> ours, in the wanted order.

    An exact name comes first. Otherwise case, a leading "EEG ", a trailing reference "-REF" or "-LE" and
    trailing dots are ignored, and T3, T4, T5, T6 equal T7, T8, P7, P8. If the file holds a name several
    times, the first is taken ("T8-P8-0"). References are not compared.

    Raises EegfmError, with their names, if channels are missing or match more than one.
    """
    found: dict[str, str] = {}
    missing, unclear = [], []
    for name in wanted:
        exact = [other for other in (name, f"{name}-0") if other in there]
        alike = exact[:1] or [other for other in there if _plain(other) == _plain(name)]
        if len(alike) == 1:
            found[alike[0]] = name
        elif alike:
            unclear.append(f"{name} ({' or '.join(alike)})")
        else:
            missing.append(name)
    if missing:
        raise EegfmError(
            f"{path} lacks {len(missing)} of the {len(wanted)} channels of this run: {', '.join(missing)}. "
            f"It has {', '.join(there)}. {remedy}"
        )
    if unclear:
        raise EegfmError(
            f"{path} has several channels for one of the run: {', '.join(unclear)}. Rename one."
        )
    return found


def _plain(name: str) -> str:
    name = re.sub(r"^eeg\s+", "", name.strip().casefold()).rstrip(".")
    return today(re.sub(r"-(ref|le)$", "", name))
