"""TUEV in small: EDF files as Temple University's are, by edfio, with their `.rec` beside them, some of them of the
kinds that the published protocol loses; and the files around them that are nobody's recording."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import edfio
import numpy as np
from hypothesis import strategies as st

from tests.corpora import Corpus, Truth, tone

SECONDS = 20
ELECTRODES = (
    "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ".split()
)  # as TUH orders them
NEEDED = ELECTRODES[:16]
RATES = (250, 256, 400, 512)


class Event(NamedTuple):
    """Row of the montage, tenths of seconds, and the code of the class."""

    row: int
    start: int
    length: int = 10
    code: int = 6


class File(NamedTuple):
    folder: str  # below edf/
    name: str
    events: tuple[Event, ...]
    rate: int = 250
    reference: str = "REF"  # "LE": linked ears
    lacks: str = ""  # an electrode

    @property
    def subject(self) -> str:
        return self.name.split("_")[0 if self.folder.startswith("train") else 1]

    @property
    def recording(self) -> str:
        return f"{self.folder}/{self.name}".replace("/", "-")


def electrode(recording: str, name: str, seconds: np.ndarray, duration: float = SECONDS) -> np.ndarray:
    """The tone of an electrode, faded in and out in a second, so that filters find nothing to ring at."""
    fade = np.sin(np.pi / 2 * np.clip(np.minimum(seconds, duration - seconds), 0, 1)) ** 2
    return fade * tone(recording, name, seconds)


def signal(recording: str, row: str, seconds: np.ndarray) -> np.ndarray:
    """A bipolar row; before the file comes its end, behind it its beginning."""
    anode, cathode = row.split("-")
    seconds = seconds % SECONDS
    return electrode(recording, anode, seconds) - electrode(recording, cathode, seconds)


def write(root: Path, files: list[File], *, variant: str) -> list[Truth]:
    home = root / "edf"
    for file in files:
        folder = home / file.folder
        folder.mkdir(parents=True, exist_ok=True)
        write_edf(
            folder / f"{file.name}.edf",
            {n: partial(electrode, file.recording, n) for n in ELECTRODES if n != file.lacks},
            rate=file.rate,
            seconds=SECONDS,
            reference=file.reference,
        )
        rows = [f"{e.row},{e.start / 10},{(e.start + e.length) / 10},{e.code}\n" for e in file.events]
        (folder / f"{file.name}.rec").write_text("".join(rows))
        (folder / f"{file.name}_ch000.lab").write_text("0 100000 bckg\n")
        (folder / f"{file.name}.htk").write_bytes(b"\0\0\1\2")
        (folder / f"._{file.name}.edf").write_bytes(b"\0\5\26\7")  # a Mac was here
        (folder / f"{file.name} (1).edf").write_bytes(b"a copy, cut short")
    (root / "AAREADME.txt").write_text("File: AAREADME.txt\n")
    (home / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    patients = sorted({file.subject for file in files if file.folder.startswith("train")})
    train = patients[: len(patients) * 4 // 5]
    kept = {"published": as_published, "repaired": repaired}[variant]
    return [
        Truth(
            file.subject,
            file.recording,
            "test" if file.folder.startswith("eval") else "train" if file.subject in train else "val",
            start / 10 - 2,
            code - 1,
        )
        for file in files
        for start, code in kept(file)
    ]


def as_published(file: File) -> list[tuple[int, int]]:
    """Every row, or none at all."""
    lost = file.lacks in NEEDED or file.reference != "REF" or len(file.events) == 1
    lost |= any(e.length != 10 or e.start + 10 >= 10 * SECONDS for e in file.events)
    return [] if lost else [(e.start, e.code) for e in file.events]


def repaired(file: File) -> list[tuple[int, int]]:
    """Every second once, where it has five seconds of signal and one class other than background."""
    if file.lacks in NEEDED:
        return []
    codes: dict[int, set[int]] = {}
    for event in file.events:
        if event.length == 10 and 20 <= event.start <= 10 * SECONDS - 30:
            codes.setdefault(event.start, set()).add(event.code)
    found = []
    for start, said in codes.items():
        classes = said - {6} if said != {6} else said
        if len(classes) == 1:
            found.append((start, classes.pop()))
    return found


def write_edf(path: Path, electrodes: dict, *, rate: int, seconds: int, reference: str = "REF") -> None:
    """Plain EDF in microvolts with TUH's names, the heart, the flash light and what a monitor adds once a second, and a
    header whose patient was born in the year 0."""
    times = np.arange(rate * seconds) / rate

    def row(data, label, sfreq):
        return edfio.EdfSignal(
            data, sfreq, label=label, physical_dimension="uV", physical_range=(-1000, 1000)
        )

    rows = [
        row(signal(times), f"EEG {name}-{reference}", rate)
        for name, signal in electrodes.items()
        if name != "PZ"
    ]
    rows += [
        row(np.where(times % 1 < 0.1, 900.0, -50.0), f"EEG EKG1-{reference}", rate),
        row(np.zeros(rate * seconds), "PHOTIC-REF", rate),
        row(electrodes["PZ"](times), f"EEG PZ-{reference}", rate),
        *(row(np.zeros(seconds), name, 1) for name in ("IBI", "BURSTS", "SUPPR")),
    ]
    edfio.Edf(rows, data_record_duration=1).write(path)
    patient, begun = b"000 F 01-JAN-0000 000 Age:36", b"Startdate 01-JAN-0000 00000000_s001 00 X"
    with open(path, "r+b") as file:
        file.seek(8)
        file.write(patient.ljust(80) + begun.ljust(80) + b"00.00.00" + b"00.00.00")


EVENTS = (Event(1, 50, code=1), Event(14, 90), Event(15, 96, code=5))
TABLE = [
    File("train/aaaaaaar", "aaaaaaar_00000001", EVENTS),
    # at either end, and one second annotated on two rows
    File(
        "train/aaaaaaas",
        "aaaaaaas_00000001",
        (Event(0, 0, code=4), Event(4, 0, code=4), Event(3, 189)),
        256,
    ),
    # on several rows: the same class, background and a class, two classes, all three
    File(
        "train/aaaaaaat",
        "aaaaaaat_00000001",
        (
            *(Event(row, 60, code=2) for row in range(16)),
            *(Event(row, 75, code=6 if row else 1) for row in range(4)),
            *(Event(row, 80, code=4 + row) for row in range(3)),
            *(Event(row, 85, code=4 + row) for row in range(2)),
        ),
        400,
    ),
    File("train/aaaaaaat", "aaaaaaat_00000002", (Event(5, 100, 11), Event(5, 120)), 512),  # not a second
    File("train/aaaaaaau", "aaaaaaau_00000001", (Event(5, 190), Event(5, 100))),  # ends with the file
    File("train/aaaaaaau", "aaaaaaau_00000002", (Event(8, 100, code=3),)),  # one row
    File("train/aaaaaaav", "aaaaaaav_00000001", EVENTS, reference="LE"),
    File("train/aaaaaaav", "aaaaaaav_00000002", EVENTS[1:], 512),
    File("train/aaaaaaaw", "aaaaaaaw_00000001", EVENTS, lacks="T5"),
    File(
        "train/old/aaaaaaar", "aaaaaaar_00000001", EVENTS[::-1], lacks="A1"
    ),  # no row of the protocol needs A1
    File("eval/000", "bckg_000_a_", (Event(2, 30), Event(2, 40), Event(9, 50))),
    File("eval/001", "pled_001_a_2", (Event(0, 25, code=3), Event(1, 25, code=3))),
    File("eval/002", "pled_001_a_2", (Event(0, 35, code=3), Event(1, 55, code=3))),
]
ANY_EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(0, 21),
        st.integers(0, 189),
        st.sampled_from([10] * 30 + [9, 20]),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=4,
).map(tuple)
TABLES = st.dictionaries(
    st.one_of(
        st.builds(
            lambda s, n: (f"train/aaaaaaa{s}", f"aaaaaaa{s}_0000000{n}"),
            st.sampled_from("abcdefgh"),
            st.integers(1, 2),
        ),
        st.builds(
            lambda s, kind: (f"eval/00{s}", f"{kind}_00{s}_a_"),
            st.integers(0, 2),
            st.sampled_from(["spsw", "gped"]),
        ),
    ),
    st.tuples(
        ANY_EVENTS,
        st.sampled_from(RATES),
        st.sampled_from(["REF", "REF", "LE"]),
        st.sampled_from(["", "", "O2"]),
    ),
    max_size=4,
).map(
    lambda files: [TABLE[0], *(File(*place, *rest) for place, rest in files.items())]
)  # the first is never lost

# MNE resamples 250 Hz over a length padded to a power of two, of which 200 Hz make no whole number of samples (6553.6
# of 8192): the time axis is stretched and shifted, at these lengths by up to a quarter of a sample, which is 4 µV of
# the fastest tones. A whole sample is 7 µV of the slowest.
TOLERANCE_UV = 5.0
CORPORA = [
    Corpus(
        "tuev",
        partial(write, variant=variant),
        signal,
        TABLE,
        TABLES,
        {"edition": edition, "variant": variant},
        tolerance_uv=TOLERANCE_UV,
    )
    for variant in ("repaired", "published")
    for edition in ("2.0.1", "2.0.0")
]
