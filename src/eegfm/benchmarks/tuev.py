"""TUEV: six kinds of events in clinical EEG, one second long each, from five seconds of 16 bipolar rows.

Corpus: TUH EEG Events Corpus 2.0.1 or 2.0.0 (Harati et al. 2015, doi:10.1109/SPMB.2015.7405421), Temple University
Hospital: 359 files of `edf/train`, 159 of `edf/eval`, https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ . A
file `aaaaaaar/aaaaaaar_00000001.edf` (train: patient, file of the patient) or `000/bckg_000_a_.edf` (eval: what it was
chosen for, number of the case, part of the file) has a `.rec` beside it: a row an event, `13,90.4,91.4,6` = row of the
TCP montage, start and stop in seconds, code of the class (1 to 6, in the order of `CLASSES`).
Access: free of charge, after a signed agreement with Temple University.
Protocol: CBraMod (Wang et al. 2025), preprocessing script of commit b9e9610: resample to 200 Hz, band-pass 0.3 to 75
Hz, notch 60 Hz, 16 bipolar rows, two seconds before to two behind every event. The STAMP paper's script (commit
80bea69) does the same.
Split: `eval` is test. The patients of `train` in alphabetical order, the first int(0.8 n) train, the others val. So
the split hangs on all patients being there: an incomplete download is divided otherwise, and is marked as partial.

Versions
- edition: the published counts of train and val differ between 2.0.0 (the CBraMod paper) and 2.0.1 (STAMP, which still
  declares 112,491 windows, those of 2.0.0).
- variant published: one window for every row of a `.rec`, on the signal continued at each end by its own other end
  (`WrapEnds`), so that events at the ends are kept. A file as a whole is left out where it lacks one of the 16
  electrodes under the name `EEG FP1-REF`, where its `.rec` has one row only (the reference reads that as no table),
  and where one of its events is not exactly 200 samples long, ends behind the last sample, or is too near the ends of
  a file of less than two seconds. That is what STAMP's script does. CBraMod's stops altogether at each of these but
  the first, so the editions that its counts come from should have none of them. What is left out is named in the
  store's manifest.
- variant repaired (ours): such an event is dropped, not its file. A window that would pass an end of the file is
  dropped: no signal is joined to another time. A window annotated with one class on several rows is kept once, not
  once a row. Where rows disagree about a window, background gives way, since it stands for "none of the other five, on
  this row", and five seconds that hold a spike on one row are no background; a window with two classes that are not
  background is dropped, because it has no one right answer and the corpus ranks none above the other. `EEG FP1-LE`
  will do as well as `EEG FP1-REF`: the common reference cancels in the difference.

Quirks
- A label is one channel's, the window shows all 16: the model is never told where to look.
- Events next to one another make windows that share up to 4.9 s, in either variant, under labels that may differ. They
  are of one file, so of one split.
- In eval the number in a file's name stands for the patient, the only name a case has there.
- The reference takes whatever `.edf` it meets; here a file counts when it is named as the corpus names its files, so
  that stray ones (`._aaaaaaar_00000001.edf`) move nobody to another split.
- CBraMod's script counts patients after leaving files out, STAMP's before; they are counted before here.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census, LeftOut, ReferenceWindow, Source, SplitName, Window
from eegfm.benchmarks.tuh import (
    HOME,
    LICENCE,
    POOL,
    RAW_SFREQ,
    ROWS,
    SFREQ,
    STEPS,
    edf_folder,
    first_80_percent,
    read_electrodes,
)
from eegfm.contracts import EegfmError
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import WrapEnds
from eegfm.signal.windows import fits

CLASSES = (
    "spike and slow wave",
    "generalized periodic discharge",
    "lateralized periodic discharge",
    "eye movement",
    "artifact",
    "background",
)  # SPSW, GPED, PLED, EYEM, ARTF, BCKG
BACKGROUND = CLASSES.index("background")
EVENT_S, AROUND_S = 1.0, 2.0
WINDOW_S = AROUND_S + EVENT_S + AROUND_S
NAMES = {"train": re.compile(r"([a-z0-9]+)_\d+"), "eval": re.compile(r"[a-z]+_(\d+)_[a-z]+_\d*")}
PER_SPLIT = {  # preprocessing/README.md of CBraMod
    "2.0.1": {"train": 68_445, "val": 15_487, "test": 29_421},
    "2.0.0": {"train": 67_436, "val": 15_634, "test": 29_421},
}


# ---- recordings ------------------------------------------------------------------------------------------------------


def sources(root: Path, *, edition: str) -> list[Source]:
    """Every EDF file of the corpus anywhere below `train` and `eval`, by part and path; its `.rec` belongs to it."""
    home = edf_folder(root, "tuh_eeg_events", edition)
    found = [
        (part, match[1], path)
        for part, name in NAMES.items()
        for path in sorted((home / part).rglob("*.edf"))
        if (match := name.fullmatch(path.stem))
    ]
    train = first_80_percent({subject for part, subject, _ in found if part == "train"})

    def split_of(part: str, subject: str) -> SplitName:
        return "test" if part == "eval" else "train" if subject in train else "val"

    return [
        Source(
            subject,
            "-".join(path.relative_to(home).with_suffix("").parts),  # the stem alone may come twice
            split_of(part, subject),
            path,
            beside=(path.with_suffix(".rec"),),
        )
        for part, subject, path in found
    ]


# ---- events ----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A line of a `.rec` file: seconds, and the class as an index into `CLASSES`."""

    start_s: float
    stop_s: float
    label: int


