"""EEG Eye State: two minutes of one person with a 14-channel headset, eyes open and closed; for pre-training alone.

Corpus: "EEG Eye State" (Roesler 2013, UCI Machine Learning Repository, doi:10.24432/C57G7J), one ARFF file of 14,980
rows: 14 channels of an Emotiv EPOC at 128 Hz, 117 s, and whether the eyes were seen open or closed in a video.
Access: open, without login, CC BY 4.0.
Protocol: ours. Published numbers divide single samples of this one recording at random, so that test samples lie
between training samples; there is no other subject, and hence no test and no validation split here. Windows have no
labels: the whole recording goes into pre-training, in a mix (data=mix) with corpora that do have subjects.

Quirks
- At four moments (rows 898, 10386, 11509 and 13179, from 0) most channels hold values that are 400 to 700,000 µV off:
  errors of transmission, a sample long. Everything else, blinks included, is within 300 µV of its channel's median.
  A straight line replaces these moments in all channels (`Despike`); the store's manifest counts them.
- Values have an offset of about 4,200 µV, which the high-pass removes. The headset itself passes 0.2 to 43 Hz
  and has notches at 50 and 60 Hz. Its reference (CMS, DRL) is behind the ears or at P3 and P4, and is left as it is.
- The file holds no times and no rate; 14,980 rows in the 117 s that its author states are 128 Hz.
- Windows at 200 Hz, the rate of the other corpora, hold nothing above 64 Hz.
"""

from pathlib import Path

import numpy as np

from eegfm.benchmarks.spec import BenchmarkSpec, Census, Source, SplitName, Window, folder_in
from eegfm.contracts import EegfmError
from eegfm.signal.formats.arff import read_arff
from eegfm.signal.montage import montage_of
from eegfm.signal.recording import FETCH_AGAIN, Event, Recording
from eegfm.signal.steps import BandPass, Despike, Resample
from eegfm.signal.windows import grid

CHANNELS = tuple("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split())  # the order of the file
STATE, STATES = "eyeDetection", ("open", "closed")
FILE, RAW_SFREQ = "EEG Eye State.arff", 128.0
WINDOW_S = 4.0
SPLITS: dict[SplitName, tuple[str, ...]] = {"train": ("P1",), "val": (), "test": ()}


def sources(root: Path) -> list[Source]:
    """The only file, under `root` or under its folder `eeg_eye_state`."""
    return [Source("P1", "P1", "train", folder_in(root, "eeg_eye_state") / FILE)]


def read(source: Source) -> Recording:
    """All 14 channels, with the states of the eyes as events."""
    *signal, state = read_arff(source.path, (*CHANNELS, STATE))
    if not np.isin(state, (0, 1)).all():
        raise EegfmError(f"{source.path}: {STATE} is neither 0 nor 1 in some rows. {FETCH_AGAIN}")
    starts = np.flatnonzero(np.diff(state, prepend=-1))
    lengths = np.diff(starts, append=len(state))
    events = tuple(
        Event(start / RAW_SFREQ, n / RAW_SFREQ, f"eyes {STATES[int(state[start])]}")
        for start, n in zip(starts.tolist(), lengths.tolist(), strict=True)
    )
    return Recording(np.stack(signal), RAW_SFREQ, montage_of(CHANNELS), events, source.path)


def windows(recording: Recording, source: Source) -> list[Window]:
    """Adjacent windows over the whole recording."""
    return [Window(onset_s, 0) for onset_s in grid(recording, WINDOW_S)]


EYE_STATE = BenchmarkSpec(
    name="eye_state",
    title="EEG Eye State",
    protocol="eegfm-pretraining@1",
    classes=(),
    channels=CHANNELS,
    sfreq=200.0,
    window_s=WINDOW_S,
    # 500: blinks stay below 300, and the worst channel exceeds 4,000 in each of the four errors
    steps=(Despike(500.0), BandPass(low=0.5, high=None), Resample(200.0)),
    splits=SPLITS,
    census=Census(
        recordings=1,
        windows=29,
        per_split={"train": 29, "val": 0, "test": 0},
        source="14,980 rows in the file: 117.03 s",
    ),
    sources=sources,
    read=read,
    windows=windows,
    corpus="https://archive.ics.uci.edu/dataset/264/eeg+eye+state",
    licence="Creative Commons Attribution 4.0 International (CC BY 4.0)",
    access=(
        "UCI Machine Learning Repository: https://archive.ics.uci.edu/dataset/264/eeg+eye+state (one file, "
        f'"{FILE}", right under data.raw).'
    ),
    citation="Roesler 2013, EEG Eye State, UCI Machine Learning Repository, doi:10.24432/C57G7J",
    raw_sfreq=(RAW_SFREQ,),
)
