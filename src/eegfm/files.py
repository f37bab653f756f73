"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Readable JSON, on disk under its name only when all of it is."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")
        if sync:
            sync_to_disk(file)
    os.replace(temporary, path)


def sync_to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
