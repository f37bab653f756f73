"""`eegfm dashboard runs/<experiment> [--to page.html] [--wandb]`: the page of an experiment, to open in any browser.

Every run with its state, scores and cost, sortable and filtered; learning curves, seeds, intervals, test subjects and
figures; the paper's numbers beside ours. One HTML file that needs no server and no network. Made again, it is as the
runs are then.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page. Exits with 1 and a sentence where there is nothing to show or no place to write."""
    options = _parser().parse_args(argv)
    from eegfm.reporting.costs import with_prefix
    from eegfm.reporting.dashboard import page
    from eegfm.runs.status import queue

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
        to.write_text(html, encoding="utf-8")
    except OSError as error:
        sys.exit(f"{to} cannot be written: {error.strerror}. Choose another place: --to <file.html>")
    print(f"{to.resolve()} ({with_prefix(len(html.encode()))}B). Open it in any browser.")
    if options.wandb:
        from eegfm.reporting.wandb_page import save

        try:
            for what, url in save(folder).items():
                print(f"{what} {url}")
        except ValueError as error:
            sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eegfm dashboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="runs/<experiment>, or any folder of runs"
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="the page (FOLDER/dashboard.html)")
    parser.add_argument(
        "--wandb",
        action="store_true",
        help="lay it out at W&B as well, as a workspace and a report, of runs of logger=wandb",
    )
    return parser


if __name__ == "__main__":
    main()
