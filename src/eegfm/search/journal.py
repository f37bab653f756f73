"""The journal of a search, Optuna's file of one entry a line, checked before Optuna reads it.

Optuna says of a damaged journal neither which file it is nor what is lost, and it appends to an entry that a killed
process has left half written, after which no process can read the file.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm.contracts import EegfmError
from eegfm.support.files import readable
from eegfm.support.summed import with_sum, without_sum

if TYPE_CHECKING:
    from optuna.storages.journal import BaseJournalBackend

log = logging.getLogger(__name__)

NEW_TRIAL = 4  # optuna.storages.journal.JournalOperation.CREATE_TRIAL


def journal_at(path: Path) -> "BaseJournalBackend":
    """Optuna's journal in a file, in which every entry holds its own sum."""
    from optuna.storages.journal import JournalFileBackend

    class Summed(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            super().append_logs([with_sum(log) for log in logs])

    return Summed(str(path))


def check_journal(path: Path) -> None:
    """Cut off a last entry that was not finished, with a warning; nobody else may be writing.

    Raises:
        EegfmError: an entry cannot be read; the sentence says which, and how many trials stand before it.
    """
    if not path.exists():
        return
    try:
        content = readable(path).read_bytes()
    except OSError as error:
        raise EegfmError(f"{path} cannot be read: {error}. It holds the trials of a search.") from None
    *lines, last = content.split(b"\n")
    before = 0
    for number, line in enumerate(lines, 1):
        try:
            entry = without_sum(json.loads(line), path)
            before += entry["op_code"] == NEW_TRIAL
        except (ValueError, KeyError, TypeError, AttributeError):
            trials = sum(b'"op_code":%d,' % NEW_TRIAL in other for other in lines)
            raise EegfmError(
                f"{path} is damaged: line {number} of {len(lines)} is not as it was written. {before} of its {trials} "
                "trials begin before it; what the search knows of the others, and all that was told later, is lost. "
                f"Go on with what stands before it: head -n {number - 1} {path} > whole && mv whole {path}. Or delete "
                "the file, and the search begins anew; finished runs are not trained again."
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
