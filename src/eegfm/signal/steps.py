"""Signal processing as a list of small facts: each step is a frozen dataclass, Recording -> Recording.

A step's fields are what a reader must know to repeat it; they and its `version` go into the store's
fingerprint. MNE and SciPy do the work; nothing here filters by hand. `Resample`, `BandPass`, `Notch` and
`AverageReference` are the methods of MNE's Raw with its defaults: filters are linear FIR (firwin, Hamming),
zero-phase in one pass, over the whole recording with its ends reflected. The other steps reproduce some
published protocols. Every piece of a recording is processed separately.
"""

import ast
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import mne
import numpy as np
import scipy  # its parts load when they are used, so never in a command that prepares nothing

from eegfm.contracts import EegfmError
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Recording, refuse_above_nyquist
from eegfm.signal.trials import ChebyshevBandPass, CutSliding

OF_TRIALS = (ChebyshevBandPass, CutSliding)
LONGEST = 20_000  # characters of a step's text


class Step(Protocol):
    """One visible operation. `version` rises when the same fields give other bytes.

    A step with `cuts = True` returns other pieces than it received, made for the windows of its protocol.
    """

    version: ClassVar[int]

    def __call__(self, recording: Recording) -> Recording: ...


def step_of(text: str) -> Step:
    """The step, of this module or `trials`, that `repr` wrote: "Resample(sfreq=200.0)"; the text may be anybody's.

    Raises EegfmError if it is no such step.
    """
    try:
        call: Any = ast.parse(text[:LONGEST], mode="eval").body
        kind: Any = globals().get(call.func.id)
        ours = kind in OF_TRIALS or kind.__module__ == __name__
        if ours and hasattr(kind, "version") and not call.args:
            return kind(**{word.arg: ast.literal_eval(word.value) for word in call.keywords})
    except (AttributeError, SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    raise EegfmError(f"{text[:80]!r} is no step of signal processing that this version of eegfm knows.")


@dataclass(frozen=True)
class Resample:
    """Change the rate by MNE's FFT method with its automatic padding, as `raw.resample(sfreq)` does."""

    sfreq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        # at an equal rate nothing changes, as in MNE's Raw
        if np.isclose(self.sfreq, recording.sfreq, rtol=1e-6, atol=0):
            return recording
        return recording.by_piece(
            lambda data: mne.filter.resample(
                data,
                up=self.sfreq,
                down=recording.sfreq,
                method="fft",
                npad="auto",  # pyright: ignore[reportArgumentType] -- MNE: int or "auto"
                pad="auto",
                verbose=False,
            ),
            self.sfreq,
        )


@dataclass(frozen=True)
class BandPass:
    """Keep low to high Hz, as `raw.filter(low, high)` does; None leaves that side open (a high-pass, a low-pass).

    The numbers are the edges of the pass-band, not the half-amplitude points: those (-6 dB) lie half a transition
    outside, which is min(max(low / 4, 2), low) Hz wide below and min(max(high / 4, 2), Nyquist - high) above. So
    `low=0.3` is -6 dB at 0.15 Hz and its kernel is 11 s long.
    """

    low: float | None
    high: float | None
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise EegfmError(
                "BandPass(low=None, high=None) does nothing: give one edge, or leave the step out."
            )
        if self.low is not None and self.high is not None and not self.low < self.high:
            # MNE would silently make a band-stop of it
            raise EegfmError(f"BandPass(low={self.low:g}, high={self.high:g}): low must be below high.")

    def __call__(self, recording: Recording) -> Recording:
        refuse_above_nyquist(self, recording, self.high or self.low)
        return recording.by_piece(
            lambda data: mne.filter.filter_data(data, recording.sfreq, self.low, self.high, verbose=False)
        )


@dataclass(frozen=True)
class Notch:
    """Remove the mains at `freq` Hz, not its harmonics, as `raw.notch_filter(freq)` does.

    Half the amplitude (-6 dB) is left at freq ± (freq / 400 + 0.25) Hz: 59.60 and 60.40 Hz for 60 Hz. (MNE's log says
    59.10 and 60.90; measured, they are not.)
    """

    freq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        refuse_above_nyquist(self, recording, self.freq)
        return recording.by_piece(
            lambda data: mne.filter.notch_filter(data, recording.sfreq, self.freq, verbose=False)
        )


@dataclass(frozen=True)
class Despike:
    """Replace single broken samples, at which a channel is beyond any EEG, by a straight line.

    A moment is broken if some channel is farther than `limit_uv` from its median over the piece. A fault of
    one channel usually touches the others, so all channels are replaced; the recording's notes say at how
    many moments. Before the first sound moment and after the last, that moment's value is held.
    """

    limit_uv: float
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.limit_uv > 0:
            raise EegfmError(f"Despike(limit_uv={self.limit_uv:g}): a limit above 0 is wanted.")

    def __call__(self, recording: Recording) -> Recording:
        n_moments = 0

        def drawn_over(data: np.ndarray) -> np.ndarray:
            nonlocal n_moments
            broken = (np.abs(data - np.median(data, axis=1, keepdims=True)) > self.limit_uv).any(axis=0)
            n_moments += int(broken.sum())
            if not broken.any() or broken.all():
                return data
            at, sound = np.arange(data.shape[1]), np.flatnonzero(~broken)
            return np.stack([np.interp(at, sound, row[sound]) for row in data])

        done = recording.by_piece(drawn_over)
        note = f"{n_moments} of {recording.n_times:,} moments beyond {self.limit_uv:g} µV drawn over"
        return replace(done, notes=(*done.notes, note)) if n_moments else done


@dataclass(frozen=True)
class AverageReference:
    """Subtract the mean over all rows from each, as `raw.set_eeg_reference("average")` does."""

    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        return recording.with_data(recording.data - recording.data.mean(axis=0))


@dataclass(frozen=True)
class RemoveMean:
    """Subtract the mean of each row over each piece: the offset of a recording, or of each trial of one."""

    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        return recording.by_piece(lambda data: data - data.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Bipolar:
    """Rows that are differences of two electrodes: "FP1-F7" is FP1 minus F7."""

    rows: tuple[str, ...]
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        position = {name: i for i, name in enumerate(recording.montage.names)}
        anodes, cathodes = zip(*(row.split("-", 1) for row in self.rows), strict=True)
        missing = [name for name in dict.fromkeys((*anodes, *cathodes)) if name not in position]
        if missing:
            raise EegfmError(
                f"{recording.path or 'This recording'} lacks {', '.join(missing)} for its bipolar rows. "
                f"It has {', '.join(position)}. Put the steps right (data.steps)."
            )
        data = recording.data[[position[name] for name in anodes]]
        data -= recording.data[[position[name] for name in cathodes]]
        return replace(recording, data=data, montage=montage_of(self.rows))


@dataclass(frozen=True)
class FourierResample:
    """Change the rate by `scipy.signal.resample`: the FFT method without padding.

    It treats a piece as one period of an endless signal, so a level that differs between its first and its
    last sample rings at both ends. Published protocols do this to single trials; `PolyphaseResample` does
    not ring.
    """

    sfreq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        if np.isclose(self.sfreq, recording.sfreq, rtol=1e-6, atol=0):
            return recording
        return recording.by_piece(
            lambda data: np.asarray(
                scipy.signal.resample(data, round(data.shape[1] * self.sfreq / recording.sfreq), axis=1)
            ),
            self.sfreq,
        )


@dataclass(frozen=True)
class PolyphaseResample:
    """Change the rate by MNE's polyphase method, the ends of every piece reflected.

    MNE stretches its input to a whole number of new samples. A piece is cut to a whole number first, so up
    to a few samples are lost at its end and its clock is exact: `Resample` moves a run of some minutes by
    up to 4 ms.
    """

    sfreq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        if np.isclose(self.sfreq, recording.sfreq, rtol=1e-6, atol=0):
            return recording
        whole = Fraction(self.sfreq / recording.sfreq).limit_denominator(100).denominator
        return recording.by_piece(
            lambda data: mne.filter.resample(
                data[:, : data.shape[1] // whole * whole],
                up=self.sfreq,
                down=recording.sfreq,
                method="polyphase",
                pad="reflect",
                verbose=False,
            ),
            self.sfreq,
        )


@dataclass(frozen=True)
class CausalButterworth:
    """A Butterworth band-pass run forward once from rest, in transfer-function form, as `scipy.signal.lfilter` does.

    `order` is SciPy's argument: a band-pass of order 5 has ten poles. Starting from zero, it answers an
    offset with a transient that lasts seconds at 0.3 Hz; a published protocol does so in every trial.
    """

    order: int
    low: float
    high: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        refuse_above_nyquist(self, recording, self.high)
        b, a = scipy.signal.butter(  # pyright: ignore[reportGeneralTypeIssues,reportAssignmentType]
            self.order, (self.low, self.high), "bandpass", output="ba", fs=recording.sfreq
        )
        return recording.by_piece(lambda data: np.asarray(scipy.signal.lfilter(b, a, data, axis=1)))


@dataclass(frozen=True)
class CutAtEvents:
    """One piece per event: from each event to the next, from the last to the end of its piece."""

    version: ClassVar[int] = 1
    cuts: ClassVar[bool] = True

    def __call__(self, recording: Recording) -> Recording:
        data, onsets = [], []
        for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True):
            columns = sorted(
                start + round((event.onset_s - piece.onset_s) * recording.sfreq)
                for event in recording.events
                if 0 <= event.onset_s - piece.onset_s < (end - start) / recording.sfreq
            )
            for first, last in zip(columns, [*columns[1:], end], strict=True):
                data.append(recording.data[:, first:last])
                onsets.append(piece.onset_s + (first - start) / recording.sfreq)
        return recording.in_pieces(data, onsets)


@dataclass(frozen=True)
class Keep:
    """Keep `start_s` to `stop_s` of every piece, from its beginning; a shorter piece is left out."""

    start_s: float
    stop_s: float
    version: ClassVar[int] = 1
    cuts: ClassVar[bool] = True

    def __call__(self, recording: Recording) -> Recording:
        first, last = round(self.start_s * recording.sfreq), round(self.stop_s * recording.sfreq)
        kept = [
            (recording.data[:, start + first : start + last], piece.onset_s + self.start_s)
            for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
            if end - start >= last
        ]
        return recording.in_pieces([data for data, _ in kept], [onset for _, onset in kept])


@dataclass(frozen=True)
class WrapEnds:
    """Put a piece's last seconds before it and its first after it, so that windows at its ends wrap around.

    No brain does that, but a published protocol does, so that events at the ends of a file are not lost.
    """

    seconds: float
    version: ClassVar[int] = 1
    cuts: ClassVar[bool] = True

    def __call__(self, recording: Recording) -> Recording:
        n = round(self.seconds * recording.sfreq)
        wrapped = []
        for start, end in recording.spans():
            columns = np.arange(-n, end - start + n) % (end - start)
            wrapped.append(recording.data[:, start + columns])
        return recording.in_pieces(wrapped, [piece.onset_s - self.seconds for piece in recording.pieces])
