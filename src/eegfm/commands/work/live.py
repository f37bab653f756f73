"""What `eegfm stream lsl=<stream>` does: a trained model on a live source of the lab streaming layer (LSL).

A classifier gets the last window every `hop_s` seconds: what it says is of the seconds before. A causal
reconstruction goes on sample by sample with its memory, as over a file, and its error of every second is given. Both
go out as a stream of markers, and into a table with how late each was. Samples are counted against the stream's own
clock.
"""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from eegfm.build import Run
from eegfm.commands.work.stream_output import coords_of, second_of, window_of
from eegfm.contracts import EegfmError
from eegfm.signal.declared import Declared
from eegfm.signal.formats.units import microvolts_of
from eegfm.signal.matching import matched
from eegfm.support.files import cell
from eegfm.support.words import some, visible
from eegfm.tasks.classify import Classify
from eegfm.tasks.decision import decide
from eegfm.tasks.on_windows import OnWindows
from eegfm.tasks.stream import Seconds, can_stream, stepper

SILENT_S = 5.0  # a source that sends nothing for so long has ended
MULTIPLIERS = {"0": 1e6, "-3": 1e3, "-6": 1.0}  # of a volt, as streams that MNE-LSL made say their unit
READY = "live on"  # the first word on the screen, behind which markers are to be had


class Source:
    """A stream of LSL as microvolts of a run's channels, a chunk at a time; each sample with its time.

    The unit of a channel is the one that is typed, else what the run's data set declares of its files, else the
    stream's own: a replayed file has its file's fault.

    Raises EegfmError if mne-lsl is not installed, there is no such stream, or it is of other channels, another rate or
    an unknown unit.
    """

    def __init__(self, name: str, run: Run, unit: str | None, declared: Declared) -> None:
        self.lsl = lsl = library()
        found = lsl.resolve_streams(timeout=10.0, name=name)
        if len(found) != 1:
            there = ", ".join(sorted(one.name for one in lsl.resolve_streams(timeout=2.0))) or "none"
            raise EegfmError(
                f"lsl={name}: {len(found) or 'no'} streams have this name. There are: {there}."
            )
        self.inlet = lsl.StreamInlet(found[0], max_buffered=360)
        self.inlet.open_stream(timeout=10.0)
        info = self.inlet.get_sinfo(timeout=10.0)
        spec = run.data.spec
        names = info.get_channel_names() or []
        rows = matched(names, spec.montage.names, Path(f"The stream {name}"), aliases=declared.aliases)
        self.sfreq = float(info.sfreq)
        if not np.isclose(self.sfreq, spec.sfreq, rtol=1e-6, atol=0):
            raise EegfmError(
                f"The stream {name} has {self.sfreq:g} Hz, and this run reads {spec.sfreq:g} Hz. Let the device, or a "
                "program between, send that rate."
            )
        self.rows = np.array([names.index(one) for one in rows])
        units = info.get_channel_units() or [""] * len(names)
        own = {names[row]: units[row] for row in self.rows}
        word = {} if unit is None else {"*": unit}
        word = word or declared.units
        said = [word.get(one, word.get("*", unit_of)) for one, unit_of in own.items()]
        if unit is None and said != [*own.values()]:
            took = ", ".join(dict.fromkeys(map(str, said)))
            print(
                f"unit: {took}, as the run's data set declares of its files; the stream says "
                f"{some(sorted({_spoken(one) for one in own.values()}))}. If the stream is right, type it: unit=V"
            )
        factors = [one if isinstance(one, float | int) else _microvolts(one) for one in said]
        wrong = sorted({str(one) for one, uv in zip(said, factors, strict=True) if uv is None})
        if wrong:
            raise EegfmError(
                f"The stream {name} has channels in the unit {', '.join(map(repr, wrong))}, which says nothing of "
                "microvolts. Say it: unit=uV"
            )
        self.factors = np.array(factors, dtype=float)[:, None]
        self.first_s = self.last_s = float("nan")
        self.n = 0

    @property
    def lost(self) -> int:
        """Samples that the stream's clock says were sent between the first and the last one here, and did not come."""
        return max(0, round((self.last_s - self.first_s) * self.sfreq) + 1 - self.n) if self.n else 0

    def chunks(
        self, seconds: float | None
    ) -> Iterator[tuple[Float[np.ndarray, "channel time"], Float[np.ndarray, " time"]]]:
        """Chunks as they come, until so many seconds of signal have come, or the source ends."""
        heard = time.monotonic()
        while seconds is None or self.n < round(seconds * self.sfreq):
            data, times = self.inlet.pull_chunk(timeout=0.05)
            if not len(times):
                if time.monotonic() - heard > SILENT_S:
                    return
                continue
            heard = time.monotonic()
            if seconds is not None:
                left = round(seconds * self.sfreq) - self.n
                data, times = data[:left], times[:left]
            if not self.n:
                self.first_s = float(times[0])
            self.n += len(times)
            self.last_s = float(times[-1])
            yield np.asarray(data, dtype=float).T[self.rows] * self.factors, np.asarray(times)


def _microvolts(unit: str | None) -> float | None:
    """Of one number in a unit as a stream says it; None for one that says nothing."""
    return MULTIPLIERS.get(unit, microvolts_of(unit)) if unit else None


def _spoken(unit: str | None) -> str:
    return {"0": "V", "-3": "mV", "-6": "uV"}.get(unit or "", unit or "nothing")


