"""CHB-MIT: is there a seizure in these ten seconds? Two classes, 16 bipolar rows.

Corpus: CHB-MIT Scalp EEG Database 1.0.0 (Shoeb 2009; Guttag 2010, doi:10.13026/C2K01R), 24 cases of children and
young adults with epilepsy, recorded for days: 686 EDF files `chb01/chb01_01.edf`, most an hour long, some two or
four, about 980 hours in all, at 256 Hz, https://physionet.org/content/chbmit/1.0.0/ . `chb01/chb01-summary.txt` tells
of every file the seconds at which its seizures begin and end: 198 seizures in 141 files, 3.2 hours.
Access: open, without login, ODC-By 1.0.
Protocol: CBraMod (Wang et al. 2025), preprocessing scripts of commit b9e9610, which are those of BIOT (Yang et al.
2023): no filter; windows of 10 s, each resampled to 200 Hz by itself; chb23 and chb24 test, chb21 and chb22 val, the
rest train.

Versions
- published: 605 files. chb12, chb13 and chb17 are not among the cases that the scripts list, chb24_02 and chb24_22
  lie outside of their range of numbers, and chb02_16+ has no number. A window is of a seizure where the first or the
  last moment of one lies strictly inside it, so a window in the midst of a long seizure is not. Besides, every 5 s
  from 1 s before a seizure to 1 s behind it, a further window of it begins (in val and test as well): so the same
  seconds are there up to three times, and those in the midst of a long seizure under both labels. Where such a window
  passes the end of the file, what there is of it is stretched to ten seconds. Moments of a seizure are taken one
  sample too early (at 30 s: sample 7,679), and the further windows therefore begin 1/256 s before a whole second.
  chb21 is the patient of chb01, a year and a half later: one person in train and in val (`subject_leak`).
- repaired (ours): all 24 cases. The whole recording is resampled, then cut from the first sample on into windows of
  10 s in every split, and nothing else. A window is of a seizure where any part of one lies in it. chb01 joins chb21
  in val (train loses 7 of its seizures, the published test is untouched).

Quirks
- Summaries are written irregularly: "Seizure Start Time: 2996 seconds" or "Seizure 1 Start Time:", one space or two,
  an end under the number of another seizure (chb09_08), clocks past 24 hours (which are not read). Starts and ends
  are paired in their order, and their number is held against the number of seizures that the summary declares.
- The summary of chb24 lists only the files with a seizure; a file of that case which it does not list has none. In
  any other case that is an error.
- Montages change from file to file, with dummies named "-" and ".", ECG, a vagus nerve stimulator; T8-P8 is there
  twice in most files, and the first is taken, as in the reference. Rows are found by name. Three files have no
  bipolar rows (chb12_27, against an electrode CS2; chb12_28 and chb12_29, bare electrodes): the protocol leaves them
  out, with 13 seizures. (The reference would fill a row that is missing with zeros; in the cases that it lists, none
  is.)
- chb17b_69.edf is 256 bytes longer than its header says.
- Of chb24_21 the summary says 2804 to 2872 s, the file `.seizures` beside it 2404 to 2872 s. It is test in both
  versions; the summary is followed, as in the reference.
- About one window in 300 is of a seizure: accuracy says nothing here (the repaired form is scored by events as well).
  It is not known whether the patient of chb24, which was added later, is one of the others.

The file is long for its facts: these versions and quirks, and the numbers of the files that exist.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import scipy

from eegfm.benchmarks.chb_mit_summary import read_summary
from eegfm.benchmarks.spec import (
    BenchmarkSpec,
    Census,
    LeftOut,
    ReferenceWindow,
    Source,
    SplitName,
    Window,
    folder_in,
)
from eegfm.contracts import EegfmError
from eegfm.signal.formats.edf import channel_names, read_edf
from eegfm.signal.recording import FETCH_AGAIN, Event, Recording
from eegfm.signal.steps import Resample
from eegfm.signal.windows import grid

CLASSES = ("no seizure", "seizure")
CHANNELS = tuple(
    (
        "FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2"
    ).split()
)
SFREQ, RAW_SFREQ = 200.0, 256.0
WINDOW_S = 10.0
SEIZURE = "seizure"  # of an event
FILES = {
    "chb01": "01-27 29-34 36-43 46",
    "chb02": "01-16 16+ 17-35",
    "chb03": "01-38",
    "chb04": "01-19 21-43",
    "chb05": "01-39",
    "chb06": "01-10 12-18 24",
    "chb07": "01-19",
    "chb08": "02-05 10-24 29",
    "chb09": "01-19",
    "chb10": "01-08 12-22 27-28 30-31 38 89",
    "chb11": "01-19 24-27 53-56 58 60-63 82 92 99",
    "chb12": "06 08-11 19-21 23-24 27-29 32-42",
    "chb13": "02-16 18-19 21-22 24 30 36-40 47 55-56 58-60 62",
    "chb14": "01-04 06-07 11-14 16-20 22 24-27 29-30 32 37 39 42",
    "chb15": "01-17 19-20 22 26 28-33 35 37 40 45-46 49-52 54 61-63",
    "chb16": "01-19",
    "chb17a": "03-06 08",
    "chb17b": "57-60 63 67-69",
    "chb17c": "02-08 13",
    "chb18": "01-36",
    "chb19": "01-30",
    "chb20": "01-08 11-17 21-23 25-31 34 59-60 68",
    "chb21": "01-33",
    "chb22": "01-11 15-30 38 51 54 77",
    "chb23": "06-10 16-17 19-20",
    "chb24": "01-22",
}  # the list RECORDS of the corpus; the letters of chb17 are of one case
CASES = tuple(f"chb{i:02d}" for i in range(1, 25))
PATIENT = {"chb21": "chb01"}  # of a case that is not a patient of its own
PUBLISHED: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(case for case in CASES[:20] if case not in ("chb12", "chb13", "chb17")),
    "val": ("chb21", "chb22"),
    "test": ("chb23", "chb24"),
}
NOT_PUBLISHED = frozenset({"chb02_16+", "chb24_02", "chb24_22"})
REPAIRED: dict[SplitName, tuple[str, ...]] = {
    "train": CASES[1:20],
    "val": ("chb01", "chb21", "chb22"),
    "test": ("chb23", "chb24"),
}
PADDING = {"chb17b_69": 256}  # bytes behind the last sample
ONLY_WITH_SEIZURES = frozenset({"chb24"})  # cases whose summary does not list the other files


# ---- recordings ------------------------------------------------------------------------------------------------------


def sources(
    root: Path, *, cases: Mapping[SplitName, Sequence[str]], without: frozenset[str] = frozenset()
) -> list[Source]:
    """The files of the given cases, `chb01/chb01_01.edf` and so on, each with the summary of its case beside it.

    They lie under `root` or under the folder in it that the corpus's archive unpacks to.
    """
    home = folder_in(root, "chb-mit-scalp-eeg-database-1.0.0")
    return [
        Source(
            PATIENT.get(case, case),
            recording,
            split,
            home / case / f"{recording}.edf",
            session=case,
            beside=(home / case / f"{case}-summary.txt",),
        )
        for split in cases
        for case in cases[split]
        for recording in _recordings_of(case)
        if recording not in without
    ]


def _recordings_of(case: str) -> list[str]:
    names = []
    for prefix, numbers in FILES.items():
        if prefix[:5] == case:
            for part in numbers.split():
                first, _, last = part.partition("-")
                names += (
                    [f"{prefix}_{i:02d}" for i in range(int(first), int(last) + 1)]
                    if last
                    else [f"{prefix}_{part}"]
                )
    return names


def read(source: Source) -> Recording:
    """The 16 rows, and the seizures that the summary tells of as events."""
    padding = PADDING.get(source.recording, 0)
    there = channel_names(source.path, padding=padding)
    missing = [row for row in CHANNELS if row not in there]
    if missing:
        raise LeftOut(
            f"{source.path} lacks {len(missing)} of the {len(CHANNELS)} rows of the protocol ({', '.join(missing)}). "
            f"It has {', '.join(there)}."
        )
    first = {f"{row}-0" if there.count(row) > 1 else row: row for row in CHANNELS}
    recording = read_edf(source.path, channels=first, padding=padding).in_one_piece()
    events = tuple(Event(start, end - start, SEIZURE) for start, end in _seizures_of(source))
    late = [event.onset_s for event in events if event.onset_s >= recording.duration_s]
    if late:
        raise EegfmError(
            f"{source.beside[0]} tells of a seizure at {late[0]:g} s of {source.path.name}, which is "
            f"{recording.duration_s:g} s long. {FETCH_AGAIN}"
        )
    return replace(recording, events=events)


def _seizures_of(source: Source) -> list[tuple[float, float]]:
    path = source.beside[0]
    summary = read_summary(path)
    if source.path.name in summary:
        return summary[source.path.name]
    if source.session in ONLY_WITH_SEIZURES:
        return []
    raise EegfmError(
        f"{path} does not list {source.path.name}, so its seizures are not known. {FETCH_AGAIN}"
    )


# ---- windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CutWithSeizures:
    """Pieces of `window_s` end to end (a shorter rest is dropped), and further ones around every seizure.

    These begin every `every_s`, from `around_s` before its first moment to `around_s` behind its last, a moment being
    taken one sample too early; the end of the recording cuts them short.
    """

    window_s: float
    every_s: float
    around_s: float
    version: ClassVar[int] = 1
    cuts: ClassVar[bool] = True

    def __call__(self, recording: Recording) -> Recording:
        n, every, around = (
            round(seconds * recording.sfreq) for seconds in (self.window_s, self.every_s, self.around_s)
        )
        starts = list(range(0, recording.n_times - n + 1, n))
        for event in recording.events:
            if event.description == SEIZURE:
                first, last = _moments(event, recording.sfreq)
                starts += range(max(0, first - around), min(last + around, recording.n_times), every)
        return recording.in_pieces(
            [recording.data[:, start : start + n] for start in starts],
            [start / recording.sfreq for start in starts],
        )


@dataclass(frozen=True)
class FourierResampleTo:
    """Every piece to `n_times` samples, called `sfreq` Hz, by `scipy.signal.resample`: the FFT method without padding.

    A piece of another length than n_times / sfreq seconds is stretched. The ends of a piece ring (`FourierResample`).
    """

    n_times: int
    sfreq: float
    version: ClassVar[int] = 1

    def __call__(self, recording: Recording) -> Recording:
        return recording.by_piece(
            lambda data: np.asarray(scipy.signal.resample(data, self.n_times, axis=1)), self.sfreq
        )


def _moments(event: Event, sfreq: float) -> tuple[int, int]:
    """First and last sample of a seizure as the reference counts them, one too early."""
    return round(event.onset_s * sfreq) - 1, round((event.onset_s + event.duration_s) * sfreq) - 1


def published_windows(recording: Recording, source: Source) -> list[Window]:
    """Every piece; of a seizure where it is a further one, or a moment of a seizure lies strictly inside it."""
    n = round(WINDOW_S * RAW_SFREQ)
    moments = [moment for event in recording.events for moment in _moments(event, RAW_SFREQ)]

    def label(i: int, onset_s: float) -> int:
        if (
            onset_s != i * WINDOW_S
        ):  # a further one: those end to end come first, and no other begins where they do
            return 1
        return int(any(i * n < moment < (i + 1) * n for moment in moments))

    return [Window(onset_s, label(i, onset_s)) for i, onset_s in enumerate(grid(recording, WINDOW_S))]


def windows(recording: Recording, source: Source) -> list[Window]:
    """The whole recording, end to end; of a seizure where any part of one lies in it."""
    return [
        Window(
            onset_s,
            int(
                any(
                    event.onset_s < onset_s + WINDOW_S and onset_s < event.onset_s + event.duration_s
                    for event in recording.events
                )
            ),
        )
        for onset_s in grid(recording, WINDOW_S)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """What a key of STAMP's says: "chb01_03-7680_00000123_y0" is a file, its sample at 256 Hz, a number, the class.

    Further windows around a seizure are called "chb01_03-s-0-add-766719_00000124_y1".
    """
    found = re.fullmatch(r"(chb\d\d[a-c]?_\d\d)-(s-\d+-add-)?(\d+)_(\d{8,})_y([01])", key)
    if found is None:
        return None
    recording, further, sample, number, label = found.groups()
    return ReferenceWindow(recording, int(number), int(sample) / RAW_SFREQ, 1 if further else int(label))


def chb_mit(*, variant: Literal["repaired", "published"] = "repaired") -> BenchmarkSpec:
    """The benchmark, with the published windows and labels or with natural ones (see the module)."""
    published = variant == "published"
    return BenchmarkSpec(
        name="chb_mit",
        title="CHB-MIT",
        protocol=f"cbramod{'' if published else '-repaired'}@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=SFREQ,
        window_s=WINDOW_S,
        steps=(
            (
                CutWithSeizures(window_s=WINDOW_S, every_s=5.0, around_s=1.0),
                FourierResampleTo(n_times=2000, sfreq=SFREQ),
            )
            if published
            else (Resample(SFREQ),)
        ),
        # published: chb01 and chb21, one patient, are in two splits
        splits=None
        if published
        else {
            split: tuple(dict.fromkeys(PATIENT.get(case, case) for case in cases))
            for split, cases in REPAIRED.items()
        },
        split_rule=(
            "by case: chb23 and chb24 test, chb21 and chb22 val, the others train, without chb12, chb13 and chb17"
            if published
            else ""
        ),
        choices={"variant": variant},
        census=Census(
            recordings=605 if published else 686,
            # the lengths of the files, of which it could be computed, are known from the files only
            windows=326_993 if published else None,
            source="recordings: the corpus's RECORDS; windows: declared in the STAMP code (dataset_params), as in BIOT",
        ),
        sources=partial(
            sources,
            cases=PUBLISHED if published else REPAIRED,
            without=NOT_PUBLISHED if published else frozenset(),
        ),
        read=read,
        windows=published_windows if published else windows,
        corpus="https://physionet.org/content/chbmit/1.0.0/",
        licence="Open Data Commons Attribution License v1.0 (ODC-By 1.0)",
        access=(
            "PhysioNet: https://physionet.org/content/chbmit/1.0.0/ (24 cases, 686 EDF files and a summary a case: "
            "chb01/chb01_01.edf, chb01/chb01-summary.txt ...; 46 GB)."
        ),
        citation=(
            "Guttag 2010, CHB-MIT Scalp EEG Database 1.0.0, PhysioNet, doi:10.13026/C2K01R; Shoeb 2009, Application of "
            "Machine Learning to Epileptic Seizure Onset Detection and Treatment, PhD thesis, MIT; Goldberger et al. "
            "2000, PhysioNet, Circulation 101(23):e215-e220"
        ),
        raw_sfreq=(RAW_SFREQ,),
        open_files="https://physionet.org/files/chbmit/1.0.0/",
        subject_leak=(
            "chb21 (val) is the patient of chb01 (train), a year and a half later" if published else ""
        ),
        reference_key=reference_key if published else None,
        alarm="" if published else SEIZURE,
    )
