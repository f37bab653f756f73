"""`eegfm weights`: every published file of weights that an option can use, and `eegfm weights fetch <option>`.

  eegfm weights                                            what for, size, licence, what it has seen, here or not
  eegfm weights fetch encoder=moment                       the size that encoder=moment takes
  eegfm weights fetch encoder=moment encoder.size=small    another
  eegfm weights fetch model=cbramod                        then: weights=published

A file is fetched at a fixed commit: the one that its option names, or else the one that was fetched first. A cut
download goes on from where it stopped. The file's SHA-256 is kept beside it (<file>.sha256), and held against it later.
Nothing else in eegfm downloads weights. Without a network the command says where to put the file by hand.
"""

import argparse
import sys
from collections.abc import Sequence

from eegfm.contracts import EegfmError


def main(argv: Sequence[str] | None = None) -> None:
    """List the files, or fetch one."""
    parser = argparse.ArgumentParser(
        prog="eegfm weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doing = parser.add_subparsers(dest="doing", metavar="fetch")
    fetching = doing.add_parser("fetch", help="fetch the file of an option", prog="eegfm weights fetch")
    fetching.add_argument("words", nargs="+", metavar="OPTION", help="encoder=moment encoder.size=small")
    options = parser.parse_args(argv)
    from eegfm.commands.work.weights import fetch, listed  # imports torch, which takes seconds

    try:
        print(fetch(options.words) if options.doing else listed())
    except EegfmError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. Type the same command again: it goes on from what is here.")


if __name__ == "__main__":
    main()
