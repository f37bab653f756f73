"""`eegfm inspect`: from nothing to a page, through the real command."""

import pytest

from eegfm.config.make import make
from eegfm.config.schema import benchmark_options
from eegfm.contracts import EegfmError
from tests.command_line import call, call_afresh
from tests.composed import composed
from tests.drawing.test_svg import parsed


@pytest.mark.slow
def test_from_nothing_to_a_page(tmp_path):
    done = call_afresh("eegfm", "inspect", "windows=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "inspect-synthetic.html"
    assert str(out) in done.stdout.splitlines()[-1]
    html = out.read_text(encoding="utf-8")
    assert "SIMULATED" in html.split("</h1>")[0] and html.count('aria-label="Traces of synthetic_S0') == 4
    assert "480 windows, 8 subjects" in html and "90 of 90 (50.0 %)" in html
    assert out.stat().st_size < 1e6
    for svg in html.split("<svg viewBox")[1:]:  # well-formed, every one
        parsed("<svg viewBox" + svg[: svg.rindex("</svg>") + 6])
    elsewhere = call("eegfm", "inspect", "out=pages/a.html", cwd=tmp_path)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert (tmp_path / "pages" / "a.html").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"data", "pages", "inspect-synthetic.html"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("windows=0", "windows=0: a whole number from 1 on is wanted"),
        ("out=.", "out=. is a folder"),
    ],
)
def test_what_a_person_can_put_right_is_a_sentence(tmp_path, override, sentence):
    done = call("eegfm", "inspect", override, cwd=tmp_path)
    assert done.returncode != 0 and sentence in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("path", benchmark_options(), ids=lambda path: path.stem)
def test_every_benchmark_composes(path, tmp_path):
    config = composed(f"data={path.stem}", f"paths.cache={tmp_path}", door="inspect")
    data = make(config.data, "data")()
    assert data.encoder is None and data.spec.shape == (
        len(data.benchmark.channels),
        data.benchmark.n_times,
    )
    with pytest.raises(EegfmError, match="No prepared store"):
        data.open()
