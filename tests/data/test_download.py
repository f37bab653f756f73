"""Downloading against a real HTTP server on this computer that cuts, lies, fails and hangs as servers do."""

import hashlib
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Recording, Source, Window
from eegfm.contracts import EegfmError
from eegfm.data.preparing.download import PIECE, download

SIZES = {"S001/S001R04.edf": 300_000, "S001/S001R06.edf": 120_001, "S002/S002R04.edf": 7}
FIRST, SECOND, LAST = SIZES
FILES = {name: np.random.default_rng(size).bytes(size) for name, size in SIZES.items()}
SUMS = "SHA256SUMS.txt"


def sums_of(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(body).hexdigest()} {name}\n" for name, body in files.items()).encode()


class Server(ThreadingHTTPServer):
    """Serves `files` and keeps a record; `trouble[name]` is a list of what goes wrong at the next requests for it.

    "cut:<n>" ends the connection after n bytes of the body; "hang:<n>" stops there and waits for
    `released`; a number is an HTTP status without a body. `ranges` is "yes", "no" (whole files only) or "wrong".
    """

    daemon_threads = True

    def __init__(self, ranges: str = "yes") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {**FILES, SUMS: sums_of(FILES)}
        self.ranges = ranges
        self.trouble: dict[str, list[str]] = {}
        self.asked: list[tuple[str, int]] = []  # file, first byte
        self.sent: dict[str, int] = {}  # bytes of bodies by file
        self.released = threading.Event()
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/1.0.0/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, name = self.server, self.path.removeprefix("/files/1.0.0/")
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        with server.guard:
            server.asked.append((name, start))
            trouble = next(iter(server.trouble.get(name, [])), "")
            if trouble:
                server.trouble[name].pop(0)
        if trouble.isdigit() or name not in server.files:
            return self.head(int(trouble or 404), 0)
        body = server.files[name]
        if wanted and server.ranges == "yes":
            if start >= len(body):
                return self.head(416, 0, f"bytes */{len(body)}")
            status, content_range = 206, f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        elif wanted and server.ranges == "wrong":
            status, content_range = 206, f"bytes 0-{len(body) - 1}/{len(body)}"
        else:
            status, content_range = 200, ""
        kind, _, n = trouble.partition(":")
        self.head(status, len(body), content_range)
        sent = body[: int(n)] if n else body
        self.wfile.write(sent)
        self.wfile.flush()
        with server.guard:
            server.sent[name] = server.sent.get(name, 0) + len(sent)
        if kind == "hang":
            server.released.wait(30)
        self.close_connection = bool(kind)

    def head(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()


def serve(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve(Server())


@pytest.fixture(params=["yes", "no", "wrong"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from serve(Server(request.param))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eegfm.data.preparing.download.WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def corpus(open_files: str | None, names: tuple[str, ...] = tuple(SIZES), home: str = "") -> BenchmarkSpec:
    def sources(root: Path) -> list[Source]:
        return [Source(name[:4], Path(name).stem, "train", root / home / name) for name in names]

    def read(source: Source) -> Recording:
        raise NotImplementedError

    def windows(recording: Recording, source: Source) -> list[Window]:
        raise NotImplementedError

    return BenchmarkSpec(
        name="tiny",
        title="Tiny Corpus",
        protocol="none",
        classes=("a", "b"),
        channels=("Cz",),
        sfreq=200.0,
        window_s=1.0,
        steps=(),
        splits={"train": tuple(sorted({name[:4] for name in names}))},
        census=Census(),
        sources=sources,
        read=read,
        windows=windows,
        corpus="Tiny Corpus v1",
        licence="ODC-By 1.0",
        access="Ask the keeper at keeper@example.org.",
        citation="Keeper 2020",
        open_files=open_files,
    )


def fetch(server: Server, root: Path) -> None:
    download(corpus(server.url), root, progress=False)


def under(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_fetches_the_files_of_the_protocol_and_no_other(server, tmp_path, caplog):
    server.files["S001/S001R01.edf"] = b"a run that the protocol does not use"
    server.files[SUMS] = sums_of({name: body for name, body in server.files.items() if name != SUMS})
    with caplog.at_level(logging.INFO, "eegfm"):
        fetch(server, tmp_path / "raw")
    assert under(tmp_path / "raw") == FILES
    assert sorted(server.asked) == sorted([(SUMS, 0), *((name, 0) for name in FILES)])
    first = caplog.messages[0]
    assert "Tiny Corpus" in first and "ODC-By 1.0" in first and "Keeper 2020" in first


def test_a_fetched_file_can_be_read_by_others(server, tmp_path):
    """Temporary files are made for their owner alone; a corpus on a shared disk is for the group."""
    fetch(server, tmp_path / "raw")
    ordinary = put(tmp_path / "ordinary", b"")
    assert (tmp_path / "raw" / FIRST).stat().st_mode == ordinary.stat().st_mode


def test_a_folder_between_root_and_tree_is_no_part_of_the_address(server, tmp_path):
    """physionet_mi looks into `eegmmidb/` where that is there; the server has the subjects right below its URL."""
    download(corpus(server.url, home="MNE-data/eegmmidb"), tmp_path, progress=False)
    assert under(tmp_path / "MNE-data" / "eegmmidb") == FILES


def test_a_second_call_asks_for_the_sums_alone(server, tmp_path):
    fetch(server, tmp_path)
    server.asked.clear()
    fetch(server, tmp_path)
    assert server.asked == [(SUMS, 0)]


def test_a_cut_connection_goes_on_where_it_stopped(server, tmp_path):
    server.trouble[FIRST] = ["cut:200000"]
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES
    (_, zero), (_, start) = (asked for asked in server.asked if asked[0] == FIRST)
    assert zero == 0 and 200_000 - PIECE <= start <= 200_000
    assert server.sent[FIRST] == 200_000 + (SIZES[FIRST] - start)


def test_a_cut_connection_is_mended_whatever_the_server_makes_of_ranges(any_server, tmp_path):
    any_server.trouble[FIRST] = ["cut:200000"]
    fetch(any_server, tmp_path)
    assert under(tmp_path) == FILES
    if any_server.ranges == "no":
        assert any_server.sent[FIRST] == 200_000 + SIZES[FIRST]


def test_many_cuts_do_not_wear_out_patience_while_bytes_arrive(server, tmp_path):
    server.trouble[FIRST] = ["cut:40000"] * 7  # more than the tries without progress
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.trouble = {SUMS: ["503"], FIRST: ["429", "500"]}
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES


def test_a_download_given_up_leaves_no_recording_and_the_next_one_completes_it(server, tmp_path):
    server.trouble[SECOND] = ["cut:50000"] + ["cut:0"] * 4
    with pytest.raises(EegfmError, match=rf"(?s){SECOND}.*continues from there"):
        fetch(server, tmp_path)
    there = under(tmp_path)
    kept = there.pop(f"{SECOND}.part")
    assert there == {FIRST: FILES[FIRST]}
    assert FILES[SECOND].startswith(kept) and 50_000 - PIECE <= len(kept) <= 50_000
    server.sent.clear()
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES
    assert FIRST not in server.sent and server.sent[SECOND] == SIZES[SECOND] - len(kept)


@pytest.mark.slow
def test_a_killed_download_leaves_no_recording_and_the_next_one_completes_it(server, tmp_path):
    server.trouble[FIRST] = ["hang:250000"]
    root = tmp_path / "raw"
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_download as t\n"
        "t.download(t.corpus(sys.argv[2]), Path(sys.argv[3]))"
    )
    part = root / f"{FIRST}.part"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent), server.url, str(root)]
    )
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 200_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(under(root)) == [f"{FIRST}.part"]  # and no temporary file
    server.sent.clear()
    fetch(server, root)
    assert under(root) == FILES
    assert server.sent[FIRST] < 100_000 + PIECE


@pytest.mark.parametrize("fault", ["a changed byte", "a byte too many", "an early end"])
def test_a_file_that_is_not_the_published_one_is_refused(server, tmp_path, fault):
    body = FILES[SECOND]
    server.files[SECOND] = {
        "a changed byte": body[:1000] + bytes([body[1000] ^ 1]) + body[1001:],
        "a byte too many": body + b"\0",
        "an early end": body[:-1],
    }[fault]
    with pytest.raises(EegfmError, match=rf"{SECOND} does not have the content .* removed"):
        fetch(server, tmp_path)
    assert under(tmp_path) == {FIRST: FILES[FIRST]}
    server.files[SECOND] = body
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES


@pytest.mark.parametrize(
    "part",
    [
        FILES[FIRST] + b"more than the whole",
        b"\0" * (SIZES[FIRST] + 1),
        b"\0" * SIZES[FIRST],
        b"\0" * 1000,
        FILES[FIRST][:1000],
        FILES[FIRST],
        b"",
    ],
    ids=[
        "whole and more",
        "wrong, longer",
        "wrong, as long",
        "wrong, shorter",
        "a beginning",
        "whole",
        "empty",
    ],
)
def test_whatever_lies_in_the_part_the_file_comes_out_right(any_server, tmp_path, part):
    put(tmp_path / f"{FIRST}.part", part)
    fetch(any_server, tmp_path)
    assert under(tmp_path) == FILES


def test_a_part_that_is_whole_is_not_fetched_again(server, tmp_path):
    put(tmp_path / f"{FIRST}.part", FILES[FIRST])
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES and FIRST not in server.sent


def test_a_recording_cut_by_another_program_is_completed(server, tmp_path):
    put(tmp_path / FIRST, FILES[FIRST][:250_000])
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES and server.sent[FIRST] == 50_000


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_linked_file_of_another_folder_is_never_written_to(server, tmp_path, link):
    theirs = put(tmp_path / "theirs.edf", b"another version of the recording")
    (tmp_path / "raw" / FIRST).parent.mkdir(parents=True)
    link(theirs, tmp_path / "raw" / FIRST)
    fetch(server, tmp_path / "raw")
    assert theirs.read_bytes() == b"another version of the recording"
    assert under(tmp_path / "raw") == FILES


def test_two_downloads_at_once_fetch_every_file_once(server, tmp_path):
    server.trouble[FIRST] = ["hang:100000"]  # the first one holds until the second has arrived
    failures: list[BaseException] = []

    def one() -> None:
        try:
            fetch(server, tmp_path / "raw")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while [name for name, _ in server.asked].count(SUMS) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    server.released.set()
    for thread in threads:
        thread.join(20)
    assert not failures and under(tmp_path / "raw") == FILES
    assert server.sent[SECOND] == SIZES[SECOND] and server.sent[FIRST] <= SIZES[FIRST] + PIECE


def test_sums_that_lack_a_wanted_file_are_a_sentence(server, tmp_path):
    server.files[SUMS] = sums_of({FIRST: FILES[FIRST]})
    with pytest.raises(EegfmError, match=rf"does not list 2 of the 3 files .* first: {SECOND}"):
        fetch(server, tmp_path)
    assert under(tmp_path) == {}


def test_a_login_page_in_place_of_the_sums_is_a_sentence(server, tmp_path):
    server.files[SUMS] = b"<!DOCTYPE html>\n<title>Sign in to the hotel</title>"
    with pytest.raises(EegfmError, match=r"not a list of SHA-256 sums.*<!DOCTYPE html>.*browser"):
        fetch(server, tmp_path)


@pytest.mark.parametrize(
    "line", ["{sum}  {name}", "{sum} *{name}", "{sum}\t./{name}\r"], ids=["sha256sum", "binary", "find"]
)
def test_sums_are_read_as_the_usual_programs_write_them(server, tmp_path, line):
    server.files[SUMS] = "\n".join(
        line.format(sum=hashlib.sha256(body).hexdigest().upper(), name=name) for name, body in FILES.items()
    ).encode()
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES


def test_a_file_that_is_not_there_is_a_sentence_at_once(server, tmp_path):
    del server.files[FIRST]
    with pytest.raises(EegfmError, match=rf"{FIRST} cannot be fetched: HTTP 404"):
        fetch(server, tmp_path)
    assert [name for name, _ in server.asked].count(FIRST) == 1
    assert under(tmp_path) == {}


def test_no_server_is_a_sentence(tmp_path):
    (server,) = serve(Server())  # over: its address now refuses connections
    with pytest.raises(EegfmError, match=f"Could not fetch {server.url}{SUMS}"):
        fetch(server, tmp_path)


def test_a_corpus_that_is_not_open_says_where_to_ask(tmp_path):
    with pytest.raises(EegfmError, match=r"Tiny Corpus.* keeper@example.org"):
        download(corpus(None), tmp_path, progress=False)


def test_a_mirror_serves_in_place_of_the_published_address(server, tmp_path):
    """Its address may end with a slash or not."""
    download(corpus("http://127.0.0.1:1/"), tmp_path, base_url=server.url.rstrip("/"), progress=False)
    assert under(tmp_path) == FILES


def test_a_full_disk_is_a_sentence_and_the_next_download_goes_on(server, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(EegfmError, match=r"disk of .* is full.*data.raw"):
            fetch(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(under(tmp_path)) == [f"{FIRST}.part"]
    server.asked.clear()  # not `sent`: the server may still be handing the first answer to a closed connection
    fetch(server, tmp_path)
    assert under(tmp_path) == FILES
    assert all(start >= 200_000 - PIECE for name, start in server.asked if name == FIRST)


def test_the_bar_counts_files_and_bytes(server, tmp_path, capsys):
    put(tmp_path / LAST, FILES[LAST])
    download(corpus(server.url), tmp_path)
    shown = capsys.readouterr().out
    assert "tiny" in shown and "3/3 files, 420.0 kB" in " ".join(shown.split())


def test_real_recordings_pass_physionets_own_sums(server, tmp_path, eeg_data):
    folder = eeg_data / "mental_arithmetic_eegmat"
    names = ("Subject02_2.edf", "Subject28_2.edf")
    server.files = {name: (folder / name).read_bytes() for name in (*names, SUMS)}
    server.trouble[names[1]] = ["cut:1000000"]
    download(corpus(server.url, names), tmp_path / "raw", progress=False)
    assert under(tmp_path / "raw") == {name: server.files[name] for name in names}
