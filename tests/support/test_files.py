"""Files that are written whole or not at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eegfm.drawing.sheet import csv_text
from eegfm.support.files import cell, refused_by_disk, uncelled, whole, write_json, write_text


@pytest.mark.parametrize("sync", [False, True])
def test_a_writer_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before", sync=sync)
    with pytest.raises(KeyboardInterrupt), whole(path, sync=sync) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        temporary.write_text("half of ")
        assert path.read_text() == "before"
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_json_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not list(tmp_path.iterdir())


@given(text=st.one_of(st.text(), st.text("'=+-@\t\r\n1ea.", max_size=6)))
def test_no_cell_is_one_that_a_spreadsheet_runs_and_every_text_comes_back(text):
    """Numbers stay as they are: a spreadsheet reads -0.5 and runs -0.5+cmd|' /C calc'!A0."""
    made = cell(text)
    assert uncelled(made) == text
    try:
        float(text)
    except ValueError:
        assert not made.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    else:
        assert made == text


def test_tables_for_spreadsheets_have_no_formulas():
    found = csv_text([{"=1+1": "=HYPERLINK(A1)", "b": -0.5, "c": "-0.5"}, {"b": "@SUM(1)", "c": "plain"}])
    assert found.splitlines() == ["'=1+1,b,c", "'=HYPERLINK(A1),-0.5,-0.5", ",'@SUM(1),plain"]


def test_a_name_that_no_disk_takes_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError) as refused:
        (tmp_path / ("a" * 300)).exists()
    assert "...: File name too long. A name may have 255 bytes" in refused_by_disk(refused.value, tmp_path)
    assert refused_by_disk(ValueError("of something else"), tmp_path) == ""
