"""A table says the same in every format, and LaTeX and HTML are whole whatever its cells hold."""

import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.drawing.sheet import TEX, Sheet, html, latex, markdown, tex

AWKWARD = Sheet(
    title="50 % of R² & more_of {it}",
    header=["", "AUROC", "µV"],
    rows=[
        ["a_b\nless c#1", "0.61 ± 0.01¹²\n[-0.10, +0.20]", "–"],
        ["<x> | ~y^2 \\z $", "-1.5", "1–2 … 3 × 4"],
    ],
    notes=["α is not < 5 %", "¹ https://example.org/a_b?c=%20&d#e"],
    rules=[1],
)
UNESCAPED = re.compile(r"(?<!\\)[#%_&]|[²¹±µ…·×→–−]")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def cells(row):
    """Cells of a LaTeX row: `&` parts them, `\\&` does not."""
    return re.split(r"(?<!\\)&", row)


def test_latex_rows_have_the_columns_of_the_table_and_environments_close():
    lines = latex(AWKWARD)
    text = "\n".join(lines)
    begun, ended = re.findall(r"\\begin{(\w+)}", text), re.findall(r"\\end{(\w+)}", text)
    assert sorted(begun) == sorted(ended) and begun[0] == ended[-1] == "table"
    (columns,) = re.findall(r"\\begin{tabular}{(\w+)}\n", text)
    rows = [line for line in lines if line.endswith(r"\\")]
    assert columns == "lrr" and len(rows) == 3 and all(len(cells(row)) == 3 for row in rows)
    rules = [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == [
        r"\toprule",
        r"\midrule",
        r"\midrule",
        r"\bottomrule",
    ]  # the third above the second row
    plain = re.sub(r"(?<!\\)&", "", "\n".join(lines))
    assert not UNESCAPED.search(plain)
    for brace in ("{", "}"):
        assert plain.count("{") == plain.count("}"), brace


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.sampled_from([*TEX, *"a1-. \n²¹"]), max_size=30))
def test_no_text_is_a_command_of_latex(text):
    known = "|".join(re.escape(said) for said in sorted(TEX.values(), key=len, reverse=True))
    assert re.fullmatch(rf"({known}|\\textsuperscript{{\d+}}|[a1\-. \n])*", tex(text))


def test_long_names_are_folded():
    wide = Sheet("", ["", "x"], [["name " * 20, "1"]])
    assert r"\begin{tabular}{p{0.32\textwidth}r}" in latex(wide)


def test_negative_numbers_have_a_minus_and_ranges_do_not():
    assert tex("[-0.10, +0.20]") == "{[}$-$0.10, +0.20{]}"
    assert tex("2026-01-02, eye-tracking, -3") == "2026-01-02, eye-tracking, $-$3"


def test_html_closes_what_it_opens_and_shows_the_text_as_it_is():
    page = Tags()
    page.feed("\n".join(html(AWKWARD)))
    assert not page.open
    for row in AWKWARD.rows:
        for cell in row:
            assert cell in page.text


def test_markdown_has_a_line_a_row():
    rows = [line for line in markdown(AWKWARD) if line.startswith("|")]
    assert len(rows) == 2 + len(AWKWARD.rows)
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {5}
