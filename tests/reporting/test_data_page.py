"""The page of a data set: what it shows is the store's, it needs nothing else, and text from files stays text."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import Census
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.convert import convert
from eegfm.drawing.html import linked, prose
from eegfm.reporting.data_page import page
from eegfm.signal.montage import montage_of
from tests.corpus import TINY, sources, write
from tests.data.test_convert import TINY as IMPORTABLE
from tests.data.test_convert import tiny_rows, write_pickled
from tests.drawing.test_svg import parsed, texts, trace_uv


class Page(HTMLParser):
    """Elements with their attributes, and the cells of every table, by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words = ""
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "th") or (self._cell and tag != "tr")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.words += data
        if self._cell:
            self.rows[-1][-1] += data


def module(root: Path, benchmark=TINY, **more) -> EEGDataModule:
    data = EEGDataModule(
        benchmark=benchmark, raw=root / "raw", cache=root / "cache", seed=0, progress=False, **more
    )
    data.prepare_data()
    return data


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> EEGDataModule:
    root = tmp_path_factory.mktemp("tiny")
    write(root / "raw")
    return module(root)


def traces(html: str) -> dict[str, str]:
    """Every picture of traces by its title, which is the window's key."""
    found = (svg for svg in re.findall(r'<svg viewBox.*?aria-label="Traces.*?</svg></svg>', html))
    return {texts(parsed(svg))[0]: svg for svg in found}


def test_what_is_drawn_is_the_stores(tiny):
    store, shown = tiny.open(), traces(page(tiny, windows=2, seed=0))
    row_of = {store.index.key(row): row for row in range(len(store))}
    assert len(shown) == 4
    for key, svg in shown.items():
        window = store.read([row_of[key]])[0]
        for row, values in zip(trace_uv(parsed(svg)), window, strict=True):
            np.testing.assert_allclose(row[:, 1], values - np.median(values), atol=1.0)


def test_windows_are_of_the_training_split_alone(tiny):
    index, drawn = tiny.open().index, set()
    split_of = {index.key(row): str(index.split[row]) for row in range(len(index))}
    for seed in range(12):
        drawn |= set(traces(page(tiny, windows=6, seed=seed)))
    assert {split_of[key] for key in drawn} == {"train"}
    assert len(drawn) == 36, "not every training window can be drawn"
    assert "from the training split alone" in page(tiny)


def test_the_seed_alone_decides_which(tiny):
    assert page(tiny, seed=1) == page(tiny, seed=1)
    assert traces(page(tiny, seed=1)).keys() != traces(page(tiny, seed=2)).keys()


def test_counts_are_the_stores(tiny):
    rows = {row[0]: row[1:] for row in Page(page(tiny)).rows if row}
    index = tiny.open().index
    for label, name in enumerate(TINY.classes):
        counts = [
            int((index.label[index.rows(split)] == label).sum()) for split in ("train", "val", "test")
        ]
        assert rows[name] == [f"{n} (50.0 %)" for n in counts]
    assert rows["all"] == ["36 of 36", "12 of 12", "12 of 12"] and rows["subjects"] == ["3", "1", "1"]
    place = 1000 * montage_of(["C3"]).coords[0]
    (channel,) = (row for row in Page(page(tiny)).rows if row[1:2] == ["C3"])
    assert [float(v) for v in channel[2:5]] == pytest.approx(place, abs=0.5)


def test_nothing_is_loaded_and_nothing_runs(tiny):
    """An address is there to be clicked, as text or as a link; nothing else leaves the file."""
    html = page(tiny, windows=1)
    for tag, attributes in Page(html).elements:
        assert tag not in (
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "image",
            "use",
            "form",
        )
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in (
                "src",
                "srcset",
                "xlink:href",
                "data",
                "action",
            )
            assert name != "href" or (tag == "a" and str(value).startswith("https://"))
    style = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert len(style) == 1 and "url(" not in style[0] and "@import" not in style[0]


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'


