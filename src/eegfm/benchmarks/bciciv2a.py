"""BCIC-IV-2a: imagined movement of the left or right hand, both feet or the tongue, from four seconds of 22 channels.

Corpus: data set 2a of the BCI Competition IV (Brunner et al. 2008; Tangermann et al. 2012, Frontiers in Neuroscience
6:55, doi:10.3389/fnins.2012.00055): nine subjects, two sessions each on two days (T: training, E: evaluation), six runs
of 48 trials a session, at 250 Hz, against the left mastoid, with the amplifier's band of 0.5 to 100 Hz and its notch at
50 Hz. A trial begins with a cross; the cue comes after two seconds, and imagery lasts to the sixth.
Access: open. `files="mat"` is the edition of BNCI Horizon 2020, data set 001-2014 (A01T.mat, A01E.mat and so on,
CC BY-ND 4.0), on which the published numbers rest. `files="gdf"` is the competition's own (A01T.gdf and so on), with
the labels of the evaluation sessions in MAT files that were published after it (true_labels/A01E.mat and so on).
Protocol: CBraMod (Wang et al. 2025) as STAMP has it (commit 80bea69), `variant="published"`: each trial cut from its
start to the next one, average reference over the 22 channels, a causal Butterworth band-pass, seconds 2 to 6, FFT
resampling to 200 Hz. 5,088 windows. `variant="repaired"` (our default) puts right what follows: 5,184 windows. Numbers
of the two do not compare.

Quirks
- A file begins with runs without trials, in which eyes were open, closed or moving: three, but one in A04T. The
  reference takes runs from the fourth on and so loses two runs of A04T, 96 trials of the training set. Repaired: every
  run that has trials.
- The MAT files count samples from 1, the reference from 0: its trials begin one sample (4 ms) late. Repaired: in time.
- The reference filters each trial alone, forward, from rest, at 0.3 Hz: the step from rest to whatever the trial begins
  with rings for seconds, into the window (of an offset of 10 µV about 0.7 µV are left). In transfer-function form it
  also blows up the last digit of its input, to some 0.0004 µV. Repaired: zero-phase, over the whole run. The average
  reference is the same either way.
- The band was 0.3 to 50 Hz when the papers were written, and is 0.3 to 40 Hz upstream since June 2026; published is the
  first, repaired the second.
- `scipy.signal.resample` takes a trial for one period of an endless signal; where its first and last level differ, both
  ends ring. Repaired: runs are resampled before they are cut, by a polyphase filter, since MNE's FFT method moves a run
  of this length by up to 4 ms. The first sample of a window is the nearest of 200 a second, up to 2.5 ms from the cue.
- A trial of less than six seconds would be stretched by the reference to the length of a window. Here it gives none,
  and the census tells.
- Trials that an expert marked as artefacts are kept, in both variants; the EOG is not used.
- The MAT files name no channels: 22 columns of EEG in the order of the corpus's description, then three of EOG. The GDF
  files name five (Fz, C3, Cz, C4, Pz) and the EOG; the others lie in the same order between them.
- In the GDF files runs are joined with 100 missing samples between them, which are stored as the smallest number there
  is (see signal/formats/gdf.py). No window crosses them.
- The published numbers were never computed from GDF files. The published variant carries the rules over: each trial one
  sample late, and runs, counted by their markers, from the fourth on. That A04T.gdf has a single run before its trials
  follows from its authors' description and is not verified.
- Both sessions of a subject are in the same split. Two subjects in val: choosing a checkpoint there is noisy.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from eegfm.benchmarks.bciciv2a_runs import CHANNELS, CLASSES, read_gdf_runs, read_mat_runs
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
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import FETCH_AGAIN, Event, Piece, Recording
from eegfm.signal.steps import (
    AverageReference,
    BandPass,
    CausalButterworth,
    CutAtEvents,
    FourierResample,
    Keep,
    PolyphaseResample,
    Step,
)
from eegfm.signal.windows import fits

Variant = Literal["repaired", "published"]
Files = Literal["mat", "gdf"]

CUE_S = 2.0  # after the start of a trial
WINDOW_S = 4.0
SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": tuple(f"A{i:02d}" for i in range(1, 6)),
    "val": ("A06", "A07"),
    "test": ("A08", "A09"),
}
SESSIONS = ("T", "E")
FIRST_RUN = 3  # the reference's first, counted from 0
STEPS: dict[Variant, tuple[Step, ...]] = {
    "repaired": (AverageReference(), BandPass(0.3, 40.0), PolyphaseResample(200.0)),
    "published": (
        CutAtEvents(),
        AverageReference(),
        CausalButterworth(5, 0.3, 50.0),
        Keep(2.0, 6.0),
        FourierResample(200.0),
    ),
}
# 18 sessions of 6 runs of 48 trials; the authors say that each run has 12 of each class
_SESSION_TRIALS = 6 * 48
CENSUS: dict[Variant, Census] = {
    "repaired": Census(
        recordings=18,
        windows=18 * _SESSION_TRIALS,
        per_split={"train": 2_880, "val": 1_152, "test": 1_152},
        per_class={"train": (720,) * 4, "val": (288,) * 4, "test": (288,) * 4},
        source="9 subjects x 2 sessions x 6 runs x 48 trials, 12 of each class a run, as the corpus's description says",
    ),
    "published": Census(
        recordings=18,
        windows=18 * _SESSION_TRIALS - 2 * 48,  # two runs of A04T are lost
        per_split={"train": 2_784, "val": 1_152, "test": 1_152},
        # train would be 696 of each if the two lost runs are balanced: said of every run, never counted in these two
        per_class={"val": (288,) * 4, "test": (288,) * 4},
        source="declared in the STAMP code (5,088) and what its loop gives; classes from the corpus's description",
    ),
}


def sources(root: Path, files: Files) -> list[Source]:
    """Two sessions a subject: `A01T.mat` and `A01E.mat`, or `A01T.gdf`, `A01E.gdf` and `true_labels/A01E.mat`.

    In `root`, or in the folder in it that the publisher's download makes (001-2014, BCICIV_2a_gdf).
    """
    home = folder_in(root, {"mat": "001-2014", "gdf": "BCICIV_2a_gdf"}[files])
    return [
        Source(
            subject,
            f"{subject}{session}",
            split,
            home / f"{subject}{session}.{files}",
            session,
            (root / "true_labels" / f"{subject}{session}.mat",) if (files, session) == ("gdf", "E") else (),
        )
        for split, subjects in SPLITS.items()
        for subject in subjects
        for session in SESSIONS
    ]


def read(source: Source, variant: Variant, files: Files) -> Recording:
    """The 22 channels over the runs that have trials, each a piece; an event is the start of a trial and its class."""
    sfreq, stretches = (read_mat_runs if files == "mat" else read_gdf_runs)(source)
    first, late = (FIRST_RUN, 1) if variant == "published" else (0, 0)
    kept = [stretch for stretch in stretches if stretch.trials and stretch.run >= first]
    if not kept:
        raise EegfmError(
            f"{source.path} has no trials{' from its fourth run on' if first else ''}: {len(stretches)} runs, "
            f"{sum(len(stretch.trials) for stretch in stretches)} trials. {FETCH_AGAIN}"
        )
    columns = np.cumsum([0, *(stretch.data.shape[1] for stretch in kept[:-1])])
    return Recording(
        np.concatenate([stretch.data for stretch in kept], axis=1),
        sfreq,
        montage_of(CHANNELS),
        tuple(
            Event((stretch.start + begin + late) / sfreq, CUE_S + WINDOW_S, CLASSES[label])
            for stretch in kept
            for begin, label in stretch.trials
        ),
        source.path,
        tuple(
            Piece(int(column), stretch.start / sfreq) for column, stretch in zip(columns, kept, strict=True)
        ),
    )


def windows(recording: Recording, source: Source) -> list[Window]:
    """From the cue of every trial to the end of its imagery, where the run lasts as long."""
    return [
        Window(event.onset_s + CUE_S, CLASSES.index(event.description))
        for event in recording.events
        if fits(recording, event.onset_s + CUE_S, WINDOW_S)
    ]


def reference_key(key: str, split: SplitName) -> ReferenceWindow | None:
    """What a key of the reference says: "A01T-3-0" is session, run and trial, both counted from 0."""
    found = re.fullmatch(r"(A0[1-9])([TE])-(\d)-(\d{1,2})", key)
    if found is None:
        return None
    subject, session, run, trial = found.groups()
    return ReferenceWindow(
        f"{subject}{session}",
        100 * int(run) + int(trial),
        split=next(split for split, subjects in SPLITS.items() if subject in subjects),
    )


def bciciv2a(*, variant: Variant = "repaired", files: Files = "mat") -> BenchmarkSpec:
    """BCIC-IV-2a; `variant="published"` is what the published numbers rest on, `files` the edition that is at hand."""
    where = {
        "mat": "BNCI Horizon 2020: https://bnci-horizon-2020.eu/database/data-sets/001-2014/ (A01T.mat, A01E.mat ...).",
        "gdf": (
            "BCI Competition IV: https://www.bbci.de/competition/iv/ (data set 2a, A01T.gdf, A01E.gdf ..., and "
            "its true labels, A01E.mat ..., in the folder true_labels)."
        ),
    }
    return BenchmarkSpec(
        name="bciciv2a",
        title="BCIC-IV-2a",
        protocol="cbramod@80bea69-stamp" if variant == "published" else "cbramod-repaired@b9e9610",
        classes=CLASSES,
        channels=CHANNELS,
        sfreq=200.0,
        window_s=WINDOW_S,
        steps=STEPS[variant],
        splits=SPLITS,
        census=CENSUS[variant],
        sources=partial(sources, files=files),
        read=partial(read, variant=variant, files=files),
        windows=windows,
        corpus=(
            "https://bnci-horizon-2020.eu/database/data-sets/001-2014/"
            if files == "mat"
            else "https://www.bbci.de/competition/iv/"
        ),
        licence=(
            "Creative Commons Attribution-NoDerivatives 4.0 International (CC BY-ND 4.0)"
            if files == "mat"
            else "Terms of the BCI Competition IV (https://www.bbci.de/competition/iv/)"
        ),
        access=where[files],
        citation=(
            "Tangermann et al. 2012, Review of the BCI Competition IV, Frontiers in Neuroscience 6:55, "
            "doi:10.3389/fnins.2012.00055; Brunner et al. 2008, BCI Competition 2008 - Graz data set A, "
            "Graz University of Technology"
        ),
        raw_sfreq=(250.0,),
        # runs and the late sample are not seen in the steps
        choices={"variant": variant, "files": files},
        reference_key=reference_key if (variant, files) == ("published", "mat") else None,
    )
