"""Mumtaz2016: major depression or healthy, two classes, from five seconds of 19 channels at rest.

Corpus: "MDD Patients and Healthy Controls EEG Data (New)" (Mumtaz 2016, doi:10.6084/m9.figshare.4244171), 30 controls
`H S1` to `H S30` and 34 patients `MDD S1` to `MDD S34`, each with eyes closed (`H S1 EC.edf`) and open (`H S1
EO.edf`), about five minutes at 256 Hz, against linked ears. The `TASK` files are not part of the protocol.
Access: open, without login, CC BY 4.0.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: resample to 200 Hz, band-pass 0.3 to 75
Hz, notch 50 Hz, cut from the first sample on into windows of 5 s, drop the tail. Eyes closed and open are pooled.
(Before June 2025 the script low-passed at 30 Hz.)

Files: figshare lists 193, of which 12 have dead links (HTTP 404). Nine recordings at rest are unavailable (`GONE`,
and both of MDD S8). The name `H S15 EO` occurs twice, as number 6921143 and as number 6921959. So there are 58 files
of controls and 62 of patients: 120.
Split: the reference cuts two sorted listings by position (controls 40 / 8 / rest, patients 42 / 10 / rest). With
these 120 files that gives the table of subjects below, which we use: any other file in its folder would move the
reference's cuts, and may cut a subject in two. The paper states 24/5/5 patients and 19/4/5 controls; its code gives
22/5/6 and 21/4/5.

Versions
- published: all 120 recordings. `H S27 EC` and `H S30 EC` are the same bytes, one in train, the other in val; so are
  `MDD S33 EC` (val) and `MDD S34 EC` (test). The benchmark declares it (`duplicates`), and reports say so.
- repaired (ours): recordings of uncertain subjects are left out. These are both of each pair (whichever of the two
  subjects it shows, the other name puts that person's brain into a second split), and both files called `H S15 EO`:
  one of them may well be the missing `H S25 EO`, and then a control's data carry another's name, which would leak
  under any other division by subjects. 114 recordings remain.

Quirks
- Names are spaced irregularly (`MDD S16  EC.edf`) and may carry their figshare number (`6921143_H S15 EO.edf`). Files
  are found by the parts of their name, anywhere below the root. Without its number one `H S15 EO` cannot be told from
  the other, and counts as neither: fetch the archive of the whole article, where both have numbers.
- Some files have 20 signals, some 22 (A2-A1, 23A-23R, 24A-24R): channels are found by name.
- A person's class holds for all five minutes: anything that differs between recordings also separates the classes.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal

from eegfm.benchmarks.spec import BenchmarkSpec, Census, ReferenceWindow, Source, SplitName, Window
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import read_edf
from eegfm.signal.recording import Recording
from eegfm.signal.steps import BandPass, Notch, Resample
from eegfm.signal.windows import grid

CLASSES = ("healthy", "major depression")
CHANNELS = tuple("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split())
WINDOW_S = 5.0


def _subjects(controls: tuple[int, ...], patients: tuple[int, ...]) -> tuple[str, ...]:
    return (*(f"H S{i}" for i in controls), *(f"MDD S{i}" for i in patients))


SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": _subjects((1, 2, *range(10, 29)), (1, 2, *range(10, 30))),
    "val": _subjects((3, 4, 29, 30), (3, 30, 31, 32, 33)),
    "test": _subjects((5, 6, 7, 8, 9), (4, 5, 6, 7, 9, 34)),
}  # nothing of MDD S8 is available
GONE = ("H S12 EC", "H S18 EC", "H S25 EO", "MDD S4 EC", "MDD S7 EO", "MDD S12 EC", "MDD S16 EC")
TWINS = ("6921143 H S15 EO", "6921959 H S15 EO")  # two files of one name
COPIES = (("H S27 EC", "H S30 EC"), ("MDD S33 EC", "MDD S34 EC"))  # the same bytes
WHOSE = frozenset((*TWINS, *COPIES[0], *COPIES[1]))  # recordings whose subject is in doubt
NAME = re.compile(r"(?:(\d+)_\s*)?(H|MDD)\s+S\s*(\d+)\s+(EC|EO)", re.IGNORECASE)


def sources(root: Path, *, left_out: frozenset[str] = frozenset()) -> list[Source]:
    """The available recordings `H S1 EC.edf` and `H S1 EO.edf` of every subject, anywhere below `root`."""
    there: dict[str, Path] = {}
    for path in sorted(root.rglob("*.edf")):
        recording = _recording_of(path)
        if recording in there:
            raise EegfmError(
                f"{path} and {there[recording]} are both {recording} by their names. Keep the one that belongs to the "
                "corpus and move the other out of the folder."
            )
        if recording is not None:
            there[recording] = path
    return [
        Source(subject, recording, split, there.get(recording, root / f"{recording}.edf"))
        for split, subjects in SPLITS.items()
        for subject in subjects
        for recording in _recordings_of(subject)
        if recording not in left_out
    ]


def _recordings_of(subject: str) -> list[str]:
    """The available recordings of a subject."""
    names = [f"{subject} EC", *(TWINS if subject == "H S15" else [f"{subject} EO"])]
    return [name for name in names if name not in GONE]


def _recording_of(path: Path) -> str | None:
    """The recording that a file's name stands for, such as "MDD S16 EC"; None for other files."""
    found = NAME.fullmatch(path.stem.strip())
    if found is None:
        return None
    name = f"{found[2].upper()} S{int(found[3])} {found[4].upper()}"
    return f"{found[1]} {name}" if f"{found[1]} {name}" in TWINS else name


