"""`python -m eegfm.report runs/<experiment>`: our numbers over seeds, beside the published ones.

Mean and population standard deviation (ddof 0, as STAMP and CBraMod publish theirs) over seeds, the spread over test
subjects, and every reservation; with `--compare` models against one another.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """The command. Exits with 1 and a sentence where there is nothing to report or no place to write."""
    options = _parser().parse_args(argv)
    from eegfm.reporting.report import report  # `--help` does not wait for it

    try:
        report(options)
    except ValueError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eegfm.report",
        description="Tables of runs: mean and deviation over seeds, by subject, beside the published numbers.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a run folder, or a folder of runs; run=PATH is understood too",
    )
    parser.add_argument("--by-subject", action="store_true", help="add a table of every test subject")
    parser.add_argument("--cost", action="store_true", help="add parameters, FLOPs, time and memory")
    parser.add_argument(
        "--against",
        choices=["paper"],
        help="add published scores beside ours, with differences where the two can be compared, and why not elsewhere",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="add pairs of models over test subjects, and ranks over data sets",
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="compare this model with the others only (a part of its name will do)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="compare by this metric of the test subjects (auroc, ...)"
    )
    files = parser.add_argument_group("files, each with all that is asked for")
    files.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="one row a run, flat columns; pairs go into FILE_pairs.csv, published scores into FILE_against.csv",
    )
    files.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the tables, each row with its run folders"
    )
    files.add_argument(
        "--latex", type=Path, metavar="FILE", help="the tables, for \\input; they want booktabs"
    )
    files.add_argument("--html", type=Path, metavar="FILE", help="one page, pictures inside")
    files.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="ranks over data sets, as PNG and PDF"
    )
    return parser


if __name__ == "__main__":
    main()
