"""A W&B logger that goes on where a run went on: no step twice, and no value twice at a training step.

W&B numbers the rows of every offline fragment from 0, and a resumed training repeats the steps after its
checkpoint. So the fragments that earlier processes have left are read first. They are logs of records in
LevelDB's format (blocks of 32 KiB; a record has a checksum and may lie in several blocks), after W&B's own
seven bytes; what a killed process has cut short ends the reading,
and so does a damaged record, which is said.
"""

import json
import logging
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.wandb import WandbLogger

from eegfm.runs.wandb_place import WandbPlace
from eegfm.support.files import readable

log = logging.getLogger(__name__)

BLOCK, HEADER, SIGNATURE = 32768, 7, b":W&B"
FULL, FIRST, LAST = 1, 2, 4  # which part of a record
STEP, EPOCH = "trainer/global_step", "epoch"  # beside the values of every row


class GoesOn(WandbLogger):
    """Lightning's W&B logger for a run folder (`save_dir`) that may have been logged to before."""

    def __init__(self, *, save_dir: str | Path, **options: Any) -> None:
        super().__init__(save_dir=save_dir, **options)
        self.next, self.sent = 0, set[tuple[int, str]]()
        for row in rows_of(Path(save_dir)):
            self.next = max(self.next, row["_step"] + 1)
            if STEP in row:
                self.sent |= {(row[STEP], name) for name in row}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if step is not None:
            new = {name for name in metrics if (step, name) not in self.sent} - {EPOCH}
            if not new:
                return
            self.sent |= {(step, name) for name in new}
            metrics = {name: metrics[name] for name in metrics if name in new | {EPOCH}} | {STEP: step}
        run = self.experiment
        run.log(dict(metrics), step=max(self.next, run.step), commit=True)
        self.next = run.step


def place_named(fragment: Path) -> WandbPlace:
    """The account and the project that a fragment names."""
    from google.protobuf.message import DecodeError

    with suppress(DecodeError):
        for record in _read(readable(fragment, math.inf).read_bytes()):
            if record.WhichOneof("record_type") == "run":
                return WandbPlace(record.run.entity, record.run.project)
    return WandbPlace("", "")


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows that the fragments of a run folder hold, in the order of their making: values by name, and `_step`."""
    for path in sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.parent.name[-24:]):
        held = readable(path, math.inf).read_bytes()
        if (place := damaged_at(held)) is not None:
            log.warning(
                "%s is damaged at byte %d: what was logged after it is unknown, and W&B may get it twice.",
                path,
                place,
            )
        for record in _read(held):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in items}
                if "_step" in row:
                    yield row


def damaged_at(held: bytes) -> int | None:
    """The byte of a log at which a record is not as it was written; None if all are, but for an end that is cut off."""
    if not held.startswith(SIGNATURE[: len(held)]):
        return 0
    place = _next_header(max((end for _, _, end in _parts(held)), default=HEADER))
    header = held[place : place + HEADER]
    if len(header) < HEADER or not any(header):  # or zeros, which a file system may leave
        return None
    _, length, _ = struct.unpack("<IHB", header)
    cut_off = place + HEADER + length > len(held) and length <= BLOCK - place % BLOCK - HEADER
    return None if cut_off else place


def _read(held: bytes) -> Iterator[Any]:
    """The records of a log."""
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

    for content in _records(held):
        record = Record()
        record.ParseFromString(content)
        yield record


def _records(held: bytes) -> Iterator[bytes]:
    """The records of a log that are whole."""
    record = b""
    for part, content, _ in _parts(held):
        record = content if part in (FULL, FIRST) else record + content
        if part in (FULL, LAST):
            yield record


def _parts(held: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The parts of records up to the first that is not whole: which part it is, its content, at which byte it ends."""
    place = HEADER
    if held[: len(SIGNATURE)] != SIGNATURE:
        return
    while (place := _next_header(place)) + HEADER <= len(held):
        wanted, length, part = struct.unpack("<IHB", held[place : place + HEADER])
        content = held[place + HEADER : place + HEADER + length]
        if part == 0 or len(content) < length or wanted != zlib.crc32(content, zlib.crc32(bytes([part]))):
            return
        place += HEADER + length
        yield part, content, place


def _next_header(place: int) -> int:
    """Where the next header lies: the rest of a block that is too short for one is left out."""
    left = BLOCK - place % BLOCK
    return place + left if left < HEADER else place
