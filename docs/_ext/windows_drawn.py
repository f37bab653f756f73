"""A window of a benchmark and its spectrum, as a picture: before the protocol's steps, as published, and repaired.

Drawn whenever the documentation is built: from a recording of the corpus where EEGFM_TEST_DATA names a folder that has
one, else from a simulated signal that is sent through the benchmark's own steps. The picture says which. No recording
and no picture of one is part of the repository.
"""

import os
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import numpy as np
import scipy.signal
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eegfm.benchmarks import synthetic
from eegfm.benchmarks.chb_mit import SEIZURE
from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.drawing.style import BLUE, GREY, INK, ORANGE, save
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import Event, Recording
from eegfm.signal.steps import Bipolar, Notch
from eegfm.signal.windows import cut, fits

RECORDED = {  # folders of EEGFM_TEST_DATA that hold recordings of a benchmark
    "mental_arithmetic": "mental_arithmetic_eegmat",
    "physionet_mi": "eegmmidb",
    "eye_state": "eeg_eye_state",
}
TRIALS = ("shu_mi", "faced")  # whose files hold trials and not a whole recording
CLEANED = ("shu_mi", "faced", "mental_arithmetic")  # by their authors: no mains, no drift
MAINS_HZ = {"chb_mit": 60.0}  # where no step says it
MINUTE = 60.0
ONSET_S = 20.0  # of the window that is drawn
ONSETS = {
    "bciciv2a": 18.0,
    "tuev": -2.0,
}  # two seconds behind a cue; around an event at the first sample of a file
SHOWN = 8  # channels


def recording_of(name: str, spec: BenchmarkSpec) -> tuple[Recording, str]:
    """A recording of the corpus if there is one at hand, or a simulated one, and what it is in words."""
    folder = os.environ.get("EEGFM_TEST_DATA")
    if folder and name in RECORDED:
        for source in spec.sources(Path(folder) / RECORDED[name]):
            if all(path.exists() for path in source.files):
                return spec.read(
                    source
                ), f"{source.path.name} of the corpus ({spec.licence.partition(';')[0]})"
    if spec.simulated:
        raw = synthetic._simulate(
            "S01"
        )  # making the whole corpus for one picture would take longer than the pages
        return Recording.from_mne(raw, channels=spec.channels), "S01 of the simulated corpus, no person"
    return simulated(name, spec), "simulated signal, no person, sent through the steps of this benchmark"


def simulated(name: str, spec: BenchmarkSpec) -> Recording:
    """A minute of noise with the spectrum 1/f, a rhythm of 10 Hz at the back of the head, mains, offsets and drifts."""
    rows = list(spec.channels)
    if any(isinstance(step, Bipolar) for step in spec.steps):
        rows = list(dict.fromkeys(electrode for row in rows for electrode in row.split("-")))
    rate = spec.raw_sfreq[0] if spec.raw_sfreq else spec.sfreq
    window = round(spec.window_s * rate)
    n = window * 6 if name in TRIALS else round(MINUTE * rate)
    draw = np.random.default_rng(21)
    seconds = np.arange(n) / rate

    def noise(low: float, high: float, power: float) -> np.ndarray:
        hertz = np.fft.rfftfreq(n, 1 / rate)
        shape = np.where((hertz >= low) & (hertz <= high), np.maximum(hertz, low) ** (-power / 2), 0)
        drawn = np.fft.irfft(shape * np.fft.rfft(draw.standard_normal(n)), n)
        return drawn / drawn.std()

    cleaned = name in CLEANED
    everywhere = noise(0.5, rate / 2, 1.2)
    data = np.empty((len(rows), n))
    for i, row in enumerate(rows):
        back = 1.0 if row.upper().startswith(("O", "PO", "P")) or "-O" in row.upper() else 0.3
        data[i] = 6 * everywhere + 9 * noise(0.5, rate / 2, 1.2) + 12 * back * noise(9, 11, 0)
        if not cleaned:
            notched = next((step.freq for step in spec.steps if isinstance(step, Notch)), 50.0)
            mains = MAINS_HZ.get(name, notched)
            data[i] += 3 * np.sin(2 * np.pi * mains * seconds) + 25 * noise(0.02, 0.2, 1)
            data[i] += 40 * draw.standard_normal()
    montage = montage_of(tuple(rows))
    if name in TRIALS:
        trials = data.reshape(len(rows), 6, window).transpose(1, 0, 2)
        return Recording.of_epochs(trials, rate, montage, ["trial"] * 6)
    events = tuple(Event(float(second), 4.0, "cue") for second in range(0, 56, 8))
    if name == "chb_mit":
        events = (Event(30.0, 10.0, SEIZURE),)
    return Recording(data, rate, montage, events)


