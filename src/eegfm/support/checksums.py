"""Files of what a run has learned: whole or absent, each with its SHA-256 beside it (`best.ckpt.sha256`).

The file of the sum is the one of `sha256sum`, which can check it. While a new file takes the place of an
old one it holds the sums of both: whenever the process is killed, the file that is there has its sum.
"""

import hashlib
import re
from pathlib import Path

from eegfm.contracts import EegfmError
from eegfm.support.files import sha256_of, whole, write_text

SUFFIX = ".sha256"


def write_with_sum(path: Path, content: bytes | memoryview) -> None:
    """Write the file and its sum to the disk; a power failure leaves the old ones or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = hashlib.sha256(content).hexdigest()
    old = (wanted_sums(path) or [sha256_of(path)]) if path.exists() else []
    _write_sums(path, [new, *old])
    with whole(path, sync=True) as temporary:
        temporary.write_bytes(content)
    if old:
        _write_sums(path, [new])


def keep_sum(path: Path, digest: str) -> None:
    """Keep the SHA-256 of a file that came from elsewhere beside it: `refuse_changed` holds it from then on."""
    _write_sums(path, [digest])


def refuse_changed(path: Path, sums: list[str] | None = None) -> None:
    """Compare a file with these SHA-256 sums, of which it must have one; by default with those beside it.

    A file without a sum is not known here: weights of others, or a run's before its sum was written.

    Raises:
        EegfmError: the file is not the one that was written.
    """
    wanted = wanted_sums(path) if sums is None else sums
    if wanted:
        _sum_among(path, wanted)


def _sum_among(path: Path, wanted: list[str]) -> str:
    """The SHA-256 of a file; raises EegfmError if it is none of these."""
    found = sha256_of(path)
    if found not in wanted:
        raise EegfmError(
            f"{path} is not as it was written: its SHA-256 is {found}, wanted {' or '.join(wanted)}. It is damaged, "
            "or another file. Put a good copy in its place. A run whose checkpoints/ is deleted trains from its start."
        )
    return found


def sums_of(folder: Path) -> dict[str, str]:
    """By name the SHA-256 of every file that has its sum beside it; raises EegfmError if one has changed."""
    found = {}
    for path in sorted(folder.glob("*")):
        if path.with_name(path.name + SUFFIX).is_file():
            found[path.name] = _sum_among(path, wanted_sums(path))
    return found


def wanted_sums(path: Path) -> list[str]:
    """The sums beside a file; empty if there are none.

    Raises:
        EegfmError: the file of the sums is damaged.
    """
    beside = _beside(path)
    if not beside.is_file():
        return []
    lines = beside.read_bytes().decode("utf-8", "replace").splitlines()
    if not lines or not all(re.fullmatch(r"[0-9a-f]{64}  .+", line) for line in lines):
        raise EegfmError(
            f"{beside} does not hold the SHA-256 of {path.name}: it is damaged. If {path.name} is certainly good, "
            f"delete {beside.name}."
        )
    return [line[:64] for line in lines]


def _write_sums(path: Path, sums: list[str]) -> None:
    write_text(_beside(path), "".join(f"{one}  {path.name}\n" for one in sums), sync=True)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
