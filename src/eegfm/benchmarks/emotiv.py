"""Six data sets of Emotiv's 14-channel headset, windows of 2 s at 128 Hz, as EEG2Rep has them and EEGM2 uses them.

Corpora: Crowdsourced (eyes open or closed, 13 people, doi:10.17605/OSF.IO/9BVGH), STEW (a task against rest, 48
people: Lim et al. 2018, doi:10.21227/44r8-ya50), DREAMER (films and feelings, 23 people: Katsigiannis & Ramzan 2018),
and three of Emotiv's own that are not public: Alpha, Attention and DriverDistraction.
Access: EEG2Rep (Mohammadi Foumani et al. 2024, arXiv:2402.17772) links files of the first three, `Crowdsource.npy`,
`STEW.npy` and `DREAMER.npy`, from https://github.com/Navidfoumani/EEG2Rep ; whoever has the others in this form can
read them alike. STEW can also be read as it was published, at IEEE DataPort behind a free account
(`data.benchmark.files=raw`).
Protocol: EEGM2 (Hong et al. 2025, arXiv:2502.17873v2), facts of its code at commit 0fade32: a file holds train_data,
val_data and test_data, each (window, 14, 256), and train_label and so on, 0 or 1; people are in one of the three.
Each window alone is filtered by a Chebyshev filter, forward and backward.

Versions
- published: that filter. A window of 2 s is too short for its lower edge of 0.5 Hz, so that its ends ring: on tones
  of 30 µV between 8 and 20 Hz it moves samples by up to 41 µV at the ends, and by 14 in the middle.
- repaired (ours): the mean of each channel of each window is taken off, and nothing is filtered: the headset itself
  passes 0.2 to 43 Hz.

STEW's own files (`files=raw`)
- `sub01_lo.txt` (rest) and `sub01_hi.txt` (the task) of 48 people, 150 s each, a line of 14 numbers a sample.
- EEG2Rep filters each whole recording by the same filter, and cuts windows of 2 s every 0.5 s: 297 of each file,
  28,512 in all, which is the number that EEGM2's paper has. published does so, and filters each window once more, as
  EEGM2 does; repaired filters each recording once, 0.5 to 40 Hz by MNE.
- Who of them is in which part of `STEW.npy` is not known. With `files=raw`, 30 people train, 6 validate and 12 test
  (a quarter, as in EEG2Rep), in an order drawn by seed 0. So no number of `files=raw` is comparable with a published
  one.

Quirks
- The files say neither whose a window is, nor the order of channels, nor the unit. The order is the headset's and the
  unit microvolts, as far as known. All windows of a split count as one person's, so that no interval over people can
  be given.
- What 0 and 1 mean is known of STEW (1: the file of the task; EEGM2's paper says: a rating above 4) and
  DriverDistraction (0: driving, 1: distracted). Elsewhere the classes are called by their numbers.
- The files are pickles inside, and a pickle can run anything; here they are read without running what they say.
- A file without val_data is refused: EEG2Rep then takes a tenth of the training windows at random, and of overlapping
  windows that puts one into both.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Census, Source, SplitName, Window, folder_in
from eegfm.contracts import EegfmError
from eegfm.signal.formats.pickled import read_npy
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import FETCH_AGAIN, Recording
from eegfm.signal.steps import BandPass, RemoveMean, Step
from eegfm.signal.trials import ChebyshevBandPass, CutSliding
from eegfm.signal.windows import grid

Variant = Literal["repaired", "published"]

CHANNELS = tuple("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split())
SFREQ, WINDOW_S, HOP_S = 128.0, 2.0, 0.5
FILTER = ChebyshevBandPass(stop_low=0.2, low=0.5, high=40.0, stop_high=48.0)
STEPS: dict[Variant, tuple[Step, ...]] = {"repaired": (RemoveMean(),), "published": (FILTER,)}
RAW_STEPS: dict[Variant, tuple[Step, ...]] = {
    "repaired": (BandPass(low=0.5, high=40.0),),
    "published": (FILTER, CutSliding(WINDOW_S, HOP_S), FILTER),
}
NUMBERS = ("0", "1")
PAPER = "EEGM2's paper (arXiv:2502.17873v2), table I"
STEW_PEOPLE = tuple(f"sub{i:02d}" for i in range(1, 49))
STEW_S = 150.0
STEW_CLASSES = ("lo", "hi")  # and the ends of its files' names
HOME = "https://github.com/Navidfoumani/EEG2Rep"


# ---- EEG2Rep's files -------------------------------------------------------------------------------------------------


def sources(root: Path, *, file: str) -> list[Source]:
    """Each split of the file `<file>.npy`, in `root`, in its folder of that name, or in `processed_data`."""
    places = [root / f"{file}.npy", root / file / f"{file}.npy", root / "processed_data" / f"{file}.npy"]
    path = next((place for place in places if place.is_file()), places[0])
    return [Source(split, split, split, path) for split in SPLITS]


def read(source: Source) -> Recording:
    """The windows of a split end to end, each a piece; the event of a window names its class.

    Raises EegfmError if the file holds anything else.
    """
    held = read_npy(source.path)
    found: dict[str, Any] = held if isinstance(held, dict) else {}
    split = source.recording
    x, label = (
        _either(found, key) for key in ((f"{split}_data", f"X_{split}"), (f"{split}_label", f"Y_{split}"))
    )
    if x is None or label is None:
        raise EegfmError(
            f"{source.path} lacks {split}_data or {split}_label; it holds {', '.join(map(str, found)) or type(held)}. "
            f"{FETCH_AGAIN}"
        )
    n_times = round(WINDOW_S * SFREQ)
    label = np.asarray(label).ravel()
    if (
        x.ndim != 3
        or x.shape[1:] != (len(CHANNELS), n_times)
        or x.dtype.kind not in "iuf"
        or len(x) != len(label)
    ):
        raise EegfmError(
            f"{source.path}, {split}: {x.shape} of {x.dtype} and {len(label)} labels; wanted are windows of "
            f"({len(CHANNELS)}, {n_times}) numbers and a label for each. {FETCH_AGAIN}"
        )
    if label.dtype.kind not in "iufb" or not np.isin(label, (0, 1)).all():
        raise EegfmError(f"{source.path}, {split}: labels other than 0 and 1. {FETCH_AGAIN}")
    named = [NUMBERS[int(one)] for one in label]
    return Recording.of_epochs(x, SFREQ, montage_of(CHANNELS), named, source.path)


def _either(found: Mapping[str, Any], names: tuple[str, str]) -> np.ndarray | None:
    """The array of the first of these names that is there: EEG2Rep's and EEGM2's, or SAMBA's."""
    return next(
        (np.asarray(found[name]) for name in names if isinstance(found.get(name), np.ndarray)), None
    )


