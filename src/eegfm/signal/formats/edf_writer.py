"""Signals in microvolts -> EDF, a piece at a time, so that written pieces need not stay in memory."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float

from eegfm.contracts import EegfmError

STEP_UV = 0.1  # one digital step; values beyond ±3,276.7 µV are clipped


class EdfWriter:
    """An EDF file of records of one second, each value to the nearest 0.1 µV. Use it in a `with` statement.

    An incomplete last second is padded with zeros. Raises EegfmError if the rate is no whole number.
    """

    def __init__(self, path: Path, names: Sequence[str], sfreq: float) -> None:
        if sfreq != round(sfreq):
            raise EegfmError(f"EDF wants a whole number of samples a second here, and there are {sfreq:g}.")
        self.names, self.per_record, self.n_records = names, round(sfreq), 0
        self._waiting = np.empty((len(names), 0), dtype="<i2")
        self._file = open(path, "wb")
        self._file.write(self._header())

    def write(self, data: Float[np.ndarray, "channel time"]) -> None:
        digits = np.clip(np.rint(data / STEP_UV), -32767, 32767).astype("<i2")
        digits = np.concatenate([self._waiting, digits], axis=1)
        n = digits.shape[1] // self.per_record
        whole, self._waiting = np.split(digits, [n * self.per_record], axis=1)
        # within a record, channel follows channel
        self._file.write(whole.reshape(len(self.names), n, self.per_record).swapaxes(0, 1).tobytes())
        self.n_records += n

    def __enter__(self) -> "EdfWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting.shape[1]:
            rest = self.per_record - self._waiting.shape[1]
            self.write(np.zeros((len(self.names), rest)))
        self._file.seek(0)
        self._file.write(self._header())  # the number of records is known only now
        self._file.close()

    def _header(self) -> bytes:
        n = len(self.names)
        top = 32767 * STEP_UV
        fixed = [("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.85", 8), ("00.00.00", 8)]
        fixed += [(f"{256 * (n + 1)}", 8), ("", 44), (f"{self.n_records}", 8), ("1", 8), (f"{n}", 4)]
        each = [(name, 16) for name in self.names] + [("", 80)] * n + [("uV", 8)] * n
        each += [(f"{-top:g}", 8)] * n + [(f"{top:g}", 8)] * n + [("-32767", 8)] * n + [("32767", 8)] * n
        each += [("", 80)] * n + [(f"{self.per_record}", 8)] * n + [("", 32)] * n
        return "".join(text[:width].ljust(width) for text, width in fixed + each).encode(
            "latin-1", "replace"
        )
