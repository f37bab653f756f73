"""A trained model over a recording of hours, in constant memory: what `eegfm stream` does."""

import csv
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from eegfm.build import Run, build, put_trained
from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import bar_of
from eegfm.drawing import recordings, style
from eegfm.files import write_json
from eegfm.runs.checkpoints import Place
from eegfm.runs.machine import environment, peak_memory_mb
from eegfm.runs.results import read_result
from eegfm.runs.sentences import Reservation, reservations_of, titled
from eegfm.signal.formats.edf_writer import EdfWriter
from eegfm.signal.pieces import Pieces
from eegfm.signal.quality import check_amplitude
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import Step
from eegfm.tasks.classify import Classify
from eegfm.tasks.decision import decide
from eegfm.tasks.forecast import Forecast
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.tasks.stream import Seconds, can_stream, cross_faded, export, judged, streamed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


PIECE_S = 60.0  # seconds that are read and prepared at once
UNKNOWN = Reservation("UNKNOWN", "UNKNOWN: no finished run says what these weights were trained on")
COLUMNS = 1000  # of a picture: hours are averaged to so many


def stream(config: DictConfig) -> None:

    if OmegaConf.is_missing(config, "run"):
        raise EegfmError("Name what to run: run=runs/<run folder>")
    if config.file is None and config.export is None:
        raise EegfmError(
            "Name a recording: file=<file.edf> (or, to export a causal model, export=<file.pt2>)"
        )
    if config.steps not in ("run", "none"):
        raise EegfmError(f"steps={config.steps}: run (those of the run) or none is wanted.")
    if not isinstance(config.mark, int | float) or not config.mark > 0:
        raise EegfmError(f"mark={config.mark}: times the median error are wanted, a number above 0.")
    place = Place.of(config.run)
    run = _trained(place, config)
    if config.export is not None:
        path = Path(str(config.export))
        export(run.task, path, coords=_coords(run, "cpu"))
        print(
            f"{path.resolve()}: (x, state) -> (y, state), x [1, channel, 8] in microvolts at {run.data.spec.sfreq:g} Hz"
        )
    if config.file is not None:
        _stream(run, place, Path(str(config.file)), config)


def _trained(place: Place, config: DictConfig) -> "Run":
    """The run with its trained weights, in eval mode. Raises EegfmError where it cannot stream."""
    from torch import nn

    own = place.config
    if place.is_run:
        read_result(place.folder)  # of a run that has not ended, the weights are not the ones it will keep
    own.paths = config.paths
    run = build(own, None)  # the checkpoint has the weights
    if not isinstance(run.task, nn.Module):
        raise EegfmError(
            f"{place} was fitted in one go, and its classifier does not stream. Choose a run of task=classify or "
            "task=reconstruct."
        )
    # a Forecast is a Reconstruct that gives back the end of a window alone
    if not isinstance(run.task, Classify | Reconstruct) or isinstance(run.task, Forecast):
        raise EegfmError(
            f"{place}: a run of task=classify or task=reconstruct is wanted, not {type(run.task).__name__}."
        )
    put_trained(run.task, place)
    run.task.eval()
    return run


@dataclass
class _Found:
    """What is known at the end: for annotations, and of the work itself."""

    table: Path
    n_rows: int = 0
    columns: list[str] = field(default_factory=list)
    notes: list[tuple[float, float, str]] = field(default_factory=list)  # onset, seconds, what
    said: str = ""
    written: list[str] = field(default_factory=list)  # further files
    facts: dict[str, Any] = field(default_factory=dict)


