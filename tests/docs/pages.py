"""The commands of a page of the documentation: found, run as a reader would type them, and held against what it shows.

A block ```console is run: lines behind `$ ` are commands, the others what they say. A block ```pycon is run as a
doctest. Blocks of a page share one new working folder and follow one another. A block ```sh is not run, because it
wants data, a cluster or an account; its `eegfm` commands are composed. `...` stands for anything, as in doctests; clock
times, durations, sizes and names that follow from the commit are not compared, and figures only to 0.03. A command that
ends with another status than 0 is shown with `(exit status 1)` below what it says.

`python -m tests.docs <page> ...` runs pages and writes what came out into them. A comment `<!-- picture: <path> -->`
above an image names the file, in the working folder, that the image is of; it is copied anew then.
"""

import doctest
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.command_line import call, environment, shell

PAGES = Path(__file__).parents[2] / "docs"
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NEEDS = re.compile(r"^<!-- needs: (\S+) -->$", re.M)  # a folder of the real recordings
VARIES = [  # what differs from one machine, day or commit to the next, and what stands for it
    (re.compile(r"\b(\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d(,\d{3})?)?\b"), "(time)"),
    (re.compile(r"\b\d[\d,.]*( ?(s|ms|min|h|MB|GB|kB|µs)\b| a second|/s\b)"), "(size)"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b"), "(name)"),
    (re.compile(r"[━─╸╺]+"), "─"),
]
PICTURE = re.compile(
    r"^<!-- picture: (\S+) -->\n!\[[^\]]*\]\(([^)]+)\)$", re.M
)  # a file of the run, and the image
FIGURE = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Command:
    """A command of a page as typed, and what the page shows of its output, by lines of the page (from, to)."""

    typed: str
    shown: str
    lines: tuple[int, int]


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def needs(self) -> str | None:
        """The folder of the real recordings without which the page cannot be run."""
        found = NEEDS.search(self.text)
        return found[1] if found else None

    def fences(self, kind: str) -> Iterator[tuple[int, list[str]]]:
        """The first line and the lines of every block of a kind."""
        for token in MarkdownIt().parse(self.text):
            if token.type == "fence" and token.info.split()[:1] == [kind] and token.map:
                yield token.map[0] + 1, token.content.splitlines()

    def commands(self) -> Iterator[Command]:
        """The commands that are run, in the order of the page."""
        for first, lines in self.fences("console"):
            starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
            for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
                said = start + 1
                while said < end and lines[said].startswith(
                    "> "
                ):  # as a shell shows that a command goes on
                    said += 1
                typed = "\n".join(
                    [lines[start][2:], *(line.removeprefix("> ") for line in lines[start + 1 : said])]
                )
                yield Command(typed, "\n".join(lines[said:end]), (first + said, first + end))

    def composed(self) -> Iterator[str]:
        """The `eegfm` commands of the blocks that are not run."""
        for _, lines in self.fences("sh"):
            for line in "\n".join(lines).replace("\\\n", " ").splitlines():
                if line.startswith("eegfm "):
                    yield re.sub(r"\s+#.*", "", line)

    def pictures(self, place: Path) -> Iterator[tuple[Path, Path]]:
        """Each picture of the page: the file that the run left in `place`, and the image beside the page."""
        for pattern, image in PICTURE.findall(self.text):
            (made,) = place.glob(pattern)
            yield made, self.path.parent / image

    @property
    def runs(self) -> bool:
        return any(self.fences("console")) or any(self.fences("pycon"))


def pages() -> list[Page]:
    """Every page, and the README."""
    found = sorted(
        path for path in PAGES.rglob("*.md") if "_made" not in path.parts and "_build" not in path.parts
    )
    return [Page(PAGES.parent / "README.md"), *map(Page, found)]


def run(command: str, cwd: Path) -> str:
    """What a command of a page says when it is typed in `cwd`, and its exit status if that is not 0."""
    typed = environment(COLUMNS="100")
    if command.startswith("eegfm ") and not re.search(r"[|>;&$*]", command):
        words = shlex.split(command.replace("\\\n", ""), comments=True)
        done = call("eegfm", *words[1:], cwd=cwd, env=typed)
    else:
        done = shell(command, cwd, typed)
    said = (
        done.stdout
        if done.returncode == 0
        else f"{done.stdout}{done.stderr}\n(exit status {done.returncode})"
    )
    lines = [line.rstrip() for line in said.replace(str(cwd), "~/study").strip().splitlines()]
    return "\n".join(line for n, line in enumerate(lines) if line or lines[n - 1])


def differences(shown: str, said: str) -> str:
    """What a page shows that did not come out, in words; empty if it did."""
    want, got = (_steady(text) for text in (shown, said))
    if not doctest.OutputChecker().check_output(FIGURE.sub("#", want), FIGURE.sub("#", got), LOOSE):
        return f"the page shows\n{shown}\nand it said\n{said}"
    figures = [[float(one) for one in FIGURE.findall(text)] for text in (want, got)]
    if "..." not in shown:
        for one, other in zip(*figures, strict=True):
            if abs(one - other) > max(0.03, 0.03 * abs(one)):
                return f"the page shows {one} where it said {other}:\n{said}"
    return ""


def _steady(text: str) -> str:
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def laid(page: Page, place: Path, recordings: Path | None) -> None:
    """Lay what the page needs into a working folder: its recordings as `recordings`."""
    if page.needs:
        assert recordings is not None
        (place / "recordings").symlink_to((recordings / page.needs).resolve())


def written(page: Page, recordings: Path | None) -> str:
    """The text of the page with what its commands say today."""
    lines = page.text.splitlines()
    with tempfile.TemporaryDirectory() as folder:
        laid(page, Path(folder), recordings)
        news = []
        for command in page.commands():
            said = run(command.typed, Path(folder))
            print(f"$ {command.typed}\n{said}", flush=True)
            if differences(command.shown, said):
                news.append((command.lines, said.splitlines()))
        for made, image in page.pictures(Path(folder)):
            shutil.copyfile(made, image)
    for (start, end), said in reversed(news):
        lines[start:end] = said
    return "\n".join(lines) + "\n"
