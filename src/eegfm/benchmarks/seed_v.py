"""SEED-V: five emotions while watching film clips, from single seconds of 62 channels.

Corpus: SEED-V (Liu et al. 2022, IEEE TCDS 14(2):715-729, doi:10.1109/TCDS.2021.3071170), BCMI laboratory, Shanghai Jiao
Tong University: 16 subjects, three sessions each, 48 Neuroscan CNT files of 32-bit samples, 66 channels at 1000 Hz, 15
clips per session. Files are `EEG_raw/{subject}_{session}_{date}.cnt`; a session's name says which clips were shown, not
its place in time.
Access: research licence, by application at https://bcmi.sjtu.edu.cn/home/seed/seed-v.html .
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610, and STAMP's copy of it: drop M1, M2, VEO
and HEO, resample the whole recording to 200 Hz, band-pass 0.3 to 75 Hz, cut out the clips by the timetable below, and
these into seconds. Neither notch nor re-reference.

Quirks
- The published split is by clip: clips 0-4, 5-9 and 10-14 of every session of every subject are train, val and test.
  All 16 people, and all 48 recordings, are in all three: numbers say nothing about a new person. Between the last
  second of one split and the first of the next lie 31 to 62 s; within a split, neighbouring seconds are much alike.
- `split="subjects"` is ours: subjects 1-10, 11-13 and 14-16, everything else as published. Not comparable with
  published numbers, and every report says so.
- Every block of five clips has each emotion once, but clips last from 52 to 297 s: classes are far from balanced, and
  their shares differ between splits.
- A window is one second, so a model with several tokens in time sees a single one.
- There is no notch: mains at 50 Hz in the files stay in the windows.
- The label of a second is the emotion that its clip was chosen for, not what the subject felt.
- The header of `7_1_20180411.cnt` is reported to hold no valid number of samples, from which the reference lets MNE
  infer the width. Older versions of MNE then assume 16 bits, which turns it into noise of twice the length and changes
  no count; newer versions refuse. It is unknown whether the published numbers include that session as noise. Here the
  width is given and the length follows from the place of the events. Some copies of the corpus hold a second file of
  that session, `7_1_20180411_repaired.cnt`: two files of one recording are refused, and the owner has to choose.
- The reference silently slices beyond the end of a file. We refuse a recording that ends before its last clip.
- CB1 and CB2 are places of Neuroscan's cap, not of the 10-05 system; we use PO9 and PO10 for them
  (`eegfm.signal.montage`).
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from eegfm.benchmarks.spec import SPLITS as SPLIT_NAMES
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
from eegfm.signal.formats.cnt import read_cnt
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import BandPass, Resample
from eegfm.signal.windows import fits


class Trial(NamedTuple):
    """A clip: its seconds in the file, and its emotion."""

    start_s: int
    end_s: int
    label: int


Timetable = Mapping[str, tuple[Trial, ...]]


def _session(starts: str, ends: str, labels: str) -> tuple[Trial, ...]:
    rows = (starts.split(), ends.split(), labels.split())
    return tuple(Trial(int(start), int(end), int(label)) for start, end, label in zip(*rows, strict=True))


CLASSES = ("disgust", "fear", "sad", "neutral", "happy")
CHANNELS = tuple(
    (
        "Fp1 Fpz Fp2 AF3 AF4 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 C6 T8 "
        "TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO5 PO3 POz PO4 PO6 PO8 CB1 O1 Oz O2 CB2"
    ).split()
)  # the order of the files, without M1, M2, VEO and HEO
FILE_NAMES = {name.upper(): name for name in CHANNELS}
WINDOW_S = 1.0
SUBJECTS = tuple(str(i) for i in range(1, 17))
# from the corpus's trial_start_end_timestamp.txt and emotion_label_and_stimuli_order.xlsx, as in the reference
TIMETABLE: Timetable = {
    "1": _session(
        "  30  132  287  555  773  982 1271 1628 1730 2025 2227 2435 2667 2932 3204",
        " 102  228  524  742  920 1240 1568 1697 1994 2166 2401 2607 2901 3172 3359",
        "   4    1    3    2    0    4    1    3    2    0    4    1    3    2    0",
    ),
    "2": _session(
        "  30  299  548  646  836 1000 1091 1392 1657 1809 1966 2186 2333 2490 2741",
        " 267  488  614  773  967 1059 1331 1622 1777 1908 2153 2302 2428 2709 2817",
        "   2    1    3    0    4    4    0    3    2    1    3    4    1    2    0",
    ),
    "3": _session(
        "  30  353  478  674  825  908 1200 1346 1451 1711 2055 2307 2457 2726 2888",
        " 321  418  643  764  877 1147 1284 1418 1679 1996 2275 2425 2664 2857 3066",
        "   2    1    3    0    4    4    0    3    2    1    3    4    1    2    0",
    ),
}
TRIALS_OF_A_SPLIT = 5
SPLITS: dict[str, dict[SplitName, tuple[str, ...]]] = {
    "trials": {"train": SUBJECTS, "val": SUBJECTS, "test": SUBJECTS},
    "subjects": {"train": SUBJECTS[:10], "val": SUBJECTS[10:13], "test": SUBJECTS[13:]},
}
CENSUS = {
    "trials": Census(
        recordings=48,
        windows=117_744,
        per_split={"train": 34_432, "val": 42_960, "test": 40_352},
        per_class={
            "train": (5_824, 5_600, 11_440, 7_488, 4_080),
            "val": (7_440, 10_896, 9_792, 5_936, 8_896),
            "test": (6_544, 7_584, 9_440, 10_256, 6_528),
        },
        source="computed from the timetable; its total is the one declared in the STAMP code (dataset_params)",
    ),
    "subjects": Census(
        recordings=48,
        windows=117_744,
        per_split={"train": 73_590, "val": 22_077, "test": 22_077},
        per_class={
            "train": (12_380, 15_050, 19_170, 14_800, 12_190),
            "val": (3_714, 4_515, 5_751, 4_440, 3_657),
            "test": (3_714, 4_515, 5_751, 4_440, 3_657),
        },
        source="computed from the timetable",
    ),
}


def sources(root: Path, *, split: Literal["trials", "subjects"]) -> list[Source]:
    """Three sessions per subject: `1_1_20180804.cnt` and so on, in `root` or in its folder `EEG_raw`.

    A recording's name is its subject and session, "1_1", known without the file, whose name also has a date.
    """
    home = folder_in(root, "EEG_raw")
    found = _files(home)
    split_of: dict[str, SplitName] = {}
    if split == "subjects":
        split_of = {subject: name for name, subjects in SPLITS[split].items() for subject in subjects}
    return [
        Source(
            subject,
            f"{subject}_{session}",
            split_of.get(subject),
            found.get(f"{subject}_{session}", [home / f"{subject}_{session}_YYYYMMDD.cnt"])[0],
            session,
        )
        for subject in SUBJECTS
        for session in TIMETABLE
    ]


def read(source: Source) -> Recording:
    """The 62 channels on the scalp."""
    twins = _files(source.path.parent).get(source.recording, [])
    if len(twins) > 1:
        raise EegfmError(
            f"{source.path.parent} holds {len(twins)} files of subject {source.subject}, session {source.session}: "
            f"{', '.join(path.name for path in twins)}. Only one can be right: move the others to another folder, and "
            "run the same command again; or leave the recording out with data.allow_partial=true."
        )
    return read_cnt(source.path, channels=FILE_NAMES, data_format="int32")


def windows(recording: Recording, source: Source, *, timetable: Timetable) -> list[Window]:
    """Every second of every clip; the clip gives the split if the recording does not."""
    trials = timetable[source.session]
    last_s = max(trial.end_s for trial in trials)
    if not fits(recording, last_s - WINDOW_S, WINDOW_S):
        raise EegfmError(
            f"{source.path} ends after {recording.duration_s:,.1f} s; the last clip of session {source.session} goes "
            f"to {last_s:,} s. The file is cut short, or is of another session than its name says. {FETCH_AGAIN}"
        )
    return [
        Window(
            float(second),
            trial.label,
            SPLIT_NAMES[i // TRIALS_OF_A_SPLIT] if source.split is None else None,
        )
        for i, trial in enumerate(trials)
        for second in range(trial.start_s, trial.end_s)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """Read a key of the reference: "1_1_20180804.cnt-3-17" is file, clip, and second of the clip."""
    found = re.fullmatch(r"0*(\d+)_0*([123])_.+\.cnt-(\d+)-(\d+)", key)
    if found is None or int(found[3]) >= len(TIMETABLE[found[2]]):
        return None
    clip, second = int(found[3]), int(found[4])
    trial = TIMETABLE[found[2]][clip]
    onset = trial.start_s + second
    if onset >= trial.end_s:
        return None
    return ReferenceWindow(
        f"{found[1]}_{found[2]}", onset, float(onset), trial.label, SPLIT_NAMES[clip // TRIALS_OF_A_SPLIT]
    )


def seed_v(*, split: Literal["trials", "subjects"] = "trials") -> BenchmarkSpec:
    """SEED-V, divided by the clips of every recording (published) or by subjects (ours)."""
    return BenchmarkSpec(
        name="seed_v",
        title="SEED-V",
        protocol="cbramod@b9e9610" if split == "trials" else "cbramod-subjects@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=200.0,
        window_s=WINDOW_S,
        steps=(Resample(200.0), BandPass(low=0.3, high=75.0)),
        splits=SPLITS[split],
        split_rule="clips 0-4, 5-9 and 10-14 of every session of every subject"
        if split == "trials"
        else "",
        within_subject=split == "trials",
        census=CENSUS[split],
        sources=partial(sources, split=split),
        read=read,
        windows=partial(windows, timetable=TIMETABLE),
        corpus="https://bcmi.sjtu.edu.cn/home/seed/seed-v.html",
        licence="Research licence of the BCMI laboratory, Shanghai Jiao Tong University (application form)",
        access=(
            "BCMI laboratory: apply at https://bcmi.sjtu.edu.cn/home/seed/seed-v.html (16 subjects, 48 CNT files: "
            "EEG_raw/1_1_20180804.cnt ...)."
        ),
        citation=(
            "Liu et al. 2022, Comparing Recognition Performance and Robustness of Multimodal Deep Learning Models for "
            "Multimodal Emotion Recognition, IEEE Transactions on Cognitive and Developmental Systems 14(2):715-729, "
            "doi:10.1109/TCDS.2021.3071170"
        ),
        raw_sfreq=(1000.0,),
        reference_key=reference_key if split == "trials" else None,
    )


def _files(home: Path) -> dict[str, list[Path]]:
    """The CNT files of each recording, by name; ignores `.DS_Store`, `._1_1_20180804.cnt` and notebooks."""
    found: dict[str, list[Path]] = {}
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        named = re.fullmatch(r"0*(\d+)_0*(\d+)_.+\.cnt", path.name, re.IGNORECASE)
        if named and path.is_file():
            found.setdefault(f"{named[1]}_{named[2]}", []).append(path)
    return found
