"""Write files whole or not at all, and name them."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError

FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL = "A disk is full"  # as it is told, in a status too
LARGEST = 2**30  # bytes of a table or a JSON file
NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def whole(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all: write to the yielded path, which is renamed to `path` at the end.

    If the block raises, the new file is removed and the old one stays. `sync` forces the content to the
    disk, and then the name, for files that must survive a power failure. A symbolic link at `path` is
    replaced, not followed.
    """
    # in the same folder, with the same suffix, which some writers go by; unique to this process
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    temporary.unlink(missing_ok=True)  # of a killed process of that number, or a link that somebody laid
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                sync_to_disk(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        _sync_names(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left of files that `whole` was writing in a folder.

    Only for a folder in which no other process writes.
    """
    for left in folder.glob(".*.tmp.*"):
        left.unlink(missing_ok=True)


def refused_by_disk(error: BaseException, folder: Path) -> str:
    """The sentence for an error that says that a disk is full, that one has no right to a file or that its name is too
    long; "" for others.

    A full disk is found in the errors of whatever library. It may be another than that of `folder`: the sentence says
    how much is free there.
    """
    if isinstance(error, OSError) and error.errno in NO_RIGHT and error.filename is not None:
        return (
            f"{error.filename}: {error.strerror}. Ask for the right to it; or write elsewhere (out=, --to, "
            "paths.runs=, paths.cache=); or work on a copy of your own."
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return (
            f"{str(error.filename)[:60]}...: {error.strerror}. A name may have 255 bytes, and a whole path 4,096: "
            "type a shorter one."
        )
    said = [os.strerror(number) for number in FULL]
    if not (isinstance(error, OSError) and error.errno in FULL) and not any(
        one in str(error) for one in said
    ):
        return ""
    free = shutil.disk_usage(folder).free / 1e6
    return (
        f"{DISK_FULL}, or your share of it: {error} ({free:,.1f} MB are free at {folder}). What was saved before is "
        "whole: make room, and the same command goes on."
    )


def _sync_names(folder: Path) -> None:
    if sys.platform == "win32":  # where a folder is no file that could be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_links(*paths: Path) -> None:
    """Raise EegfmError for a path that is a symbolic link: what is written to it would land elsewhere."""
    for path in paths:
        if path.is_symlink():
            raise EegfmError(
                f"{path} is a symbolic link, and a run's files are not written through one. Put what it names in its "
                f"place, or delete it: rm {path}"
            )


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text in UTF-8; what has no letter, as a byte of a name that is not UTF-8, is written as an escape."""
    with whole(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write readable JSON."""
    write_text(path, _json(value, 1), sync=sync)


def write_json_anyhow(path: Path, value: Any) -> None:
    """Write readable JSON whole; or, on a full disk, into the blocks that the old file has."""
    try:
        write_json(path, value, sync=False)
    except OSError as error:
        if error.errno not in FULL or not path.exists():
            raise
        with open(path, "r+b") as file:
            file.write(_json(value).encode())
            file.truncate()


def readable(path: Path, most: float = LARGEST) -> Path:
    """The path itself, of a file that somebody else may have laid there, before it is read.

    Raises:
        OSError: it is a pipe or a device, whose reading may never end, or has more than `most` bytes.
    """
    try:
        found = path.stat()
    except OSError:  # reading it will say why
        return path
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise OSError(errno.EINVAL, "no file but a pipe or a device", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes, and at most {most:,} are read", str(path))
    return path


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, which may be larger than memory, in hexadecimal digits."""
    with readable(file, math.inf).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "\n")  # at the start of a cell


def cell(value: Any) -> Any:
    """A value for a CSV file: a text that a spreadsheet would run gets an apostrophe before it; a number stays.

    What has no letter, as a byte of a name that is not UTF-8, is written as an escape.
    """
    if not isinstance(value, str):
        return value
    value = value.encode("utf-8", "backslashreplace").decode()
    if not value.lstrip("'").startswith(RUN_BY_SPREADSHEETS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def uncelled(text: str) -> str:
    """The text that `cell` was given."""
    own = text.removeprefix("'")
    return own if cell(own) == text else text


NAME_BYTES = 150  # of a file's name, which has room for a suffix: file systems take 255


def file_name(name: str) -> str:
    """The name of a file, without its suffix, for whatever has a name: different names give different files.

    Letters, digits, spaces and `-_.,=+@()` stay; other characters, and a dot at the start, are written as `%` and
    their bytes in hexadecimal digits. So a name is never a path.
    """
    kept = [
        one if one.isalnum() or one in " -_.,=+@()" else "".join(f"%{byte:02X}" for byte in _bytes(one))
        for one in name
    ]
    kept[:1] = ["%2E"] if kept[:1] == ["."] else kept[:1]
    found = "".join(kept)
    if found and len(found.encode()) <= NAME_BYTES:
        return found
    digest = hashlib.sha256(_bytes(name)).hexdigest()[:16]
    return found.encode()[:NAME_BYTES].decode(errors="ignore") + f"%{digest}"


def _bytes(text: str) -> bytes:
    """The text in UTF-8, with the halves of pairs that stand for the bytes of a name that is not UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _json(value: Any, indent: int | None = None) -> str:
    """JSON that can be read; only what has no letter, as a byte of a name that is not UTF-8, is an escape in it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text) + "\n"


def sync_to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
