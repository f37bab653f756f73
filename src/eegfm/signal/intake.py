"""The windows of any recording, made as a run's training made its own.

Unlike `eegfm.signal.pieces`, which goes through hours in constant memory, the whole recording is read and goes through
the steps at once, as in a preparation: the windows are the same to the last bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.formats.opened import Opened
from eegfm.signal.matching import everywhere, matched
from eegfm.signal.montage import montage_of
from eegfm.signal.quality import Measured, check_amplitude
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import Bipolar, Step, WrapEnds


@dataclass(frozen=True, eq=False)
class RecordingWindows:
    """Windows of a recording, and what is to be said of it.

    Attributes:
        data: the recording after the steps, float32 microvolts.
        first: the first column of each window.
        second: the first second of each window, counted from the start of the file.
        n_times: samples in a window.
        hop: samples from one window to the next.
        montage: names and places of the rows.
        channels: the file's channel for each row that went into the steps.
        too_short: pieces without a gap that are shorter than a window: their first seconds and lengths in seconds.
        doubts: what is suspect of the recording.
    """

    data: Float[np.ndarray, "channel time"]
    sfreq: float
    first: Int[np.ndarray, " window"]
    second: Float[np.ndarray, " window"]
    n_times: int
    hop: int
    montage: Montage
    channels: dict[str, str]
    too_short: list[tuple[float, float]]
    doubts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def window_s(self) -> float:
        return self.n_times / self.sfreq

    @property
    def hop_s(self) -> float:
        return self.hop / self.sfreq

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the recording: doubts, gaps, and pieces that are left out."""
        said = [
            f"left out, since a window is longer: {length_s:.6g} s at {onset_s:.6g} s"
            for onset_s, length_s in self.too_short
        ]
        return (*self.doubts, *said)

    def batches(self, size: int) -> Iterator[Float[np.ndarray, "window channel time"]]:
        """The windows in order, at most `size` at once."""
        for firsts in np.split(self.first, range(size, len(self.first), size)):
            yield np.stack([self.data[:, first : first + self.n_times] for first in firsts])


@dataclass(frozen=True, eq=False)
class Intake:
    """What a model takes of a recording.

    Attributes:
        channels: the rows that come out of the steps, in order.
        steps: the signal processing. `WrapEnds`, which is for windows at the ends of a file, is left out.
        sfreq: the rate that comes out of the steps.
        n_times: samples in a window.
        rows: those of the channels that the model sees; None for all.
        any_montage: the model reads places. A recording that lacks one of the channels then gives all of its own that
            have a place.
    """

    channels: tuple[str, ...]
    steps: tuple[Step, ...]
    sfreq: float
    n_times: int
    rows: Sequence[int] | None = None
    any_montage: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(s for s in self.steps if not isinstance(s, WrapEnds)))

    @property
    def window_s(self) -> float:
        return self.n_times / self.sfreq

    def windows(self, file: Opened, hop_s: float | None = None) -> RecordingWindows:
        """The windows of a file, one every `hop_s` seconds (default: a window) of every piece without a gap.

        Raises EegfmError if the file lacks channels, holds values that are none, has another rate after the steps,
        has no piece as long as a window, or a step cannot work on it.
        """
        channels, recording = self._recording(file)
        doubts = [*_measured(recording)]
        for step in self.steps:
            recording = step(recording)
        if not np.isclose(recording.sfreq, self.sfreq, rtol=1e-6, atol=0):
            when = "after its steps " if self.steps else ""
            raise EegfmError(
                f"{file.path} is {when}at {recording.sfreq:g} Hz, and the model reads {self.sfreq:g} Hz. Resample the "
                f"file to {self.sfreq:g} Hz first."
            )
        if recording.montage.names == self.channels and self.rows is not None:
            rows = np.asarray(self.rows)
            names = [self.channels[row] for row in rows]
            recording = replace(recording, data=recording.data[rows], montage=montage_of(names))
        hop = self.hop_of(hop_s)
        first, second, too_short = self._cut(recording, hop)
        if second[-1] + self.window_s > recording.filled_from_s + 0.5 / self.sfreq:
            doubts.append(
                f"nothing was recorded from {recording.filled_from_s:g} s on: the file's last record was filled up"
            )
        try:
            doubts += check_amplitude(recording)
        except EegfmError as error:  # a model can be asked about it all the same
            doubts.append(str(error).replace(FETCH_AGAIN, "").strip())
        return RecordingWindows(
            data=recording.data.astype(np.float32),
            sfreq=recording.sfreq,
            first=np.array(first),
            second=np.array(second),
            n_times=self.n_times,
            hop=hop,
            montage=recording.montage,
            channels=channels,
            too_short=too_short,
            doubts=tuple(doubts),
        )

    def _recording(self, file: Opened) -> tuple[dict[str, str], Recording]:
        """The file's channel of each row before the steps, and these rows."""
        bipolar = next((step for step in self.steps if isinstance(step, Bipolar)), None)
        rows = (
            self.channels
            if bipolar is None
            else [*dict.fromkeys(end for row in bipolar.rows for end in row.split("-", 1))]
        )
        montage = None
        try:
            channels = matched(file.names, rows, file.path, file.places, aliases=file.aliases)
        except EegfmError:
            if not self.any_montage or bipolar is not None:
                raise
            channels, montage = everywhere(file.names, file.places, file.path, file.aliases)
        try:
            return channels, file.recording(channels, montage)
        except EegfmError as error:  # that advice is for a corpus's files, and this file may be anybody's
            raise EegfmError(str(error).replace(FETCH_AGAIN, "").strip()) from None

    def hop_of(self, hop_s: float | None) -> int:
        """Samples from one window to the next; None for a window's. Raises EegfmError for what is no such time."""
        if hop_s is None:
            return self.n_times
        if isinstance(hop_s, bool) or not isinstance(hop_s, int | float) or not hop_s * self.sfreq >= 1:
            raise EegfmError(
                f"hop_s={hop_s}: the seconds from one window to the next are wanted, {1 / self.sfreq:g} or more."
            )
        return round(hop_s * self.sfreq)

    def _cut(
        self, recording: Recording, hop: int
    ) -> tuple[list[int], list[float], list[tuple[float, float]]]:
        """The first column and the first second of every window, and the pieces that hold none."""
        first, second, too_short = [], [], []
        for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True):
            places = range(0, end - start - self.n_times + 1, hop)
            first += [start + place for place in places]
            second += [piece.onset_s + place / recording.sfreq for place in places]
            if not places:
                too_short.append((piece.onset_s, (end - start) / recording.sfreq))
        if not first:
            longest_s = max((length_s for _, length_s in too_short), default=0.0)
            raise EegfmError(
                f"{recording.path}: its longest stretch without a gap is {longest_s:g} s after its steps, and a window "
                f"of this model {self.window_s:g} s. Choose a longer recording."
            )
        return first, second, too_short


def _measured(recording: Recording) -> list[str]:
    """What is suspect of an unprocessed recording. Raises EegfmError for values that no model can be asked about."""
    measured = Measured(recording.montage.names, recording.sfreq)
    measured.add(recording.data)
    fault = measured.fault()
    if fault:
        raise EegfmError(f"{recording.path} {fault}. Put them right, or choose another recording.")
    return [*filter(None, [measured.still()]), *measured.doubts()]
