"""As much of the Hugging Face hub as one push needs, on this machine: the library's own client talks to it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789" * 4


@contextmanager
def fake_hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths asked for; what is committed lies in `folder`."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"
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
            self._answer(200, found)

        def do_GET(self) -> None:
            asked.append(self.path)
            self._answer(404, {"error": "not here"})

        do_HEAD = do_GET

        def _answer(self, status: int, found: object) -> None:
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
