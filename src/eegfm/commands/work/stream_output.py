"""What `eegfm stream` writes: a table while it runs, then annotations, and averages of the table for a picture."""

import csv
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from eegfm.build import Run
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf_writer import EdfWriter
from eegfm.signal.pieces import Piece, Pieces
from eegfm.support.files import cell, whole
from eegfm.tasks.decision import decide
from eegfm.tasks.events import raised
from eegfm.tasks.stream import Back, Seconds, cross_faded, judged, streamed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

SZCORE = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
PIECE_S = 60.0  # seconds that are read and processed at once
COLUMNS = 1000  # of a picture: longer recordings are averaged to so many stretches


@dataclass
class StreamOutput:
    """What a stream has written, its annotations (`notes`), and its facts for `stream.json`."""

    table: Path
    n_rows: int = 0
    columns: list[str] = field(default_factory=list)
    # alarms of a class that is an event to be found: beginning and end in seconds, highest probability
    alarms: list[tuple[float, float, float]] = field(default_factory=list)
    # onset and duration in seconds, description
    notes: list[tuple[float, float, str]] = field(default_factory=list)
    too_short: list[tuple[float, float]] = field(default_factory=list)  # pieces left out: onset, seconds
    summary: str = ""
    written: list[str] = field(default_factory=list)  # names of further files
    facts: dict[str, Any] = field(default_factory=dict)


def window_of(data: Any) -> int:
    """Samples in a window of the run. Behind an encoder the spec's shape counts seconds, not samples."""
    return data.spec.shape[1] if data.encoder is None else round(data.spec.shape[1] * data.spec.sfreq)


def coords_of(run: "Run", device: Any) -> "Tensor":
    """The positions of the run's channels."""
    import torch

    return torch.tensor(run.data.spec.montage.coords, dtype=torch.float32, device=device)


def classify(
    run: "Run",
    pieces: "Pieces",
    hop: int,
    out: Path,
    device: Any,
    upto: Callable[[int], None],
    threshold: float,
) -> StreamOutput:
    """Write a row for each window: first second, probability of each class, decision. Equal decisions are one note.

    Where the benchmark has a class of alarm, windows above the threshold that touch are one alarm.
    """
    alarm = run.data.benchmark.alarm
    sfreq, window, classes = pieces.sfreq, window_of(run.data), run.data.spec.classes
    window_s, done = window / sfreq, 0
    output = StreamOutput(out / "probabilities.csv", columns=[f"p({name})" for name in classes])
    coords = coords_of(run, device)
    with _table(output.table, ["second", *output.columns, "decision"]) as (write, flush):
        for piece in _long_enough(pieces, window, output):
            windows = judged(
                run.task, run.data.encoder, piece.take, piece.n_times,
                window=window, hop=hop, coords=coords, device=device,
            )  # fmt: skip
            last, begun, risk = "", array("d"), array("d")
            for starts, probability in windows:
                for start, row, choice in zip(starts, probability, decide(probability), strict=True):
                    name, second = classes[choice], piece.onset_s + start / sfreq
                    write([second_of(second), *(repr(float(p)) for p in row), name])
                    if alarm:
                        begun.append(second)
                        risk.append(float(row[classes.index(alarm)]))
                    # a decision holds until the next window begins
                    if name == last:
                        onset = output.notes[-1][0]
                        output.notes[-1] = (onset, second - onset + hop / sfreq, name)
                    else:
                        output.notes.append((second, hop / sfreq, name))
                    last = name
                    output.n_rows += 1
                flush()
                upto(done + int(starts[-1]) + window)
            # the last decision holds until the end of its window
            onset, _, name = output.notes[-1]
            output.notes[-1] = (onset, second - onset + window_s, name)
            output.alarms += _alarms(begun, risk, threshold, window_s)
            done += piece.n_times
    output.summary = f"{output.n_rows:,} windows of {window_s:g} s, one every {hop / sfreq:g} s"
    output.facts = {
        "task": "classify",
        "window_s": window_s,
        "hop_s": hop / sfreq,
        "windows": output.n_rows,
    }
    if alarm:
        output.facts |= {"alarm": alarm, "threshold": threshold, "alarms": len(output.alarms)}
        output.summary += f"; {len(output.alarms)} alarms ({alarm} above {threshold:.3g})"
        name = f"{pieces.path.stem}_events.tsv"
        _write_events(out / name, output.alarms, alarm, pieces.duration_s)
        output.written.append(name)
    return output


