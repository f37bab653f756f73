"""The journal of a search, Optuna's file of one entry a line, checked before Optuna reads it.

Optuna says of a damaged journal neither which file it is nor what is lost, and it appends to an entry that a killed
process has left half written, after which no process can read the file.
"""

import json
import logging
from pathlib import Path

from eegfm.contracts import EegfmError

log = logging.getLogger(__name__)

NEW_TRIAL = 4  # optuna.storages.journal.JournalOperation.CREATE_TRIAL


def check_journal(path: Path) -> None:
    """Cut off a last entry that was not finished, with a warning; nobody else may be writing.

    Raises:
        EegfmError: an entry cannot be read; the sentence says which, and how many trials stand before it.
    """
    if not path.exists():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EegfmError(f"{path} cannot be read: {error}. It holds the trials of a search.") from None
    *lines, last = content.split(b"\n")
    before = 0
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            before += entry["op_code"] == NEW_TRIAL
        except (ValueError, KeyError, TypeError):
            trials = sum(b'"op_code":%d,' % NEW_TRIAL in other for other in lines)
            raise EegfmError(
                f"{path} is damaged: line {number} of {len(lines)} is no entry. {before} of its {trials} trials begin "
                "before it; what the search knows of the others, and all that was told later, is lost. Go on with what "
                f"stands before it: head -n {number - 1} {path} > whole && mv whole {path}. Or delete the file, and "
                "the search begins anew; finished runs are not trained again."
            ) from None
    if last:
        log.warning(
            "%s ends in half an entry, whose process was killed: the entry is lost, and is cut off. The trial that it "
            "was of is tried again, or continued from its run folder.",
            path,
        )
        with open(path, "r+b") as file:
            file.truncate(len(content) - len(last))


def unreplayable(path: Path, error: Exception) -> EegfmError:
    """The error for a journal whose entries are JSON, and make no study."""
    return EegfmError(
        f"{path} is damaged: its entries make no study ({type(error).__name__}: {error}). The trials in it are lost to "
        f"the search, their runs are not. Delete it, and the search begins anew; finished runs are not trained again."
    )
