"""Near copies on real recordings: how alike windows of others are, how surely a changed copy is found, what it costs.

EEGFM_TEST_DATA names the folder of the recordings; MentalArithmetic's 5-s windows are also cut into 2 s and 1 s.
"""

import os
import re
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import mne
import numpy as np
from rich.table import Table

from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleIndex
from eegfm.data.verifying import near_copies
from eegfm.data.verifying.near_copies import NearCopies, NearCopy, probe_rows
from tests.bench.scan import console

PARTS = (1, 2, 5)  # of a window of 5 s
CHANGES = (
    "half a step of noise",
    "1 µV of noise",
    "1.7 times",
    "30 µV - x",
    "any shift",
    "any shift, 1 µV, 1.3 times",
)


def search(index: SampleIndex, windows: np.ndarray, sfreq: float, probes: np.ndarray) -> list[NearCopy]:
    """Every pair that is compared, alike or not."""
    copies = NearCopies(index, probes, windows[probes], sfreq)
    for rows in np.array_split(np.arange(len(windows)), max(1, len(windows) // 200)):
        copies.add(rows, windows[rows])
    alike, near_copies.ALIKE = near_copies.ALIKE, 0.0
    try:
        return [*copies.found(windows.__getitem__)]
    finally:
        near_copies.ALIKE = alike


def changed(what: str, signal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """A changed copy of a recording, cut to a whole number of windows of `n` samples."""
    copy = signal
    if "shift" in what:
        copy = copy[:, rng.integers(1, n) :]
    if "1.3" in what or "1.7" in what:
        copy = copy * (1.3 if "1.3" in what else 1.7)
    if "30" in what:
        copy = 30 - copy
    if "µV of" in what or "1 µV," in what:
        copy = copy + rng.normal(0, 1, copy.shape)
    if "half" in what:
        copy = copy + rng.uniform(-0.05, 0.05, copy.shape)
    return copy[:, : copy.shape[1] // n * n]


def main() -> None:
    raw = Path(os.environ["EEGFM_TEST_DATA"]) / "mental_arithmetic_eegmat"
    with tempfile.TemporaryDirectory() as place:
        store = prepare(MENTAL_ARITHMETIC, raw, Path(place), allow_partial=True, progress=False)
        index, windows = store.index, store.read(np.arange(len(store)))
    recordings = np.unique(index.recording)
    table = Table(
        "windows",
        "s for all",
        "most alike of others",
        *CHANGES,
        title="share of windows found, correlation",
    )
    rng = np.random.default_rng(0)
    for parts in PARTS:
        n = windows.shape[2] // parts
        cut = np.stack(np.split(windows, parts, axis=2), axis=1).reshape(-1, windows.shape[1], n)
        own = SampleIndex(**{name: np.repeat(values, parts) for name, values in vars(index).items()})
        own = replaced(own, np.arange(len(cut)))
        start = time.perf_counter()
        search(own, cut, 200.0, probe_rows(own))
        seconds = time.perf_counter() - start
        others = search(own, cut, 200.0, np.arange(len(cut)))
        row = [f"{len(cut):,} of {5 / parts:g} s", f"{seconds:.1f}"]
        row.append(f"{max((copy.correlation for copy in others), default=0):.2f}")
        for what in CHANGES:
            hits, correlation = [], []
            for name in recordings[:: len(recordings) // 5]:
                signal = np.concatenate(list(cut[own.recording == name][:40]), axis=1)
                copy = windows_of(changed(what, signal, n, rng), n)
                both = np.concatenate([cut, copy.astype(np.float32)])
                names = SampleIndex(
                    **{
                        key: np.concatenate([values, np.resize(values, len(copy))])
                        for key, values in vars(own).items()
                    }
                )
                names.recording[len(cut) :] = "copy"
                probes = np.arange(len(cut), len(both))
                found = search(replaced(names, np.arange(len(both))), both, 200.0, probes)
                right = {
                    c.row
                    for c in found
                    if names.recording[c.like] == name and c.correlation >= near_copies.ALIKE
                }
                hits.append(len(right) / len(probes))
                correlation += [c.correlation for c in found if c.row in right]
            row.append(f"{np.mean(hits):.3f}, {np.median(correlation):.2f}")
        table.add_row(*row)
    console.print(table)
    between()


def corpora(root: Path) -> dict[str, list[np.ndarray]]:
    """Signals of three corpora by name, in microvolts at 200 Hz, of the ten channels that they share."""
    names = ["F3", "F4", "F7", "F8", "T7", "T8", "P7", "P8", "O1", "O2"]
    old = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
    found: dict[str, list[np.ndarray]] = {"mental_arithmetic": [], "physionet_mi": [], "eye_state": []}
    for file in sorted((root / "mental_arithmetic_eegmat").glob("*.edf")):
        raw = mne.io.read_raw_edf(file, verbose=False).pick(
            [f"EEG {old.get(name, name)}" for name in names]
        )
        found["mental_arithmetic"].append(raw.load_data(verbose=False).resample(200).get_data() * 1e6)
    for file in sorted((root / "eegmmidb" / "S001").glob("*.edf")):
        raw = mne.io.read_raw_edf(file, verbose=False)
        raw.rename_channels(lambda name: name.strip("."))
        found["physionet_mi"].append(
            raw.pick(names).load_data(verbose=False).resample(200).get_data() * 1e6
        )
    text = (root / "eeg_eye_state" / "EEG Eye State.arff").read_text()
    head, rows = text.split("@DATA")
    columns = re.findall(r"@ATTRIBUTE (\w+) NUMERIC", head)
    table = np.array([row.split(",") for row in rows.split()], dtype=float).T
    signal = np.clip(table[[columns.index(name) for name in names]], 3000, 6000)  # four samples are damaged
    found["eye_state"].append(mne.filter.resample(signal, 200, 128, verbose=False))
    return found


def between() -> None:
    """How alike windows of different corpora are, of the same channels and rate; and the time of a search."""
    table = Table(
        "windows", "s", "probes", "compared", "most alike, bits", "most alike, signals", "from 0.7"
    )
    signals = corpora(Path(os.environ["EEGFM_TEST_DATA"]))
    for seconds in (5.0, 2.5, 1.0):
        n = round(seconds * 200)
        parts = {
            name: np.concatenate([windows_of(one[:, : one.shape[1] // n * n], n) for one in of_corpus])
            for name, of_corpus in signals.items()
        }
        windows = np.concatenate([*parts.values()]).astype(np.float32)
        corpus = np.repeat([*parts], [len(one) for one in parts.values()])
        index = index_of(corpus)
        probes = np.arange(len(windows)) if seconds == 5 else probe_rows(index)
        start = time.perf_counter()
        copies = NearCopies(index, probes, windows[probes], 200.0)
        for rows in np.array_split(np.arange(len(windows)), max(1, len(windows) // 200)):
            copies.add(rows, windows[rows])
        alike, near_copies.ALIKE = near_copies.ALIKE, 0.0
        found = [*copies.found(windows.__getitem__)]
        near_copies.ALIKE = alike
        table.add_row(
            f"{len(windows):,} of {seconds:g} s",
            f"{time.perf_counter() - start:.1f}",
            f"{len(probes):,}",
            f"{len(found):,}",
            f"{copies._best.max() / copies._bits_of_probes.shape[1]:.2f}",
            f"{max((copy.correlation for copy in found), default=0):.2f}",
            f"{sum(copy.correlation >= alike for copy in found)}",
        )
    console.print(table)


def index_of(recording: np.ndarray) -> SampleIndex:
    """An index of windows that differ in their recordings alone."""
    n = len(recording)
    given = {
        "recording": recording,
        "onset_s": np.arange(n) * 1.0,
        "digest": np.arange(n).astype(np.uint64),
    }
    zeros = {field.name: np.zeros(n, dtype=np.int64) for field in fields(SampleIndex)}
    return SampleIndex(**{**zeros, **given})


def windows_of(signal: np.ndarray, n: int) -> np.ndarray:
    return np.stack(np.split(signal, signal.shape[1] // n, axis=1))


def replaced(index: SampleIndex, digest: np.ndarray) -> SampleIndex:
    """The index with a digest of its own for every row."""
    return SampleIndex(**{**vars(index), "digest": digest.astype(np.uint64)})