def read(source: Source) -> Recording:
    """The 19 channels of the protocol."""
    return read_edf(source.path, channels={f"EEG {name}-LE": name for name in CHANNELS})


def windows(recording: Recording, source: Source) -> list[Window]:
    """Adjacent windows over the whole recording; its class is its subject's group."""
    label = int(source.subject.startswith("MDD"))
    return [Window(onset_s, label) for onset_s in grid(recording, WINDOW_S)]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """Read a key of the reference: "MDD S16  EC_3" is the fourth window of the file of that name."""
    stem, _, number = key.rpartition("_")
    recording = _recording_of(Path(f"{stem}.edf"))
    if recording is None or not re.fullmatch(r"\d+", number):
        return None
    return ReferenceWindow(recording, int(number), int(number) * WINDOW_S, int("MDD" in recording))


def mumtaz2016(*, variant: Literal["repaired", "published"] = "repaired") -> BenchmarkSpec:
    """The benchmark, with the recordings that cross its splits or without them (see the module)."""
    published = variant == "published"
    return BenchmarkSpec(
        name="mumtaz2016",
        title="Mumtaz2016",
        protocol=f"cbramod{'' if published else '-repaired'}@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=200.0,
        window_s=WINDOW_S,
        steps=(Resample(200.0), BandPass(low=0.3, high=75), Notch(50.0)),
        splits=SPLITS,
        choices={"variant": variant},
        census=Census(
            recordings=120 if published else 120 - len(WHOSE),
            # 7,143 is the total of all 120; counts per subject or split are not published
            windows=7_143 if published else None,
            source="recordings: files that figshare has; windows: declared in the STAMP code (dataset_params)",
        ),
        sources=partial(sources, left_out=frozenset() if published else WHOSE),
        read=read,
        windows=windows,
        corpus="https://doi.org/10.6084/m9.figshare.4244171",
        licence="CC BY 4.0",
        access=(
            "figshare: https://figshare.com/articles/dataset/EEG_Data_New/4244171 (all EC and EO files; take the "
            "archive of all files, which tells the two called `H S15 EO` apart)."
        ),
        citation=(
            "Mumtaz 2016, MDD Patients and Healthy Controls EEG Data (New), figshare, doi:10.6084/m9.figshare.4244171; "
            "Mumtaz et al. 2018, A machine learning framework involving EEG-based functional connectivity to diagnose "
            "major depressive disorder (MDD), Medical & Biological Engineering & Computing 56(2):233-246, "
            "doi:10.1007/s11517-017-1685-z"
        ),
        raw_sfreq=(256.0,),
        # the twins of H S15 are in one split; whether they, too, have equal bytes is unknown
        duplicates=(*COPIES, TWINS) if published else (),
        one_label=True,
        reference_key=reference_key if published else None,
    )
