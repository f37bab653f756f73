"""The folder that `eegfm predict` or `eegfm embed` writes: its own, told by what it was made from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eegfm.contracts import EegfmError
from eegfm.runs.machine import environment
from eegfm.support.files import file_name, refuse_links, write_json

MADE_FROM = "made_from"


class Folder:
    """A folder of files that were made from the same weights, settings and recordings.

    Args:
        parent: where it lies without `out`, under a name of its own.
        out: where a person wants it.
        about: the name of the JSON file that says what the others are.
        made_from: what decides the files; the same call finds its own folder again, and writes the same into it.

    Raises:
        EegfmError: `out` holds something else, or the folder is a link.
    """

    def __init__(self, parent: Path, out: Path | None, about: str, made_from: Mapping[str, Any]) -> None:
        self.made_from = json.loads(json.dumps(made_from))
        digest = hashlib.sha256(json.dumps(self.made_from, sort_keys=True).encode()).hexdigest()[:8]
        self.path, self.about = (parent / digest if out is None else out), about
        refuse_links(*([parent] if out is None else []), self.path, self.path / about)
        if self.path.exists() and not self._is_ours():
            raise EegfmError(
                f"{self.path} holds other files, or was made from other recordings, weights or settings. Name another "
                "folder: out=<folder>"
            )
        self.path.mkdir(parents=True, exist_ok=True)

    def _is_ours(self) -> bool:
        if not self.path.is_dir():
            return False
        try:
            said = json.loads((self.path / self.about).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return next(self.path.iterdir(), None) is None
        return isinstance(said, dict) and said.get(MADE_FROM) == self.made_from

    def say(self, facts: Mapping[str, Any]) -> None:
        """Write the JSON file, the first of all: from then on the folder is known as its own."""
        code = environment()
        same = {name: code[name] for name in ("git", "python", "packages")}
        write_json(self.path / self.about, {MADE_FROM: self.made_from, **facts, **same})

    def file(self, kind: str, recording: str, suffix: str) -> Path:
        """The file of a recording in a folder of its kind, which is made; an old file is removed."""
        *folders, name = recording.split("/")
        path = self.path / kind
        for folder in folders:
            refuse_links(path)
            path /= file_name(folder)
        refuse_links(path)
        path.mkdir(parents=True, exist_ok=True)
        path /= file_name(name) + suffix
        refuse_links(path)
        path.unlink(missing_ok=True)
        return path
