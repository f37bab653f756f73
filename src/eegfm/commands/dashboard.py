"""`eegfm dashboard runs/<experiment> [--to page.html] [--wandb]`: write the page of an experiment.

The page is one HTML file for any browser; it needs no server and no network. It shows the state, scores and cost of
every run in a table to sort and filter, learning curves, seeds, intervals, test subjects, figures, and the paper's
numbers beside ours. Run the command again to update the page.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from eegfm.runs.wandb_place import add_options, outside_of
from eegfm.support.files import write_text
from eegfm.support.parser import Parser
from eegfm.support.words import print_anything


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page. Exits with 1 and a sentence if there is nothing to show or the file cannot be written."""
    print_anything()
    options = _parser().parse_args(argv)
    from eegfm.reporting.costs import with_prefix
    from eegfm.reporting.dashboard import page
    from eegfm.runs.slurm import queue

    folder: Path = options.folder.parent if options.folder.is_file() else options.folder
    to: Path = options.to or folder / "dashboard.html"
    if to.is_dir():
        sys.exit(f"{to} is a folder; a file is wanted: --to {to / 'dashboard.html'}")
    try:
        html = page(folder, to, queue())
    except ValueError as error:
        sys.exit(str(error))
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_text(to, html)
    except OSError as error:
        sys.exit(f"{to} cannot be written: {error.strerror}. Choose another place: --to <file.html>")
    print(f"{to.resolve()} ({with_prefix(to.stat().st_size)}B). Open it in any browser.")
    if options.wandb:
        from eegfm.reporting.wandb_page import save

        try:
            with outside_of([folder]):
                urls = save(folder.absolute(), options.entity, options.project)
            for what, url in urls.items():
                print(f"{what} {url}")
        except ValueError as error:
            sys.exit(str(error))


def _parser() -> Parser:
    parser = Parser(prog="eegfm dashboard", description=__doc__)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="runs/<experiment>, or any folder of runs"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the file to write (default: FOLDER/dashboard.html)"
    )
    parser.add_argument(
        "--wandb",
        action="store_true",
        help="also make a workspace and a report at W&B, from runs with logger=wandb",
    )
    add_options(parser)
    return parser


if __name__ == "__main__":
    main()
