"""GDF files from the layout of their header (Schlögl, arXiv:cs/0608052, tables of GDF 1.25 and 2.x).

Shares no line with a reader. `tests/signal/test_gdf.py` holds what it writes against MNE's reader, and the layout
against a real file.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DIGITS = 2048  # of either sign: the 12 bits of the competition's files, in 16
INT16 = 3
UNIT_CODES = {"uV": 4275, "mV": 4274, "V": 4256}


def write_gdf(
    path: Path,
    data_uv: np.ndarray,
    names: Sequence[str],
    *,
    sfreq: int = 250,
    version: str = "1.25",
    range_uv: float | Sequence[float] = 100.0,
    unit: str = "uV",
    events: Sequence[tuple[int, int]] | None = (),
    event_rate: float | None = None,
    behind: bytes = b"",
) -> None:
    """Write microvolts [channel, time] as 12-bit numbers; NaN in a sample is its smallest number.

    `range_uv` is what the largest number means; `events` are pairs of a sample, counted from 0, and a code, and None
    leaves their table out; `event_rate` is what the table says of its rate, where not the truth.
    """
    n, n_times = data_uv.shape
    assert len(names) == n
    per_uv = {"uV": 1.0, "mV": 1e-3, "V": 1e-6}[unit]
    ranges = np.broadcast_to(np.asarray(range_uv, dtype=float), n)
    digits = np.rint(data_uv / ranges[:, None] * DIGITS)
    digits[np.isnan(digits)] = -DIGITS
    assert np.abs(digits).max() <= DIGITS, "the signal does not fit"
    old = float(version) < 1.9
    fixed = bytearray(256)
    fixed[:8] = f"GDF {version}".encode()
    struct.pack_into("<q" if old else "<H", fixed, 184, 256 * (n + 1) if old else n + 1)
    struct.pack_into("<qII", fixed, 236, n_times, 1, sfreq)  # a record is one sample
    struct.pack_into("<I" if old else "<H", fixed, 252, n)
    if old:
        fixed[8:88] = b"X X".ljust(80)
        fixed[88:168] = b" " * 80
        fixed[168:184] = b"2008010112000000"
    whole = "<q" if old else "<d"  # digits
    # field by field, each for all channels: label, transducer, unit, ranges, filters, samples a record, type, nothing
    fields = [
        [name.encode().ljust(16, b" " if old else b"\0") for name in names],
        [b" " * 80] * n,
        *(
            [[unit.encode().ljust(8)] * n]
            if old
            else [[bytes(6)] * n, [struct.pack("<H", UNIT_CODES[unit])] * n]
        ),
        [struct.pack("<d", -r * per_uv) for r in ranges],
        [struct.pack("<d", r * per_uv) for r in ranges],
        [struct.pack(whole, -DIGITS)] * n,
        [struct.pack(whole, DIGITS)] * n,
        *(
            [[b" " * 80] * n]
            if old
            else [[bytes(68)] * n, *([struct.pack("<f", hz)] * n for hz in (100, 0.5, 50))]
        ),
        [struct.pack("<i", 1)] * n,
        [struct.pack("<i", INT16)] * n,
        [bytes(32)] * n,
    ]
    channels = b"".join(part for field in fields for part in field)
    assert len(channels) == 256 * n
    with open(path, "wb") as file:
        file.write(bytes(fixed) + channels)
        file.write(digits.astype("<i2").T.tobytes())
        if events is not None:
            rate = float(sfreq) if event_rate is None else event_rate
            if float(version) < 1.94:
                file.write(b"\x01" + int(rate).to_bytes(3, "little") + struct.pack("<I", len(events)))
            else:
                file.write(b"\x01" + len(events).to_bytes(3, "little") + struct.pack("<f", rate))
            file.write(b"".join(struct.pack("<I", sample + 1) for sample, _ in events))
            file.write(b"".join(struct.pack("<H", code) for _, code in events))
        file.write(behind)
