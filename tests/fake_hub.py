"""A server on this machine with as much of the Hugging Face hub as a push by the library's own client needs."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
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