def draw(name: str, specs: Mapping[str, BenchmarkSpec], path: Path) -> str:
    """Draw a window of a benchmark in the forms that it has, and say in a sentence what the picture shows."""
    first = next(iter(specs.values()))
    recording, source = recording_of(name, first)
    onset_s = first.window_s * 2 if name in TRIALS else ONSETS.get(name, ONSET_S)
    forms = {}
    for form, spec in specs.items():
        done = reduce(lambda before, step: step(before), spec.steps, recording)
        if fits(done, onset_s, spec.window_s):
            forms[form] = cut(done, onset_s, spec.window_s)
    far = np.zeros(0)
    if len(specs) == 1:
        said, forms = "After the steps, beside what is in the file.", {"after the steps": forms["repaired"]}
    elif len(forms) == 1:
        said = (
            f"The published window of an event in the first second of a file: left of {-onset_s:g} s (dashed) it is "
            "the file's end. Repaired, there is no such window."
        )
    else:
        far = np.abs(forms["published"] - forms["repaired"]).max(0)
        said = (
            f"Here the published window differs from the repaired one by up to {far.max():.1f} µV, at "
            f"{far.argmax() / first.sfreq:.2f} s, and by {np.median(far):.2g} µV in its median sample (of the channel "
            "that differs most)."
        )
        if far.max() < 1e-6:
            said = (
                "This window is the same in both forms: they differ in which windows there are, "
                "and in who is in which split."
            )
            far, forms = np.zeros(0), {"published and repaired alike": forms["repaired"]}
    raw = cut(recording, onset_s, first.window_s) if fits(recording, onset_s, first.window_s) else None
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    parts = figure.subplot_mosaic(
        [["left", "right"], ["below", "right"]] if far.size else [["left", "right"]],
        width_ratios=(1.7, 1),
        height_ratios=(5, 1) if far.size else (1,),
    )
    left, right = parts["left"], parts["right"]
    if far.size:
        below = parts["below"]
        below.fill_between(np.arange(far.size) / first.sfreq, far, color=ORANGE, lw=0)
        below.set_xlim(0, first.window_s)
        below.set_title("largest |published - repaired| in µV", fontsize=8, loc="left", pad=2)
        _plain(below)
    _traces(left, first, forms)
    if onset_s < 0:
        left.axvline(-onset_s, color=INK, ls="--", lw=1)
    _spectra(right, forms, first.sfreq, raw, recording.sfreq)
    figure.suptitle(f"{first.title}: a window of {first.window_s:g} s; {source}", fontsize=9, color=INK)
    save(figure, path)
    return said


def _colour(form: str) -> str:
    return ORANGE if form == "published" else BLUE


def _traces(axes: Axes, spec: BenchmarkSpec, forms: Mapping[str, np.ndarray]) -> None:
    rows = np.unique(np.linspace(0, len(spec.channels) - 1, SHOWN).round().astype(int))
    levelled = {
        form: window[rows] - np.median(window[rows], 1, keepdims=True) for form, window in forms.items()
    }
    apart = float(np.percentile([np.ptp(window, 1) for window in levelled.values()], 75))
    for form in sorted(levelled):  # the repaired one above
        for place, trace in enumerate(levelled[form]):
            seconds = np.arange(trace.size) / spec.sfreq
            axes.plot(seconds, trace - place * apart, color=_colour(form), lw=0.8)
    axes.set_yticks([-place * apart for place in range(len(rows))], [spec.channels[row] for row in rows])
    axes.set_xlim(0, spec.window_s)
    axes.set_xlabel("seconds", fontsize=8)
    unit = 10 ** np.floor(np.log10(apart))
    bar = max(one * unit for one in (1, 2, 5) if one * unit <= apart)
    axes.plot([spec.window_s * 1.015] * 2, [-bar / 2, bar / 2], color=INK, lw=2, clip_on=False)
    axes.text(spec.window_s * 1.03, 0, f"{bar:g} µV", fontsize=8, va="center")
    _plain(axes)


def _spectra(
    axes: Axes, forms: Mapping[str, np.ndarray], sfreq: float, raw: np.ndarray | None, raw_sfreq: float
) -> None:
    """Power density of the window in dB, mean over channels, up to 100 Hz."""
    drawn = {form: (window, sfreq, _colour(form)) for form, window in sorted(forms.items())}
    if raw is not None:
        drawn = {f"in the file, {raw_sfreq:g} Hz": (raw, raw_sfreq, GREY), **drawn}
    for form, (window, rate, colour) in drawn.items():
        n = min(window.shape[1], round(2 * rate))
        hertz, power = scipy.signal.welch(window, rate, nperseg=n, detrend="constant")
        kept = (hertz > 0) & (hertz < 100)
        axes.plot(
            hertz[kept],
            10 * np.log10(np.maximum(power[:, kept].mean(0), 1e-6)),
            color=colour,
            lw=1.1,
            label=form,
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=max(axes.get_ylim()[0], -50))
    axes.set_xlabel("Hz", fontsize=8)
    axes.set_ylabel("dB of µV²/Hz, mean over channels", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
