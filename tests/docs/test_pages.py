"""Every command of every page runs and says what the page shows; those that cannot run here compose."""

import re
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from eegfm.commands import COMMANDS
from eegfm.config.schema import config_dir
from tests.command_line import call
from tests.composed import composed
from tests.docs.pages import PAGES, Page, differences, laid, pages, run

RUN = [page for page in pages() if page.runs]
COMPOSED = [page for page in pages() if any(page.composed())]


def name_of(page: Page) -> str:
    return str(page.path.relative_to(PAGES.parent))


def marked(page: Page):
    """Pages that train for a minute are run before a release."""
    return pytest.param(page, marks=[pytest.mark.long] * (page.path.stem in ("pretrain", "compare")))


@pytest.mark.slow
@pytest.mark.parametrize("page", [*map(marked, RUN)], ids=name_of)
def test_the_commands_of_a_page_say_what_it_shows(page, request):
    recordings = request.getfixturevalue("eeg_data") if page.needs else None
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # as long a name as when the page was written: lines break alike
        place = Path(folder)
        laid(page, place, recordings)
        for command in page.commands():
            wrong = differences(command.shown, run(command.typed, place))
            assert not wrong, f"{name_of(page)}:{command.lines[0]}: $ {command.typed}\n{wrong}"
        for made, image in page.pictures(place):
            assert made.read_bytes()[:4] == image.read_bytes()[:4] == b"\x89PNG", image
        if any(page.fences("pycon")):
            options = ("-o", "ELLIPSIS", "-o", "NORMALIZE_WHITESPACE")
            done = call("doctest", *options, str(page.path), cwd=place)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_shell_takes_every_command_of_a_page_as_it_is_typed(page):
    typed = [command.typed for command in page.commands()] + [*page.composed()]
    for line in typed:
        done = subprocess.run(
            ["bash", "-n", "-c", re.sub(r"<[^<>\n']*>", "x", line)], capture_output=True, text=True
        )
        assert not done.returncode, f"{line}\n{done.stderr}"


@cache
def help_of(command: str) -> str:
    return call("eegfm", command, "--help", cwd=PAGES).stdout


@pytest.mark.parametrize("page", COMPOSED, ids=name_of)
def test_the_other_commands_of_a_page_exist(page):
    for line in page.composed():
        _, command, *words = shlex.split(re.sub(r"<[^>]*>", "x", line))
        assert command in COMMANDS, line
        if command == "sweep" and words[0] == "submit":
            command, words = "train", [word for word in words[1:] if word not in ("--parallel", "2")]
        if not (config_dir() / f"{command}.yaml").is_file():
            shown = help_of(command)
            missing = [word for word in words if word.startswith("--") and word not in shown]
            assert not missing, line
            continue
        words = [word for word in words if word != "-m"]
        if command == "evaluate":
            words = [re.sub("^split=", "values.split=", word) for word in words]
        # of the values of a sweep the first
        words = [re.sub(r"=range\(.*", "=1", re.sub(r"=([^\[(,]+),.*", r"=\1", word)) for word in words]
        composed(*words, door=command)


def test_links_lead_somewhere_before_anything_is_built():
    """They have a text as well, which only Sphinx would add. Pictures that are drawn when it builds are no links."""
    tree = PAGES.parent
    for path in (*(page.path for page in pages()), tree / "README.md", tree / "CONTRIBUTING.md"):
        prose = re.sub(
            r"^(`{3,}).*?^\1$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for text, target in re.findall(r"(?<!!)\[([^]]*)\]\(([^)#\s]*)", prose):
            if not target.startswith("http"):
                assert text and (path.parent / target).exists(), f"{path}: [{text}]({target})"


def test_another_day_is_no_difference():
    assert not differences("[2026-12-01 00:19:02,254][HYDRA] #0", "[2026-12-02 10:07:59,001][HYDRA] #0")
    assert differences("[2026-12-01 00:19:02,254][HYDRA] #0", "[2026-12-02 10:07:59,001][HYDRA] #1")
