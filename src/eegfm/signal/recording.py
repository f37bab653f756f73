"""A recording: microvolts, a rate, named and placed rows, and the events written beside them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float

from eegfm.contracts import FETCH_AGAIN, EegfmError, Montage
from eegfm.signal.montage import montage_of


@dataclass(frozen=True)
class Event:
    """An event: seconds from the recording's first sample, length in seconds, and a description."""

    onset_s: float
    duration_s: float
    description: str


@dataclass(frozen=True)
class Piece:
    """Samples without a gap: `start` is the first column, `onset_s` the first second in the file."""

    start: int
    onset_s: float


@dataclass(frozen=True, eq=False)
class Recording:
    """One file's signal. `data` is float64 in microvolts; `montage` names and places its rows.

    `pieces` are the stretches without a gap, end to end in `data`: one for a continuous file, one per trial
    if a file holds trials or a step has cut them out. A step processes every piece separately. Seconds, of
    events and of windows, are always the file's: a piece keeps its onset. `notes` holds what the reader and
    steps report about this file; the store's manifest keeps them. From `filled_from_s` on nothing was recorded: the
    file's last record was filled up.
    """

    data: Float[np.ndarray, "channel time"]
    sfreq: float
    montage: Montage
    events: tuple[Event, ...] = ()
    path: Path | None = None  # for messages only
    pieces: tuple[Piece, ...] = (Piece(0, 0.0),)
    notes: tuple[str, ...] = ()
    filled_from_s: float = math.inf

    @classmethod
    def from_mne(
        cls,
        raw: "mne.io.BaseRaw",  # quoted: naming the class would load MNE's readers, which takes a second
        *,
        channels: Mapping[str, str] | Sequence[str] | None = None,
        path: Path | None = None,
        montage: Montage | None = None,
    ) -> "Recording":
        """The recording that MNE has read; only here do volts become microvolts.

        `channels` names the rows to keep, in the wanted order: a mapping from the file's names to ours, or
        names that are the same in both; None keeps every row. Annotations become events, counted from the
        first sample. `montage` places the rows where they were measured; without it, our names do. Raises
        EegfmError if a channel is missing or, without `montage`, our name is no name of a place (see `montage_of`).
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
        # picks by number, since MNE takes a name like "eeg" or "misc" for a type of channel
        rows = np.array([raw.ch_names.index(name) for name in ours], dtype=int)
        data = np.asarray(raw.get_data(picks=rows)) * 1e6
        notes = raw.annotations
        # MNE counts onsets from the start of the measurement, which a cropped file has lost
        starts = notes.onset - raw.first_time
        events = tuple(
            Event(float(start), float(duration), str(description))
            for start, duration, description in zip(starts, notes.duration, notes.description, strict=True)
        )
        montage = montage_of(tuple(ours.values())) if montage is None else montage
        return cls(data, float(raw.info["sfreq"]), montage, events, path)

    @classmethod
    def of_epochs(
        cls,
        epochs: Float[np.ndarray, "epoch channel time"],
        sfreq: float,
        montage: Montage,
        descriptions: Sequence[str],
        path: Path | None = None,
    ) -> "Recording":
        """A recording of epochs of equal length, in microvolts: end to end, each with its own piece and event."""
        n_times = epochs.shape[2]
        onsets_s = [i * n_times / sfreq for i in range(len(epochs))]
        return cls(
            epochs.transpose(1, 0, 2).reshape(epochs.shape[1], -1).astype(np.float64, copy=False),
            sfreq,
            montage,
            tuple(
                Event(onset_s, n_times / sfreq, description)
                for onset_s, description in zip(onsets_s, descriptions, strict=True)
            ),
            path,
            tuple(Piece(i * n_times, onset_s) for i, onset_s in enumerate(onsets_s)),
        )

    @property
    def n_times(self) -> int:
        return self.data.shape[1]

    @property
    def duration_s(self) -> float:
        return self.n_times / self.sfreq

    def spans(self) -> list[tuple[int, int]]:
        """The first column of every piece and the column after its last."""
        starts = [piece.start for piece in self.pieces]
        return list(zip(starts, [*starts[1:], self.n_times], strict=True))

    def with_data(self, data: Float[np.ndarray, "channel time"], sfreq: float | None = None) -> "Recording":
        """The recording after a step that keeps its rows and times; recordings of several pieces use `by_piece`."""
        return replace(self, data=data, sfreq=self.sfreq if sfreq is None else sfreq)

    def in_one_piece(self) -> "Recording":
        """The same recording. Raises EegfmError if it has a gap, for protocols that count samples from the start."""
        if len(self.pieces) > 1:
            raise EegfmError(
                f"{self.path or 'This recording'} has {len(self.pieces) - 1} gaps, the first before "
                f"{self.pieces[1].onset_s:g} s; the protocol counts samples from its start. {FETCH_AGAIN}"
            )
        return self

    def by_piece(
        self,
        work: Callable[[Float[np.ndarray, "channel before"]], Float[np.ndarray, "channel after"]],
        sfreq: float | None = None,
    ) -> "Recording":
        """The recording after a function of each piece alone."""
        if len(self.pieces) == 1:
            return self.with_data(work(self.data), sfreq)
        worked = [work(self.data[:, start:end]) for start, end in self.spans()]
        return self.in_pieces(worked, [piece.onset_s for piece in self.pieces], sfreq)

    def in_pieces(
        self,
        pieces: Sequence[Float[np.ndarray, "channel _"]],
        onsets_s: Sequence[float],
        sfreq: float | None = None,
    ) -> "Recording":
        """The same rows and events over other pieces, which begin at the given seconds of the file, in order."""
        starts = np.cumsum([0, *(piece.shape[1] for piece in pieces[:-1])])
        return replace(
            self,
            data=np.concatenate([np.empty((len(self.montage.names), 0)), *pieces], axis=1),
            sfreq=self.sfreq if sfreq is None else sfreq,
            pieces=tuple(
                Piece(int(start), float(onset)) for start, onset in zip(starts, onsets_s, strict=True)
            )
            if pieces
            else (Piece(0, 0.0),),
        )


def refuse_above_nyquist(step: object, recording: Recording, freq: float | None) -> None:
    """Raise EegfmError if a step names a frequency that is not in the recording."""
    if freq is not None and freq >= recording.sfreq / 2:
        raise EegfmError(
            f"{recording.path or 'This recording'}: {step} is not possible at {recording.sfreq:g} Hz, where "
            f"{recording.sfreq / 2:g} Hz is the highest frequency there is. Put the steps right (data.steps)."
        )
