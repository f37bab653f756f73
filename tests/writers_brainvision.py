"""BrainVision files, written by hand, so that each may be wrong in one way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

HEAD = """Brain Vision Data Exchange Header File Version 1.0
; written for a test
[Common Infos]
Codepage=UTF-8
DataFile={data}
{markers}DataFormat=BINARY
DataOrientation={orientation}
NumberOfChannels={n}
SamplingInterval={interval:g}
{points}
[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
{channels}
{coordinates}"""
MARKS = """Brain Vision Data Exchange Marker File, Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile={data}

[Marker Infos]
{marks}
"""


def write_brainvision(
    path: Path,
    digits: np.ndarray,
    sfreq: float = 250.0,
    *,
    names: Sequence[str] = ("Fz", "Cz"),
    units: Sequence[str | None] = ("µV", "µV"),
    resolution: float = 0.1,
    marks: Sequence[tuple[str, str, int]] = (),
    vectorized: bool = False,
    data: str = "",
    markers: str = "",
    points: bool = False,
    coordinates: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Path:
    """A .vhdr, .eeg and .vmrk of digits (channel, time). `marks` are kind, text and the sample, counted from 1.

    A unit that is None is left out. `data` and `markers` are other names in the header than those of the files.
    """
    digits = np.asarray(digits, dtype="<i2")
    path.with_suffix(".eeg").write_bytes((digits if vectorized else digits.T).tobytes())
    rows = ["Mk1=New Segment,,1,1,0,20200101120000000000"]
    rows += [
        f"Mk{i},".replace(",", f"={kind},{text},{at},1,0") for i, (kind, text, at) in enumerate(marks, 2)
    ]
    path.with_suffix(".vmrk").write_text(
        MARKS.format(data=data or f"{path.stem}.eeg", marks="\n".join(rows)), encoding="utf-8"
    )
    channels = [
        f"Ch{i}={name},,{resolution:g}" + ("" if unit is None else f",{unit}")
        for i, (name, unit) in enumerate(zip(names, units, strict=True), 1)
    ]
    text = HEAD.format(
        data=data or f"{path.stem}.eeg",
        markers=f"MarkerFile={markers or f'{path.stem}.vmrk'}\n",
        orientation="VECTORIZED" if vectorized else "MULTIPLEXED",
        n=len(digits),
        interval=1e6 / sfreq,
        points=f"DataPoints={digits.shape[1]}\n" if points or vectorized else "",
        channels="\n".join(channels),
        coordinates="[Coordinates]\n" + "\n".join(f"Ch{i}={one}" for i, one in enumerate(coordinates, 1))
        if coordinates
        else "",
    )
    path.write_bytes(text.encode(encoding))
    return path
