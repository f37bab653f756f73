"""Pictures show what they are given: values read back from the SVG, and names that stay text."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import periodogram

from eegfm.drawing import svg as drawing_svg
from eegfm.reporting.data_measured import frequencies, spectrum
from eegfm.reporting.data_page import nice
from eegfm.signal.montage import montage_of

SVG = "{http://www.w3.org/2000/svg}"
TCP = "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2".split()
# what XML can hold at all; a control character in a header would already fail in the reader
names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn")), min_size=1, max_size=12)


def parsed(svg: str) -> ET.Element:
    """Parse a picture in SVG's namespace, as a browser does; fails if it is not well-formed."""
    return ET.fromstring(svg.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"', 1))


def texts(picture: ET.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def placed(picture: ET.Element) -> dict[str, tuple[float, float]]:
    """The position of each text."""
    return {
        t.text or "": (float(t.get("x", "")), float(t.get("y", ""))) for t in picture.iter(f"{SVG}text")
    }


def points(path: str) -> np.ndarray:
    """Points of "M0 12l1-3 1 4": [point, 2]."""
    first, _, rest = path.removeprefix("M").partition("l")
    numbers = [int(n) for n in re.findall(r"-?\d+", f"{first} {rest}")]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


def trace_uv(picture: ET.Element) -> list[np.ndarray]:
    """Every row of a picture of traces, as (sample, µV from the row's middle)."""
    (plot,) = (svg for svg in picture.iter(f"{SVG}svg") if "data-uv-per-unit" in svg.attrib)
    unit = float(plot.get("data-uv-per-unit", ""))
    rows = [points(path.get("d", "")) for path in plot.iter(f"{SVG}path")]
    step = drawing_svg.row_height(len(rows)) * drawing_svg.UNITS
    return [
        np.stack([row[:, 0], (step * (i + 1) - row[:, 1]) * unit], axis=1) for i, row in enumerate(rows)
    ]


def drawn(window: np.ndarray, **more) -> str:
    settings = {"names": [f"ch{i}" for i in range(len(window))], "sfreq": 200.0, "row_uv": 50.0}
    return drawing_svg.traces(window, **{**settings, "title": "S01/3s", "width": 400, **more})


@pytest.mark.parametrize("n_channels", [1, 20, 21, 64])
def test_a_trace_holds_the_windows_values(n_channels):
    """Up to a quarter of a pixel, half of the picture's resolution; the offsets of the rows are subtracted."""
    rng = np.random.default_rng(n_channels)
    window = 20 * rng.standard_normal((n_channels, 800)) + rng.uniform(-500, 500, (n_channels, 1))
    rows = trace_uv(parsed(drawn(window)))
    half = 50 / (drawing_svg.row_height(n_channels) * drawing_svg.UNITS) / 2
    assert len(rows) == n_channels
    for row, values in zip(rows, window, strict=True):
        np.testing.assert_array_equal(row[:, 0], np.arange(800))
        np.testing.assert_allclose(row[:, 1], values - np.median(values), atol=half * 1.001)


def test_a_thinned_trace_keeps_the_ends_and_all_extremes():
    window = 20 * np.random.default_rng(1).standard_normal((2, 803))
    whole, thin = trace_uv(parsed(drawn(window))), trace_uv(parsed(drawn(window, every=8)))
    for every_one, kept in zip(whole, thin, strict=True):
        assert len(kept) < 0.3 * len(every_one)
        held = dict(every_one.tolist())
        assert all(held[sample] == value for sample, value in kept.tolist())
        assert {0, 802} <= set(kept[:, 0])
        for start in range(0, 800, 8):
            block = kept[(kept[:, 0] >= start) & (kept[:, 0] < start + 8), 1]
            there = every_one[start : start + 8, 1]
            assert (block.min(), block.max()) == (there.min(), there.max())


def test_the_scale_bar_is_as_long_as_it_says():
    """Its pixels, in units of the traces, are its microvolts."""
    picture = parsed(drawn(np.zeros((3, 10)), row_uv=20.0))
    (bar,) = (p for p in picture.iter(f"{SVG}path") if p.get("class") == "bar")
    pixels = float(bar.get("d", "").split("v")[1])
    plot = next(svg for svg in picture.iter(f"{SVG}svg") if "viewBox" in svg.attrib and svg is not picture)
    units_per_pixel = float(plot.get("viewBox", "").split()[3]) / float(plot.get("height", ""))
    assert pixels * units_per_pixel * float(plot.get("data-uv-per-unit", "")) == pytest.approx(20, rel=1e-4)
    assert "20 µV" in texts(picture) and "S01/3s" in texts(picture)


@pytest.mark.parametrize("seconds", [1, 4, 5, 10, 30])
def test_seconds_stand_under_their_samples(seconds):
    picture = parsed(drawn(np.zeros((1, 200 * seconds))))
    at = {t.removesuffix(" s"): x for t, (x, y) in placed(picture).items() if y > 60}
    plot = next(svg for svg in picture.iter(f"{SVG}svg") if svg is not picture)
    left, width = float(plot.get("x", "")), float(plot.get("width", ""))
    assert len(at) >= 3 and f"{seconds}" in at
    for second, x in at.items():
        assert x == pytest.approx(left + width * float(second) / seconds, abs=0.1)


def test_a_tone_peaks_at_its_frequency():
    """10 Hz of 10 µV: the curve is highest at the place of 10 on the axis, and holds the tone's power, 50 µV²."""
    time = np.arange(1000) / 200
    noise = np.random.default_rng(2).standard_normal((6, 3, 1000))
    x = 10 * np.sin(2 * np.pi * 10 * time) + 0.1 * noise
    hz, power = frequencies(200, 400), spectrum(x, 200, 400)
    assert power.shape == (6, 3, len(hz))
    near = (hz > 8) & (hz < 12)
    assert power[..., near].sum(-1) * (hz[1] - hz[0]) == pytest.approx(50, rel=0.02)
    picture = parsed(drawing_svg.spectra(hz, [("tone", 0, np.median(power, axis=1))]))
    (line,) = picture.iter(f"{SVG}polyline")
    curve = np.array([point.split(",") for point in line.get("points", "").split()], dtype=float)
    ticks = {float(t): x for t, (x, _) in placed(picture).items() if t in ("2", "8", "20", "30")}
    slope, start = np.polyfit(np.log(list(ticks)), list(ticks.values()), 1)
    assert np.exp((curve[curve[:, 1].argmin(), 0] - start) / slope) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(("segment", "sfreq"), [(400, 200.0), (200, 200.0), (333, 256.0)])
def test_the_spectrum_of_one_segment_is_scipys_periodogram(segment, sfreq):
    x = np.random.default_rng(segment).standard_normal((2, 3, segment))
    hz, power = periodogram(x, sfreq, window="hann", detrend="constant")
    np.testing.assert_allclose(frequencies(sfreq, segment), hz[(hz > 0) & (hz < sfreq / 2)])
    np.testing.assert_allclose(spectrum(x, sfreq, segment), power[..., (hz > 0) & (hz < sfreq / 2)])


def test_a_band_holds_the_quartiles_and_the_line_the_median():
    """Read back from the axis: windows of 1, 2, 4, 8 and 16 µV²/Hz at every frequency."""
    hz = np.arange(1.0, 80)
    power = np.repeat(2.0 ** np.arange(5), len(hz)).reshape(5, -1)
    picture = parsed(drawing_svg.spectra(hz, [("a", 0, power)], between_uv2=(0.1, 100)))
    tick = {t: y - 4 for t, (x, y) in placed(picture).items() if t in ("0.1", "10") and x < 60}

    def value(y: float) -> float:
        return 0.1 * 100 ** ((tick["0.1"] - y) / (tick["0.1"] - tick["10"]))

    (line,), (band,) = picture.iter(f"{SVG}polyline"), picture.iter(f"{SVG}polygon")
    heights = {float(point.split(",")[1]) for point in line.get("points", "").split()}
    assert [value(y) for y in heights] == [pytest.approx(4, rel=0.01)]
    edges = {float(point.split(",")[1]) for point in band.get("points", "").split()}
    assert sorted(value(y) for y in edges) == pytest.approx([2, 8], rel=0.01)


def test_left_is_left_and_the_nose_is_up():
    at = placed(
        parsed(drawing_svg.montage_map(montage_of(["T7", "T8", "Fpz", "Oz", "Cz", "C3", "A1", "A2-A1"])))
    )
    middle = (at["T7"][0] + at["T8"][0]) / 2
    assert at["T7"][0] < at["C3"][0] < at["Cz"][0] < at["T8"][0] and at["A1"][0] < at["T7"][0]
    assert at["Fpz"][1] < at["Cz"][1] < at["Oz"][1]
    assert at["left"][0] < middle < at["right"][0]
    assert abs(at["Cz"][0] - middle) < 5 and abs(at["Fpz"][0] - middle) < 5
    assert "no place on the scalp: A2-A1" in at


def test_a_bipolar_row_is_a_line_between_its_electrodes():
    picture = parsed(drawing_svg.montage_map(montage_of(TCP)))
    at = placed(picture)
    lines = [p.get("d", "") for p in picture.iter(f"{SVG}path") if p.get("class") == "pair"]
    assert len(lines) == len(TCP)
    for number, (row, line) in enumerate(zip(TCP, lines, strict=True), 1):
        ends = [tuple(float(v) for v in end.split()) for end in line.removeprefix("M").split("L")]
        for name, (x, y) in zip(row.split("-"), ends, strict=True):
            assert at[name] == pytest.approx((x, y + 3.2), abs=0.1)
        half_way = np.mean(ends, axis=0)
        assert np.hypot(*(np.array(at[str(number)]) - half_way)) < 12
    electrodes = {end for row in TCP for end in row.split("-")}
    assert electrodes <= at.keys() and not set(TCP) & at.keys()


def test_bars_are_counts_and_shares():
    counts = {"train": [30, 10], "val": [0, 0], "test": [1_000, 3_000]}
    picture = parsed(
        drawing_svg.balance(["rest", "task"], counts, {"train": 1, "val": 0, "test": 2}),
    )
    said = texts(picture)
    for text in (
        "40 windows, 1 subject",
        "0 windows, 0 subjects",
        "4,000 windows, 2 subjects",
        "30  (75.0 %)",
        "10  (25.0 %)",
        "1,000  (25.0 %)",
        "3,000  (75.0 %)",
    ):
        assert text in said
    assert said.count("none") == 2
    bars = [float(r.get("width", "")) for r in picture.iter(f"{SVG}rect") if r.get("width") != "8"]
    assert np.array(bars) / max(bars) == pytest.approx([1, 1 / 3, 0, 0, 1 / 3, 1], abs=1e-3)


def test_amplitudes_stand_at_their_medians():
    """Channels of 4, 8 and 16 µV: equal steps on a logarithmic axis, in the order of the rows."""
    uv = np.tile([4.0, 8.0, 16.0], (9, 1)) * np.linspace(0.8, 1.2, 9)[:, None]
    picture = parsed(drawing_svg.amplitudes(["a", "b", "c"], uv))
    at = [
        float(p.get("d", "").removeprefix("M").split()[0])
        for p in picture.iter(f"{SVG}path")
        if p.get("class") == "bar"
    ]
    assert np.diff(at)[0] == pytest.approx(np.diff(at)[1], abs=0.2) and at[0] < at[1]
    ticks = {t: x for t, (x, _) in placed(picture).items()}
    assert at[0] < ticks["5"] < at[1] < ticks["10"] < at[2] < ticks["20"]


def test_nothing_that_is_named_becomes_markup():
    """A header may hold any name; it comes out as the text it is."""

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(name=names.filter(lambda name: name.strip() == name))
    def check(name):
        hz = np.arange(1.0, 5)
        for svg in (
            drawn(np.zeros((1, 4)), names=[name], title=name),
            drawing_svg.spectra(hz, [(name, 0, np.ones((2, 4)))]),
            drawing_svg.spectra(hz, [(name, 0, np.ones((2, 4))), ("b", 1, np.ones((2, 4)))]),
            drawing_svg.balance([name, "b"], {name: [1, 2]}, {name: 1}),
            drawing_svg.amplitudes([name], np.ones((2, 1))),
        ):
            picture = parsed(svg)
            assert any(name in text for text in texts(picture))
            kinds = {element.tag.removeprefix(SVG) for element in picture.iter()}
            assert kinds <= {"svg", "g", "title", "path", "text", "rect", "polyline", "polygon", "circle"}

    check()


def test_64_channels_stay_below_three_megabytes():
    """Twelve windows of 4 s, as PhysioNet-MI shows them, of noise as rough as any EEG."""
    window = np.random.default_rng(3).standard_normal((64, 800)) * 10
    one = drawn(window, row_uv=nice(6 * float(np.median(np.abs(window)))))
    assert 12 * len(one) < 3e6


def test_nice_numbers_are_the_next_of_1_2_5():
    assert [nice(v) for v in (0.7, 1, 1.1, 4.2, 50, 51, 730)] == [1, 1, 2, 5, 50, 100, 1000]
