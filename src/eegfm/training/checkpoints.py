"""Checkpoints that are whole or not there, each with its checksum.

Lightning itself writes a checkpoint into the system's temporary folder and, where that is another file
system, copies it onto the old one: a kill or a full disk then leaves neither.
"""

import io
import sys
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
        torch.save(_with_one_of_each_text(checkpoint, {}), content)
        write_with_sum(Path(path), content.getbuffer())

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        refuse_changed(Path(path))
        return super().load_checkpoint(path, *arguments, **options)


def _with_one_of_each_text(value: Any, made: dict[int, Any]) -> Any:
    """The same values, in which equal texts are one object; `made` holds the containers that were met before.

    A pickle writes a text once and then refers to it, but only where it is the same object. The texts of a resumed
    run are those of its checkpoint, and not the ones of the program: it would end with other bytes of the same values.
    """
    if type(value) is str:
        return sys.intern(value)
    if type(value) not in (dict, list, tuple):
        return value
    if id(value) not in made:
        if type(value) is dict:
            items = value.items()
            made[id(value)] = {
                _with_one_of_each_text(k, made): _with_one_of_each_text(v, made) for k, v in items
            }
        else:
            made[id(value)] = type(value)(_with_one_of_each_text(one, made) for one in value)
    return made[id(value)]
