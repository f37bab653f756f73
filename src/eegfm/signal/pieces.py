"""Read any stretch of a recording of hours, with a run's channel names and steps, in constant memory.

A protocol's steps are defined on a whole recording. Here each step is asked for a stretch of its output,
and asks the step before it for the stretch that this output depends on: wider by the length of its kernel
on either side.

- `BandPass` and `Notch` are finite kernels. The step itself runs over the wider stretch and its ends are dropped;
  the rest equals the whole recording's output to rounding, also at the file's ends (both reflect there).
- `Resample` is MNE's FFT of the whole recording: every output is a sum over all inputs, at moments that follow from the
  recording's length (they drift by up to half a sample). Here a windowed sinc of 64 zero crossings per side computes
  the same moments. On brain-like noise of 20 µV, the two differ by at most 0.01 µV below 95 % of the lower of the two
  Nyquist frequencies, ten seconds or more from the file's ends; at the ends, where both reflect, by 1 µV. Above 95 %
  a sinc of any length differs from an FFT: by 0.001 µV (root mean square) in recordings of MentalArithmetic, which
  end below it, and by 0.26 of 26 µV in PhysioNet-MI's S001, which hold muscle up to their Nyquist frequency.
- `PolyphaseResample` is a finite kernel; stretches begin where its phase does. `AverageReference` and `Bipolar` use
  no neighbouring samples.

No other step works in pieces: the others cut a file into trials or work on each trial. `WrapEnds`, which
changes only the ends of a file, is left out.

All of this looks ahead, by `Pieces.ahead_s`: it prepares a finished recording as training data were
prepared. A closed loop sees the causal filter of a device, which gives another signal.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from jaxtyping import Float

from eegfm.contracts import EegfmError, Montage
from eegfm.signal.declared import Declared
from eegfm.signal.formats.opened import Opened, Stretch
from eegfm.signal.matching import matched
from eegfm.signal.montage import montage_of
from eegfm.signal.quality import Measured
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import (
    AverageReference,
    BandPass,
    Bipolar,
    Notch,
    PolyphaseResample,
    Resample,
    Step,
    WrapEnds,
)

CROSSINGS = 64  # zero crossings of the sinc on either side: 160 samples of 500 Hz when going to 200 Hz
AT_ONCE = 30_000  # samples that are measured at once
ROWS = 2048  # outputs interpolated at once; the table of their weights takes some megabytes
POLYPHASE = 10  # samples of the slower rate on either side of SciPy's and MNE's kernel


class Pieces:
    """A file in the form that a benchmark's model sees, a piece for each stretch without a gap.

    Args:
        path: EDF, or any other file that can be read a stretch at a time.
        channels: the rows that come out of the steps, in order.
        steps: the signal processing; empty for a file that is already processed.
        sfreq: the rate that comes out of the steps.
        declared: what is known of the file beside what it says itself.

    Attributes:
        file: as its reader opened it.
        names: the file's channel for each row that goes into the steps.
        all: the pieces in order of time, each as long after the steps as it says.
        ahead_s: how far the steps look into the future.
        left_out: steps that do not concern a stream.

    Raises:
        EegfmError: the file is missing, unreadable or of another rate than wanted, lacks channels, has one without a
            known unit or scale, or a step does not work in pieces.
    """

    def __init__(
        self,
        path: Path,
        *,
        channels: Sequence[str],
        steps: Sequence[Step],
        sfreq: float,
        declared: Declared | None = None,
    ) -> None:
        self.path = path
        self.left_out = [step for step in steps if isinstance(step, WrapEnds)]
        self.steps = [step for step in steps if step not in self.left_out]
        for step in self.steps:
            if not isinstance(
                step, Resample | BandPass | Notch | AverageReference | Bipolar | PolyphaseResample
            ):
                raise EegfmError(
                    f"{type(step).__name__} is made for a protocol's trials and cannot go through a recording piece by "
                    "piece. Process the file in your own way and type steps=none, or train on steps without it "
                    "(data.benchmark.variant=repaired, data.steps)."
                )
        bipolar = next((step for step in self.steps if isinstance(step, Bipolar)), None)
        rows = (
            channels
            if bipolar is None
            else dict.fromkeys(e for row in bipolar.rows for e in row.split("-", 1))
        )
        self.file = (declared or Declared()).opened(path)
        self.names = matched(self.file.names, list(rows), path, aliases=self.file.aliases)
        try:
            self.file.check(self.names)
        except EegfmError as error:  # that advice is for a corpus's files, and this file may be anybody's
            raise EegfmError(str(error).replace(FETCH_AGAIN, "").strip()) from None
        montage = montage_of(list(self.names.values()))
        self.all = [
            Piece(self.file, list(self.names), stretch, montage, self.steps)
            for stretch in self.file.stretches
        ]
        first = self.all[0]
        if not np.isclose(first.sfreq, sfreq, rtol=1e-6, atol=0):
            processed = f"after its steps at {first.sfreq:g} Hz" if self.steps else f"at {first.sfreq:g} Hz"
            raise EegfmError(
                f"{path} is {processed}, and this run reads {sfreq:g} Hz. Resample the file to {sfreq:g} Hz first"
                f"{', or leave steps=none out' if not self.steps else ''}."
            )
        if first.montage.names != tuple(channels):
            raise EegfmError(
                f"The steps leave the rows {', '.join(first.montage.names)}; the run has {', '.join(channels)}."
            )
        self.montage, self.sfreq, self.ahead_s = first.montage, first.sfreq, first.ahead_s

    @property
    def n_times(self) -> int:
        """Samples that come out, of all pieces."""
        return sum(piece.n_times for piece in self.all)

    @property
    def duration_s(self) -> float:
        return self.n_times / self.sfreq

    def measured(self) -> Measured:
        """What the channels hold before the steps, in one reading of the file."""
        measured, names = Measured(list(self.names.values()), self.file.sfreq), list(self.names)
        for first, after, _ in self.file.stretches:
            for start in range(first, after, AT_ONCE):
                measured.add(self.file.take(names, start, min(start + AT_ONCE, after)))
        return measured


class Piece:
    """A stretch of a file without a gap: `take` gives any part of it, in microvolts, after the steps.

    As in a prepared recording, the steps see nothing of what lies behind a gap.

    Attributes:
        onset_s: seconds of the file at its first sample.
        n_times: samples that come out.
    """

    def __init__(
        self,
        file: Opened,
        channels: Sequence[str],
        stretch: Stretch,
        montage: Montage,
        steps: Sequence[Step],
    ) -> None:
        self._file, self._channels, self._stretch = file, channels, stretch
        self._stages: list[_Stage] = []
        rate, n = file.sfreq, stretch.after - stretch.first
        for step in steps:
            stage = _Stage.of(step, montage, rate, n)
            self._stages.append(stage)
            montage, rate, n = stage.after, stage.rate_after, stage.n_after
        self.onset_s, self.montage, self.sfreq, self.n_times = stretch.onset_s, montage, rate, int(n)
        self.ahead_s = sum(stage.reach / stage.rate for stage in self._stages)

    @property
    def duration_s(self) -> float:
        return self.n_times / self.sfreq

    def take(self, start: int, stop: int) -> Float[np.ndarray, "channel time"]:
        """Samples from `start` up to `stop` of the last step's output: float64, microvolts."""
        assert 0 <= start <= stop <= self.n_times, (start, stop, self.n_times)
        return self._take(len(self._stages), start, stop)

    def _take(self, n_steps: int, start: int, stop: int) -> Float[np.ndarray, "channel time"]:
        """Samples from `start` up to `stop` of the output of the first `n_steps` steps."""
        if n_steps == 0:
            first = self._stretch.first
            return self._file.take(self._channels, first + start, first + stop)
        stage = self._stages[n_steps - 1]
        first, last = stage.wants(start, stop)
        return stage.run(self._take(n_steps - 1, first, last), first, start, stop)