def _alarms(
    begun: "array[float]", risk: "array[float]", threshold: float, window_s: float
) -> list[tuple[float, float, float]]:
    """Beginning, end and highest probability of every alarm of a piece."""
    import numpy as np

    second, probability = np.frombuffer(begun), np.frombuffer(risk)
    return [
        (start, end, float(probability[(second >= start) & (second < end)].max()))
        for start, end in raised(second, probability, threshold=threshold, window_s=window_s)
    ]


def _write_events(
    path: Path, alarms: list[tuple[float, float, float]], alarm: str, length_s: float
) -> None:
    """Alarms as an events file of BIDS with the columns of SzCORE, where a seizure is called "sz"."""
    with whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(SZCORE)
        for start, end, highest in alarms:
            name = "sz" if alarm == "seizure" else cell(alarm)
            row = [second_of(start), second_of(end - start), name, f"{highest:.6g}", "all", "n/a"]
            writer.writerow([*row, second_of(length_s)])


def reconstruct(
    run: "Run",
    pieces: "Pieces",
    hop: int | None,
    out: Path,
    config: DictConfig,
    device: Any,
    upto: Callable[[int], None],
) -> StreamOutput:
    """Write a row for each second: its error over all channels and of each. Seconds with a large error are notes."""
    import numpy as np

    window, sfreq = window_of(run.data), pieces.sfreq
    window_s = window / sfreq
    names = pieces.montage.names
    output = StreamOutput(out / "errors.csv", columns=["rmse_uv", *(f"rmse_uv({name})" for name in names)])
    coords = coords_of(run, device)
    if hop is None:
        output.summary = f"one causal stream, at most {run.task.backbone.latency} samples late"
        output.facts = {
            "task": "reconstruct",
            "stream": "causal",
            "latency_samples": run.task.backbone.latency,
        }
    else:
        output.summary = f"windows of {window_s:g} s, one every {hop / sfreq:g} s, faded into one another"
        output.facts = {
            "task": "reconstruct",
            "stream": "windows",
            "window_s": window_s,
            "hop_s": hop / sfreq,
        }

    def back_of(piece: "Piece") -> "Iterator[Back]":
        if hop is not None:
            return cross_faded(
                run.task, piece.take, piece.n_times, window=window, hop=hop, coords=coords, device=device
            )
        # a memory does not reach over a gap
        cuts = [*range(0, piece.n_times, round(PIECE_S * sfreq)), piece.n_times]
        taken = (piece.take(a, b) for a, b in pairwise(cuts))
        return streamed(run.task, taken, coords=coords, device=device)

    overall = array("d")  # the error of every second, in 8 bytes each, to find the median
    begin_s = array("d")
    length_s = array("d")
    done = 0
    with _table(output.table, ["second", *output.columns]) as (write, flush):
        for piece in _long_enough(pieces, 1 if hop is None else window, output):
            seconds = Seconds(len(names), sfreq)
            writer = nullcontext()
            if config.edf:
                # an EDF file of ours has no gaps: each piece is one of its own
                name = "" if len(pieces.all) == 1 else f"_{second_of(piece.onset_s)}s"
                output.written.append(f"reconstruction{name}.edf")
                writer = EdfWriter(out / output.written[-1], names, sfreq)

            def rows(ready: "Iterator[tuple[int, np.ndarray]]", piece: "Piece" = piece) -> None:
                for second, square in ready:
                    overall.append(float(square.mean() ** 0.5))
                    begin_s.append(piece.onset_s + second)
                    length_s.append(min(1.0, piece.duration_s - second))
                    values = (repr(float(value)) for value in square**0.5)
                    write([second_of(begin_s[-1]), repr(overall[-1]), *values])

            with writer as edf:
                for start, true, pred in back_of(piece):
                    rows(seconds.add((pred - true).astype(np.float64) ** 2))
                    if edf is not None:
                        edf.write(pred)
                    if start % round(PIECE_S * sfreq) < true.shape[1]:
                        flush()
                    upto(done + start + true.shape[1])
                rows(seconds.rest())
            done += piece.n_times
    output.n_rows = len(overall)
    errors = np.frombuffer(overall)
    limit = config.mark * float(np.median(errors))
    for second in np.flatnonzero(errors > limit).tolist():
        if output.notes and np.isclose(sum(output.notes[-1][:2]), begin_s[second], rtol=0, atol=1e-6):
            onset, before, name = output.notes[-1]
            output.notes[-1] = (onset, before + length_s[second], name)
        else:
            output.notes.append((begin_s[second], length_s[second], "high error"))
    marked = int((errors > limit).sum())
    output.facts |= {
        "rmse_uv": float(np.sqrt(np.mean(errors**2))),
        "median_rmse_uv": float(np.median(errors)),
        "marked_above_uv": limit,
        "marked": f"seconds whose error of all channels is above {config.mark:g} times the median of the recording",
        "marked_seconds": marked,
    }
    output.summary += (
        f"; error {np.median(errors):.3g} µV in the median second, above {limit:.3g} µV in {marked:,} of "
        f"{len(errors):,}"
    )
    return output