def library() -> Any:
    """The module `mne_lsl.lsl`. Raises EegfmError if its package, an extra, is not installed."""
    try:
        from mne_lsl import lsl
    except (ImportError, OSError, RuntimeError) as error:
        raise EegfmError(f"lsl=... needs mne-lsl ({error}). Type: pip install 'eegfm[lsl]'") from error
    return lsl


def live(run: Run, declared: Declared, hop: int | None, out: Path, config: Any, device: str) -> None:
    """Answer a live source until it ends, `config.seconds` have come, or Ctrl-C."""
    source = Source(str(config.lsl), run, config.unit, declared)
    classes = isinstance(run.task, Classify)
    info = source.lsl.StreamInfo(f"{config.lsl}-eegfm", "Markers", 1, 0, "string", f"eegfm-{config.lsl}")
    outlet = source.lsl.StreamOutlet(info)
    columns = [f"p({name})" for name in run.data.spec.classes] + ["decision"] if classes else ["rmse_uv"]
    late_ms: list[float] = []
    if classes:
        assert hop is not None
        delay = f"what it says is of the {window_of(run.data) / source.sfreq:g} s before"
    else:
        delay = f"a causal stream, at most {run.task.backbone.latency} samples late"
    print(f"{READY} {visible(str(config.lsl))}: {delay}; markers go out as {config.lsl}-eegfm", flush=True)
    with open(out / "live.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(cell, ["second", *columns, "late_ms"]))
        answers = (
            _decisions(run, source, hop, config, device)
            if hop is not None
            else _errors(run, source, config)
        )
        try:
            for second, values, marker, time_s in answers:
                outlet.push_sample([marker])
                late_ms.append(1000 * (source.lsl.local_clock() - time_s))
                writer.writerow(map(cell, [second_of(second), *values, f"{late_ms[-1]:.1f}"]))
                file.flush()
        except KeyboardInterrupt:
            pass
    late = np.array(late_ms) if late_ms else np.full(1, np.nan)
    print(
        f"{len(late_ms):,} answers to {source.n / source.sfreq:,.1f} s; {source.lost} samples lost; late by "
        f"{np.median(late):.0f} ms (median), {np.quantile(late, 0.95):.0f} ms (95 %), {late.max():.0f} ms at most"
    )
    print(f"{out}: live.csv")


Answer = tuple[
    float, list[str], str, float
]  # second of the signal, cells, marker, the time of the last sample it is of


def _decisions(run: Run, source: Source, hop: int, config: Any, device: str) -> Iterator[Answer]:
    on, spec, window = OnWindows(run.task, run.data.encoder, device), run.data.spec, window_of(run.data)
    signal, times = np.empty((spec.n_channels, 0)), np.empty(0)
    start = 0  # of the next window, in samples since the beginning; `signal` begins there
    for data, at in source.chunks(config.seconds):
        signal, times = np.concatenate([signal, data], axis=1), np.concatenate([times, at])
        while signal.shape[1] >= window:
            x = signal[None, :, :window].astype(np.float32)
            (row,) = found = on.probabilities(x, spec.montage.coords)
            name = spec.classes[decide(found)[0]]
            yield start / source.sfreq, [*map(repr, row.tolist()), name], name, float(times[window - 1])
            if signal.shape[1] < hop:
                break
            signal, times, start = signal[:, hop:], times[hop:], start + hop


def _errors(run: Run, source: Source, config: Any) -> Iterator[Answer]:
    """The error of every second, of one causal stream as in `eegfm.tasks.stream.streamed`."""
    step = stepper(run.task, coords_of(run, "cpu")).eval()
    state = step.empty
    waiting, times = np.empty((run.data.spec.n_channels, 0), dtype=np.float32), np.empty(0)
    seconds = Seconds(len(waiting), source.sfreq)
    for data, at in source.chunks(config.seconds):
        x = np.ascontiguousarray(data, dtype=np.float32)
        with torch.inference_mode():
            y, state = step(torch.from_numpy(x)[None], state)
        waiting, times = np.concatenate([waiting, x], axis=1), np.concatenate([times, at])
        n = y.shape[-1]
        if not n:
            continue
        square = (y[0].numpy() - waiting[:, :n]).astype(np.float64) ** 2
        last_s = float(times[n - 1])
        waiting, times = waiting[:, n:], times[n:]
        for second, mean in seconds.add(square):
            error = repr(float(mean.mean() ** 0.5))
            yield float(second), [error], f"rmse_uv {error}", last_s


def refuse_live(run: Run, steps: str, steps_of_run: tuple[Any, ...]) -> None:
    """Raise EegfmError for what cannot answer a live source: steps that look ahead, a model of the future."""
    # the source has the run's rate, so that resampling to it does nothing
    ahead = [step for step in steps_of_run if getattr(step, "sfreq", None) != run.data.spec.sfreq]
    if steps == "run" and ahead:
        names = ", ".join(type(step).__name__ for step in ahead)
        raise EegfmError(
            f"This run's steps ({names}) look ahead, and a live source has no future. Let the device filter and "
            "resample as nearly as it can, and type steps=none"
        )
    if not isinstance(run.task, Classify) and not can_stream(run.task.backbone):
        raise EegfmError(
            "This model reconstructs with the future of a sample, which a live source does not have. Choose a causal "
            "one (model.causal=true), or a run of task=classify."
        )
