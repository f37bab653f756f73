"""Read the curves that `training.keep_curves` writes during a fit: `metrics.csv` and `loss.csv`."""

import csv
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.support.checksums import refuse_changed
from eegfm.support.files import readable


def read_curves(path: Path) -> list[dict[str, str]]:
    """Rows of a file of curves, oldest first; empty if there is no file.

    Raises:
        EegfmError: the file is damaged, as far as a sum beside it tells (`metrics.csv` has one).
    """
    if not path.exists():
        return []
    refuse_changed(path)
    try:
        with open(readable(path), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise EegfmError(f"{path} is damaged: {error}.") from None