def _stream(run: "Run", place: Place, file: Path, config: DictConfig) -> None:
    import torch

    spec = run.data.spec
    steps = () if config.steps == "none" else _steps_of(run.data)
    pieces = Pieces(file, channels=spec.montage.names, steps=steps, sfreq=spec.sfreq)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = auto if config.device == "auto" else config.device
    run.task.to(device)
    classes = isinstance(run.task, Classify)
    hop = _hop(config, run, pieces.sfreq, classes)
    out = place.beside / "stream" / file.stem if config.out is None else Path(str(config.out))
    out.mkdir(parents=True, exist_ok=True)
    (out / "stream.json").unlink(missing_ok=True)  # it says that the others are whole
    unlike = _unlike_eeg(pieces)
    started, used = time.monotonic(), time.process_time()
    with bar_of(True) as bar:
        task = bar.add_task(f"Streaming {file.name}", total=round(pieces.duration_s / 60), unit="min")

        def upto(sample: int) -> None:
            bar.update(task, completed=round(sample / pieces.sfreq / 60))

        if classes:
            assert hop is not None
            found = _classify(run, pieces, hop, out, torch.device(device), upto)
        else:
            found = _reconstruct(run, pieces, hop, out, config, torch.device(device), upto)
    seconds, used = time.monotonic() - started, time.process_time() - used
    notes = _write_annotations(out / f"{file.stem}-annot.fif", found.notes)
    known = [UNKNOWN] if place.result is None else reservations_of(place.result)
    title = titled(f"{run.data.benchmark.title}: {place.folder.name}", known) + f"\n{file.name}"
    binned = _binned(found, root=not classes)
    drawn = (
        recordings.probabilities_over_time(*binned, spec.classes, title=title)
        if classes
        else recordings.errors_over_time(*binned, spec.montage.names, marks=found.notes, title=title)
    )
    picture = style.save(drawn, out / f"{found.table.stem}.png")
    peak, speed = peak_memory_mb(), pieces.duration_s / seconds
    write_json(
        out / "stream.json",
        {
            "run": str(place.folder),
            "file": str(file),
            "seconds": pieces.duration_s,
            "sfreq": pieces.sfreq,
            "channels": pieces.names,
            "steps": [repr(step) for step in pieces.steps],
            "left_out": [repr(step) for step in pieces.left_out],
            "steps_look_ahead_s": pieces.ahead_s,
            "unlike_eeg": unlike,
            "warnings": [one.sentence for one in known],
            **found.facts,
            "wall_s": seconds,
            "cpu_s": used,
            "times_real_time": speed,
            "peak_memory_mb": peak,
            "device": device,
            **environment(),
        },
    )
    print(
        f"{file.name}: {pieces.duration_s / 3600:.2f} h, {len(pieces.names)} channels of it, {found.said}"
    )
    print("".join(f"{one}.\n" for one in known), end="")
    if pieces.steps:
        names = ", ".join(type(step).__name__ for step in pieces.steps)
        print(
            f"steps: {names}, which look {pieces.ahead_s:.1f} s ahead: this is the analysis of a recording that is "
            "over, not what a closed loop would have seen (steps=none)"
        )
    if pieces.left_out:
        print(f"left out, since a stream has no use for it: {', '.join(map(repr, pieces.left_out))}")
    if unlike:
        print(f"WARNING, the middle of the recording: {unlike}")
    memory = ", ".join(f"{value:,.0f} MB ({name})" for name, value in peak.items())
    print(f"{seconds:,.1f} s, {speed:,.0f} times real time, peak memory {memory}")
    written = [found.table.name, notes.name, picture.name, *found.written, "stream.json"]
    print(f"{out}: {', '.join(written)}")


def _unlike_eeg(pieces: "Pieces") -> str:
    """What is wrong with the size of the signal: a wrong unit shows in any minute. "" where nothing is."""
    half = round(PIECE_S / 2 * pieces.sfreq)
    middle = pieces.n_times // 2
    minute = pieces.take(max(0, middle - half), min(pieces.n_times, middle + half))
    try:
        check_amplitude(Recording(minute, pieces.sfreq, pieces.montage, path=pieces.path))
    except EegfmError as error:
        return str(error).replace(FETCH_AGAIN, "").strip()
    return ""


