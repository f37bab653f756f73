"""Mumtaz2016: the reference's processing by plain MNE, its table of subjects by its own cutting, and names of files."""

import shutil
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest

from eegfm.benchmarks.mumtaz2016 import CHANNELS, mumtaz2016
from eegfm.benchmarks.spec import BenchmarkSpec, Source
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from tests.corpora.mumtaz2016 import TABLE, TWINS, write, write_edf

PUBLISHED, REPAIRED = mumtaz2016(variant="published"), mumtaz2016(variant="repaired")
BOTH = pytest.mark.parametrize("benchmark", [PUBLISHED, REPAIRED], ids=["published", "repaired"])


def source_of(benchmark: BenchmarkSpec, root: Path, recording: str) -> Source:
    return next(source for source in benchmark.sources(root) if source.recording == recording)


def files_of_figshare() -> list[str]:
    """Every EC and EO file that can be had, by the audits of the article."""
    files = {f"H S{i} {eyes}" for i in range(1, 31) for eyes in ("EC", "EO")}
    files |= {f"MDD S{i} {eyes}" for i in range(1, 35) for eyes in ("EC", "EO")}
    files -= {"H S12 EC", "H S18 EC", "H S25 EO", "H S15 EO"}
    files -= {"MDD S4 EC", "MDD S8 EC", "MDD S12 EC", "MDD S16 EC", "MDD S7 EO", "MDD S8 EO"}
    return [f"{name}.edf" for name in files | set(TWINS)]


# ---- processing ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("recording", ["H S1 EO", "MDD S34 EO"])
def test_every_stored_window_is_the_references(tmp_path, benchmark, recording):
    write_edf(tmp_path / f"{recording}.edf", recording)
    source = source_of(benchmark, tmp_path, recording)
    windows, index = process(benchmark, source, benchmark.steps)

    raw = mne.io.read_raw_edf(source.path, preload=True, verbose="error")
    raw.pick([f"EEG {name}-LE" for name in CHANNELS])
    raw.resample(200, verbose="error").filter(0.3, 75, verbose="error").notch_filter(50, verbose="error")
    signal = raw.get_data(units="uV")
    n = signal.shape[1] // 1000
    expected = signal[:, : n * 1000].reshape(19, n, 1000).swapaxes(0, 1)
    assert n == 4 or n == 5
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert index.label.tolist() == [int(recording.startswith("MDD"))] * n
    assert index.onset_s.tolist() == [5.0 * i for i in range(n)]


