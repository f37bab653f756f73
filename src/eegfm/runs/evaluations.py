"""The folder of an evaluation, `evaluations/<split>-<weights>-<digest>/` in the run's: a finished run stays as it is.

The digest is of the weights and of the data at hand, so that each of both has a folder of its own, and the same
command finds its own again. `made_from.json` says what the other files were made from.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eegfm.data.base import EEGData
from eegfm.runs.machine import environment
from eegfm.runs.place import Place
from eegfm.runs.same_run import data_at_hand
from eegfm.support.files import sha256_of, write_json
from eegfm.tasks.fitted import FILE, FitsInOneGo

FOLDER, MADE_FROM = "evaluations", "made_from.json"


def folder_of_evaluation(place: Place, task: Any, data: EEGData, split: str) -> Path:
    """Make the folder of an evaluation and its `made_from.json`; the data must be set up.

    `task` says whether the weights of the place are a checkpoint or what a fit in one go has found.
    """
    weights = place.folder / FILE if isinstance(task, FitsInOneGo) else place.checkpoint
    made_from = {"sha256": sha256_of(weights), "data": data_at_hand(data)}
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:8]
    folder = place.folder / FOLDER / f"{split}-{weights.stem}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    code: Mapping[str, Any] = environment()
    facts = {
        "split": split,
        "weights": weights.relative_to(place.folder).as_posix(),
        **made_from,
        **{name: code[name] for name in ("git", "python", "packages")},
    }
    write_json(folder / MADE_FROM, facts)
    return folder
