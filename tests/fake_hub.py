"""Servers on this machine with as much of the Hugging Face hub as a push and a download by its own client need."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.local_server import Answers, answering

COMMIT = "0123456789" * 4


@contextmanager
def fake_hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Start the server. Gives its address and the requested paths; commits are written to `folder`."""
    asked: list[str] = []

    class Hub(Answers):
        def do_POST(self) -> None:
            body = self.body() or b"{}"
            asked.append(self.path)
            found: dict[str, object] = {}
            here = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            if self.path == "/api/repos/create":
                given = json.loads(body)
                found = {"url": f"{here}/{given.get('organization')}/{given['name']}"}
            elif "/preupload/" in self.path:
                names = [one["path"] for one in json.loads(body)["files"]]
                found = {
                    "files": [
                        {"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names
                    ]
                }
            elif "/commit/" in self.path:
                for line in body.splitlines():
                    one = json.loads(line)
                    if one["key"] == "file":
                        content = base64.b64decode(one["value"]["content"])
                        (folder / one["value"]["path"]).write_bytes(content)
                found = {"commitUrl": f"{here}/some/one/commit/{COMMIT}", "commitOid": COMMIT}
            self.answer(200, found)

        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(404, {"error": "not here"})

        do_HEAD = do_GET

    with answering(Hub) as url:
        yield url, asked


@dataclass
class Shelf:
    """What `serving_hub` has: the content of files by repository, commit and name, and the commit of each `main`.

    `cut_after` ends every answer after so many bytes of the file, as a broken connection does; None ends none. `said`
    is a SHA-256 that the hub says of all files, in place of theirs. `asked` keeps what was requested, with its range.
    """

    files: dict[tuple[str, str, str], bytes]
    main: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    said: str | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def serving_hub(shelf: Shelf) -> Iterator[str]:
    """A server from which the hub library's own client downloads; its address."""

    class Hub(Answers):
        def do_GET(self) -> None:
            shelf.asked.append((self.command, self.path, self.headers.get("Range")))
            parts = self.path.strip("/").split("/")
            if parts[0] == "api":
                repository = "/".join(parts[2:4])
                if parts[1] != "models" or repository not in shelf.main:
                    self.answer(404, {"error": "not here"})
                    return
                self.answer(200, {"id": repository, "modelId": repository, "sha": shelf.main[repository]})
                return
            repository, commit, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            content = shelf.files.get((repository, commit, name))
            if content is None:
                self.answer(404, {"error": "Entry not found"})
                return
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{shelf.said or hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                end = len(content) if shelf.cut_after is None else max(start, shelf.cut_after)
                self.wfile.write(content[start:end])
                self.close_connection = True

        do_HEAD = do_GET

    with answering(Hub) as url:
        yield url
