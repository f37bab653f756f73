"""Neuroscan CNT files from the layout of their structures (SETUP, ELECTLOC, TEEG: paulbourke.net/dataformats/eeg).

Shares no line with a reader. `tests/signal/test_cnt.py` holds what it writes against MNE's reader, and the layout
against a file that Neuroscan's own software wrote.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

UV_PER_DIGIT = 0.0298  # of a SynAmps2, about; 24 bits of ± 250 mV
CALIBRATION = 1.0
TYPES = {16: "<i2", 32: "<i4"}


def write_cnt(
    path: Path,
    data_uv: np.ndarray,
    names: Sequence[str],
    *,
    sfreq: int = 1000,
    bits: int = 32,
    uv_per_digit: float | Sequence[float] = UV_PER_DIGIT,
    baselines: Sequence[int] = (),
    block: int = 1,
    events: Sequence[tuple[int, int]] = (),
    n_samples: int | None = None,
    behind: bytes = b"",
) -> None:
    """Write microvolts [channel, time] as a file of 16- or 32-bit integers.

    `baselines` are digits that mean zero; `block` the number of samples of a channel that follow one another (1: fully
    multiplexed); `events` pairs of a sample and a code; `n_samples` what the header says, where not the truth; `behind`
    what lies behind the table of events, as in files of Scan 4.
    """
    n_channels, n_times = data_uv.shape
    assert len(names) == n_channels and n_times % block == 0
    scales = np.broadcast_to(np.asarray(uv_per_digit, dtype=float), n_channels)
    zeros = np.zeros(n_channels, dtype=int) if not len(baselines) else np.asarray(baselines)
    # the file keeps scales as float32, so that is what its reader will multiply by
    sensitivities = np.float32(scales / CALIBRATION * 204.8)
    digits = (
        np.rint(data_uv / (sensitivities.astype(float)[:, None] * CALIBRATION / 204.8)) + zeros[:, None]
    )
    info = np.iinfo(TYPES[bits])
    assert info.min <= digits.min() and digits.max() <= info.max, "the signal does not fit"
    samples_at = 900 + 75 * n_channels
    sample_bytes = n_channels * bits // 8
    events_at = samples_at + n_times * sample_bytes
    with open(path, "wb") as file:
        file.write(
            _setup(n_channels, sfreq, n_times if n_samples is None else n_samples, events_at, block, bits)
        )
        for i, name in enumerate(names):
            file.write(_electloc(name, i, n_channels, int(zeros[i]), float(sensitivities[i])))
        blocks = digits.astype(TYPES[bits]).reshape(n_channels, n_times // block, block)
        file.write(np.ascontiguousarray(blocks.transpose(1, 0, 2)).tobytes())
        file.write(struct.pack("<Bll", 2, 19 * len(events), 0))
        for sample, code in events:
            # an event's place is the byte behind its sample
            place = samples_at + (sample + 1) * sample_bytes
            file.write(struct.pack("<HBcl", code, 0, b"\x00", place) + bytes(11))
        file.write(behind)


def _setup(n_channels: int, sfreq: int, n_samples: int, events_at: int, block: int, bits: int) -> bytes:
    header = bytearray(900)

    def put(offset: int, layout: str, value) -> None:
        struct.pack_into(layout, header, offset, value)

    put(0, "12s", b"Version 3.0")
    put(225, "10s", b"08/04/18")
    put(235, "12s", b"10:21:32")
    put(370, "<H", n_channels)
    put(376, "<H", sfreq)
    put(864, "<i", n_samples)
    put(886, "<I", events_at)
    put(894, "<i", block * bits // 8 if block > 1 else 1)
    return bytes(header)


def _electloc(name: str, i: int, n: int, baseline: int, sensitivity: float) -> bytes:
    channel = bytearray(75)
    struct.pack_into("10s", channel, 0, name.encode("ascii"))
    # places on a drawing of the head, in pixels: any circle will do
    angle = 2 * np.pi * i / n
    struct.pack_into("<ff", channel, 19, 300 + 200 * np.cos(angle), 300 + 200 * np.sin(angle))
    struct.pack_into("<h", channel, 47, baseline)
    struct.pack_into("<f", channel, 59, sensitivity)
    struct.pack_into("<f", channel, 71, CALIBRATION)
    return bytes(channel)
