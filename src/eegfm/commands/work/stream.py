"""What `eegfm stream` does: run a trained model over a recording of hours, in constant memory."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eegfm.build import Run, put_trained, untrained
from eegfm.commands.work.applied import declared_of
from eegfm.commands.work.live import live, refuse_live
from eegfm.commands.work.stream_output import (
    PIECE_S,
    classify,
    coords_of,
    reconstruct,
    second_of,
    stretches_of,
    window_of,
    write_annotations,
)
from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import bar_of
from eegfm.drawing import recordings, style
from eegfm.nn.adapters import take_out
from eegfm.runs.corpora_seen import reservations_elsewhere
from eegfm.runs.machine import environment, peak_memory_mb
from eegfm.runs.place import Place
from eegfm.runs.reservations import titled
from eegfm.runs.results import read_result
from eegfm.signal.pieces import Pieces
from eegfm.signal.quality import check_amplitude
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import Step
from eegfm.support.files import file_name, refuse_links, write_json
from eegfm.support.words import some, visible
from eegfm.tasks.classify import Classify
from eegfm.tasks.fitted import FitsInOneGo
from eegfm.tasks.forecast import Forecast
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.tasks.stream import can_stream, export


def stream(config: DictConfig) -> None:
    """Stream a recording, export a causal model, or both. Raises EegfmError for values that cannot work."""
    if OmegaConf.is_missing(config, "run"):
        raise EegfmError("Name the run: run=runs/<run folder>")
    if config.file is None and config.export is None and config.lsl is None:
        raise EegfmError(
            "Name a recording: file=<file.edf> (or a live source: lsl=<stream>; or, to export a causal model, "
            "export=<file.pt2>)"
        )
    if config.steps not in ("run", "none"):
        raise EegfmError(f"steps={config.steps}: run (the processing steps of the run) or none is wanted.")
    if not isinstance(config.mark, int | float) or not config.mark > 0:
        raise EegfmError(f"mark={config.mark}: a multiple of the median error is wanted, a number above 0.")
    place = Place.of(config.run, config.trust)
    run = _trained(place, config)
    if config.export is not None:
        path = Path(str(config.export))
        export(run.task, path, coords=coords_of(run, "cpu"))
        print(
            f"{path.resolve()}: (x, state) -> (y, state), x [1, channel, 8] in microvolts at {run.data.spec.sfreq:g} Hz"
        )
    if config.file is not None:
        _stream(run, place, Path(str(config.file)), config)
    if config.lsl is not None:
        _live(run, place, config)


def _trained(place: Place, config: DictConfig) -> "Run":
    """The run with its trained weights, in eval mode. Raises EegfmError if it cannot stream."""
    own = place.config
    if place.is_run:
        read_result(place.folder)  # refuses a run that has not ended: its weights will change
    own.paths = config.paths
    run = untrained(own, place)  # the weights come from the checkpoint below
    if isinstance(run.task, FitsInOneGo):
        raise EegfmError(
            f"{place} was fitted in one go, and its classifier does not stream. Choose a run of task=classify or "
            "task=reconstruct."
        )
    # a Forecast is a Reconstruct, but predicts only the end of a window
    if not isinstance(run.task, Classify | Reconstruct) or isinstance(run.task, Forecast):
        raise EegfmError(
            f"{place}: a run of task=classify or task=reconstruct is wanted, not {type(run.task).__name__}."
        )
    put_trained(run.task, place)
    if own.task.get("adapters"):
        take_out(run.task.backbone)  # the layers that keep a stream's past are its own
    run.task.eval()
    return run


def _live(run: "Run", place: Place, config: DictConfig) -> None:
    refuse_live(run, str(config.steps), () if config.steps == "none" else tuple(_steps_of(run.data)))
    device = _device(config)
    run.task.to(device)
    out = (
        place.beside / "stream" / file_name(str(config.lsl))
        if config.out is None
        else Path(str(config.out))
    )
    refuse_links(out.parent, out, *out.glob("*"))
    out.mkdir(parents=True, exist_ok=True)
    for one in reservations_elsewhere(place):
        print(f"{one}.")
    hop = _hop(config, run, run.data.spec.sfreq, isinstance(run.task, Classify))
    live(run, declared_of(run, str(config.steps)), hop, out, config, device)


def _device(config: DictConfig) -> str:
    import torch

    auto = "cuda" if torch.cuda.is_available() else "cpu"
    return auto if config.device == "auto" else config.device


def _stream(run: "Run", place: Place, file: Path, config: DictConfig) -> None:
    import torch

    spec = run.data.spec
    steps = () if config.steps == "none" else _steps_of(run.data)
    pieces = Pieces(
        file,
        channels=spec.montage.names,
        steps=steps,
        sfreq=spec.sfreq,
        declared=declared_of(run, str(config.steps)),
    )
    unlike = _unlike_eeg(pieces)
    device = _device(config)
    run.task.to(device)
    classes = isinstance(run.task, Classify)
    hop = _hop(config, run, pieces.sfreq, classes)
    out = place.beside / "stream" / file.stem if config.out is None else Path(str(config.out))
    if config.out is None:
        refuse_links(out.parent, out, *out.glob("*"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "stream.json").unlink(missing_ok=True)  # written last: it says that the other files are complete
    started, used = time.monotonic(), time.process_time()
    with bar_of(True) as bar:
        task = bar.add_task(
            f"Streaming {visible(file.name)}", total=round(pieces.duration_s / 60), unit="min"
        )

        def upto(sample: int) -> None:
            bar.update(task, completed=round(sample / pieces.sfreq / 60))

        if classes:
            assert hop is not None
            events = place.result.events if place.result else {}
            threshold = float(events.get("threshold", 0.5))
            output = classify(run, pieces, hop, out, torch.device(device), upto, threshold)
        else:
            output = reconstruct(run, pieces, hop, out, config, torch.device(device), upto)
    seconds, used = time.monotonic() - started, time.process_time() - used
    notes = write_annotations(out / f"{file.stem}-annot.fif", output.notes)
    known = reservations_elsewhere(place)
    title = titled(f"{run.data.benchmark.title}: {place.folder.name}", known) + f"\n{file.name}"
    binned = stretches_of(output, root=not classes)
    drawn = (
        recordings.probabilities_over_time(*binned, spec.classes, title=title)
        if classes
        else recordings.errors_over_time(*binned, spec.montage.names, marks=output.notes, title=title)
    )
    picture = style.save(drawn, out / f"{output.table.stem}.png")
    peak, speed = peak_memory_mb(), pieces.duration_s / seconds
    write_json(
        out / "stream.json",
        {
            "run": str(place.folder),
            "file": str(file),
            "seconds": pieces.duration_s,
            "sfreq": pieces.sfreq,
            "pieces": [{"onset_s": piece.onset_s, "seconds": piece.duration_s} for piece in pieces.all],
            "too_short": [
                {"onset_s": onset_s, "seconds": length_s} for onset_s, length_s in output.too_short
            ],
            "channels": pieces.names,
            "steps": [repr(step) for step in pieces.steps],
            "left_out": [repr(step) for step in pieces.left_out],
            "steps_look_ahead_s": pieces.ahead_s,
            "unlike_eeg": unlike,
            "warnings": [reservation.sentence for reservation in known],
            **output.facts,
            "wall_s": seconds,
            "cpu_s": used,
            "times_real_time": speed,
            "peak_memory_mb": peak,
            "device": device,
            **environment(),
        },
    )
    print(f"{file.name}: {pieces.duration_s / 3600:.2f} h, {len(pieces.names)} channels, {output.summary}")
    print("".join(f"{reservation}.\n" for reservation in known), end="")
    if len(pieces.all) > 1:
        print(
            f"the recording has {len(pieces.all) - 1} gaps: its {len(pieces.all)} pieces are analysed one by one, and "
            "seconds are those of the file"
        )
    if output.too_short:
        print(
            f"left out, since a window is longer: {len(output.too_short)} pieces, {_seconds(output.too_short)}"
        )
    if pieces.steps:
        names = ", ".join(type(step).__name__ for step in pieces.steps)
        print(
            f"steps: {names}, which look {pieces.ahead_s:.1f} s ahead: this analyses a finished recording; a closed "
            "loop would have seen less (steps=none leaves them out)"
        )
    if pieces.left_out:
        print(f"left out, as a stream cannot use it: {', '.join(map(repr, pieces.left_out))}")
    if unlike:
        print(f"WARNING, look at the recording before trusting this: {unlike}")
    memory = ", ".join(f"{value:,.0f} MB ({name})" for name, value in peak.items())
    print(f"{seconds:,.1f} s, {speed:,.0f} times real time, peak memory {memory}")
    written = [output.table.name, notes.name, picture.name, *output.written, "stream.json"]
    print(f"{out}: {', '.join(written)}")


def _seconds(pieces: Sequence[tuple[float, float]]) -> str:
    return some([f"{length_s:g} s at {second_of(onset_s)} s" for onset_s, length_s in pieces])


def _unlike_eeg(pieces: "Pieces") -> str:
    """What is suspect of the whole signal as it is in the file, or of the size of what the steps make of it.

    "" where nothing is. A wrong unit shows in any minute: the middle one is taken. Raises EegfmError for values that
    no model can be asked about.
    """
    measured = pieces.measured()
    fault = measured.fault()
    if fault:
        raise EegfmError(f"{pieces.path} {fault}. Put them right, or choose another recording.")
    found = [*filter(None, [measured.still()]), *measured.doubts()]
    half = round(PIECE_S / 2 * pieces.sfreq)
    longest = max(pieces.all, key=lambda piece: piece.n_times)
    middle = longest.n_times // 2
    minute = longest.take(max(0, middle - half), min(longest.n_times, middle + half))
    try:
        found += check_amplitude(Recording(minute, pieces.sfreq, pieces.montage, path=pieces.path))
    except EegfmError as error:
        found.append(str(error).replace(FETCH_AGAIN, "").strip())
    return "; ".join(found)


def _steps_of(data: Any) -> "Sequence[Step]":
    """The steps that the run's windows went through. Raises EegfmError for several corpora: each has its own."""
    first, *others = data.corpora.values()
    if others:
        raise EegfmError(
            f"{data.benchmark.title} is a mix of corpora, each with its own steps. Process the file like one "
            "of them, and type steps=none."
        )
    return first.benchmark.steps if first.steps is None else first.steps


def _hop(config: DictConfig, run: "Run", sfreq: float, classes: bool) -> int | None:
    """Samples from one window to the next; None for one causal stream. Raises EegfmError for a wrong hop_s."""
    if not classes and can_stream(run.task.backbone):
        if config.hop_s is not None:
            raise EegfmError(
                "hop_s is for windows, and a causal model takes the recording as one stream. Leave it out."
            )
        return None
    window_s = window_of(run.data) / sfreq
    hop_s = config.hop_s if config.hop_s is not None else window_s if classes else window_s / 2
    if isinstance(hop_s, bool) or not isinstance(hop_s, int | float) or not 1 / sfreq <= hop_s <= window_s:
        raise EegfmError(
            f"hop_s={hop_s}: the seconds from one window to the next are wanted, at most one window ({window_s:g} s)."
        )
    return round(hop_s * sfreq)