def read_rec(path: Path) -> list[Row]:
    """The events of a `.rec` file in its order. Raises EegfmError where it is none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EegfmError(f"{path} cannot be read as a table of events ({error}). {FETCH_AGAIN}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            _, start_s, stop_s, code = (float(field) for field in line.split(","))
        except ValueError:
            code = start_s = stop_s = float("nan")
        if code not in range(1, len(CLASSES) + 1) or not np.isfinite([start_s, stop_s]).all():
            raise EegfmError(
                f"{path}, line {number}: {line[:40]!r} is not row, start, stop and a code from 1 to {len(CLASSES)}. "
                f"{FETCH_AGAIN}"
            )
        rows.append(Row(start_s, stop_s, int(code) - 1))
    if not rows:
        raise EegfmError(f"{path} holds no event. {FETCH_AGAIN}")
    return rows


def published_windows(recording: Recording, source: Source) -> list[Window]:
    """A window for every row of the `.rec`, in its order, by the reference's index arithmetic (see "Versions").

    The reference puts three copies of the signal end to end and cuts in the middle one. Raises LeftOut where that fails
    for one row.
    """
    if not np.isclose(recording.pieces[0].onset_s, -AROUND_S):
        raise EegfmError(f"The published windows need {WrapEnds(AROUND_S)} as the last step (data.steps).")
    around = round(AROUND_S * SFREQ)
    n = recording.n_times - 2 * around
    times = np.arange(n) / SFREQ
    rec = source.beside[0]
    rows = read_rec(rec)
    if len(rows) == 1:
        raise LeftOut(f"{rec} has one row only, which the reference does not read as a table.")
    found = []
    for row in rows:
        event = f"{rec}: the event from {row.start_s:g} to {row.stop_s:g} s"
        if max(row.start_s, row.stop_s) > times[-1]:
            raise LeftOut(f"{event} ends behind the last sample of the file, at {times[-1]:g} s.")
        start, stop = np.searchsorted(times, (row.start_s, row.stop_s))  # the first sample not before
        if stop - start != round(EVENT_S * SFREQ):
            raise LeftOut(f"{event} is {stop - start} samples long, not {EVENT_S * SFREQ:g}.")
        if n + start - around < 0 or n + stop + around > 3 * n:
            raise LeftOut(f"{event} is too near the ends of a file of {n / SFREQ:g} s.")
        found.append(Window(float(start / SFREQ - AROUND_S), row.label))
    return found


def repaired_windows(recording: Recording, source: Source) -> list[Window]:
    """A window for every second that is an event, once, in order of time, with the one label it has (see "Versions").

    Raises LeftOut where the file has no such window.
    """
    times = np.arange(recording.n_times) / SFREQ
    rows = read_rec(source.beside[0])
    labels: dict[int, set[int]] = {}
    for row in rows:
        start, stop = np.searchsorted(times, (row.start_s, row.stop_s))
        if stop - start == round(EVENT_S * SFREQ):
            labels.setdefault(int(start), set()).add(row.label)
    found = []
    for start, said in sorted(labels.items()):
        onset_s = start / SFREQ - AROUND_S
        said = said - {BACKGROUND} or said
        if len(said) == 1 and fits(recording, onset_s, WINDOW_S):
            found.append(Window(onset_s, min(said)))
    if not found:
        raise LeftOut(
            f"{source.beside[0]}: none of its {len(rows)} events is one second long, has {AROUND_S:g} s of signal on "
            "either side, and is of one class."
        )
    return found


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """What a key of STAMP's says: "aaaaaaar_00000001_00000012_y6" is a file, a number within the split, and a code.

    Windows of a file are numbered in the order of its `.rec`.
    """
    found = re.fullmatch(r"(.+)_(\d{8})_y([1-6])", key)
    part = "eval" if split == "test" else "train"
    name = found and NAMES[part].fullmatch(found[1])
    if not found or not name:
        return None
    recording = f"{part}-{name[1]}-{found[1]}"
    return ReferenceWindow(recording, int(found[2]), label=int(found[3]) - 1, subject=name[1])


# ---- the benchmark ---------------------------------------------------------------------------------------------------


def tuev(
    *,
    edition: Literal["2.0.1", "2.0.0"] = "2.0.1",
    variant: Literal["repaired", "published"] = "repaired",
) -> BenchmarkSpec:
    """The benchmark of an edition of the corpus, as published or repaired (see the module)."""
    published = variant == "published"
    counts = PER_SPLIT[edition]
    return BenchmarkSpec(
        name="tuev",
        title="TUEV",
        protocol=f"cbramod{'' if published else '-repaired'}@b9e9610",
        classes=CLASSES,
        channels=ROWS,
        sfreq=SFREQ,
        window_s=WINDOW_S,
        steps=(*STEPS, WrapEnds(AROUND_S)) if published else STEPS,
        splits=None,
        split_rule=(
            "eval is test; the patients of train in alphabetical order, the first int(0.8 n) train, the others val"
        ),
        choices={"edition": edition, "variant": variant},
        census=Census(
            # 359 in train and 159 in eval: the corpus's README, and Braindecode's check of 2.0.1
            recordings=518,
            windows=sum(counts.values()) if published else None,
            per_split=counts if published else None,
            # repaired: fewer than published, by rows of the .rec files that nobody has counted
            source="files: README of the corpus; windows: CBraMod's preprocessing README; none known of the repaired",
        ),
        sources=partial(sources, edition=edition),
        read=partial(read_electrodes, references=("REF",) if published else ("REF", "LE")),
        windows=published_windows if published else repaired_windows,
        corpus=f"{HOME}#c_tuev",
        licence=LICENCE,
        access=f"Temple University, signed agreement, then rsync: {HOME} (TUEV v{edition}, 518 EDF files).",
        citation=(
            "Harati et al. 2015, Improved EEG Event Classification Using Differential Energy, IEEE SPMB, "
            "doi:10.1109/SPMB.2015.7405421; Obeid & Picone 2016, The Temple University Hospital EEG Data Corpus, "
            "Frontiers in Neuroscience 10:196, doi:10.3389/fnins.2016.00196"
        ),
        raw_sfreq=RAW_SFREQ,
        pool=POOL,
        pool_gap="its test cases are numbered, not named",
        reference_key=reference_key if published else None,
    )
