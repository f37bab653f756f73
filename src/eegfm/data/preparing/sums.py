"""Read `SHA256SUMS.txt`, which PhysioNet puts beside a corpus: the SHA-256 of every file below its folder."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from eegfm.benchmarks.spec import SUMS
from eegfm.contracts import EegfmError

log = logging.getLogger(__name__)


def parse_sums(text: str, where: str) -> dict[str, str]:
    """SHA-256 by path below the folder of the list. Raises EegfmError for a line that is not a sum."""
    sums = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+)", line)
        if match is None:
            raise EegfmError(
                f"{where} is not a list of SHA-256 sums; it has the line {line[:80]!r}. A login page or a "
                "proxy may have answered: open the address in a browser."
            )
        sums[match[2]] = match[1].lower()
    return sums


def sums_beside(root: Path, files: Iterable[Path]) -> dict[Path, str]:
    """The published SHA-256 of the given files, as far as a list in `root` or in a folder below it has them."""
    files = list(files)
    known: dict[Path, str] = {}
    for folder in {parent for file in files for parent in file.parents if parent.is_relative_to(root)}:
        path = folder / SUMS
        if not path.is_file():
            continue
        try:
            sums = parse_sums(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except (EegfmError, OSError) as error:
            log.warning("No file is compared with %s: %s", path, error)
            continue
        known.update({folder / name: sha256 for name, sha256 in sums.items()})
    return {file: known[file] for file in files if file in known}
