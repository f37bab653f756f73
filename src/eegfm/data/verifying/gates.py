"""Checks of the signal of a store: is the unit right, and were the filters of the store's recipe run?

The limits are wide: no check says whether a recording is good.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy  # loads its parts only when they are used
from jaxtyping import Bool, Float, Int

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.data.store import SampleStore
from eegfm.data.verifying.checks import Check
from eegfm.support.words import some

SPECTRA = 512  # windows whose spectra are measured, spread evenly over the store
AMPLITUDE_UV = (0.1, 500.0)  # the typical absolute value of a channel; a factor of 1e6 away means volts
# of a channel in one recording: a loose electrode may be outside of these; no electrode at all is beyond the second
ONE_CHANNEL_UV, NO_ELECTRODE_UV = AMPLITUDE_UV, 1e5
LARGEST_UV = 1e7  # no amplifier measures ten volts
MAINS_HZ = (50.0, 60.0)
NOTCHED = 1.5  # after a notch, the power at the mains frequency over that around it is at most this; without mains: 1
LOUD = 4.0  # without a notch, a ratio above this gives a warning
# Power density outside the pass-band is a fault if it is above OUTSIDE of that in the nearest octave inside and above
# FLOOR of that in the whole band (rounding to float32 may fill an octave that is otherwise empty).
OUTSIDE, FLOOR = 0.05, 1e-6
OFFSET = (
    0.5  # mean over a channel's typical absolute value: 1 for a mere offset, nearly 0 after a high-pass
)


class Signal:
    """The properties of stored windows that the checks need, measured chunk by chunk.

    Each list holds one array for each chunk: for every window and channel the median absolute value, the largest, the
    mean, and whether it is constant; for some windows the power density in µV²/Hz. `alike` counts those of them in
    which two channels hold the same samples.
    """

    def __init__(self, store: SampleStore) -> None:
        n_times, sfreq = store.shape[1], float(store.recipe.facts["sfreq"])
        self.sfreq = sfreq
        self.hz = np.fft.rfftfreq(n_times, 1 / sfreq)
        self._chosen = np.linspace(0, len(store) - 1, min(len(store), SPECTRA)).round().astype(int)
        self._taper = np.hanning(n_times + 1)[:-1].astype(np.float32)
        self._scale = 2 / (sfreq * float((self._taper**2).sum()))
        self._every = max(1, n_times // 256)  # so many samples are enough for a median
        self.median_uv: list[Float[np.ndarray, "window channel"]] = []
        self.largest_uv: list[Float[np.ndarray, "window channel"]] = []
        self.alike: Counter[tuple[int, int]] = Counter()
        self.mean_uv: list[Float[np.ndarray, "window channel"]] = []
        self.constant: list[Bool[np.ndarray, "window channel"]] = []
        self.density: list[Float[np.ndarray, "window frequency"]] = []

    def add(
        self, rows: Int[np.ndarray, " window"], windows: Float[np.ndarray, "window channel time"]
    ) -> None:
        """Measure the next chunk."""
        mean = windows.mean(axis=2)
        self.mean_uv.append(mean)
        self.median_uv.append(np.median(np.abs(windows[:, :, :: self._every]), axis=2))
        highest, lowest = windows.max(axis=2), windows.min(axis=2)
        self.largest_uv.append(np.maximum(highest, -lowest))
        self.constant.append(highest == lowest)
        picked = np.isin(rows, self._chosen)
        if picked.any():
            for window in windows[picked]:
                self.alike.update(_alike(window))
            bounded = np.clip(
                windows[picked], -LARGEST_UV, LARGEST_UV
            )  # a square beyond that would be infinite
            tapered = (bounded - bounded.mean(axis=2, keepdims=True)) * self._taper
            power = np.abs(np.fft.rfft(tapered)) ** 2 * self._scale
            # the geometric mean over channels: one bad electrode is not the protocol's fault
            self.density.append(np.exp(np.log(np.maximum(power, 1e-30)).mean(axis=1)))


def check_signal(benchmark: BenchmarkSpec, store: SampleStore, signal: Signal) -> list[Check]:
    """The checks of the signal, from the windows of a whole store."""
    steps = store.recipe.facts["steps"]
    _, recording = np.unique(store.index.recording, return_inverse=True)
    median_uv, mean_uv = np.concatenate(signal.median_uv), np.concatenate(signal.mean_uv)
    density = np.median(np.concatenate(signal.density), axis=0)  # the typical window
    # the least and the most that the filters let through within the main lobe of the taper
    lobe, raw_sfreq = 2 / benchmark.window_s, max(benchmark.raw_sfreq, default=np.inf)
    gains = [power_gain(steps, np.abs(signal.hz + shift), raw_sfreq) for shift in (-lobe, 0, lobe)]
    least, most = np.min(gains, axis=0), np.max(gains, axis=0)
    return [
        _amplitude(benchmark.channels, store.index.recording, recording, median_uv),
        *_single_channels(benchmark.channels, store.index.recording, recording, median_uv),
        *_largest(benchmark.channels, np.concatenate(signal.largest_uv)),
        *_identical(benchmark.channels, signal.alike, min(len(store), SPECTRA)),
        *_flat(benchmark.channels, np.concatenate(signal.constant)),
        *_offset(steps, recording, mean_uv, median_uv),
        *(
            _mains(steps, signal.hz, density, least, freq, lobe)
            for freq in MAINS_HZ
            if freq + 5 + 2 * lobe < signal.hz[-1]
        ),
        *_pass_band(signal.hz, density, least, most),
    ]


def _amplitude(
    channels: Sequence[str],
    names: np.ndarray,
    recording: Int[np.ndarray, " window"],
    median_uv: Float[np.ndarray, "window channel"],
) -> Check:
    low, high = AMPLITUDE_UV
    wanted = f"{low:g} to {high:g} µV everywhere"
    by_channel = np.median(median_uv, axis=0)
    order = np.argsort(recording, kind="stable")
    starts = np.flatnonzero(np.diff(recording[order], prepend=-1))
    by_recording = [np.median(median_uv[rows]) for rows in np.split(order, starts[1:])]
    sizes = [*zip(channels, by_channel, strict=True), *zip(names[order[starts]], by_recording, strict=True)]
    wrong = [f"{name} {size:.3g}" for name, size in sizes if not low <= size <= high]  # also true for NaN
    if not wrong:
        return Check("amplitude", f"median {by_channel.min():.3g} to {by_channel.max():.3g} µV", wanted)
    remedy = "A factor of 1e6 means volts: check the unit in the files' headers."
    return Check("amplitude", f"µV: {some(wrong)}", wanted, "off", remedy)


def _single_channels(
    channels: Sequence[str],
    names: np.ndarray,
    recording: Int[np.ndarray, " window"],
    median_uv: Float[np.ndarray, "window channel"],
) -> list[Check]:
    """Each channel of each recording: the median over channels hides a single one."""
    order = np.argsort(recording, kind="stable")
    starts = np.flatnonzero(np.diff(recording[order], prepend=-1))
    sizes = np.stack([np.median(median_uv[rows], axis=0) for rows in np.split(order, starts[1:])])
    low, high = ONE_CHANNEL_UV
    odd = np.argwhere(~((low <= sizes) & (sizes <= high)))
    if not len(odd):
        return []
    of = names[order[starts]]
    worst = sorted(odd.tolist(), key=lambda at: -abs(np.log(max(sizes[*at], 1e-12) / 10)))
    found = some([f"{of[r]} {channels[c]} {sizes[r, c]:.3g}" for r, c in worst])
    wanted, remedy = (
        f"{low:g} to {high:g} µV in each channel",
        "Look at these channels before trusting them.",
    )
    if (sizes > NO_ELECTRODE_UV).any():
        remedy = "No electrode measures that: look at the units in the files' headers."
        return [Check("channels", f"µV: {found}", wanted, "off", remedy)]
    return [Check("channels", f"µV: {found}", wanted, "warning", remedy)]


def _largest(channels: Sequence[str], largest_uv: Float[np.ndarray, "window channel"]) -> list[Check]:
    beyond = largest_uv > LARGEST_UV
    if not beyond.any():
        return []
    names = some([channels[i] for i in np.flatnonzero(beyond.any(axis=0)).tolist()])
    found = f"{largest_uv.max():.3g} µV, in {beyond.any(axis=1).sum():,} windows: {names}"
    remedy = "No amplifier measures that: look at these samples in the files."
    return [Check("largest", found, f"at most {LARGEST_UV:.0e} µV", "off", remedy)]


def _alike(window: Float[np.ndarray, "channel time"]) -> list[tuple[int, int]]:
    """The pairs of channels that hold the same samples and are not constant."""
    first: dict[bytes, int] = {}
    pairs = []
    for i, row in enumerate(window):
        if row.max() > row.min():
            j = first.setdefault(row.tobytes(), i)
            if j != i:
                pairs.append((j, i))
    return pairs


def _identical(channels: Sequence[str], alike: Mapping[tuple[int, int], int], n: int) -> list[Check]:
    if not alike:
        return []
    pairs = sorted(alike.items(), key=lambda item: -item[1])
    found = some(
        [f"{channels[i]} = {channels[j]} in {count:,} of {n:,} windows" for (i, j), count in pairs]
    )
    remedy = "One is a copy of the other, or they are joined: look at them before trusting them."
    return [Check("copies", found, "no two channels alike", "warning", remedy)]


def _flat(channels: Sequence[str], constant: Bool[np.ndarray, "window channel"]) -> list[Check]:
    if not constant.any():
        return []
    n = constant.sum(axis=0)
    names = some([f"{channels[i]} in {n[i]:,}" for i in np.argsort(-n, kind="stable") if n[i]])
    found = f"a channel is constant in {constant.any(axis=1).sum():,} of {len(constant):,} windows: {names}"
    return [Check("flat", found, "none", "warning", "Look at these channels before trusting them.")]


def _offset(
    steps: Sequence[Mapping[str, Any]],
    recording: Int[np.ndarray, " window"],
    mean_uv: Float[np.ndarray, "window channel"],
    median_uv: Float[np.ndarray, "window channel"],
) -> list[Check]:
    """After a high-pass a recording has no offset. Its edge is mostly too low to be visible in one window."""
    edges = [step["low"] for step in steps if step["step"] == "BandPass" and step["low"] is not None]
    if not edges:
        return []
    sums = [
        np.stack([np.bincount(recording, weights) for weights in values.T])
        for values in (mean_uv, median_uv)
    ]
    ratio = float(np.median(np.abs(sums[0]) / np.maximum(sums[1], 1e-12)))
    found, wanted = f"{ratio:.2g} of the amplitude", f"high-pass: at most {OFFSET:g}"
    if ratio <= OFFSET:
        return [Check("offset", found, wanted)]
    return [Check("offset", found, wanted, "off", "The high-pass was not run.")]


def _mains(
    steps: Sequence[Mapping[str, Any]],
    hz: Float[np.ndarray, " frequency"],
    density: Float[np.ndarray, " frequency"],
    gain: Float[np.ndarray, " frequency"],
    freq: float,
    lobe: float,
) -> Check:
    """The power at a mains frequency over the power some hertz to either side of it."""
    name, away = f"{freq:g} Hz", np.abs(hz - freq)
    if gain[away <= 5 + lobe].min() < 0.5:
        return Check(name, "outside the pass-band", "not judged")
    sides = [
        np.median(density[(away >= 1 + lobe) & (away <= 5 + lobe) & side])
        for side in (hz < freq, hz > freq)
    ]
    # the geometric mean of the sides, because spectra fall
    ratio = float(density[np.argmin(away)] / np.sqrt(sides[0] * sides[1]))
    found = f"{ratio:.2g} of the power around it"
    if any(step["step"] == "Notch" and step["freq"] == freq for step in steps):
        wanted = f"notched: at most {NOTCHED:g}"
        if ratio <= NOTCHED:
            return Check(name, found, wanted)
        return Check(name, found, wanted, "off", "The notch was not run.")
    wanted = "not notched"
    if ratio <= LOUD:
        return Check(name, found, wanted)
    remedy = "Nothing to do: the protocol leaves mains in. A model may learn from it."
    return Check(name, found, wanted, "warning", remedy)


def _pass_band(
    hz: Float[np.ndarray, " frequency"],
    density: Float[np.ndarray, " frequency"],
    least: Float[np.ndarray, " frequency"],
    most: Float[np.ndarray, " frequency"],
) -> list[Check]:
    """The power where the filters let nothing through, over that in the nearest octave that they let through."""
    inside, outside = (least >= 0.5) & (hz > 0), (most < 1e-3) & (hz > 0)
    if not inside.any() or not outside.any():
        return []
    low, high = hz[inside].min(), hz[inside].max()
    checks = []
    for side, octave, edge in (
        (hz < low, hz <= 2 * low, f"below {low:g} Hz"),
        (hz > high, hz >= high / 2, f"above {high:g} Hz"),
    ):
        if not (outside & side).any():
            continue
        out = np.median(density[outside & side])
        ratio = float(out / np.median(density[inside & octave]))
        found = f"{edge} {ratio:.1g} of the power"
        wanted = f"at most {OUTSIDE:g} of that inside"
        if ratio <= OUTSIDE or out <= FLOOR * density[inside].mean():
            checks.append(Check("pass-band", found, wanted))
        else:
            checks.append(Check("pass-band", found, wanted, "off", "The filter was not run."))
    return checks


def power_gain(
    steps: Sequence[Mapping[str, Any]], hz: Float[np.ndarray, " frequency"], raw_sfreq: float
) -> Float[np.ndarray, " frequency"]:
    """How much power the filters of a recipe let through at each frequency, from 0 to 1; notches are left out.

    `steps` are those of a store's recipe; `raw_sfreq` is the (highest) rate of the files. The flank of a `BandPass` is
    taken as a straight line over its transition; see its docstring for the widths.
    """
    amplitude, sfreq = np.ones(len(hz)), raw_sfreq
    for step in steps:
        if step["step"] == "BandPass":
            if step["low"] is not None:
                low = step["low"]
                amplitude *= np.interp(hz, [low - min(max(low / 4, 2), low), low], [0, 1])
            if step["high"] is not None:
                high = step["high"]
                amplitude *= np.interp(hz, [high, high + min(max(high / 4, 2), sfreq / 2 - high)], [1, 0])
        elif step["step"] == "CausalButterworth":
            edges = (step["low"], step["high"])
            sections = scipy.signal.butter(step["order"], edges, "bandpass", output="sos", fs=sfreq)
            _, response = scipy.signal.sosfreqz(sections, np.minimum(hz, sfreq / 2), fs=sfreq)
            amplitude *= np.abs(response)
        elif step["step"] == "ChebyshevBandPass":
            edges, stops = (step["low"], step["high"]), (step["stop_low"], step["stop_high"])
            sections = scipy.signal.iirdesign(
                edges, stops, step["gpass"], step["gstop"], ftype="cheby2", output="sos", fs=sfreq
            )
            _, response = scipy.signal.sosfreqz(sections, np.minimum(hz, sfreq / 2), fs=sfreq)
            amplitude *= np.abs(response) ** 2  # forward and backward
        elif "sfreq" in step:  # a step with a rate resamples to it
            sfreq = step["sfreq"]
    return amplitude**2