def _steps_of(data: Any) -> "Sequence[Step]":
    """The steps that the run's windows went through. Raises EegfmError for a mix of corpora, which has several."""
    if not hasattr(data.benchmark, "steps"):
        raise EegfmError(
            f"{data.benchmark.title} is a mix of corpora, each with steps of its own. Process the file like one of "
            "them, and type steps=none."
        )
    return data.benchmark.steps if data.steps is None else data.steps


def _window(data: Any) -> int:
    """Samples in a window of the run; behind an encoder, the spec counts seconds."""
    return data.spec.shape[1] if data.encoder is None else round(data.spec.shape[1] * data.spec.sfreq)


def _coords(run: "Run", device: Any) -> "Tensor":
    """The places of the run's channels."""
    import torch

    return torch.tensor(run.data.spec.montage.coords, dtype=torch.float32, device=device)


def _hop(config: DictConfig, run: "Run", sfreq: float, classes: bool) -> int | None:
    """Samples from window to window, None for one stream. Raises EegfmError for a hop that is none."""
    if not classes and can_stream(run.task.backbone):
        if config.hop_s is not None:
            raise EegfmError(
                "hop_s is for windows; a causal model takes the recording as one stream. Leave it out."
            )
        return None
    window_s = _window(run.data) / sfreq
    hop_s = config.hop_s if config.hop_s is not None else window_s if classes else window_s / 2
    if isinstance(hop_s, bool) or not isinstance(hop_s, int | float) or not 1 / sfreq <= hop_s <= window_s:
        raise EegfmError(
            f"hop_s={hop_s}: seconds from one window to the next are wanted, a window ({window_s:g} s) at most."
        )
    return round(hop_s * sfreq)


def _classify(
    run: "Run", pieces: "Pieces", hop: int, out: Path, device: Any, upto: Callable[[int], None]
) -> _Found:
    """A row a window: first second, probability of each class, decision. A decision as long as it stays is a note."""
    sfreq, window, classes = pieces.sfreq, _window(run.data), run.data.spec.classes
    window_s = window / sfreq
    found = _Found(out / "probabilities.csv", columns=[f"p({name})" for name in classes])
    coords = _coords(run, device)
    windows = judged(
        run.task, run.data.encoder, pieces.take, pieces.n_times,
        window=window, hop=hop, coords=coords, device=device,
    )  # fmt: skip
    last = ""
    with _table(found.table, ["second", *found.columns, "decision"]) as (write, flush):
        for starts, probability in windows:
            for start, row, choice in zip(starts, probability, decide(probability), strict=True):
                name, second = classes[choice], start / sfreq
                write([f"{second:g}", *(repr(float(p)) for p in row), name])
                # a window speaks for the time until the next one begins
                if name == last:
                    onset = found.notes[-1][0]
                    found.notes[-1] = (onset, second - onset + hop / sfreq, name)
                else:
                    found.notes.append((second, hop / sfreq, name))
                last = name
                found.n_rows += 1
            flush()
            upto(int(starts[-1]) + window)
    # the last window speaks for all of itself
    onset, _, name = found.notes[-1]
    found.notes[-1] = (onset, int(starts[-1]) / sfreq + window_s - onset, name)
    found.said = f"{found.n_rows:,} windows of {window_s:g} s, one every {hop / sfreq:g} s"
    found.facts = {
        "task": "classify",
        "window_s": window_s,
        "hop_s": hop / sfreq,
        "windows": found.n_rows,
    }
    return found


