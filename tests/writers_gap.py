"""EDF+D and BDF+D files with a gap: edfio writes them whole, and the onsets of later records are put forward."""

from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np

SFREQ = 200
GAP_S = 3600


def write_with_gap(path: Path, data_uv: np.ndarray, names: Sequence[str], *, first_s: int) -> Path:
    """Write microvolts [channel, time] in records of a second; those from `first_s` on begin an hour later."""
    edf, signal = (edfio.Edf, edfio.EdfSignal) if path.suffix == ".edf" else (edfio.Bdf, edfio.BdfSignal)
    edf(
        [
            signal(row, SFREQ, label=name, physical_dimension="uV", physical_range=(-400, 400))
            for name, row in zip(names, data_uv, strict=True)
        ],
        # a long text makes room in each record for a longer onset
        annotations=[edfio.EdfAnnotation(0.5, None, "begin" + "." * 40)],
        data_record_duration=1.0,
    ).write(path)
    content = path.read_bytes()
    for second in range(first_s, data_uv.shape[1] // SFREQ):
        old, new = (f"+{onset}\x14\x14".encode() for onset in (second, second + GAP_S))
        assert content.count(old) == 1
        at = content.index(old)
        content = content[:at] + new + content[at + len(new) :]
    path.write_bytes(content.replace(b"DF+C", b"DF+D"))
    return path
