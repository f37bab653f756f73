"""Epochs that MNE has read -> `Opened`: end to end, each a stretch of its own, with the event it was cut around."""

from collections.abc import Mapping
from pathlib import Path

import mne
import numpy as np

from eegfm.contracts import EegfmError
from eegfm.signal.formats.of_mne import opened
from eegfm.signal.formats.opened import Opened, Stretch
from eegfm.signal.recording import FETCH_AGAIN, Event


def open_epochs(
    path: Path,
    name: str,
    epochs: "mne.BaseEpochs",
    *,
    notes: tuple[str, ...] = (),
    number_uv: Mapping[str, float] | None = None,
    beside: tuple[Path, ...] = (),
) -> Opened:
    """Epochs in memory as a file that was opened.

    When an epoch was recorded is lost: seconds count from the first one, as if they followed one another. Where several
    events fell into one, its event is all of their names, "a/b". Raises EegfmError if there is none.
    """
    if not len(epochs):
        raise EegfmError(f"{path} holds no epoch. {FETCH_AGAIN}")
    data = epochs.get_data(copy=False)  # epoch channel time
    n, n_times, sfreq = len(epochs), data.shape[2], float(epochs.info["sfreq"])
    raw = mne.io.RawArray(
        np.ascontiguousarray(data.transpose(1, 0, 2)).reshape(data.shape[1], -1),
        epochs.info,
        verbose="error",
    )
    names = {code: text for text, code in epochs.event_id.items()}
    events = tuple(
        Event(i * n_times / sfreq - epochs.tmin, 0.0, str(names[code]))
        for i, code in enumerate(epochs.events[:, 2].tolist())
    )
    return opened(
        path,
        f"{name} epochs",
        raw,
        events=events,
        stretches=[Stretch(i * n_times, (i + 1) * n_times, i * n_times / sfreq) for i in range(n)],
        notes=(*notes, f"{n} epochs of {n_times / sfreq:g} s, one behind the other"),
        number_uv=number_uv,
        stim=(),  # its codes are what the epochs were cut around
        beside=beside,
    )
