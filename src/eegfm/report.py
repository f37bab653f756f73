"""`eegfm report runs/<experiment>`: our scores over seeds, beside the published ones.

A table shows the mean and the population standard deviation over seeds (ddof 0, as STAMP and CBraMod publish
theirs), the spread over test subjects, and every reservation; `--compare` compares the models.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from eegfm.support.parser import Parser
from eegfm.support.words import print_anything


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables. Exits with 1 and a sentence if there is nothing to report or a file cannot be written."""
    print_anything()
    options = _parser().parse_args(argv)
    from eegfm.reporting.report import report  # `--help` does not wait for it

    try:
        report(options)
    except ValueError as error:
        sys.exit(str(error))


def _parser() -> Parser:
    parser = Parser(
        prog="eegfm report",
        description="Print tables of runs: mean and deviation over seeds, scores by subject, published scores.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a run folder, or a folder of runs (run=PATH works too)",
    )
    parser.add_argument(
        "--by-subject", action="store_true", help="add a table with a row for each test subject"
    )
    parser.add_argument(
        "--cost", action="store_true", help="add a table of parameters, FLOPs, time and memory"
    )
    parser.add_argument(
        "--against",
        choices=["paper"],
        help="add the published scores and the difference to ours, or why the two cannot be compared",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="compare each pair of models over the test subjects, and rank the models over data sets",
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="compare only this model with the others (part of its name is enough)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="compare by this metric of the test subjects, e.g. auroc"
    )
    files = parser.add_argument_group("files to write (each holds the tables chosen above)")
    files.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="one row for each run; --compare also writes FILE_pairs.csv, --against FILE_against.csv",
    )
    files.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the tables; each row names its run folders"
    )
    files.add_argument(
        "--latex",
        type=Path,
        metavar="FILE",
        help="the tables, to \\input in a document that loads booktabs",
    )
    files.add_argument("--html", type=Path, metavar="FILE", help="one page with tables and pictures")
    files.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="the ranks over data sets, drawn as PNG and PDF"
    )
    return parser


if __name__ == "__main__":
    main()
