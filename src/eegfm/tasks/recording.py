"""What a trained model says of one recording: probabilities of its windows, and one decision with how it was made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from eegfm.contracts import EegfmError
from eegfm.tasks.decision import decide

BATCH = 64  # windows at once
By = Literal["mean", "vote", "fitted"]
HOW = {
    "mean": "mean probability of the windows",
    "vote": "vote of the windows",
    "fitted": "mean probability against the cut that was fitted on validation data",
}


@dataclass(frozen=True, eq=False)
class PredictedRecording:
    """Class probabilities of the windows of a recording.

    Attributes:
        recording: its name.
        classes: in the order of the columns of `probability`.
        second: the first second of each window, counted from the start of the file.
        probability: a row for each window.
        window_s: seconds in a window.
        hop_s: seconds from one window to the next.
        channels: the file's channel for each row that was read.
        doubts: what is suspect of the recording.
        cut: the mean probability above which it is the second class, as fitted on validation data; None: not fitted.
    """

    recording: str
    classes: tuple[str, ...]
    second: Float[np.ndarray, " window"]
    probability: Float[np.ndarray, "window class"]
    window_s: float
    hop_s: float
    channels: dict[str, str]
    doubts: tuple[str, ...] = ()
    cut: float | None = None

    @classmethod
    def of(
        cls,
        recording: str,
        classes: tuple[str, ...],
        windows: Any,
        probabilities: Callable[[np.ndarray, np.ndarray], np.ndarray],
        done: Callable[[float], None] = lambda part: None,
    ) -> "PredictedRecording":
        """What `probabilities`, of a batch of windows and the places of their rows, says of a recording.

        `windows` is an `eegfm.signal.intake.RecordingWindows`; `done` gets the part of them that is done.
        """
        rows = []
        for x in windows.batches(BATCH):
            rows.append(probabilities(x, windows.montage.coords))
            done(sum(map(len, rows)) / len(windows))
        return cls(
            recording=recording,
            classes=classes,
            second=windows.second,
            probability=np.concatenate(rows),
            window_s=windows.window_s,
            hop_s=windows.hop_s,
            channels=windows.channels,
            doubts=windows.remarks,
        )

    @property
    def mean(self) -> Float[np.ndarray, " class"]:
        """The mean probability of each class over the windows."""
        return self.probability.mean(axis=0)

    @property
    def votes(self) -> Int[np.ndarray, " class"]:
        """The number of windows that are counted as each class."""
        return np.bincount(decide(self.probability), minlength=len(self.classes))

    @property
    def decisions(self) -> list[str]:
        """The class that each window is counted as."""
        return [self.classes[i] for i in decide(self.probability)]

    def decision(self, by: str = "mean") -> str:
        """The class of the recording: of the largest mean probability, or of most windows.

        In a tie of votes the mean probability decides, in a tie of that the first class. Raises EegfmError for another
        `by`, and for "fitted" without a `cut`.
        """
        if by not in get_args(By):
            raise EegfmError(f"decide={by}: one of these is wanted: {', '.join(get_args(By))}.")
        if by == "fitted":
            if self.cut is None:
                raise EegfmError("decide=fitted: no cut was fitted on validation data. Type decide=mean")
            return self.classes[int(self.mean[1] > self.cut)]
        if by == "vote":
            most = np.flatnonzero(self.votes == self.votes.max())
            return self.classes[most[self.mean[most].argmax()]]
        return self.classes[decide(self.mean[None])[0]]

    def notes(self) -> list[tuple[float, float, str]]:
        """Onset and duration in seconds, and class, of every stretch of one decision: annotations of the recording.

        A decision holds until the next window begins, and no longer than its window.
        """
        found: list[tuple[float, float, str]] = []
        afters = [*self.second[1:].tolist(), np.inf]
        for second, after, name in zip(self.second.tolist(), afters, self.decisions, strict=True):
            end = min(after, second + self.window_s)
            onset, length_s, before = found[-1] if found else (0.0, 0.0, "")
            if before == name and abs(onset + length_s - second) < 1e-6:
                found[-1] = (onset, end - onset, name)
            else:
                found.append((second, end - second, name))
        return found

    def to_frame(self) -> Any:
        """The table as a pandas data frame: window, second, the probability of each class, the decision.

        Raises EegfmError if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise EegfmError(f"A data frame needs pandas ({error}). Type: pip install pandas") from error
        columns: dict[str, Sequence[Any] | np.ndarray] = {
            "window": np.arange(len(self.second)),
            "second": self.second,
        }
        columns |= {f"p({name})": self.probability[:, i] for i, name in enumerate(self.classes)}
        return pandas.DataFrame({**columns, "decision": self.decisions})
