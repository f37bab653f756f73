"""Checkpoints that are whole or not there, each with its checksum.

Lightning itself writes a checkpoint into the system's temporary folder and, where that is another file
system, copies it onto the old one: a kill or a full disk then leaves neither.
"""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from eegfm.support.checksums import refuse_changed, write_with_sum


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its target, syncs it and renames it; reads none that has changed since."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        # in memory first: torch's own writer ends a process whose disk is full by an error without a reason
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_with_sum(Path(path), content.getbuffer())

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        refuse_changed(Path(path))
        return super().load_checkpoint(path, *arguments, **options)
