"""MentalArithmetic: rest or serial subtraction, two classes, from five seconds of 20 channels.

Corpus: "EEG During Mental Arithmetic Tasks" 1.0.0 (Zyma et al. 2019, Data 4(1):14, doi:10.3390/data4010014), 36
subjects, 72 EDF+ files, https://physionet.org/content/eegmat/1.0.0/ . `SubjectNN_1.edf` is rest before the task (about
three minutes), `SubjectNN_2.edf` the subtraction (one minute).
Access: open, without login, ODC-By 1.0.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: resample to 200 Hz, cut from the first
sample on into windows of 5 s, drop the tail.

Quirks
- Each recording holds one class only, so anything that differs between files (an offset, the state of an electrode)
  also separates the classes. A model that sees absolute levels can use it.
- The CBraMod paper states a band-pass of 0.5 to 45 Hz; its code applies no filter, and the published numbers come from
  the code. To try the paper's filter, put BandPass(low=0.5, high=45) before or after the resampling in `data.steps`.
- The corpus was cleaned by its authors: notch at 50 Hz, ICA against eyes, muscles and heart. Its README states a
  high-pass at 30 Hz, which must be a misprint: at least 97 % of the files' power lies below 30 Hz.
- A2-A1, the difference of the ears, is one of the protocol's 20 channels and has no place on the scalp. ECG is in the
  files but not in the protocol.
- Rest is three times as frequent as the task: always saying "rest" is right in 75 % of the test windows.
- Val has four subjects: the choice of a checkpoint on 172 windows is noisy.
- The paper counts its subjects from 1, the files from 00.
"""

import re
from pathlib import Path

from eegfm.benchmarks.spec import BenchmarkSpec, Census, ReferenceWindow, Source, SplitName, Window
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.recording import Recording
from eegfm.signal.steps import Resample
from eegfm.signal.windows import grid

CLASSES = ("rest", "arithmetic")
CHANNELS = tuple("Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz A2-A1".split())
WINDOW_S = 5.0
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"Subject{i:02d}" for i in range(28)),
    "val": tuple(f"Subject{i:02d}" for i in range(28, 32)),
    "test": tuple(f"Subject{i:02d}" for i in range(32, 36)),
}


def sources(root: Path) -> list[Source]:
    """Two recordings per subject, directly under `root`: `SubjectNN_1.edf` (rest), `SubjectNN_2.edf` (arithmetic)."""
    return [
        Source(subject, f"{subject}_{part}", split, root / f"{subject}_{part}.edf")
        for split, subjects in SPLITS.items()
        for subject in subjects
        for part in (1, 2)
    ]


def read(source: Source) -> Recording:
    """The 20 channels of the protocol."""
    return read_edf(source.path, channels={f"EEG {name}": name for name in CHANNELS})


def windows(recording: Recording, source: Source) -> list[Window]:
    """Adjacent windows over the whole recording; the last character of its name, 1 or 2, is its class."""
    label = int(source.recording[-1]) - 1
    return [Window(onset_s, label) for onset_s in grid(recording, WINDOW_S)]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """Read a key of the reference: "Subject00_1-3" is the fourth window of a recording."""
    found = re.fullmatch(r"(Subject\d\d_([12]))-(\d+)", key)
    if found is None:
        return None
    number = int(found[3])
    return ReferenceWindow(found[1], number, onset_s=number * WINDOW_S, label=int(found[2]) - 1)


MENTAL_ARITHMETIC = BenchmarkSpec(
    name="mental_arithmetic",
    title="MentalArithmetic",
    protocol="cbramod@b9e9610",
    classes=CLASSES,
    channels=CHANNELS,
    sfreq=200.0,
    window_s=WINDOW_S,
    steps=(Resample(200.0),),
    splits=SPLITS,
    census=Census(
        recordings=72,
        windows=1_707,
        per_split={"train": 1_343, "val": 172, "test": 192},
        # no source states train, and 336 windows of arithmetic would be inferred from 62 s per file
        per_class={"val": (124, 48), "test": (144, 48)},
        source="printed in the STAMP tutorial; classes of val and test counted in PhysioNet's files",
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="https://physionet.org/content/eegmat/1.0.0/",
    licence="Open Data Commons Attribution License v1.0 (ODC-By 1.0)",
    access="PhysioNet: https://physionet.org/content/eegmat/1.0.0/ (36 subjects, 72 EDF files, right under data.raw).",
    citation=(
        "Zyma et al. 2019, Electroencephalograms during Mental Arithmetic Task Performance, Data 4(1):14, "
        "doi:10.3390/data4010014; Goldberger et al. 2000, PhysioNet, Circulation 101(23):e215-e220"
    ),
    raw_sfreq=(500.0,),
    open_files="https://physionet.org/files/eegmat/1.0.0/",
    one_label=True,
    reference_key=reference_key,
)
