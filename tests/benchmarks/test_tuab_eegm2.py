"""TUAB at 128 Hz: windows against EEGM2's protocol written out in MNE and NumPy, its counts, and its splits."""

from pathlib import Path
from typing import get_args

import mne
import numpy as np
import pytest

from eegfm.benchmarks.tuab import tuab
from eegfm.benchmarks.tuab_eegm2 import TEST, WINDOWS, Length, drawn_80_percent, tuab_eegm2
from eegfm.data.preparing.making import process
from tests.benchmarks.test_tuab import name_of, split_by
from tests.benchmarks.test_tuev import tree
from tests.corpora.tuab import File, write

ROWS = "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2"


@pytest.mark.parametrize(("rate", "length"), [(250, "10s"), (512, "30s")])
def test_windows_and_labels_are_the_protocols(tmp_path: Path, rate: int, length: Length) -> None:
    file = File("eval", "abnormal", "aaaaaaaq", session=4, rate=rate)
    write(tmp_path, [file], by_class=True, window_s=int(length[:-1]))
    benchmark = tuab_eegm2(length=length)
    (source,) = benchmark.sources(tmp_path)
    found, index = process(benchmark, source, benchmark.steps)
    raw = mne.io.read_raw_edf(source.path, preload=True, verbose="error")
    raw.resample(128, verbose="error")
    data = dict(zip(raw.ch_names, raw.get_data(units="uV"), strict=True))
    rows = [
        data[f"EEG {a}-REF"] - data[f"EEG {b}-REF"] for a, b in (row.split("-") for row in ROWS.split())
    ]
    samples = 128 * int(length[:-1])
    n = len(rows[0]) // samples
    wanted = np.stack(rows)[:, : n * samples].reshape(16, n, samples).transpose(1, 0, 2)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert index.label.tolist() == [1] * n and source.split == "test"


def test_80_percent_are_drawn_of_each_class_or_of_all_and_others_than_the_first(tmp_path: Path) -> None:
    normal, abnormal = [{f"aaaaaa{a}{b}" for b in "abcdefghijklm"} for a in "ab"], {"aaaaaaaa", "aaaaaacx"}
    people = {"normal": normal[0], "abnormal": normal[1] | abnormal}
    for kind, patients in people.items():
        tree(tmp_path, [name_of("train", kind, patient) for patient in patients])
    tree(tmp_path, [name_of("eval", "normal", "aaaaazzz")])
    published, repaired = (split_by(tuab_eegm2(variant=v), tmp_path) for v in ("published", "repaired"))
    for kind, patients in people.items():
        train, val = published["train"][kind], published["val"][kind]
        assert train | val == patients and not train & val and len(train) == int(0.8 * len(patients))
        assert train != set(sorted(patients)[: len(train)])
    everyone = people["normal"] | people["abnormal"]
    train, val = (repaired[split]["normal"] | repaired[split]["abnormal"] for split in ("train", "val"))
    assert train | val == everyone and not train & val and len(train) == int(0.8 * len(everyone))
    assert published["test"]["normal"] == {"aaaaazzz"}


def test_the_draw_is_this_one_for_ever() -> None:
    """It hangs on NumPy's generator alone, not on the order in which a disk lists its files."""
    names = {f"p{i:02d}" for i in range(20)}
    assert names - drawn_80_percent(names) == {"p01", "p09", "p14", "p15"}


def test_the_published_counts_are_what_the_corpus_hours_give() -> None:
    """Hours and files of the corpus's README; a file of whole seconds loses about half a window."""
    for length in get_args(Length):
        seconds = float(length[:-1])
        for hours, files, published in (
            (102.94, 276, TEST[length]),
            (1_141.0, 2_993, WINDOWS[length]),
        ):
            wanted = (hours * 3600 - (seconds - 1) / 2 * files) / seconds
            assert abs(published - wanted) < 0.01 * wanted, length
    assert WINDOWS["10s"] == sum((tuab().census.per_split or {}).values()) + 297_103 + 75_407
