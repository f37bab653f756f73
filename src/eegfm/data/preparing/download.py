"""Fetch the raw files of a corpus that is open without login: resumed where cut, checked against published sums.

Made for PhysioNet, where `SHA256SUMS.txt` lies beside the files; any server with the same tree will do. Pooch knows
the sums and puts a file in its place; its own HTTP downloader begins at nought after a cut, hence `ResumingDownloader`.
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

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.contracts import EegfmError
from eegfm.data.preparing.parts import DISK_FULL
from eegfm.data.preparing.sums import SUMS, parse_sums
from eegfm.files import only_one
from eegfm.process import level

log = logging.getLogger(__name__)

WAITS_S = (
    0.5,
    1.0,
    2.0,
    4.0,
)  # before each retry after a try without progress; then it fails
TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces
PIECE = 1 << 14  # bytes; up to one piece is lost when a connection breaks

# bytes just received, bytes of the file so far, bytes of the whole file where known
Report = Callable[[int, int, int | None], None]


@dataclass(frozen=True)
class _File:
    name: str  # its path below the root
    url: str
    sha256: str


def download(
    benchmark: BenchmarkSpec, root: Path, *, base_url: str | None = None, progress: bool = True
) -> None:
    """Fetch every file of the protocol that is not yet under `root` with its published SHA-256, and no other file.

    What arrives grows in `<name>.part` and gets its name once it is complete and verified, so a download may be
    stopped at any point and run again. A file that is there with another sum is fetched again. `base_url` names a
    mirror: the same tree, its own SHA256SUMS.txt. Raises EegfmError where the corpus is not open, the server fails, a
    sum differs or the disk is full.
    """
    base = base_url or benchmark.open_files
    if base is None:
        raise EegfmError(
            f"{benchmark.title} is not fetched by data.download=true: no open files are known. {benchmark.access}\n"
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
    """Pooch's downloader for one file: grows `part` from where it stops, verifies it, and hands it over by renaming."""

    session: requests.Session
    part: Path
    sha256: str
    report: Report

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        # pooch makes this file empty beforehand; gone until the end, it cannot be left behind by a killed process
        Path(output_file).unlink()
        resumed = self.part.exists()
        _receive(self.session, url, self.part, self.report)
        if resumed and not _is_published(self.part, self.sha256):
            log.warning("%s did not begin the file that is at %s; starting afresh.", self.part, url)
            self.part.unlink()
            _receive(self.session, url, self.part, self.report)
        if not _is_published(self.part, self.sha256):
            found = pooch.file_hash(str(self.part))
            self.part.unlink()
            raise EegfmError(
                f"{url} has not the content that {SUMS} promises: SHA-256 {found}, wanted {self.sha256}. The copy is "
                "removed. A proxy may have answered in the server's place, or the server is at fault: open the address "
                "in a browser, or try again later."
            )
        os.replace(self.part, output_file)


def _fetch_sums(session: requests.Session, base: str) -> dict[str, str]:
    """SHA-256 by path below `base`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / SUMS
        _receive(session, base + SUMS, path, lambda *_: None)
        text = path.read_text(encoding="utf-8", errors="replace")
    return parse_sums(text, base + SUMS)


def _published_as(name: str, sums: dict[str, str]) -> str:
    """The path below the base URL: a benchmark may look into a folder (`eegmmidb/`) that the server does not have."""
    folders = name.split("/")
    tails = ("/".join(folders[i:]) for i in range(len(folders)))
    return next((tail for tail in tails if tail in sums), name)


@level(logging.WARNING, pooch.get_logger())  # two lines a file would tear the progress bar
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
                path.unlink()  # its content belongs to another folder too, where nothing may change
            else:
                os.replace(path, part)  # perhaps cut by another program: then only its end is fetched
        # Any: pooch 1.9 declares a downloader with the arguments of a processor
        resuming: Any = ResumingDownloader(session, part, file.sha256, meter.receive)
        corpus.fetch(file.name, downloader=resuming)
        meter.finish_file()


def _is_published(path: Path, sha256: str) -> bool:
    return path.exists() and pooch.file_hash(str(path)) == sha256


def _receive(session: requests.Session, url: str, part: Path, report: Report) -> None:
    """Grow `part` until the server has no more; a failed try is repeated until several in a row have added nothing."""
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
                    f"Could not fetch {url}: {error}.\nWhat has arrived is kept; the same command goes on from there."
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
            return  # all there: stopped between the last byte and the check
        goes_on = answer.status_code == 206 and content_range.startswith(f"bytes {have}-")
        if have and answer.status_code in (206, 416) and not goes_on:
            part.unlink()  # it is longer than the file, or the server sends another stretch than the one asked for
            return _receive_once(session, url, part, report)
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise EegfmError(
                f"{url} cannot be had: HTTP {answer.status_code} {answer.reason}. Open the address in a browser; where "
                "the corpus has moved, data/README.md says how to put the files in place by hand."
            )
        answer.raise_for_status()
        have = have if goes_on else 0  # 200: this server sends whole files only
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if goes_on else "wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                have += len(piece)
                report(len(piece), have, total)
    if total is not None and have < total:  # urllib3 below 2 does not notice a cut by itself
        raise requests.ConnectionError(f"cut after {have:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Meter:
    """The bar's content: files done and the fraction of the current one; bytes received in this run."""

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
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        disable=not shown,
    )