def _reconstruct(
    run: "Run",
    pieces: "Pieces",
    hop: int | None,
    out: Path,
    config: DictConfig,
    device: Any,
    upto: Callable[[int], None],
) -> _Found:
    """A row a second: its error, of all channels and of each. Seconds far above the median error are notes."""
    import numpy as np

    window, sfreq, n_times = _window(run.data), pieces.sfreq, pieces.n_times
    window_s = window / sfreq
    names = pieces.montage.names
    found = _Found(out / "errors.csv", columns=["rmse_uv", *(f"rmse_uv({name})" for name in names)])
    if hop is None:
        long = round(PIECE_S * sfreq)
        cuts = [*range(0, n_times, long), n_times]
        taken = (pieces.take(a, b) for a, b in pairwise(cuts))
        back = streamed(run.task, taken, coords=_coords(run, device), device=device)
        found.said = f"one causal stream: an output waits for {run.task.backbone.latency} samples at most"
        found.facts = {
            "task": "reconstruct",
            "stream": "causal",
            "latency_samples": run.task.backbone.latency,
        }
    else:
        coords = _coords(run, device)
        back = cross_faded(
            run.task, pieces.take, n_times,
            window=window, hop=hop, coords=coords, device=device,
        )  # fmt: skip
        found.said = f"windows of {window_s:g} s, one every {hop / sfreq:g} s, faded into one another"
        found.facts = {
            "task": "reconstruct",
            "stream": "windows",
            "window_s": window_s,
            "hop_s": hop / sfreq,
        }
    overall = array("d")  # of every second: eight bytes, to find the median
    seconds = Seconds(len(names), sfreq)
    keep = nullcontext()
    if config.keep:
        found.written.append("reconstruction.edf")
        keep = EdfWriter(out / found.written[0], names, sfreq)
    with _table(found.table, ["second", *found.columns]) as (write, flush), keep as kept:

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
    found.n_rows = len(overall)
    errors = np.frombuffer(overall)
    limit = config.mark * float(np.median(errors))
    for second in np.flatnonzero(errors > limit).tolist():
        length = min(1.0, pieces.duration_s - second)
        if found.notes and found.notes[-1][0] + found.notes[-1][1] == second:
            onset, before, name = found.notes[-1]
            found.notes[-1] = (onset, before + length, name)
        else:
            found.notes.append((float(second), length, "high error"))
    marked = int((errors > limit).sum())
    found.facts |= {
        "rmse_uv": float(np.sqrt(np.mean(errors**2))),
        "median_rmse_uv": float(np.median(errors)),
        "marked_above_uv": limit,
        "marked": f"seconds whose error of all channels is above {config.mark:g} times the median of the recording",
        "marked_seconds": marked,
    }
    found.said += (
        f"; error {np.median(errors):.3g} µV in the median second, above {limit:.3g} µV in {marked:,} of "
        f"{len(errors):,}"
    )
    return found


@contextmanager
def _table(
    path: Path, header: list[str]
) -> Iterator[tuple[Callable[[list[str]], Any], Callable[[], None]]]:
    """A CSV file that is written as it is found: how to add a row, and how to see to it that rows are on the disk."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        yield writer.writerow, file.flush


def _binned(found: _Found, *, root: bool) -> tuple["np.ndarray", "np.ndarray"]:
    """First seconds and means of at most `COLUMNS` stretches of the table, read row by row; `root`: of the squares."""
    import numpy as np

    n_bins = min(COLUMNS, found.n_rows)
    seconds, counts = np.full(n_bins, np.nan), np.zeros((n_bins, 1))
    sums = np.zeros((n_bins, len(found.columns)))
    with open(found.table, newline="", encoding="utf-8") as file:
        for i, row in enumerate(csv.DictReader(file)):
            place = i * n_bins // found.n_rows
            values = np.array([float(row[name]) for name in found.columns])
            sums[place] += values**2 if root else values
            counts[place] += 1
            if counts[place] == 1:
                seconds[place] = float(row["second"])
    means = sums / counts
    return seconds, np.sqrt(means) if root else means


def _write_annotations(path: Path, notes: list[tuple[float, float, str]]) -> Path:
    """For `raw.set_annotations(mne.read_annotations(path))`: onsets count from the file's first sample."""
    import mne

    onset, duration, description = zip(*notes, strict=True) if notes else ([], [], [])
    mne.Annotations(onset, duration, description).save(path, overwrite=True, verbose="error")
    return path
