"""A portable model along a whole recording, which it brings to its own channels, steps and windows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eegfm.contracts import EegfmError, MapsPlaces
from eegfm.export.described import FITTED
from eegfm.signal.declared import Declared
from eegfm.signal.formats.any_file import open_any, open_raw
from eegfm.signal.formats.opened import Opened
from eegfm.signal.intake import Intake
from eegfm.signal.steps import step_of
from eegfm.tasks.recording import PredictedRecording

if TYPE_CHECKING:
    import mne


def predict(
    model: Any,
    recording: "mne.io.BaseRaw | str | Path",
    *,
    hop_s: float | None = None,
    units: Mapping[str, str | float] | None = None,
) -> PredictedRecording:
    """Class probabilities of the windows of a recording, the same table that `eegfm predict` writes.

    Args:
        model: a `Portable` of task=classify, or fitted in one go.
        recording: what MNE has read, with its units, or the path of a file, which is read as those of a corpus are.
        hop_s: seconds from one window to the next; None for a window, end to end.
        units: what one number of a channel is, by its name or "*" (see `Opened.in_units`), {} for what the recording
            says; None for what the data set of the training has declared of its files.

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
    said = next(iter(model.config.get("declared", {}).values()), {})  # data with classes are one corpus
    declared = Declared(said.get("units", {}) if units is None else units, said.get("aliases", {}))
    if isinstance(recording, str | Path):
        file = declared.opened(Path(recording))
    else:
        file = declared.of(_with_numbers(open_raw(recording)) if declared.units else open_raw(recording))
    windows = _intake(model).windows(file, hop_s)

    def probabilities(x: np.ndarray, places: np.ndarray) -> np.ndarray:
        coords = torch.tensor(places, dtype=torch.float32)
        with torch.inference_mode():
            return model(torch.from_numpy(x), coords).double().cpu().numpy()

    return PredictedRecording.of(file.path.stem, model.spec.classes, windows, probabilities)


def _with_numbers(file: Opened) -> Opened:
    """A recording that MNE has read, with what MNE took one number of its file for, which a unit replaces."""
    if not file.path.is_file():
        return file
    try:
        return replace(file, number_uv=open_any(file.path).number_uv)
    except EegfmError:  # read by another way than ours
        return file


def _intake(model: Any) -> Intake:
    (steps,) = model.config["steps"].values()  # data with classes are one corpus
    return Intake(
        model.spec.montage.names,
        tuple(map(step_of, steps)),
        model.spec.sfreq,
        model.spec.shape[1],
        any_montage=isinstance(model.backbone, MapsPlaces),
    )