def second_of(second: float) -> str:
    """A second of the recording as a table has it: to the microsecond, of days as well."""
    return f"{round(second, 6):.15g}"


def _long_enough(pieces: "Pieces", n_times: int, output: StreamOutput) -> "list[Piece]":
    """The pieces that hold a window of this length; of shorter ones it is told. Raises EegfmError if there is none."""
    long = [piece for piece in pieces.all if piece.n_times >= n_times]
    if not long:
        longest_s, window_s = (n / pieces.sfreq for n in (max(p.n_times for p in pieces.all), n_times))
        raise EegfmError(
            f"{pieces.path}: its longest stretch without a gap is {longest_s:g} s after its steps, and a window of "
            f"this run {window_s:g} s. Choose a longer recording."
        )
    output.too_short = [(p.onset_s, p.duration_s) for p in pieces.all if p.n_times < n_times]
    return long


@contextmanager
def _table(
    path: Path, header: list[str]
) -> Iterator[tuple[Callable[[list[str]], Any], Callable[[], None]]]:
    """A CSV file to write row by row. Gives a function that adds a row, and one that flushes them to the disk."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        yield lambda row: writer.writerow(map(cell, row)), file.flush


def stretches_of(output: StreamOutput, *, root: bool) -> tuple["np.ndarray", "np.ndarray"]:
    """Average the table over at most `COLUMNS` stretches: their first seconds, and the mean of each column.

    With `root` it is the root of the mean square. The table is read row by row.
    """
    import numpy as np

    n_bins = min(COLUMNS, output.n_rows)
    seconds, counts = np.full(n_bins, np.nan), np.zeros((n_bins, 1))
    sums = np.zeros((n_bins, len(output.columns)))
    with open(output.table, newline="", encoding="utf-8") as file:
        for i, row in enumerate(csv.DictReader(file)):
            place = i * n_bins // output.n_rows
            values = np.array([float(row[name]) for name in output.columns])
            sums[place] += values**2 if root else values
            counts[place] += 1
            if counts[place] == 1:
                seconds[place] = float(row["second"])
    means = sums / counts
    return seconds, np.sqrt(means) if root else means


def write_annotations(path: Path, notes: list[tuple[float, float, str]]) -> Path:
    """Write annotations for `raw.set_annotations(mne.read_annotations(path))`.

    Onsets count from the first sample of the recording.
    """
    import mne

    onset, duration, description = zip(*notes, strict=True) if notes else ([], [], [])
    mne.Annotations(onset, duration, description).save(path, overwrite=True, verbose="error")
    return path
