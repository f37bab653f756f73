"""Fetch the raw files of a corpus that is open without a login: resume broken downloads, check the published sums.

This is made for PhysioNet, which has `SHA256SUMS.txt` beside the files; any server with the same tree works. Pooch
checks the sums and puts files in place. Its own HTTP downloader starts again after a cut, so we have
`ResumingDownloader`.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pooch
import requests
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eegfm.benchmarks.spec import SUMS, BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import DISK_FULL
from eegfm.data.preparing.sums import parse_sums
from eegfm.support.locks import only_one
from eegfm.support.process import level

log = logging.getLogger(__name__)

WAITS_S = (
    0.5,
    1.0,
    2.0,
    4.0,
)  # seconds before each retry without progress; after the last one the download fails
TIMEOUT_S = (10.0, 60.0)  # to connect, and between two pieces
PIECE = 1 << 14  # bytes; up to one piece is lost when a connection breaks

# bytes just received, bytes of the file so far, bytes of the whole file if known
Report = Callable[[int, int, int | None], None]


@dataclass(frozen=True)
class _File:
    name: str  # the path below the root
    url: str
    sha256: str


def download(
    benchmark: BenchmarkSpec, root: Path, *, base_url: str | None = None, progress: bool = True
) -> None:
    """Fetch every file of the protocol that is not yet under `root` with its published SHA-256, and no other file.

    A file grows as `<name>.part` and gets its name when it is complete and verified, so a download may be stopped at
    any point and run again. An existing file with another sum is fetched again. `base_url` names a mirror, with the
    same tree and its own SHA256SUMS.txt. Raises EegfmError if the corpus is not open, the server fails, a sum differs
    or the disk is full.
    """
    base = base_url or benchmark.open_files
    if base is None:
        raise EegfmError(
            f"data.download=true cannot fetch {benchmark.title}: its files are not open. {benchmark.access}\n"
            "Run the same command without data.download=true."
        )
    base = base.rstrip("/") + "/"
    files = (path for source in benchmark.sources(root) for path in source.files)
    wanted = list(dict.fromkeys(path.relative_to(root).as_posix() for path in files))
    log.info(
        "%s: %d files from %s to %s. Licence: %s. Cite: %s",
        *(benchmark.title, len(wanted), base, root, benchmark.licence, benchmark.citation),
    )
    with requests.Session() as session:
        sums = _fetch_sums(session, base)
        published = {name: _published_as(name, sums) for name in wanted}
        unlisted = [name for name in wanted if published[name] not in sums]
        if unlisted:
            raise EegfmError(
                f"{benchmark.title}: {base}{SUMS} does not list {len(unlisted)} of the {len(wanted)} files that the "
                f"protocol needs; the first: {unlisted[0]}. Is this the right version of the corpus? Wanted: "
                f"{benchmark.open_files or benchmark.corpus}"
            )
        files = [_File(name, base + published[name], sums[published[name]]) for name in wanted]
        missing = [file for file in files if not _is_published(root / file.name, file.sha256)]
        if not missing:
            log.info(
                "%s: all %d files are there, with their published SHA-256.", benchmark.title, len(wanted)
            )
            return
        try:
            with only_one(root), _bar(progress) as bar:
                meter = _Meter(bar, benchmark.name, done=len(wanted) - len(missing), total=len(wanted))
                _fetch_files(session, root, missing, meter)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise EegfmError(
                f"The disk of {root} is full. What has arrived is kept: make room and run the same command again, "
                "or name a folder on another disk with data.raw=<folder>."
            ) from error
    log.info(
        "%s: %d files fetched and verified, %s.", benchmark.title, len(missing), decimal(meter.received)
    )


@dataclass
class ResumingDownloader:
    """Pooch's downloader for one file: continue `part`, verify it, and rename it."""

    session: requests.Session
    part: Path
    sha256: str
    report: Report

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        # pooch has made an empty file here, which a killed process would leave behind
        Path(output_file).unlink()
        resumed = self.part.exists()
        receive(self.session, url, self.part, self.report)
        if resumed and not _is_published(self.part, self.sha256):
            log.warning("%s was not the beginning of the file at %s; starting again.", self.part, url)
            self.part.unlink()
            receive(self.session, url, self.part, self.report)
        if not _is_published(self.part, self.sha256):
            found = pooch.file_hash(str(self.part))
            self.part.unlink()
            raise EegfmError(
                f"{url} does not have the content that {SUMS} lists: SHA-256 {found}, wanted {self.sha256}. The copy "
                "was removed. A proxy may have answered in the server's place, or the server is at fault: open the "
                "address in a browser, or try again later."
            )
        os.replace(self.part, output_file)