def test_the_channels_are_the_protocols():
    assert CHANNELS == tuple("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split())
    assert np.isfinite(PUBLISHED.montage.coords).all()


def test_a_missing_channel_and_another_rate_are_refused(tmp_path):
    write_edf(tmp_path / "H S1 EC.edf", "H S1 EC", lacks="T5")
    write_edf(tmp_path / "H S2 EC.edf", "H S2 EC", sfreq=250)
    with pytest.raises(EegfmError, match=r"lacks 1 of 19 channels: EEG T5-LE\. It has EEG Fp1-LE"):
        process(REPAIRED, source_of(REPAIRED, tmp_path, "H S1 EC"), REPAIRED.steps)
    with pytest.raises(EegfmError, match="250 Hz; the corpus has 256 Hz"):
        process(REPAIRED, source_of(REPAIRED, tmp_path, "H S2 EC"), REPAIRED.steps)


# ---- recordings and splits -------------------------------------------------------------------------------------------


def test_the_table_of_subjects_is_what_the_reference_cuts_out_of_the_120_files(tmp_path):
    """Two sorted listings, cut by position."""
    files = files_of_figshare()
    controls = sorted(name for name in files if "MDD" not in name)
    patients = sorted(name for name in files if "MDD" in name)
    assert (len(controls), len(patients)) == (58, 62)
    expected = {
        "train": controls[:40] + patients[:42],
        "val": controls[40:48] + patients[42:52],
        "test": controls[48:] + patients[52:],
    }
    for name in files:
        (tmp_path / name).touch()
    sources = PUBLISHED.sources(tmp_path)
    for split, names in expected.items():
        assert sorted(s.path.name for s in sources if s.split == split) == sorted(names)
    assert len(sources) == PUBLISHED.census.recordings == 120
    subjects = {split: Counter(s.split()[0] for s in PUBLISHED.splits[split]) for split in expected}
    assert subjects == {
        "train": {"H": 21, "MDD": 22},
        "val": {"H": 4, "MDD": 5},
        "test": {"H": 5, "MDD": 6},
    }


def test_repaired_uses_no_recording_of_which_it_is_not_known_whose_it_is(tmp_path):
    published = {source.recording for source in PUBLISHED.sources(tmp_path)}
    repaired = {source.recording for source in REPAIRED.sources(tmp_path)}
    assert published - repaired == {
        "6921143 H S15 EO",
        "6921959 H S15 EO",
        "H S27 EC",
        "H S30 EC",
        "MDD S33 EC",
        "MDD S34 EC",
    }
    assert not repaired - published and len(repaired) == REPAIRED.census.recordings == 114
    # each of these subjects has another recording, so the table of subjects is the same
    assert {source.subject for source in REPAIRED.sources(tmp_path)} == {
        source.subject for source in PUBLISHED.sources(tmp_path)
    }


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("MDD S16  EO.edf", "MDD S16 EO"),
        ("MDD  S2 EC.edf", "MDD S2 EC"),
        ("H S 3 EC .edf", "H S3 EC"),
        ("h s4 ec.edf", "H S4 EC"),
        ("6921500_MDD S29 EC.edf", "MDD S29 EC"),
        ("files/H S5 EO.edf", "H S5 EO"),
        ("6921143_H S15 EO.edf", "6921143 H S15 EO"),
        ("6921959_H S15  EO.edf", "6921959 H S15 EO"),
        ("H S15 EO.edf", None),  # one of two, and nobody can tell which
        ("H S15 EO (1).edf", None),
        ("H S1 TASK.edf", None),
        ("MDD S8 EC.edf", None),  # which cannot be had: the reference would cut at other places
        ("H S31 EC.edf", None),
        ("._H S1 EC.edf", None),
        ("MDD S1 EC.edf.part", None),
        ("XH S1 EC.edf", None),
    ],
)
def test_a_file_is_what_its_name_says(tmp_path, name, recording):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    found = [source.recording for source in PUBLISHED.sources(tmp_path) if source.path.is_file()]
    assert found == ([recording] if recording else [])


def test_two_files_for_one_recording_are_refused_with_both_names(tmp_path):
    for name in ("MDD S1 EC.edf", "MDD S1  EC.edf"):
        (tmp_path / name).touch()
    with pytest.raises(EegfmError, match="are both MDD S1 EC by their names") as caught:
        PUBLISHED.sources(tmp_path)
    assert "MDD S1 EC.edf" in str(caught.value) and "MDD S1  EC.edf" in str(caught.value)


# ---- files that are the same bytes -----------------------------------------------------------------------------------


def test_the_published_pairs_cross_the_splits_and_are_declared(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw, TABLE, published=True)
    store = prepare(PUBLISHED, raw, tmp_path / "cache", allow_partial=True, progress=False)
    rows = {
        recording: set(store.index.digest[store.index.recording == recording].tolist())
        for recording in ("H S27 EC", "H S30 EC", "MDD S33 EC", "MDD S34 EC")
    }
    assert rows["H S27 EC"] == rows["H S30 EC"] and rows["MDD S33 EC"] == rows["MDD S34 EC"]
    splits = {recording: store.index.split[store.index.recording == recording][0] for recording in rows}
    assert splits == {"H S27 EC": "train", "H S30 EC": "val", "MDD S33 EC": "val", "MDD S34 EC": "test"}


def test_the_two_of_one_name_may_be_one_file_twice(tmp_path):
    for name in TWINS:
        write_edf(tmp_path / f"{name}.edf", "H S15 EO")
    store = prepare(PUBLISHED, tmp_path, tmp_path / "cache", allow_partial=True, progress=False)
    assert set(store.index.recording.tolist()) == {name.replace("_", " ") for name in TWINS}
    with pytest.raises(EegfmError, match="recordings are missing"):
        prepare(REPAIRED, tmp_path, tmp_path / "cache", allow_partial=True, progress=False)


@BOTH
def test_any_other_copy_is_refused(tmp_path, benchmark):
    write_edf(tmp_path / "H S1 EC.edf", "H S1 EC")
    shutil.copyfile(tmp_path / "H S1 EC.edf", tmp_path / "H S2 EC.edf")
    with pytest.raises(EegfmError, match=r"the same bytes: H S1 EC\.edf = H S2 EC\.edf"):
        prepare(benchmark, tmp_path, tmp_path / "cache", allow_partial=True, progress=False)