def windows(recording: Recording, source: Source) -> list[Window]:
    """Every window under its label."""
    return [Window(event.onset_s, NUMBERS.index(event.description)) for event in recording.events]


def _emotiv(
    name: str,
    title: str,
    file: str,
    *,
    variant: Variant,
    n_windows: int | None,
    classes: tuple[str, str] = NUMBERS,
    public: bool = True,
    corpus: str = HOME,
    citation: str,
) -> BenchmarkSpec:
    repaired = variant == "repaired"
    return BenchmarkSpec(
        name=name,
        title=title,
        protocol=f"eegm2_emotiv{'-repaired' if repaired else ''}@0fade32",
        classes=classes,
        channels=CHANNELS,
        sfreq=SFREQ,
        window_s=WINDOW_S,
        steps=STEPS[variant],
        splits={split: (split,) for split in SPLITS},
        split_rule="the file's own, by person; it does not say whose a window is, and each split counts as one person",
        choices={"variant": variant},
        census=Census(recordings=3, windows=n_windows, source=PAPER if n_windows else "not known"),
        sources=partial(sources, file=file),
        read=read,
        windows=windows,
        corpus=corpus,
        licence="not stated with the file" if public else "not public",
        access=(
            f"{file}.npy, linked from {HOME}"
            if public
            else f"not public; who has it: {file}.npy as EEG2Rep writes it"
        ),
        citation=f"{citation}; Mohammadi Foumani et al. 2024, EEG2Rep, arXiv:2402.17772 (windows and splits)",
        raw_sfreq=(SFREQ,),
    )


def crowdsourced(*, variant: Variant = "repaired") -> BenchmarkSpec:
    """Crowdsourced: eyes open or closed."""
    return _emotiv(
        "crowdsourced",
        "Crowdsourced (Emotiv)",
        "Crowdsource",
        variant=variant,
        n_windows=12_296,
        corpus="https://osf.io/9bvgh/",
        citation="Williams et al. 2023, Crowdsourced EEG experiments, Heliyon 9:e18433 (doi:10.17605/OSF.IO/9BVGH)",
    )


def dreamer(*, variant: Variant = "repaired") -> BenchmarkSpec:
    """DREAMER: feelings while watching films."""
    return _emotiv(
        "dreamer",
        "DREAMER (Emotiv)",
        "DREAMER",
        variant=variant,
        n_windows=None,
        corpus="https://zenodo.org/records/546113",
        citation="Katsigiannis & Ramzan 2018, DREAMER, IEEE JBHI 22:98-107, doi:10.1109/JBHI.2017.2688239",
    )


def alpha(*, variant: Variant = "repaired") -> BenchmarkSpec:
    """Alpha, of Emotiv."""
    return _of_emotiv("alpha", "Alpha (Emotiv)", "Alpha", 11_866, variant)


