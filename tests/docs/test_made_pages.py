"""The pages that are written from the tree: pictures of windows show what the protocols do, options say their types."""

from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.shu_mi import shu_mi
from eegfm.benchmarks.tuev import tuev

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"


@pytest.fixture
def extensions(monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    monkeypatch.delenv("EEGFM_TEST_DATA", raising=False)


def test_a_picture_says_what_the_published_protocol_does_to_a_window(extensions, tmp_path):
    import windows_drawn

    both = {form: shu_mi(variant=form) for form in ("repaired", "published")}
    said = windows_drawn.draw("shu_mi", both, tmp_path / "shu_mi.png")
    assert "differs from the repaired one by up to" in said and "at 0.00 s" in said  # it rings at the ends
    assert (tmp_path / "shu_mi.png").read_bytes()[:4] == b"\x89PNG"
    trials = windows_drawn.simulated("shu_mi", both["repaired"])
    assert trials.data.shape == (32, 6 * 1000) and len(trials.pieces) == 6
    power = np.abs(np.fft.rfft(trials.data[-1]))  # O2: its rhythm stands above what is beside it
    hertz = np.fft.rfftfreq(6000, 1 / 250)
    assert power[(hertz > 9) & (hertz < 11)].mean() > 3 * power[(hertz > 14) & (hertz < 16)].mean()

    wrapped = {form: tuev(variant=form) for form in ("repaired", "published")}
    assert "is the file's end" in windows_drawn.draw("tuev", wrapped, tmp_path / "tuev.png")


def test_types_of_options_are_those_of_the_constructors(extensions):
    pytest.importorskip("sphinx")
    import yaml
    from from_the_tree import CONF, types

    found = types(yaml.safe_load((CONF / "model" / "stamp.yaml").read_text(encoding="utf-8")))
    assert found["model.width"] == "int" and "mhap | mean" in found["model.pooling"]


def test_tables_of_results_are_read_as_they_stand(extensions):
    from results_drawn import draw, tables

    rows = "| `a` | 0.80 ± 0.01 [0.70, 0.90] | 3 |\n| **b** | 0.60 ± 0.02 | 4 |\n"
    text = f"## One\n\n| | AUROC | n |\n|---|---|---|\n{rows}"
    (table,) = tables(text)
    assert table["section"] == "One" and table["columns"] == ["AUROC", "n"]
    assert table["rows"][0] == {
        "row": "a",
        "AUROC": {"mean": 0.8, "sd": 0.01, "low": 0.7, "high": 0.9},
        "n": "3",
    }
    assert table["rows"][1]["AUROC"] == {"mean": 0.6, "sd": 0.02}
    assert draw(table, "AUROC") is not None and not tables("| a | b |\n|---|---|\n| words | more |\n")
    kept = Path(__file__).parents[2] / "docs" / "results.md"
    assert len(tables(kept.read_text(encoding="utf-8"))) >= 3


def test_messages_are_read_out_of_the_source_with_what_varies_left_open(extensions):
    from messages import SOURCE, escaped, found_in

    (first, *_) = [
        text for text in found_in(SOURCE / "analysis" / "evaluate.py") if text.startswith("split=")
    ]
    assert first == "split=... is not a split. Type one of ...."
    assert escaped("a_b | <run>") == "a\\_b \\| &lt;run>"
