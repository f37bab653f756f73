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
from eegfm.files import cell
from eegfm.signal.formats.edf_writer import EdfWriter
from eegfm.signal.pieces import Pieces
from eegfm.tasks.decision import decide
from eegfm.tasks.stream import Seconds, cross_faded, judged, streamed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

PIECE_S = 60.0  # seconds that are read and processed at once
COLUMNS = 1000  # of a picture: longer recordings are averaged to so many stretches


@dataclass
class StreamOutput:
    """What a stream has written, its annotations (`notes`), and its facts for `stream.json`."""

    table: Path
    n_rows: int = 0
    columns: list[str] = field(default_factory=list)
    # onset and duration in seconds, description
    notes: list[tuple[float, float, str]] = field(default_factory=list)
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
    run: "Run", pieces: "Pieces", hop: int, out: Path, device: Any, upto: Callable[[int], None]
) -> StreamOutput:
    """Write a row for each window: first second, probability of each class, decision. Equal decisions are one note."""
    sfreq, window, classes = pieces.sfreq, window_of(run.data), run.data.spec.classes
    window_s = window / sfreq
    output = StreamOutput(out / "probabilities.csv", columns=[f"p({name})" for name in classes])
    coords = coords_of(run, device)
    windows = judged(
        run.task, run.data.encoder, pieces.take, pieces.n_times,
        window=window, hop=hop, coords=coords, device=device,
    )  # fmt: skip
    last = ""
    with _table(output.table, ["second", *output.columns, "decision"]) as (write, flush):
        for starts, probability in windows:
            for start, row, choice in zip(starts, probability, decide(probability), strict=True):
                name, second = classes[choice], start / sfreq
                write([f"{second:g}", *(repr(float(p)) for p in row), name])
                # a decision holds until the next window begins
                if name == last:
                    onset = output.notes[-1][0]
                    output.notes[-1] = (onset, second - onset + hop / sfreq, name)
                else:
                    output.notes.append((second, hop / sfreq, name))
                last = name
                output.n_rows += 1
            flush()
            upto(int(starts[-1]) + window)
    # the last decision holds until the end of its window
    onset, _, name = output.notes[-1]
    output.notes[-1] = (onset, int(starts[-1]) / sfreq + window_s - onset, name)
    output.summary = f"{output.n_rows:,} windows of {window_s:g} s, one every {hop / sfreq:g} s"
    output.facts = {
        "task": "classify",
        "window_s": window_s,
        "hop_s": hop / sfreq,
        "windows": output.n_rows,
    }
    return output


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

    window, sfreq, n_times = window_of(run.data), pieces.sfreq, pieces.n_times
    window_s = window / sfreq
    names = pieces.montage.names
    output = StreamOutput(out / "errors.csv", columns=["rmse_uv", *(f"rmse_uv({name})" for name in names)])
    if hop is None:
        long = round(PIECE_S * sfreq)
        cuts = [*range(0, n_times, long), n_times]
        taken = (pieces.take(a, b) for a, b in pairwise(cuts))
        back = streamed(run.task, taken, coords=coords_of(run, device), device=device)
        output.summary = f"one causal stream, at most {run.task.backbone.latency} samples late"
        output.facts = {
            "task": "reconstruct",
            "stream": "causal",
            "latency_samples": run.task.backbone.latency,
        }
    else:
        coords = coords_of(run, device)
        back = cross_faded(
            run.task, pieces.take, n_times,
            window=window, hop=hop, coords=coords, device=device,
        )  # fmt: skip
        output.summary = f"windows of {window_s:g} s, one every {hop / sfreq:g} s, faded into one another"
        output.facts = {
            "task": "reconstruct",
            "stream": "windows",
            "window_s": window_s,
            "hop_s": hop / sfreq,
        }
    overall = array("d")  # the error of every second, in 8 bytes each, to find the median
    seconds = Seconds(len(names), sfreq)
    keep = nullcontext()
    if config.keep:
        output.written.append("reconstruction.edf")
        keep = EdfWriter(out / output.written[0], names, sfreq)
    with _table(output.table, ["second", *output.columns]) as (write, flush), keep as kept:

        def rows(ready: "Iterator[tuple[int, np.ndarray]]") -> None:
            for second, square in ready:
                overall.append(float(square.mean() ** 0.5))
                write([str(second), repr(overall[-1]), *(repr(float(value)) for value in square**0.5)])

        for start, true, pred in back:
            rows(seconds.add((pred - true).astype(np.float64) ** 2))
            if kept is not None:
                kept.write(pred)
            if start % round(PIECE_S * sfreq) < true.shape[1]:
                flush()
            upto(start + true.shape[1])
        rows(seconds.rest())
    output.n_rows = len(overall)
    errors = np.frombuffer(overall)
    limit = config.mark * float(np.median(errors))
    for second in np.flatnonzero(errors > limit).tolist():
        length = min(1.0, pieces.duration_s - second)
        if output.notes and output.notes[-1][0] + output.notes[-1][1] == second:
            onset, before, name = output.notes[-1]
            output.notes[-1] = (onset, before + length, name)
        else:
            output.notes.append((float(second), length, "high error"))
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
