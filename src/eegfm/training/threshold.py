"""The decision threshold of `task.threshold=validation`: chosen on validation windows, and kept with the weights.

The threshold that gives the highest balanced accuracy is subtracted from the logit (`eegfm.nn.head.Threshold`), so that
one half decides wherever the weights go: in tests, in `predict`, in streams and exports. Ranks of windows stay.
"""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import expit, logit

from eegfm.nn.head import Threshold
from eegfm.support.checksums import write_with_sum
from eegfm.tasks.decision import best_threshold
from eegfm.tasks.metrics import Predictions
from eegfm.tasks.weights import read_checkpoint

LEAST = 1e-12  # a probability of 0 or 1 has no logit


def worth(found: Predictions, shift: float) -> dict[str, float]:
    """What a choice of threshold on these windows is worth: it is chosen again without each subject in turn.

    Balanced accuracies: with the threshold on the windows that chose it, at one half, and of windows that their own
    subject did not help to decide ("left_out", NaN of one subject alone).
    """
    score, label = _scores(found) + shift, found.label
    whole = best_threshold(score, label)
    subjects = np.unique(found.subject)
    cut, decided = [], np.zeros(len(label), dtype=bool)
    for one in subjects if len(subjects) > 1 else []:
        own = found.subject == one
        cut.append(best_threshold(score[~own], label[~own]))
        decided[own] = score[own] > cut[-1]
    return {
        "probability": float(expit(whole)),
        "subjects": float(len(subjects)),
        "balanced_accuracy": _balanced(score > whole, label),
        "at_half": _balanced(score > 0, label),
        "left_out": _balanced(decided, label) if cut else math.nan,
        "lowest": float(expit(min(cut))) if cut else math.nan,
        "highest": float(expit(max(cut))) if cut else math.nan,
    }


def threshold_of(task: Any) -> Threshold | None:
    """Where a task keeps its threshold, if it has one."""
    head = getattr(task, "head", None)
    last = head[-1] if isinstance(head, torch.nn.Sequential) else None
    return last if isinstance(last, Threshold) else None


def keep_threshold(
    last: Threshold, found: Predictions, checkpoint: Path, *, writes: bool
) -> dict[str, float]:
    """Choose a threshold by validation predictions that were made with `last`, and write it into the checkpoint.

    `writes` is true in the one process that writes files. Returns `worth`.
    """
    before = float(last.logit)  # a run that was killed behind its choice goes on from it
    facts = worth(found, before)
    if writes:
        state = read_checkpoint(checkpoint)
        (name,) = (
            name for name in state["state_dict"] if name.startswith("head.") and name.endswith(".logit")
        )
        chosen = best_threshold(_scores(found) + before, found.label)
        state["state_dict"][name] = torch.tensor(chosen, dtype=last.logit.dtype)
        content = io.BytesIO()
        torch.save(state, content)
        write_with_sum(checkpoint, content.getbuffer())
    return facts


def _scores(found: Predictions) -> Float[np.ndarray, " window"]:
    return logit(np.clip(found.probability[:, 1], LEAST, 1 - LEAST))


def _balanced(decided: np.ndarray, label: Int[np.ndarray, " window"]) -> float:
    return float(np.mean([(decided[label == one] == bool(one)).mean() for one in np.unique(label)]))
