"""TUAB as EEGM2 and SAMBA take it: 16 bipolar rows at 128 Hz without a filter, windows of 10 to 100 seconds.

Corpus: TUH Abnormal EEG Corpus 3.0.1, the files of `data=tuab` (see `eegfm.benchmarks.tuab`).
Access: free of charge, after a signed agreement with Temple University.
Protocol: EEGM2 (Hong et al. 2025, arXiv:2502.17873v2), facts of its code at commit 0fade32: resample to 128 Hz by MNE's
FFT, no filter, 16 bipolar rows, windows of 10, 30, 60 or 100 s (`data.benchmark.length`) end to end from the first
sample on, the tail dropped, under the label of the recording. SAMBA (arXiv:2511.18571) reads such windows of 100 s.
Split: `eval` is test. Of the patients of `train`, those of each class alone, 80 % drawn at random train and the others
validate. The reference draws without a seed, so nobody can repeat its division; ours is that of NumPy's generator with
seed 0 over the names in alphabetical order. It depends on all patients: an incomplete download is divided differently.

Versions
- published: the patients of each class are drawn on their own, so that one of the 54 who are in both classes may be in
  train with one and in val with the other. The benchmark declares it (`subject_leak`); the leakage report names them.
- repaired (ours): all patients of `train` are drawn at once, so that nobody is in both.

Counts
- Totals and those of test are the reference's logs, and do not depend on the draw: 135,702 windows of 30 s, 67,290 of
  60 s, 39,810 of 100 s. Of 10 s the paper has 409,455 in total, as CBraMod, whose test windows are then those 36,945.
  The paper's table says 56,290 windows of 60 s, which contradicts the logs and the hours of the corpus.

Quirks
- The paper says 200 Hz in between; its code resamples the files directly. The paper says 2,383 patients, the corpus's
  README 2,329.
- MNE's FFT pads to a power of two, and the padded length is rarely a whole number of samples at 128 Hz: of 250 and 400
  Hz files windows lie up to half a sample (4 ms) beside their seconds, as the reference's do.
- Nothing is filtered: drifts and mains (60 Hz, below the new Nyquist frequency of 64 Hz) stay in.
- The reference stores volts and divides each row of each window by the 95 % quantile of its magnitudes; here the store
  has microvolts and the task does that (`task.scale=quantile`).
- The label is that of a whole session: see the quirks of `eegfm.benchmarks.tuab`.
"""

from functools import partial
from typing import Literal, get_args

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census
from eegfm.benchmarks.tuab import ACCESS, CITATION, CLASSES, RECORDINGS, SUBJECT_LEAK, sources, windows
from eegfm.benchmarks.tuh import HOME, LICENCE, POOL, RAW_SFREQ, ROWS, read_electrodes
from eegfm.signal.steps import Bipolar, Resample

Length = Literal["10s", "30s", "60s", "100s"]
SFREQ = 128.0
DRAW = 0  # seed of the division
WINDOWS = dict(zip(get_args(Length), (409_455, 135_702, 67_290, 39_810), strict=True))
TEST = dict(zip(get_args(Length), (36_945, 12_241, 6_067, 3_587), strict=True))


def drawn_80_percent(subjects: set[str]) -> set[str]:
    """The first int(0.8 n) of the subjects in an order that is drawn once and for all."""
    ordered = np.random.default_rng(DRAW).permutation(np.array(sorted(subjects), dtype=str))
    return set(ordered[: int(len(subjects) * 0.8)].tolist())


def tuab_eegm2(
    *, length: Length = "10s", variant: Literal["repaired", "published"] = "repaired"
) -> BenchmarkSpec:
    """The benchmark with windows of a published length, divided as published or over all patients (see the module)."""
    published = variant == "published"
    who = "those of each class alone" if published else "all at once"
    window_s = float(length.removesuffix("s"))
    return BenchmarkSpec(
        name="tuab_eegm2",
        title="TUAB at 128 Hz",
        protocol=f"eegm2{'' if published else '-repaired'}@0fade32",
        classes=CLASSES,
        channels=ROWS,
        sfreq=SFREQ,
        window_s=window_s,
        steps=(Resample(SFREQ), Bipolar(ROWS)),
        splits=None,
        split_rule=(
            f"eval is test; the patients of train, {who}, in an order drawn by seed {DRAW}: the first int(0.8 n) "
            "train, the others val"
        ),
        choices={"variant": variant},
        census=Census(
            recordings=RECORDINGS,
            windows=WINDOWS[length],
            per_split={"test": TEST[length]},
            source=(
                "files: README of the corpus; windows: EEGM2's paper and CBraMod's preprocessing README"
                if length == "10s"
                else "files: README of the corpus; windows: training logs beside EEGM2's code"
            ),
        ),
        sources=partial(sources, by_class=published, to_train=drawn_80_percent),
        read=partial(read_electrodes, references=("REF",)),
        windows=partial(windows, window_s=window_s),
        corpus=f"{HOME}#c_tuab",
        licence=LICENCE,
        access=f"{ACCESS} The same files as data=tuab: data.raw=<its folder>.",
        citation=f"{CITATION}; Hong et al. 2025, arXiv:2502.17873 (the protocol)",
        raw_sfreq=RAW_SFREQ,
        one_label=True,
        pool=POOL,
        subject_leak=SUBJECT_LEAK if published else "",
    )
