"""TUAB: windows against the protocol written out in MNE and NumPy, and who is in which split in both variants."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.benchmarks.spec import LeftOut
from eegfm.benchmarks.tuab import PER_SPLIT, tuab
from eegfm.contracts import EegfmError
from eegfm.data.census import leakage
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from tests.benchmarks.test_tuev import of_the_protocol, tree
from tests.corpora.tuab import File, seconds_of, write

PUBLISHED, REPAIRED = tuab(variant="published"), tuab(variant="repaired")


def of(benchmark, root: Path, file: File):
    return next(source for source in benchmark.sources(root) if source.recording == file.recording)


@pytest.mark.parametrize("rate", [250, 256, 400, 512])
@pytest.mark.parametrize("kind", ["normal", "abnormal"])
def test_windows_and_labels_are_the_protocols(tmp_path, rate, kind):
    file = File("train", kind, "aaaaaaaq", session=4, rate=rate)
    write(tmp_path, [file], by_class=True)
    source = of(PUBLISHED, tmp_path, file)
    windows, index = process(PUBLISHED, source, PUBLISHED.steps)
    data, _ = of_the_protocol(source.path)
    n = seconds_of(file.recording) // 10
    assert data.shape[1] > 2000 * n and windows.dtype == np.float32
    expected = data[:, : 2000 * n].reshape(16, n, 2000).transpose(1, 0, 2)
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert index.label.tolist() == [int(kind == "abnormal")] * n
    assert index.subject.tolist() == ["aaaaaaaq"] * n and index.session.tolist() == ["s004"] * n
    repaired, _ = process(REPAIRED, of(REPAIRED, tmp_path, file), REPAIRED.steps)
    np.testing.assert_array_equal(windows, repaired)


def test_a_file_that_lacks_an_electrode_is_left_out_by_name(tmp_path):
    lacking = File("train", "normal", "aaaaaaan", lacks="P3")
    write(tmp_path / "raw", [File("eval", "abnormal", "aaaaaaby"), lacking], by_class=False)
    with pytest.raises(
        LeftOut, match=r"train.*aaaaaaan_s001_t001\.edf lacks 1 of the 16 electrodes \(EEG P3-REF\)"
    ):
        process(REPAIRED, of(REPAIRED, tmp_path / "raw", lacking), REPAIRED.steps)
    store = prepare(REPAIRED, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
    assert [left["recording"] for left in store.manifest.left_out] == [lacking.recording]
    assert store.manifest.unusable == []


# ---- splits ----------------------------------------------------------------------------------------------------------


def name_of(part: str, kind: str, patient: str, session: int = 1) -> str:
    return f"edf/{part}/{kind}/01_tcp_ar/{patient}_s{session:03d}_t000.edf"


def split_by(benchmark, root: Path) -> dict[str, dict[str, set[str]]]:
    """Patients of every split and class."""
    found = {split: {"normal": set(), "abnormal": set()} for split in ("train", "val", "test")}
    for source in benchmark.sources(root):
        found[source.split][source.path.parent.parent.name].add(source.subject)
    return found


IDS = st.sets(st.integers(0, 60).map(lambda i: f"aaaaaa{chr(97 + i // 26)}{chr(97 + i % 26)}"), max_size=25)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(normal=IDS, abnormal=IDS)
def test_patients_are_divided_at_80_percent_of_each_class_or_of_all(tmp_path_factory, normal, abnormal):
    root = tmp_path_factory.mktemp("tuab")
    tree(root, [name_of("train", "normal", p, s) for p in normal for s in (1, 2)])
    tree(root, [name_of("train", "abnormal", p) for p in abnormal])
    tree(root, [name_of("eval", "normal", "aaaaazzz")])
    published, repaired = split_by(PUBLISHED, root), split_by(REPAIRED, root)
    for kind, patients in (("normal", sorted(normal)), ("abnormal", sorted(abnormal))):
        cut = int(0.8 * len(patients))
        assert published["train"][kind] == set(patients[:cut])
        assert published["val"][kind] == set(patients[cut:])
    everyone = sorted(normal | abnormal)
    cut = int(0.8 * len(everyone))
    assert repaired["train"]["normal"] | repaired["train"]["abnormal"] == set(everyone[:cut])
    assert repaired["val"]["normal"] | repaired["val"]["abnormal"] == set(everyone[cut:])
    assert published["test"] == repaired["test"] == {"normal": {"aaaaazzz"}, "abnormal": set()}


def test_the_published_split_may_share_a_patient_and_says_so_and_the_repaired_never_does(tmp_path):
    """d and e are both normal and abnormal; e is behind the cut of the first and before that of the second."""
    files = [File("train", "normal", f"aaaaaaa{c}") for c in "abcde"]
    files += [File("train", "abnormal", f"aaaaaaa{c}", session=2) for c in "defgh"]
    write(tmp_path / "raw", files, by_class=True)
    store = prepare(PUBLISHED, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
    assert leakage(store.index, 10.0).shared_subjects == {"aaaaaaae": ["train", "val"]}
    undeclared = replace(PUBLISHED, subject_leak="", name="undeclared")
    with pytest.raises(EegfmError, match="the splits leak: subject aaaaaaae in train and val"):
        prepare(undeclared, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
    store = prepare(REPAIRED, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)
    assert leakage(store.index, 10.0).shared_subjects == {}


def test_a_patient_in_test_and_elsewhere_is_refused_even_so(tmp_path):
    files = [File("eval", "normal", "aaaaaaaa"), File("train", "normal", "aaaaaaaa", session=3)]
    write(tmp_path / "raw", files, by_class=True)
    with pytest.raises(EegfmError, match="the splits leak: subject aaaaaaaa in val and test"):
        prepare(PUBLISHED, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False)


def test_the_corpus_is_found_where_rsync_puts_it(tmp_path):
    for place in ("a", "b/v3.0.1", "c/tuh_eeg_abnormal/v3.0.1"):
        tree(tmp_path / place, [name_of("eval", "abnormal", "aaaaamye")])
    tree(tmp_path / "d", [name_of("eval", "abnormal", "aaaaamye").removeprefix("edf/")])
    for root in "abcd":
        (source,) = REPAIRED.sources(tmp_path / root)
        assert (source.subject, source.session, source.split) == ("aaaaamye", "s001", "test")
    assert REPAIRED.sources(tmp_path / "e") == []


# ---- facts -----------------------------------------------------------------------------------------------------------


def test_the_published_counts_are_what_the_corpus_hours_give():
    """Hours and files of the corpus's README: 102.94 in 276 of eval, 1,038.06 in 2,717 of train. A file of whole
    seconds loses 4.5 s on average, and one left out would cost 137 windows of 10 s."""
    for hours, files, published in (
        (102.94, 276, PER_SPLIT["test"]),
        (1_038.06, 2_717, PER_SPLIT["train"] + PER_SPLIT["val"]),
    ):
        computed = (hours * 3600 - 4.5 * files) / 10
        assert abs(published - computed) < 137 / 2
    assert sum(PER_SPLIT.values()) == 409_455
    assert PUBLISHED.census.recordings == REPAIRED.census.recordings == 1_371 + 1_346 + 150 + 126
    assert REPAIRED.census.per_split == {"test": 36_945} and REPAIRED.census.windows == 409_455
