"""Texts from outside are texts: printed, drawn and made into file names as they are, whatever they hold."""

import io

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from eegfm.drawing.style import new_figure, save
from eegfm.support.files import file_name
from eegfm.support.words import console, visible

HOSTILE = [
    "[/EEG] Fp1",
    "runs[x]",
    "[bold]",
    "a\\[b]",
    "\\",
    ":smile:",
    "[link=https://x]y[/link]",
    "$a$ $b_{$",
    "%d",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_printed_as_it_is(name):
    screen = console(file=io.StringIO(), width=120)
    screen.print(f"<{name}>", style="yellow")
    table = Table(name, title=name)
    table.add_row(name)
    screen.print(table)
    screen.rule(name)
    assert screen.file.getvalue().count(name) == 5


def test_what_would_steer_a_terminal_is_printed_as_an_escape():
    screen = console(file=io.StringIO(), width=120)
    screen.print("a\x1b[2Jb\rc\udcffd\u202ee")
    assert screen.file.getvalue() == "a\\x1b[2Jb\\rc\\udcffd\\u202ee\n"
    assert visible("µV, Müller\n\t日") == "µV, Müller\n\t日"


@pytest.mark.parametrize("name", ["$a$ and $b_{$", "$\\frac{$", "a\\$b$c$", "\x1b[2J", "\udcff", "日"])
def test_a_name_is_drawn_as_it_is(tmp_path, name):
    """Two dollars were a formula, and a wrong one ended the training at its very end."""
    figure, (axis,) = new_figure((4, 3), title=name)
    axis.plot([1, 10, 100], [1, 2, 3], label=name)
    axis.set_xscale("log")
    axis.set_yticks([1, 2, 3], [name, name, name])
    axis.set(xlabel=name, title=name)
    axis.legend(title=name)
    axis.text(1, 1, name)
    save(figure, tmp_path / "x.png")
    drawn = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() == visible(name)]
    assert len(drawn) >= 9 and not any(text.get_parse_math() for text in drawn)
    powers = [label for label in axis.get_xticklabels() if "10^" in label.get_text()]
    assert powers and all(label.get_parse_math() for label in powers)  # those of matplotlib are formulas


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("S01_1", "S01_1"),
        ("normal-eval-aaaaaaaq_s003", "normal-eval-aaaaaaaq_s003"),
        ("Müller 1", "Müller 1"),
        ("../../../x", "%2E.%2F..%2F..%2Fx"),
        ("sub-1/ses-1", "sub-1%2Fses-1"),
        ("..", "%2E."),
        ("", "%e3b0c44298fc1c14"),
        ("a\0b\\c", "a%00b%5Cc"),
        ("a%2Fb", "a%252Fb"),
        ("\udcff", "%ED%B3%BF"),
    ],
)
def test_a_name_is_the_name_of_one_file(name, found):
    assert file_name(name) == found


@given(st.lists(st.text(st.characters(), max_size=300), max_size=5, unique=True))
def test_different_names_are_different_files_that_every_file_system_takes(names):
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(names)
    for one in found:
        assert one and not one.startswith(".") and len(one.encode()) <= 200
        assert not set(one) & set('/\\:*?"<>|\0\n')


def test_text_is_the_way_to_style_a_part():
    screen = console(file=io.StringIO(), force_terminal=True, color_system="standard", width=40)
    screen.print(Text("[b]", style="bold"))
    assert screen.file.getvalue() == "\x1b[1m[b]\x1b[0m\n"
