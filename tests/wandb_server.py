"""A server that W&B's own client can send runs to, on this machine: it remembers what it was sent.

It answers the few questions that `wandb sync` and wandb-workspaces ask, in the words of W&B's GraphQL, and keeps
history, summary, config and files of every run by its id. What is sent, and in which order, is the client's doing.
"""

import gzip
import json
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.local_server import Answers, answering


class Memory:
    """What the server has received: `runs` and `views` by id; it refuses the ids in `refuse`."""

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.refuse: set[str] = set()
        self.asked: list[str] = []

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The data of a GraphQL answer; None is a refusal."""
        self.asked.append(operation)
        project = {"id": "P", "name": given.get("project") or "eegfm", "entity": {"id": "E", "name": "lab"}}
        name = given.get("name") or given.get("run") or ""
        if name in self.refuse:
            return None
        if operation == "UpsertBucket":
            new = name not in self.runs
            run = self.runs.setdefault(
                name, {"files": {}, "lines": defaultdict(dict), "config": {}, "upserts": []}
            )
            run["upserts"].append({key: value for key, value in given.items() if value is not None})
            run["config"] |= json.loads(given["config"] or "{}")
            return {
                "upsertBucket": {
                    "inserted": new,
                    "bucket": {**self._bucket(name), "project": project, "sweepName": None},
                }
            }
        if operation == "RunResumeStatus":
            return {"model": {**project, "bucket": self._bucket(name) if name in self.runs else None}}
        if operation == "CreateRunFiles":
            files = [
                {"name": one, "uploadUrl": f"{self.url}/storage/{name}/{one}"} for one in given["files"]
            ]
            return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}
        if operation.lower().startswith("upsertview"):
            new = not given.get("id")
            key = b64encode(f"View:{len(self.views)}".encode()).decode() if new else given["id"]
            self.views[key] = {"project": {**project, "entityName": "lab"}, **given, "id": key}
            return {"upsertView": {"view": self.views[key], "inserted": new}}
        if operation == "View":
            found = [view for view in self.views.values() if given["viewName"] in view["name"]]
            return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}
        if operation == "SpecificReport":
            return {"view": self.views[given["reportId"]]}
        if operation == "ProjectInternalId":
            return {"project": {"id": "P", "internalId": "1"}}
        if operation == "GetProjects":
            node = {"id": "P", "name": "eegfm", "entityName": "lab", "createdAt": "", "isBenchmark": False}
            edges = [{"node": {**node, "user": None}}]
            return {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": edges}}
        if operation == "CreateArtifact":  # one that is there already, so that the client has done with it
            sequence = {"id": "S", "name": "S", "latestArtifact": {"id": "A", "versionIndex": 0}}
            return {
                "createArtifact": {
                    "artifact": {"id": "A", "state": "COMMITTED", "artifactSequence": sequence}
                }
            }
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        return {
            "viewer": {"id": "U", "entity": "lab", "username": "me", "flags": "{}", "teams": {"edges": []}}
        }

    def _bucket(self, name: str) -> dict[str, Any]:
        lines = self.runs[name]["lines"]
        history, events = (list(lines[f"wandb-{kind}.jsonl"].values()) for kind in ("history", "events"))
        return {
            "id": name, "name": name, "displayName": name, "description": "", "notes": "", "tags": [],
            "config": json.dumps(self.runs[name]["config"]), "wandbConfig": '{"t": {"1": []}}',
            "summaryMetrics": json.dumps(self.summary(name)), "logLineCount": len(lines["output.log"]),
            "historyLineCount": len(history), "eventsLineCount": len(events),
            "historyTail": json.dumps(history[-1:]), "eventsTail": json.dumps(events[-1:]),
        }  # fmt: skip

    def stream(self, name: str, body: dict[str, Any]) -> None:
        for file, part in body.get("files", {}).items():
            for i, line in enumerate(part["content"]):
                self.runs[name]["lines"][file][part["offset"] + i] = line

    def history(self, name: str) -> list[dict[str, Any]]:
        """The rows of a run's history, in the places that the client gave them."""
        return [
            json.loads(line) for _, line in sorted(self.runs[name]["lines"]["wandb-history.jsonl"].items())
        ]

    def summary(self, name: str) -> dict[str, Any]:
        lines = self.runs[name]["lines"]["wandb-summary.json"]
        return json.loads(lines[max(lines)]) if lines else {}


@contextmanager
def serving() -> Iterator[Memory]:
    """Serve on a port of this machine; `Memory.url` is what WANDB_BASE_URL has to be."""
    memory = Memory()

    class Handler(Answers):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.body()
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, out = 200, {}
            if self.path == "/graphql":
                asked = json.loads(body)
                operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
                data = memory.answer(operation[1] if operation else "", asked.get("variables") or {})
                status, out = (
                    (200, {"data": data})
                    if data is not None
                    else (403, {"errors": [{"message": "permission denied"}]})
                )
            elif self.path.startswith("/storage/"):
                _, _, run, name = self.path.split("/", 3)
                memory.runs[run]["files"][name] = body
            elif self.path.endswith("/file_stream"):
                memory.stream(self.path.split("/")[-2], json.loads(body))
            self.answer(status, out)

        do_GET = do_POST = do_PUT = do

    with answering(Handler) as memory.url:
        yield memory
