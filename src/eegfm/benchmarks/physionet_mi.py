"""PhysioNet-MI: imagined movement of the left fist, the right fist, both fists or both feet, from four seconds.

Corpus: EEG Motor Movement/Imagery Dataset 1.0.0 (Schalk et al. 2004, doi:10.1109/TBME.2004.827072), 109 subjects with
14 EDF+ files each, 64 channels, https://physionet.org/content/eegmmidb/1.0.0/ . The protocol uses the six files of
imagery: runs 04, 08, 12 (left or right fist) and 06, 10, 14 (both fists or both feet).
Access: open, without login, ODC-By 1.0.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: average reference, high-pass 0.3 Hz,
notch 60 Hz, resample to 200 Hz, four seconds from each cue on.

Quirks
- A cue is an annotation, T1 or T2, whose meaning depends on the run. We read the description; the reference reads MNE's
  numeric ids, which depend on a file's content: in a run without T0 (rest) all of its labels would shift.
- There is no low-pass: windows at 200 Hz hold nothing above the Nyquist frequency of their file (80 Hz).
- A window that would pass the end of the file is dropped, as in MNE's Epochs.
- Subjects with irregular timing or a rate of 128 Hz (reported of S088, S092, S100 and others) are often left out
  elsewhere; the protocol keeps them all. Not every run has 15 cues: 9,837 windows are declared, not 9,810.
- The splits are by subject here; the reference cuts a directory listing, so any other file in it moves the cut.
"""

import re
from pathlib import Path

from eegfm.benchmarks.spec import (
    BenchmarkSpec,
    Census,
    ReferenceWindow,
    Source,
    SplitName,
    Window,
    folder_in,
)
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import AverageReference, BandPass, Notch, Resample
from eegfm.signal.windows import fits

CLASSES = ("left fist", "right fist", "both fists", "both feet")
CHANNELS = tuple(
    (
        "FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6 Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 "
        "F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FT8 T7 T8 T9 T10 TP7 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 "
        "O1 Oz O2 Iz"
    ).split()
)  # the order of the files
FILE_NAMES = {f"{name.capitalize():.<4}": name for name in CHANNELS}  # "Fc5." -> "FC5", "T10." -> "T10"
WINDOW_S = 4.0
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"S{i:03d}" for i in range(1, 71)),
    "val": tuple(f"S{i:03d}" for i in range(71, 90)),
    "test": tuple(f"S{i:03d}" for i in range(90, 110)),
}
FISTS = {"T1": CLASSES.index("left fist"), "T2": CLASSES.index("right fist")}
FISTS_OR_FEET = {"T1": CLASSES.index("both fists"), "T2": CLASSES.index("both feet")}
CUES = {4: FISTS, 6: FISTS_OR_FEET, 8: FISTS, 10: FISTS_OR_FEET, 12: FISTS, 14: FISTS_OR_FEET}


def sources(root: Path) -> list[Source]:
    """Six recordings per subject: `S001/S001R04.edf` and so on, under `root` or under its folder `eegmmidb`."""
    home = folder_in(root, "eegmmidb")
    return [
        Source(subject, f"{subject}R{run:02d}", split, home / subject / f"{subject}R{run:02d}.edf")
        for split, subjects in SPLITS.items()
        for subject in subjects
        for run in CUES
    ]


def read(source: Source) -> Recording:
    """All 64 channels, with the cues as events."""
    return read_edf(source.path, channels=FILE_NAMES)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Four seconds from every cue of imagery that lie within the recording."""
    cues = CUES[int(source.recording[-2:])]
    found = [event for event in recording.events if event.description in cues]
    if not found:
        there = ", ".join(sorted({event.description for event in recording.events})) or "there are none"
        raise EegfmError(f"{source.path} has no T1 or T2 among its annotations ({there}). {FETCH_AGAIN}")
    return [
        Window(event.onset_s, cues[event.description])
        for event in found
        if fits(recording, event.onset_s, WINDOW_S)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """Read a key of the reference: "S001R04-5" is the sixth annotation of a run, counting those of rest."""
    found = re.fullmatch(r"(S\d{3}R\d\d)-(\d+)", key)
    return None if found is None else ReferenceWindow(found[1], int(found[2]))


PHYSIONET_MI = BenchmarkSpec(
    name="physionet_mi",
    title="PhysioNet-MI",
    protocol="cbramod@b9e9610",
    classes=CLASSES,
    channels=CHANNELS,
    sfreq=200.0,
    window_s=WINDOW_S,
    steps=(AverageReference(), BandPass(low=0.3, high=None), Notch(60.0), Resample(200.0)),
    splits=SPLITS,
    census=Census(
        recordings=654,
        # the paradigm's 15 cues per recording would give 654 x 15 = 9,810 (6,300 / 1,710 / 1,800): 27 fewer. So
        # some recordings hold more than 15 cues; which ones is not published, hence no counts per split
        windows=9_837,
        source="declared in the STAMP code (dataset_params); counts per split and class are not published",
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="https://physionet.org/content/eegmmidb/1.0.0/",
    licence="Open Data Commons Attribution License v1.0 (ODC-By 1.0)",
    access="PhysioNet: https://physionet.org/content/eegmmidb/1.0.0/ (109 subjects, 654 files: S001/S001R04.edf ...).",
    citation=(
        "Schalk et al. 2004, BCI2000: A General-Purpose Brain-Computer Interface (BCI) System, IEEE Transactions on "
        "Biomedical Engineering 51(6):1034-1043, doi:10.1109/TBME.2004.827072; Goldberger et al. 2000, PhysioNet, "
        "Circulation 101(23):e215-e220"
    ),
    raw_sfreq=(160.0, 128.0),
    open_files="https://physionet.org/files/eegmmidb/1.0.0/",
    reference_key=reference_key,
)
