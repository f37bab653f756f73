"""The runs of a session of BCIC-IV-2a, from either edition of its files (see `eegfm.benchmarks.bciciv2a`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from eegfm.benchmarks.spec import (
    Source,
)
from eegfm.contracts import FETCH_AGAIN, EegfmError
from eegfm.signal.formats.gdf import read_gdf
from eegfm.signal.formats.mat import read_mat

CLASSES = ("left hand", "right hand", "both feet", "tongue")  # 1 to 4 in the files
CHANNELS = tuple("Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split())
N_EOG = 3
# the competition's files write "EEG" for all but five, which MNE numbers
_NAMED = ("Fz", "C3", "Cz", "C4", "Pz")
_UNNAMED = [name for name in CHANNELS if name not in _NAMED]
GDF_NAMES = {f"EEG-{name if name in _NAMED else _UNNAMED.index(name)}": name for name in CHANNELS}
# codes of the GDF files
RUN, TRIAL, UNKNOWN = "32766", "768", "783"
CUES = {"769": 0, "770": 1, "771": 2, "772": 3}


@dataclass(frozen=True, eq=False)
class Stretch:
    """Samples without a gap, of one run: where they lie in the file, and the trials that begin in them."""

    run: int  # counted from 0 over all runs of the file
    start: int  # in samples of the file
    data: Float[np.ndarray, "channel time"]
    trials: tuple[tuple[int, int], ...]  # first sample, counted in the stretch from 0; label


# ---- the edition of BNCI Horizon 2020 --------------------------------------------------------------------------------


def read_mat_runs(source: Source) -> tuple[float, list[Stretch]]:
    """The structs in `data`, one a run: samples X [time, 25], starts of trials (from 1), their labels y, rate fs."""
    runs = read_mat(source.path, ("data",))["data"]
    runs = [runs] if isinstance(runs, dict) else runs
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise EegfmError(
            f"{source.path}: `data` is not a list of runs. It is another edition. {FETCH_AGAIN}"
        )
    stretches, rates, start = [], set(), 0
    for number, run in enumerate(runs):
        where = f"{source.path}, run {number + 1} of {len(runs)}"
        # of a run without trials: an empty array, or an empty cell
        fields: dict[str, Any] = {
            name: np.empty(0) if isinstance(value, list) and not value else value
            for name, value in run.items()
        }
        missing = [
            name for name in ("X", "trial", "y", "fs") if not isinstance(fields.get(name), np.ndarray)
        ]
        if missing:
            raise EegfmError(f"{where}: no numbers in {', '.join(missing)}. {FETCH_AGAIN}")
        x = fields["X"]
        n_columns = len(CHANNELS) + N_EOG
        if x.ndim != 2 or x.shape[1] != n_columns or x.dtype.kind not in "iuf":
            raise EegfmError(
                f"{where}: X is {x.shape} of {x.dtype}; wanted are numbers, (time, {n_columns}). {FETCH_AGAIN}"
            )
        begins = _whole_numbers(fields["trial"], f"{where}: trial", 1, len(x))
        labels = _whole_numbers(fields["y"], f"{where}: y", 1, len(CLASSES))
        if len(begins) != len(labels) or (np.diff(begins) < 1).any():
            raise EegfmError(
                f"{where}: {len(begins)} starts of trials and {len(labels)} labels; wanted are a label for each, "
                f"and starts one after the other. {FETCH_AGAIN}"
            )
        rates.update(fields["fs"].astype(float).ravel().tolist())
        trials = tuple(zip((begins - 1).tolist(), (labels - 1).tolist(), strict=True))
        stretches.append(Stretch(number, start, x[:, : len(CHANNELS)].T.astype(np.float64), trials))
        start += len(x)
    if len(rates) != 1:
        raise EegfmError(
            f"{source.path}: the rates of its runs are {sorted(rates)}; wanted is one. {FETCH_AGAIN}"
        )
    return rates.pop(), stretches


def _whole_numbers(values: Any, what: str, low: int, high: int) -> np.ndarray:
    numbers = np.asarray(values, dtype=float).ravel()
    if not (
        np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= low) & (numbers <= high)
    ).all():
        raise EegfmError(
            f"{what} holds {np.unique(numbers).tolist()[:5]}; wanted are whole numbers from {low} to {high}. "
            f"{FETCH_AGAIN}"
        )
    return numbers.astype(int)


# ---- the competition's own edition -----------------------------------------------------------------------------------


def read_gdf_runs(source: Source) -> tuple[float, list[Stretch]]:
    """Stretches between missing samples, cut at the markers of runs as well; labels from cues or their own file."""
    recording = read_gdf(source.path, channels=GDF_NAMES)
    sfreq = recording.sfreq
    codes = sorted((round(event.onset_s * sfreq), event.description) for event in recording.events)
    runs = [sample for sample, code in codes if code == RUN]
    begins = [sample for sample, code in codes if code == TRIAL]
    if not runs or not begins or runs[0] > begins[0]:
        raise EegfmError(
            f"{source.path} has {len(runs)} new runs (event {RUN}) and {len(begins)} trials (event {TRIAL}); wanted is "
            f"a run before its first trial. {FETCH_AGAIN}"
        )
    labels = _labels_gdf(source, begins, codes)
    stretches = []
    for piece, (first, last) in zip(recording.pieces, recording.spans(), strict=True):
        start = round(piece.onset_s * sfreq)
        end = start + last - first
        edges = [start, *(sample for sample in runs if start < sample < end), end]
        for a, b in pairwise(edges):
            trials = tuple(
                (begin - a, label) for begin, label in zip(begins, labels, strict=True) if a <= begin < b
            )
            run = sum(sample <= a for sample in runs) - 1
            stretches.append(
                Stretch(run, a, recording.data[:, first + a - start : first + b - start], trials)
            )
    found = sum(len(stretch.trials) for stretch in stretches)
    if found != len(begins):
        raise EegfmError(
            f"{source.path}: {len(begins) - found} of {len(begins)} trials begin among missing samples. {FETCH_AGAIN}"
        )
    return sfreq, stretches


def _labels_gdf(source: Source, begins: Sequence[int], codes: Sequence[tuple[int, str]]) -> list[int]:
    """The class of each trial: what its cue says, or the file of labels beside an evaluation session."""
    cues: list[str | None] = []
    for begin, end in zip(begins, [*begins[1:], np.inf], strict=True):
        there = [code for sample, code in codes if begin <= sample < end and code in (*CUES, UNKNOWN)]
        cues.append(there[0] if len(there) == 1 else None)
    lost = sum(cue is None for cue in cues)
    if lost:
        raise EegfmError(
            f"{source.path}: {lost} of {len(cues)} trials do not have one cue (event 769 to 772, or 783). {FETCH_AGAIN}"
        )
    if not source.beside:
        if UNKNOWN in cues:
            raise EegfmError(
                f"{source.path}: {cues.count(UNKNOWN)} of {len(cues)} cues are unknown (event {UNKNOWN}); those of a "
                f"training session are known. Is it an evaluation file under another name? {FETCH_AGAIN}"
            )
        return [CUES[cue] for cue in cues if cue is not None]
    path = source.beside[0]
    numbers = _whole_numbers(
        read_mat(path, ("classlabel",))["classlabel"], f"{path}: classlabel", 1, len(CLASSES)
    )
    labels = (numbers - 1).tolist()
    if len(labels) != len(cues):
        raise EegfmError(
            f"{path} has {len(labels)} labels; {source.path} has {len(cues)} trials. {FETCH_AGAIN}"
        )
    wrong = sum(CUES.get(cue or "", label) != label for cue, label in zip(cues, labels, strict=True))
    if wrong:
        raise EegfmError(
            f"{path} contradicts {wrong} of the {len(cues)} cues of {source.path}. {FETCH_AGAIN}"
        )
    return labels