def _fetch_sums(session: requests.Session, base: str) -> dict[str, str]:
    """SHA-256 by path below `base`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / SUMS
        receive(session, base + SUMS, path, lambda *_: None)
        text = path.read_text(encoding="utf-8", errors="replace")
    return parse_sums(text, base + SUMS)


def _published_as(name: str, sums: dict[str, str]) -> str:
    """The path below the base URL, without leading folders that only our tree has (`eegmmidb/`)."""
    folders = name.split("/")
    tails = ("/".join(folders[i:]) for i in range(len(folders)))
    return next((tail for tail in tails if tail in sums), name)


@level(logging.WARNING, pooch.get_logger())  # its two lines for each file would break the progress bar
def _fetch_files(session: requests.Session, root: Path, files: list[_File], meter: "_Meter") -> None:
    corpus = pooch.create(
        root,
        base_url="",
        registry={file.name: f"sha256:{file.sha256}" for file in files},
        urls={file.name: file.url for file in files},
    )
    for file in files:
        path = root / file.name
        part = path.with_name(path.name + ".part")
        if path.exists() and not _is_published(path, file.sha256):
            log.warning("%s is not the published file (its SHA-256 differs); fetching it again.", path)
            if path.is_symlink() or path.stat().st_nlink > 1:
                path.unlink()  # another folder shares its content, which must not change
            else:
                os.replace(path, part)  # if another program cut it, only its end has to be fetched
        # Any: pooch 1.9 declares a downloader with the arguments of a processor
        resuming: Any = ResumingDownloader(session, part, file.sha256, meter.receive)
        corpus.fetch(file.name, downloader=resuming)
        meter.finish_file()


def _is_published(path: Path, sha256: str) -> bool:
    return path.exists() and pooch.file_hash(str(path)) == sha256


def receive(session: requests.Session, url: str, part: Path, report: Report) -> None:
    """Grow `part` to the whole file; try again until several tries in a row have added nothing."""
    furthest, waits = _size(part), iter(WAITS_S)
    while True:
        try:
            return _receive_once(session, url, part, report)
        except requests.RequestException as error:
            if _size(part) > furthest:
                furthest, waits = _size(part), iter(WAITS_S)
            wait = next(waits, None)
            if wait is None:
                raise EegfmError(
                    f"Could not fetch {url}: {error}.\nWhat has arrived is kept; the same command continues from there."
                ) from error
            log.debug("%s: %s; trying again in %g s", url, error, wait)
            time.sleep(wait)


def _receive_once(session: requests.Session, url: str, part: Path, report: Report) -> None:
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # a compressed answer could not be continued
    if have:
        headers["Range"] = f"bytes={have}-"
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        content_range = answer.headers.get("Content-Range", "")
        if answer.status_code == 416 and content_range == f"bytes */{have}":
            return  # complete: the download was stopped between the last byte and the check
        continues = answer.status_code == 206 and content_range.startswith(f"bytes {have}-")
        if have and answer.status_code in (206, 416) and not continues:
            part.unlink()  # it is longer than the file, or the server sends another range than requested
            return _receive_once(session, url, part, report)
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise EegfmError(
                f"{url} cannot be fetched: HTTP {answer.status_code} {answer.reason}. Open the address in a browser; "
                "if the corpus has moved, data/README.md says how to put the files in place by hand."
            )
        answer.raise_for_status()
        have = have if continues else 0  # 200: this server sends only whole files
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if continues else "wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                have += len(piece)
                report(len(piece), have, total)
    if total is not None and have < total:  # urllib3 below 2 does not notice a cut
        raise requests.ConnectionError(f"cut after {have:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Meter:
    """The content of the progress bar: finished files, the fraction of the current one, and the bytes received."""

    def __init__(self, bar: Progress, name: str, *, done: int, total: int) -> None:
        self.bar, self.done, self.total, self.received = bar, done, total, 0
        self.task: TaskID = bar.add_task(name, total=total, completed=done, shown="")
        self._show(0.0)

    def receive(self, new: int, have: int, total: int | None) -> None:
        self.received += new
        self._show(have / total if total else 0.0)

    def finish_file(self) -> None:
        self.done += 1
        self._show(0.0)

    def _show(self, fraction: float) -> None:
        shown = f"{self.done}/{self.total} files, {decimal(self.received)}"
        self.bar.update(self.task, completed=self.done + fraction, shown=shown)


def _bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        disable=not shown,
    )