def attention(*, variant: Variant = "repaired") -> BenchmarkSpec:
    """Attention, of Emotiv."""
    return _of_emotiv("attention", "Attention (Emotiv)", "Attention", 21_894, variant)


def driver_distraction(*, variant: Variant = "repaired") -> BenchmarkSpec:
    """DriverDistraction, of Emotiv."""
    classes = ("driving", "distracted")
    return _of_emotiv(
        "driver_distraction", "DriverDistraction (Emotiv)", "DriverDistraction", 66_197, variant, classes
    )


def _of_emotiv(
    name: str, title: str, file: str, n_windows: int, variant: Variant, classes: tuple[str, str] = NUMBERS
) -> BenchmarkSpec:
    said = "Emotiv, not published"
    return _emotiv(
        name,
        title,
        file,
        variant=variant,
        n_windows=n_windows,
        classes=classes,
        public=False,
        citation=said,
    )


# ---- STEW's own files ------------------------------------------------------------------------------------------------


def stew_splits() -> dict[SplitName, tuple[str, ...]]:
    """30 people train, 6 validate, 12 test."""
    order = np.random.default_rng(0).permutation(len(STEW_PEOPLE)).tolist()
    parts = {"train": order[:30], "val": order[30:36], "test": order[36:]}
    return {split: tuple(sorted(STEW_PEOPLE[i] for i in parts[split])) for split in SPLITS}


def stew_sources(root: Path) -> list[Source]:
    """Both recordings of each person, in `root` or in its `STEW Dataset`."""
    home = folder_in(root, "STEW Dataset")
    split_of: dict[str, SplitName] = {
        person: split for split, people in stew_splits().items() for person in people
    }
    return [
        Source(person, f"{person}_{kind}", split_of[person], home / f"{person}_{kind}.txt")
        for person in STEW_PEOPLE
        for kind in STEW_CLASSES
    ]


def stew_read(source: Source, *, length_s: float = STEW_S) -> Recording:
    """A text of 14 columns and 150 s. Raises EegfmError if it is none."""
    try:
        table = np.loadtxt(source.path, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise EegfmError(f"{source.path} is no table of numbers: {error}. {FETCH_AGAIN}") from None
    wanted = (round(length_s * SFREQ), len(CHANNELS))
    if table.shape != wanted:
        raise EegfmError(
            f"{source.path} has (lines, columns) {table.shape}; {wanted} are wanted. {FETCH_AGAIN}"
        )
    return Recording(table.T.copy(), SFREQ, montage_of(CHANNELS), path=source.path)


def stew_windows(recording: Recording, source: Source) -> list[Window]:
    """A window every half second, under the label of its file; as published each is a piece already."""
    label = STEW_CLASSES.index(source.recording.rpartition("_")[2])
    return [Window(onset_s, label) for onset_s in grid(recording, WINDOW_S, HOP_S)]


def stew(*, files: Literal["npy", "raw"] = "npy", variant: Variant = "repaired") -> BenchmarkSpec:
    """STEW from EEG2Rep's file, or from its own texts (see the module)."""
    citation = "Lim, Sourina & Wang 2018, STEW, IEEE TNSRE 26:2106-2114, doi:10.1109/TNSRE.2018.2872924"
    corpus = "https://ieee-dataport.org/open-access/stew-simultaneous-task-eeg-workload-dataset"
    if files == "npy":
        return _emotiv(
            "stew",
            "STEW (Emotiv)",
            "STEW",
            variant=variant,
            n_windows=28_512,
            classes=STEW_CLASSES,
            corpus=corpus,
            citation=citation,
        )
    return BenchmarkSpec(
        name="stew",
        title="STEW (Emotiv), its own files",
        protocol=f"stew{'-repaired' if variant == 'repaired' else ''}@069008b",
        classes=STEW_CLASSES,
        channels=CHANNELS,
        sfreq=SFREQ,
        window_s=WINDOW_S,
        steps=RAW_STEPS[variant],
        splits=stew_splits(),
        choices={"files": files, "variant": variant},
        census=Census(
            recordings=96,
            windows=28_512,
            per_split={"train": 30 * 2 * 297, "val": 6 * 2 * 297, "test": 12 * 2 * 297},
            source=f"{PAPER}; 297 windows in each of 96 recordings of 150 s",
        ),
        sources=stew_sources,
        read=stew_read,
        windows=stew_windows,
        corpus=corpus,
        licence="that of the IEEE DataPort entry (CC BY 4.0)",
        access=f"IEEE DataPort, with a free account: {corpus} (96 texts, sub01_lo.txt to sub48_hi.txt).",
        citation=citation,
        raw_sfreq=(SFREQ,),
    )
