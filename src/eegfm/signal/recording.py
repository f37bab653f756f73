"""A recording: microvolts, a rate, named and placed rows, and the events written beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.montage import montage_of

# what to do about a file that is not as it should be; every message about a recording ends with it
FETCH_AGAIN = "Fetch the file again, or leave the recording out with data.allow_partial=true."


@dataclass(frozen=True)
class Event:
    """Something that happened: seconds from the recording's first sample, length in seconds, and what it was."""

    onset_s: float
    duration_s: float
    description: str


@dataclass(frozen=True, eq=False)
class Recording:
    """One file's signal. `data` is float64 in microvolts; `montage` names and places its rows."""

    data: Float[np.ndarray, "channel time"]
    sfreq: float
    montage: Montage
    events: tuple[Event, ...] = ()
    path: Path | None = None  # for messages only

    @classmethod
    def from_mne(
        cls,
        raw: mne.io.BaseRaw,
        *,
        channels: Mapping[str, str] | Sequence[str] | None = None,
        path: Path | None = None,
    ) -> "Recording":
        """What MNE has read, in microvolts: the one place where volts become microvolts.

        `channels` names the rows to keep, in the order wanted: a mapping from the file's names to ours, or names that
        are the same in both; None keeps every row. Annotations become events, counted from the first sample. Raises
        EegfmError where a channel is missing or ours is no name of a place (see `montage_of`).
        """
        if channels is None:
            channels = raw.ch_names
        ours = dict(channels) if isinstance(channels, Mapping) else {name: name for name in channels}
        missing = [name for name in ours if name not in raw.ch_names]
        if missing:
            raise EegfmError(
                f"{path or 'This recording'} lacks {len(missing)} of {len(ours)} channels: {', '.join(missing)}. "
                f"It has {', '.join(raw.ch_names)}. {FETCH_AGAIN}"
            )
        # by number, since MNE takes a name like "eeg" or "misc" for a type of channel
        rows = np.array([raw.ch_names.index(name) for name in ours], dtype=int)
        data = np.asarray(raw.get_data(picks=rows)) * 1e6
        notes = raw.annotations
        # MNE counts onsets from the start of the measurement, which a cropped file does not begin with
        starts = notes.onset - raw.first_time
        events = tuple(
            Event(float(start), float(duration), str(description))
            for start, duration, description in zip(starts, notes.duration, notes.description, strict=True)
        )
        return cls(data, float(raw.info["sfreq"]), montage_of(tuple(ours.values())), events, path)

    @property
    def n_times(self) -> int:
        return self.data.shape[1]

    @property
    def duration_s(self) -> float:
        return self.n_times / self.sfreq

    def with_data(self, data: Float[np.ndarray, "channel time"], sfreq: float | None = None) -> "Recording":
        """The same recording after a step; rows keep their names."""
        return replace(self, data=data, sfreq=self.sfreq if sfreq is None else sfreq)
