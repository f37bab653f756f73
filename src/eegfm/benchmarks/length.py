"""A benchmark with windows of another length than its protocol's: `data.window_s`.

Every piece of a recording is then cut on a plain grid, from its first sample on, never across a gap; tails
are dropped, and so are windows that reach into a last record that was filled up. If a label belongs to a whole
recording (`BenchmarkSpec.one_label`), its windows keep it at any length. Labels of trials and events do not
carry over to a stretch that may hold several or none: those windows have no label and serve only for
pre-training. Nor are they those of the published protocol, so the protocol's name states the length
("cbramod-30s@b9e9610").
"""

from dataclasses import replace
from functools import partial

from eegfm.benchmarks.spec import BenchmarkSpec, Census, LeftOut, Source, Window, WindowsOf
from eegfm.contracts import EegfmError
from eegfm.signal.recording import Recording
from eegfm.signal.windows import grid


def of_length(benchmark: BenchmarkSpec, window_s: float | None) -> BenchmarkSpec:
    """The benchmark with windows of `window_s` seconds; the same benchmark for None and for its own length.

    Recordings, channels, steps and splits stay. The census keeps only the number of recordings.

    Raises:
        EegfmError: the length is no whole number of samples, windows of one recording belong to several
            splits, or the steps have cut up the recordings.
    """
    if window_s is None or (benchmark.one_label and window_s == benchmark.window_s):
        return benchmark
    what, n = f"{benchmark.title}, data.window_s={window_s:g}", window_s * benchmark.sfreq
    if not 1 <= n < 2**31 or abs(n - round(n)) > 1e-6:
        raise EegfmError(
            f"{what}: a window is a whole number of samples at {benchmark.sfreq:g} Hz, which makes multiples of "
            f"{1 / benchmark.sfreq:g} s."
        )
    if benchmark.within_subject:
        raise EegfmError(
            f"{what}: the published splits divide every recording ({benchmark.split_rule}), and a window of another "
            "length may lie in two of them. Choose splits by subject (data.benchmark.split=subjects), or leave "
            "data.window_s out."
        )
    cutting = [type(step).__name__ for step in benchmark.steps if getattr(step, "cuts", False)]
    if cutting:
        raise EegfmError(
            f"{what}: its steps {', '.join(cutting)} cut recordings for windows of {benchmark.window_s:g} s, so that "
            "no other length can be had, longer ones least of all. Choose whole recordings "
            "(data.benchmark.variant=repaired), or leave data.window_s out."
        )
    name, at, version = benchmark.protocol.partition("@")
    return replace(
        benchmark,
        protocol=f"{name}-{window_s:g}s{at}{version}",
        classes=benchmark.classes if benchmark.one_label else (),
        window_s=float(window_s),
        census=Census(recordings=benchmark.census.recordings, source=benchmark.census.source),
        windows=partial(
            _windows, window_s=window_s, own=benchmark.windows if benchmark.one_label else None
        ),
        reference_key=None,
    )


def _windows(
    recording: Recording, source: Source, *, window_s: float, own: WindowsOf | None
) -> list[Window]:
    """A grid over every piece, with the one label of the protocol's `own` windows; label 0 if `own` is None."""
    # PhysioNet's files end with half a second of one value
    last_s = recording.filled_from_s - window_s + 0.5 / recording.sfreq
    onsets = [onset_s for onset_s in grid(recording, window_s) if onset_s <= last_s]
    if not onsets:
        longest_s = max(
            min((end - start) / recording.sfreq, recording.filled_from_s - piece.onset_s)
            for piece, (start, end) in zip(recording.pieces, recording.spans(), strict=True)
        )
        raise LeftOut(
            f"{source.path}: its longest stretch without a gap is {longest_s:g} s, shorter than a window "
            f"(data.window_s={window_s:g})."
        )
    if own is None:
        return [Window(onset_s, 0) for onset_s in onsets]
    labels = {window.label for window in own(recording, source)}
    if not labels:
        raise LeftOut(f"{source.path}: too short for a window of the protocol, which would say its label.")
    assert len(labels) == 1, f"{source.path}: one_label, and its windows have {sorted(labels)}"
    (label,) = labels
    return [Window(onset_s, label) for onset_s in onsets]