@dataclass(frozen=True)
class _Stage:
    """A step on a recording of `n` samples at `rate`; an output depends on `reach` samples on either side."""

    step: Step
    montage: Montage
    rate: float
    n: int
    after: Montage
    rate_after: float
    n_after: int
    reach: int

    @classmethod
    def of(cls, step: Step, montage: Montage, rate: float, n: int) -> "_Stage":
        if isinstance(step, Bipolar):
            return cls(step, montage, rate, n, montage_of(step.rows), rate, n, 0)
        if isinstance(step, AverageReference):
            return cls(step, montage, rate, n, montage, rate, n, 0)
        if isinstance(step, BandPass | Notch):
            return cls(step, montage, rate, n, montage, rate, n, _half_kernel(step, rate))
        assert isinstance(step, Resample | PolyphaseResample)
        if np.isclose(step.sfreq, rate, rtol=1e-6, atol=0):
            return cls(step, montage, rate, n, montage, rate, n, 0)
        ratio = step.sfreq / rate
        slower = max(1.0, 1 / ratio)
        if isinstance(step, Resample):
            reach, n_after = int(np.ceil(CROSSINGS * slower)), max(round(ratio * n), 1)
        else:
            reach = int(np.ceil(POLYPHASE * slower)) + 1
            n_after = round(ratio * (n // _whole(ratio) * _whole(ratio)))
        return cls(step, montage, rate, n, montage, step.sfreq, n_after, reach)

    def wants(self, start: int, stop: int) -> tuple[int, int]:
        """The stretch of the input that outputs from `start` to `stop` depend on."""
        if not self.reach:
            return start, stop
        if self.rate_after == self.rate:
            last = min(self.n, stop + self.reach)
            # at least a kernel's length, or MNE would warn that the kernel does not fit
            return max(0, min(start - self.reach, last - 2 * self.reach - 1)), last
        if isinstance(self.step, Resample):
            moments = self._moments(np.array([start, max(stop - 1, start)]))
            first, last = int(moments[0]) - self.reach, int(moments[1]) + self.reach + 2
        else:
            whole = _whole(self.rate_after / self.rate)
            ratio = self.rate / self.rate_after
            # starts at a whole phase, so that the kernel meets the same samples as in the whole recording
            first = (int(start * ratio) - self.reach) // whole * whole
            last = -((-int(np.ceil(stop * ratio)) - self.reach) // whole) * whole
        return max(0, min(first, self.n - 1)), min(self.n, last)

    def run(
        self, data: Float[np.ndarray, "channel before"], first: int, start: int, stop: int
    ) -> Float[np.ndarray, "channel after"]:
        """Outputs from `start` to `stop`; `data` begins at sample `first` and holds what `wants` asked for."""
        if self.reach and isinstance(self.step, Resample):
            return self._interpolated(data, first, start, stop)
        with (
            warnings.catch_warnings()
        ):  # kernels longer than a short file: preparing it ignores the warning too
            warnings.filterwarnings("ignore", "filter_length")
            done = self.step(Recording(data, self.rate, self.montage)).data
        offset = round(first * self.rate_after / self.rate)
        return done[:, start - offset : stop - offset]

    def _moments(self, outputs: np.ndarray) -> np.ndarray:
        """The positions of the outputs of MNE's FFT method, in samples of the input."""
        ratio = self.rate_after / self.rate
        # mne.filter.resample with npad="auto" pads to a power of two and stretches that to a whole number of samples
        padded = 2 ** int(np.ceil(np.log2(self.n + 2 * min(self.n // 8, 100))))
        before = (padded - self.n) // 2
        return (outputs + round(ratio * before)) * (padded / round(ratio * padded)) - before

    def _interpolated(
        self, data: Float[np.ndarray, "channel before"], first: int, start: int, stop: int
    ) -> Float[np.ndarray, "channel after"]:
        outputs = np.arange(start, stop)
        moments = self._moments(outputs)
        before = max(0, self.reach - (int(moments[0]) - first)) if len(outputs) else 0
        behind = max(0, int(moments[-1]) + self.reach + 2 - first - data.shape[1]) if len(outputs) else 0
        # reflects beyond the ends of the file, as MNE does
        data = np.pad(data, ((0, 0), (before, behind)), "reflect", reflect_type="odd")
        series = np.ascontiguousarray(data.T)
        cut = min(1.0, self.rate_after / self.rate)
        done = np.empty((data.shape[0], len(outputs)))
        for i in range(0, len(outputs), ROWS):
            places = moments[i : i + ROWS]
            whole = np.floor(places).astype(np.int64)
            weights = _sinc(places - whole, cut, self.reach)
            columns = (whole - first + before)[:, None] + np.arange(1 - self.reach, self.reach + 1)
            table = scipy.sparse.csr_array(
                (weights.ravel(), columns.ravel(), np.arange(len(places) + 1) * 2 * self.reach),
                shape=(len(places), len(series)),
            )
            done[:, i : i + ROWS] = (table @ series).T
        return done


def _sinc(part: Float[np.ndarray, " row"], cut: float, reach: int) -> Float[np.ndarray, "row tap"]:
    """Weights of taps 1 - reach .. reach for outputs at `part` of a sample after tap 0: a sinc under Hann's window.

    `cut` is the pass-band as a part of the input's. Angle-sum identities replace most sines, which is many
    times faster than computing each.
    """
    taps = np.arange(1 - reach, reach + 1)
    away = part[:, None] - taps

    def of_difference(wave: float) -> tuple[np.ndarray, np.ndarray]:
        (sp, cp), (st, ct) = ((np.sin(wave * a), np.cos(wave * a)) for a in (part[:, None], taps[None]))
        return sp * ct - cp * st, cp * ct + sp * st

    sine, _ = of_difference(np.pi * cut)
    _, cosine = of_difference(np.pi / reach)
    near = np.abs(away) < 1e-9
    weights = np.where(near, cut, sine / (np.pi * np.where(near, 1.0, away)))
    return weights * (0.5 + 0.5 * cosine)


def _whole(ratio: float) -> int:
    """The number of input samples after which a polyphase resampling is back in phase."""
    return Fraction(ratio).limit_denominator(100).denominator


@cache
def _half_kernel(step: BandPass | Notch, rate: float) -> int:
    """The samples on either side of an output that a filter uses, measured by its impulse response."""
    montage, n = montage_of(("Cz",)), round(16 * rate)
    while True:
        impulse = np.zeros((1, 2 * n + 1))
        impulse[0, n] = 1.0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "filter_length")
            answer = np.abs(step(Recording(impulse, rate, montage)).data[0])
        half = int(np.abs(np.flatnonzero(answer > 1e-12 * answer.max()) - n).max())
        if half < n // 2:
            return half
        n *= 2