def test_text_from_files_stays_text(tmp_path):
    """Class names, licence, citation, addresses, subject ids and a folder's name, all of them hostile."""
    root = tmp_path / "a<b>&'c"
    write(root / "raw")
    bad = replace(
        TINY,
        title=HOSTILE,
        protocol=HOSTILE,
        classes=(HOSTILE, "b"),
        licence=HOSTILE,
        citation=HOSTILE,
        access=HOSTILE,
        corpus="javascript:alert(3)",
        choices={"x": HOSTILE},
        census=Census(recordings=10, per_split={"train": 36}, source=HOSTILE),
        sources=lambda folder: [
            replace(s, subject=s.subject.replace("01", "0<i>1")) for s in sources(folder)
        ],
        splits={"train": ("0<i>1", "02", "03"), "val": ("04",), "test": ("05",)},
    )
    html = page(module(root, bad), windows=1)
    found = Page(html)
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "img", "i", "b>"} and "<script" not in html and "<i>" not in html
    assert all("javascript" not in str(a.get("href")) for _, a in found.elements)
    assert found.words.count(HOSTILE) >= 8 and "0<i>1" in found.words


def test_the_first_line_says_what_must_be_known(tmp_path, tiny):
    def first_line(data: EEGDataModule) -> str:
        return re.findall(r"<h1>(.*?)</h1>", page(data))[0]

    assert "complete" in first_line(tiny) and "PARTIAL" not in first_line(tiny)
    write(tmp_path / "raw")
    (tmp_path / "raw" / "S02_0.edf").unlink()
    (tmp_path / "raw" / "S02_1.edf").unlink()
    partial = first_line(module(tmp_path, allow_partial=True))
    assert "PARTIAL corpus: 4 of 5 subjects" in partial and "complete" not in partial
    made = replace(TINY, name="made", simulated=True, subject_leak="one man twice")
    line = first_line(module(tmp_path, made, allow_partial=True))
    assert "SIMULATED" in line and "PARTIAL" in line and "one man twice" in line
    other = first_line(
        module(tmp_path, replace(TINY, name="other"), steps=TINY.steps * 2, allow_partial=True)
    )
    assert "OTHER STEPS" in other


def test_an_imported_store_says_so_and_that_its_steps_were_not_run_here(tmp_path):
    convert(IMPORTABLE, write_pickled(tmp_path / "theirs", tiny_rows()), tmp_path / "cache", progress=False)
    html = page(module(tmp_path, IMPORTABLE, imported=True))
    assert "IMPORTED: imported from" in html.split("</h1>")[0]
    assert "no step was run here" in html


def test_missing_recordings_are_named(tmp_path):
    write(tmp_path / "raw")
    (tmp_path / "raw" / "S02_0.edf").unlink()
    words = Page(page(module(tmp_path, allow_partial=True))).words
    assert "1 recordings missing" in words and "S02_0" in words


def test_without_training_windows_there_is_a_sentence(tmp_path):
    write(tmp_path / "raw")
    for subject in ("01", "02", "03"):
        for label in (0, 1):
            (tmp_path / "raw" / f"S{subject}_{label}.edf").unlink()
    with pytest.raises(EegfmError, match=r"training split .* is empty.*first training subject .* is 01"):
        page(module(tmp_path, allow_partial=True))


def test_what_is_known_and_where_it_is_from(tiny):
    words = Page(page(tiny)).words
    assert "A tiny corpus of real EDF files" in words  # the docstring beside the benchmark's `sources`
    assert "Resample: sfreq = 200" in words and "Change the rate by MNE" in words
    assert TINY.licence in words and TINY.access in words and str(tiny.open().folder) in words


def test_a_docstring_keeps_its_parts():
    html = prose(
        "Title of it.\n\n    a  table\n      more\n\nCorpus: A and B, from the\nHospital: of C. D\nAccess: free.\n"
        "Protocol: `x<1`, *not* _this_.\n\nQuirks\n- one\n  goes on\n- two <b>\n"
    )
    assert "a  table\n  more\n" in html
    assert re.sub(r"\s+", " ", re.sub(r"\n(?=<|$)", "", html)) == (
        "<p>Title of it.</p><pre><code>a table more</code></pre>"
        "<p>Corpus: A and B, from the Hospital: of C. D Access: free.</p>"
        "<p>Protocol: <code>x&lt;1</code>, *not* _this_.</p>"
        "<h4>Quirks</h4><ul><li>one goes on</li><li>two &lt;b&gt;</li></ul>"
    )


def test_only_an_address_becomes_a_link():
    assert linked("https://a.org/?x=1&y=2").startswith('<a href="https://a.org/?x=1&amp;y=2"')
    for text in ("see https://a.org", "javascript:alert(1)", 'https://a.org" onclick="x'):
        assert "<a" not in linked(text)
