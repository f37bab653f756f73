"""`eegfm new <folder>`: look at a folder of your own recordings, and write what declares them.

Writes conf/data/<name>.yaml here, with what was found and, at the top, what you have to decide. Only headers and a few
seconds of each recording are read; nothing in the folder is changed. EDF, BDF, GDF, CNT, BrainVision, EEGLAB, FIF,
Nihon Kohden and what else MNE reads; BIDS is recognised.

  eegfm new ~/recordings
  eegfm new ~/recordings --name mine
  eegfm new moabb:BNCI2014_001

The last is a data set of MOABB, which the package of that name fetches into data/raw, as BIDS; its events, classes and
seconds are then decided already.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eegfm.support.parser import Parser

LEFT = 14  # letters of the first column


def main(argv: Sequence[str] | None = None) -> None:
    """Look, write, and say what was found."""
    parser = Parser(prog="eegfm new", description=__doc__)
    parser.add_argument(
        "folder",
        help="the folder of the recordings, with all folders below it; or moabb:<DataSet>",
    )
    parser.add_argument(
        "--name", help="what the data set is called: data=<name> (default: the folder's name)"
    )
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    options = parser.parse_args(argv)
    from eegfm.contracts import EegfmError  # --help answers before MNE is loaded

    try:
        _new(options.folder, options.name, replace=options.replace)
    except EegfmError as error:
        sys.exit(str(error))


def _new(source: str, given: str | None, *, replace: bool) -> None:
    from rich.text import Text

    from eegfm.benchmarks.own.new.found import find_in
    from eegfm.benchmarks.own.new.from_moabb import SOURCE, from_moabb
    from eegfm.benchmarks.own.new.telling import asked, next_commands, told
    from eegfm.benchmarks.own.new.writing import yaml_of
    from eegfm.config.schema import config_dir
    from eegfm.contracts import EegfmError
    from eegfm.support.files import write_text
    from eegfm.support.words import console

    name = given if given is not None else name_of(Path(source.removeprefix(SOURCE)).expanduser())
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise EegfmError(
            f"{name!r} is no name of a data set: letters, digits, _ and - are wanted: --name <name>"
        )
    if (config_dir() / "data" / f"{name}.yaml").is_file():
        raise EegfmError(f"eegfm has data={name} of its own. Give yours another name: --name my_{name}")
    file = Path("conf") / "data" / f"{name}.yaml"
    if file.exists() and not replace:
        raise EegfmError(f"{file} is there. Another name: --name <name>; or write over it: --replace")
    decided = {}
    folder = Path(source).expanduser()
    if source.startswith(SOURCE):
        folder, decided = from_moabb(source.removeprefix(SOURCE), Path("data") / "raw")
    found = find_in(folder, _bar(), decided)
    text = yaml_of(found, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    out = console()
    out.rule(Text(f"{name}: {folder}"), style="dim")
    for what, said in told(found):
        _line(out, what, said)
    questions = [*asked(found)]
    if questions:
        out.rule(Text("To be decided"), style="dim")
        for key, said in questions:
            _line(out, key, said)
    out.rule(style="dim")
    for what, said in zip(
        ("written", "next", "then", ""), (f"{file}", *next_commands(found, name, file)), strict=False
    ):
        _line(out, what, said)


def name_of(folder: Path) -> str:
    """A data set's name by its folder's."""
    plain = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.casefold()).strip("_")
    return plain if plain[:1].isalpha() else f"data_{plain}".rstrip("_")


def _line(out, what: str, said: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from eegfm.support.words import visible

    row = Table.grid(padding=(0, 1))
    row.add_column(width=LEFT)
    row.add_column(overflow="fold")
    row.add_row(Text(what, style="bold"), Text(visible(said)))
    out.print(row)


def _bar() -> Callable[[int], Callable[[], None]]:
    """A bar on a terminal; nothing where the output goes to a file."""

    def begin(n: int) -> Callable[[], None]:
        if not sys.stderr.isatty():
            return lambda: None
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        bar = Progress(
            "reading headers", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True,
            console=Console(stderr=True),
        )  # fmt: skip
        task, left = bar.add_task("", total=n), n
        bar.start()

        def one() -> None:
            nonlocal left
            bar.advance(task)
            left -= 1
            if not left:
                bar.stop()

        if not n:
            bar.stop()
        return one

    return begin


if __name__ == "__main__":
    main()
