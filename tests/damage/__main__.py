"""`python -m tests.damage flips|cuts|kills|full_disks`: see the package."""

import argparse
import sys

from tests.damage import flips, full_disks, kills

parser = argparse.ArgumentParser(prog="python -m tests.damage")
parser.add_argument("what", choices=["flips", "cuts", "kills", "full_disks"])
parser.add_argument("--n", type=int, default=100, help="cases")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--only", type=int, help="the one case of this number")
parser.add_argument("--kinds", default="", help="a pattern of the kinds of files, or of the commands")
parser.add_argument(
    "--most", type=int, default=2, help="commands that use a damaged file, drawn anew each time"
)
options = parser.parse_args()
if options.what == "kills":
    failed = kills.main(options.n, options.seed, options.kinds, options.only)
elif options.what == "full_disks":
    failed = full_disks.main(options.kinds)
else:
    failed = flips.main(options.what, options.n, options.seed, options.kinds, options.only, options.most)
sys.exit(bool(failed))
