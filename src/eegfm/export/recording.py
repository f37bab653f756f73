"""A portable model along a whole recording, which it brings to its own channels, steps and windows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eegfm.contracts import EegfmError, MapsPlaces
from eegfm.export.described import FITTED
from eegfm.signal.formats.any_file import open_any, open_raw
from eegfm.signal.intake import Intake
from eegfm.signal.steps import step_of
from eegfm.tasks.recording import PredictedRecording

if TYPE_CHECKING:
    import mne

BATCH = 64  # windows at once


def predict(
    model: Any, recording: "mne.io.BaseRaw | str | Path", *, hop_s: float | None = None
) -> PredictedRecording:
    """Class probabilities of the windows of a recording, the same table that `eegfm predict` writes.

    Args:
        model: a `Portable` of task=classify, or fitted in one go.
        recording: what MNE has read, with its units, or the path of a file, which is read as those of a corpus are.
        hop_s: seconds from one window to the next; None for a window, end to end.

    Raises:
        EegfmError: the model tells no classes apart or has no encoder; or as `eegfm.signal.intake.Intake.windows`.
    """
    if model.kind not in ("classify", *FITTED) or not model.spec.classes:
        raise EegfmError(
            f"A model of task={model.kind} tells no classes apart. Call the model itself for its output."
        )
    if len(model.spec.shape) != 2:
        raise EegfmError(
            f"This model takes an encoder's vectors, and has no encoder: {model.config['encoder_left_out']}. Load the "
            "run where the encoder's weights are."
        )
    file = open_any(Path(recording)) if isinstance(recording, str | Path) else open_raw(recording)
    windows = _intake(model).windows(file, hop_s)
    with torch.inference_mode():
        coords = torch.tensor(windows.montage.coords, dtype=torch.float32)
        rows = [model(torch.from_numpy(x), coords).double().cpu().numpy() for x in windows.batches(BATCH)]
    return PredictedRecording(
        recording=file.path.stem,
        classes=model.spec.classes,
        second=windows.second,
        probability=np.concatenate(rows),
        window_s=windows.window_s,
        hop_s=windows.hop_s,
        channels=windows.channels,
        doubts=windows.remarks,
    )


def _intake(model: Any) -> Intake:
    (steps,) = model.config["steps"].values()  # data with classes are one corpus
    return Intake(
        model.spec.montage.names,
        tuple(map(step_of, steps)),
        model.spec.sfreq,
        model.spec.shape[1],
        any_montage=isinstance(model.backbone, MapsPlaces),
    )
