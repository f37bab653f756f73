"""Stores of the reference's scripts, written here from their description, come in as what they are or not at all."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import lmdb
import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eegfm.benchmarks.bciciv2a import bciciv2a
from eegfm.benchmarks.chb_mit import chb_mit
from eegfm.benchmarks.faced import faced
from eegfm.benchmarks.mental_arithmetic import MENTAL_ARITHMETIC
from eegfm.benchmarks.mumtaz2016 import mumtaz2016
from eegfm.benchmarks.physionet_mi import PHYSIONET_MI
from eegfm.benchmarks.seed_v import seed_v
from eegfm.benchmarks.shu_mi import shu_mi
from eegfm.benchmarks.spec import BenchmarkSpec, Census, ReferenceWindow, SplitName
from eegfm.benchmarks.tuev import tuev
from eegfm.contracts import EegfmError
from eegfm.data.module import EEGDataModule
from eegfm.data.preparing.convert import convert
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.recipe import Recipe
from eegfm.data.splits import FewShot, KFold
from eegfm.data.store import SampleStore
from eegfm.encoders.spectrum import Spectrum
from eegfm.runs.results import read_result
from tests import corpus
from tests.command_line import call, call_afresh

# ---- the reference's two writers -------------------------------------------------------------------------------------


class Row(NamedTuple):
    split: str
    key: str
    sample: np.ndarray  # (channel, second, 200), float64
    label: int


def write_pickled(folder: Path, rows: Sequence[Row], **changes: bytes | None) -> Path:
    """CBraMod's: one environment, a pickled dict a window. `changes` are other values, None for none."""
    values = {row.key: pickle.dumps({"sample": row.sample, "label": row.label}) for row in rows}
    listed = {split: [row.key for row in rows if row.split == split] for split in ("train", "val", "test")}
    _put(folder, {**values, "__keys__": pickle.dumps(listed), **changes})
    return folder


def write_numpy(folder: Path, rows: Sequence[Row], first_code: int = 0, **changes: bytes | None) -> Path:
    """STAMP's: an environment a split, bytes a window, running number and label in the key. `changes` go to train."""
    for split in ("train", "val", "test"):
        values = {
            f"{row.key}_{i:08d}_y{row.label + first_code}": row.sample.astype(np.float64).tobytes()
            for i, row in enumerate(row for row in rows if row.split == split)
        }
        keys = json.dumps(list(values)).encode()
        described = {"__count__": str(len(values)).encode(), "__keys__": keys}
        _put(folder / split, {**values, **described, **(changes if split == "train" else {})})
    return folder


def _put(folder: Path, values: dict[str, bytes | None]) -> None:
    folder.mkdir(parents=True)
    with (
        lmdb.open(str(folder), map_size=2**28) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in values.items():
            if value is not None:
                transaction.put(key.encode(), value)


# ---- a small benchmark -----------------------------------------------------------------------------------------------


def by_number(key: str, split: SplitName) -> ReferenceWindow | None:
    recording, _, number = key.rpartition("-")
    if not recording or not number.isdigit():
        return None
    return ReferenceWindow(recording, int(number), onset_s=2.0 * int(number), label=int(recording[-1]))


def by_code(key: str, split: SplitName) -> ReferenceWindow | None:
    """Codes from 1, and nothing said of seconds, as in TUEV."""
    recording, number, code = key.rsplit("_", 2)
    return ReferenceWindow(recording, int(number), label=int(code[1:]) - 1, subject=recording[1:3])


TINY = replace(corpus.TINY, reference_key=by_number)
FROM_FILES = replace(
    corpus.TINY, splits=None, split_rule="by file", sources=lambda root: [], reference_key=by_code
)


def tiny_rows(*, numbered: bool = True) -> list[Row]:
    rows = []
    for source in corpus.sources(Path()):
        data = corpus.signal(source, sfreq=200.0)
        for i in range(6):
            sample = data[:, 400 * i : 400 * (i + 1)].reshape(4, 2, 200)
            key = f"{source.recording}-{i}" if numbered else source.recording
            rows.append(Row(str(source.split), key, sample, int(source.recording[-1])))
    return rows


def run(folder: Path, cache: Path, benchmark: BenchmarkSpec = TINY, **options) -> SampleStore:
    return convert(benchmark, folder, cache, progress=False, **options)


def nothing_there(cache: Path) -> bool:
    """No folder of a store that anything would open."""
    return not list(cache.rglob("recipe.json")) and not list(cache.rglob("samples.mdb"))


# ---- what comes in ---------------------------------------------------------------------------------------------------


def test_a_pickled_lmdb_gives_the_rows_that_preparing_the_files_gives(tmp_path):
    """Subject, recording, onset, class and split are, key for key, those of our own preparation."""
    corpus.write(tmp_path / "raw")
    prepared = prepare(corpus.TINY, tmp_path / "raw", tmp_path / "cache", progress=False)
    shuffled = tiny_rows()
    np.random.default_rng(0).shuffle(shuffled)
    store = run(write_pickled(tmp_path / "theirs", shuffled), tmp_path / "cache")
    assert store.complete and len(store) == 60
    for name in ("label", "subject", "session", "recording", "onset_s", "split"):
        np.testing.assert_array_equal(getattr(store.index, name), getattr(prepared.index, name))
    written = np.stack([row.sample.reshape(4, 400) for row in tiny_rows()]).astype(np.float32)
    np.testing.assert_array_equal(store.read(range(60)), written)


def test_a_numpy_lmdb_gives_codes_as_classes_and_numbers_as_onsets(tmp_path):
    folder = write_numpy(tmp_path / "theirs", tiny_rows(numbered=False), first_code=1)
    store = run(folder, tmp_path / "cache", FROM_FILES)
    assert store.complete and store.index.key(7) == "S01_1/7s"  # the running number
    assert set(store.index.subject[store.index.rows("val")]) == {"04"}
    np.testing.assert_array_equal(store.index.label, [int(name[-1]) for name in store.index.recording])
    row = tiny_rows()[7]
    np.testing.assert_array_equal(store.read([7])[0], row.sample.reshape(4, 400).astype(np.float32))
    assert "NumPy LMDB" in store.manifest.imported["said"]
    assert "not seconds" in store.manifest.imported["said"]


def test_what_is_suspect_of_a_channel_is_said_and_kept_with_the_store(tmp_path, caplog):
    """Whoever prepared these windows had the files; whoever takes them over sees what can be seen in the windows."""
    rows = tiny_rows()
    for row in rows:
        if row.key.startswith("S02_1"):
            row.sample[2] = row.sample[1]
    store = run(write_pickled(tmp_path / "theirs", rows), tmp_path / "cache")
    doubts = {one["recording"]: one.get("doubts") for one in store.manifest.recordings}
    assert [name for name, said in doubts.items() if said] == ["S02_1"]
    assert "the same samples in several channels" in doubts["S02_1"][0]
    assert "look at these channels before trusting them: S02_1: the same samples" in caplog.text
    assert "raw files not seen, nor their rate, units and gaps" in store.manifest.imported["said"]


def test_an_imported_store_is_never_taken_for_a_prepared_one(tmp_path):
    """Another recipe, another folder; training asks for it by name and says where it is from."""
    corpus.write(tmp_path / "raw")
    places = {"benchmark": TINY, "raw": tmp_path / "raw", "cache": tmp_path / "cache", "seed": 0}
    with pytest.raises(EegfmError, match=r"eegfm convert data=tiny lmdb="):
        EEGDataModule(**places, imported=True, progress=False).prepare_data()
    run(write_pickled(tmp_path / "theirs", tiny_rows()), tmp_path / "cache")
    with pytest.raises(EegfmError, match=r"nearest one .* differs: imported: True → absent"):
        SampleStore.open(tmp_path / "cache", Recipe.of(TINY))
    for imported in (False, True):
        data = EEGDataModule(**places, imported=imported, encoder=Spectrum(), progress=False)
        data.prepare_data()
        data.setup("fit")
        theirs = data.store.manifest.imported
        assert data.provenance().imported == (theirs["said"] if imported else "")
    assert len(list((tmp_path / "cache" / "tiny").glob("*/recipe.json"))) == 4  # two raw, two of vectors
    with pytest.raises(EegfmError, match=r"data\.steps needs raw files"):
        EEGDataModule(**places, imported=True, steps=TINY.steps).prepare_data()


def test_seconds_that_are_not_known_keep_no_windows_apart(tmp_path):
    """few_shot leaves a gap of seconds around its shots; a division by subject needs none."""
    run(
        write_numpy(tmp_path / "theirs", tiny_rows(numbered=False), first_code=1),
        tmp_path / "cache",
        FROM_FILES,
    )
    places = {"benchmark": FROM_FILES, "raw": tmp_path, "cache": tmp_path / "cache", "seed": 0}
    with pytest.raises(EegfmError, match="not seconds; this split keeps windows"):
        EEGDataModule(**places, imported=True, split=FewShot(shots=1, gap_s=1.0)).open()
    EEGDataModule(**places, imported=True, split=KFold(fold=0, folds=5)).open()


def test_the_same_lmdb_is_not_converted_twice_and_another_one_not_over_it(tmp_path):
    folder = write_pickled(tmp_path / "theirs", tiny_rows())
    first = run(folder, tmp_path / "cache")
    made = (first.folder / "samples.mdb").stat().st_mtime_ns
    assert (run(folder, tmp_path / "cache").folder / "samples.mdb").stat().st_mtime_ns == made
    other = write_pickled(tmp_path / "others", tiny_rows())
    with pytest.raises(EegfmError, match=r"from another LMDB, theirs \(60 windows\).*delete that folder"):
        run(other, tmp_path / "cache")


def test_windows_that_no_list_names_are_left_out_and_counted(tmp_path):
    left = pickle.dumps({"sample": np.ones((4, 2, 200)), "label": 0})
    store = run(write_pickled(tmp_path / "theirs", tiny_rows(), **{"S01_0-99": left}), tmp_path / "cache")
    assert len(store) == 60 and store.manifest.imported["unlisted"] == 1


def test_labels_of_a_mat_file_come_as_numbers_of_any_type(tmp_path):
    for i, kind in enumerate((np.uint8, np.int64, np.float64)):
        rows = [row._replace(label=kind(row.label)) for row in tiny_rows()]
        store = run(write_pickled(tmp_path / f"theirs{i}", rows), tmp_path / f"cache{i}")
        assert store.index.label.sum() == 30


# ---- the keys of each benchmark --------------------------------------------------------------------------------------

SHU, FACED, BCIC, MUMTAZ, CHB, TUEV = (
    of(variant="published") for of in (shu_mi, faced, bciciv2a, mumtaz2016, chb_mit, tuev)
)
KEYS = [  # benchmark, split it is listed under, key; recording, number there, onset and label that it says
    (MENTAL_ARITHMETIC, "train", "Subject00_1-3", ("Subject00_1", 3, 15.0, 0)),
    (MENTAL_ARITHMETIC, "val", "Subject31_2-0", ("Subject31_2", 0, 0.0, 1)),
    (PHYSIONET_MI, "train", "S001R04-5", ("S001R04", 5, None, None)),
    (SHU, "train", "sub-001_ses-01_task_motorimagery_eeg-17", ("sub-001_ses-01", 17, 68.0, None)),
    (FACED, "train", "sub000.pkl-27-2", ("sub000", 83, 830.0, 8)),
    (FACED, "test", "sub122.pkl-0-0", ("sub122", 0, 0.0, 0)),
    (BCIC, "train", "A01T-3-17", ("A01T", 317, None, None)),
    (BCIC, "val", "A07E-8-47", ("A07E", 847, None, None)),
    (seed_v(), "train", "1_1_20180804.cnt-4-17", ("1_1", 790, 790.0, 0)),
    (seed_v(), "test", "16_3_20180906.cnt-14-0", ("16_3", 2888, 2888.0, 0)),
    (MUMTAZ, "train", "H S1 EC_3", ("H S1 EC", 3, 15.0, 0)),
    (MUMTAZ, "train", "MDD S16  EO_0", ("MDD S16 EO", 0, 0.0, 1)),
    (MUMTAZ, "train", "6921143_H S15 EO_12", ("6921143 H S15 EO", 12, 60.0, 0)),
    (CHB, "train", "chb01_03-7680_00000123_y0", ("chb01_03", 123, 30.0, 0)),
    (CHB, "test", "chb24_01-s-0-add-1919_00000124_y1", ("chb24_01", 124, 1919 / 256, 1)),
    (TUEV, "train", "aaaaaaar_00000001_00000012_y6", ("train-aaaaaaar-aaaaaaar_00000001", 12, None, 5)),
    (TUEV, "test", "bckg_000_a__00000000_y1", ("eval-000-bckg_000_a_", 0, None, 0)),
    (TUEV, "test", "pled_001_a_2_00000000_y3", ("eval-001-pled_001_a_2", 0, None, 2)),
]
OTHERS = [  # keys of no window: of another split, number, class or corpus
    (BCIC, "train", "A10T-3-0"),
    (SHU, "train", "sub003.pkl-1-2"),
    (FACED, "train", "sub000.pkl-28-0"),
    (FACED, "train", "sub000.pkl-0-3"),
    (TUEV, "train", "aaaaaaar_00000001_00000012_y7"),
    (TUEV, "train", "aaaaaaar_00000001_y6"),
    (TUEV, "train", "bckg_000_a__00000000_y6"),
    (TUEV, "test", "aaaaaaar_00000001_00000012_y6"),
]


@pytest.mark.parametrize(("benchmark", "split", "key", "wanted"), KEYS)
def test_a_key_says_what_its_benchmark_names_that_way(benchmark, split, key, wanted, tmp_path):
    says = benchmark.reference_key(key, split)
    assert (says.recording, says.number, says.onset_s, says.label) == wanted
    known = {source.recording: source for source in benchmark.sources(tmp_path)}
    if known:
        assert (says.split or known[says.recording].split) == split
    else:
        assert says.subject in says.recording
    for wrong in ("", "x", key + "x", "!" + key, key.replace("-", "_"), "__keys__"):
        if wrong != key:
            assert benchmark.reference_key(wrong, split) is None


@pytest.mark.parametrize(("benchmark", "split", "key"), OTHERS)
def test_a_key_of_no_window_says_nothing(benchmark, split, key):
    assert benchmark.reference_key(key, split) is None


def complete(benchmark: BenchmarkSpec, keys: dict[str, str], n: int) -> tuple[BenchmarkSpec, list[Row]]:
    """`n` windows of every recording, under keys made from a format, and a census of as many."""
    rng = np.random.default_rng(0)
    shape = (len(benchmark.channels), round(benchmark.window_s), 200)
    rows = []
    for source in benchmark.sources(Path("nowhere")):
        for i in range(n):
            key = keys["form"].format(recording=source.recording, i=i)
            says = benchmark.reference_key(key, source.split)
            assert says is not None
            label = rng.integers(len(benchmark.classes)) if says.label is None else says.label
            rows.append(Row(str(source.split), key, rng.normal(0, 20, shape), int(label)))
    census = Census(recordings=benchmark.census.recordings, windows=len(rows), source="here")
    return replace(benchmark, census=census), rows


@pytest.mark.parametrize(
    ("benchmark", "form"),
    [
        (MENTAL_ARITHMETIC, "{recording}-{i}"),
        (SHU, "{recording}_task_motorimagery_eeg-{i}"),
        (FACED, "{recording}.pkl-{i}-0"),
        (BCIC, "{recording}-3-{i}"),
    ],
    ids=lambda value: value.name if isinstance(value, BenchmarkSpec) else None,
)
def test_every_subject_of_a_real_protocol_lands_in_its_split(benchmark, form, tmp_path):
    benchmark, rows = complete(benchmark, {"form": form}, n=1)
    store = run(write_pickled(tmp_path / "theirs", rows), tmp_path / "cache", benchmark)
    assert store.complete
    for split, subjects in benchmark.splits.items():
        assert store.manifest.census["subjects"][split] == sorted(subjects)


def test_real_recordings_by_the_references_script_are_those_that_we_prepare(eeg_data, tmp_path):
    """MNE's own calls in the order of the script, for one recording of each split; within float32 of our store."""
    raw = eeg_data / "mental_arithmetic_eegmat"
    names = ["Subject02_2", "Subject28_2", "Subject32_2"]
    (tmp_path / "raw").mkdir()
    rows = []
    for name, split in zip(names, ("train", "val", "test"), strict=True):
        shutil.copy(raw / f"{name}.edf", tmp_path / "raw")
        edf = mne.io.read_raw_edf(raw / f"{name}.edf", preload=True, verbose="error")
        edf.pick([f"EEG {channel}" for channel in MENTAL_ARITHMETIC.channels])
        edf.reorder_channels([f"EEG {channel}" for channel in MENTAL_ARITHMETIC.channels])
        edf.resample(200, verbose="error")
        data = edf.get_data(units="uV")
        data = data[:, : data.shape[1] // 1000 * 1000].reshape(20, -1, 5, 200).transpose(1, 0, 2, 3)
        rows += [Row(split, f"{name}-{i}", sample, int(name[-1]) - 1) for i, sample in enumerate(data)]
    folder = write_pickled(tmp_path / "theirs", rows)
    theirs = run(folder, tmp_path / "cache", MENTAL_ARITHMETIC, allow_partial=True)
    ours = prepare(
        MENTAL_ARITHMETIC, tmp_path / "raw", tmp_path / "cache", allow_partial=True, progress=False
    )
    assert theirs.folder != ours.folder and not theirs.complete and len(theirs.manifest.missing) == 69
    assert [theirs.index.key(i) for i in range(len(theirs))] == [
        ours.index.key(i) for i in range(len(ours))
    ]
    rows_of_all = range(len(ours))
    np.testing.assert_allclose(theirs.read(rows_of_all), ours.read(rows_of_all), rtol=0, atol=1e-4)


# ---- what does not ---------------------------------------------------------------------------------------------------


class Evil:
    """A pickle that runs a command when it is loaded the usual way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_nothing_in_a_pickle_is_run(tmp_path):
    mark = tmp_path / "ran"
    evil = pickle.dumps({"sample": Evil(mark), "label": 0})
    for i, key in enumerate(("S02_1-3", "__keys__")):
        folder = write_pickled(tmp_path / f"theirs{i}", tiny_rows(), **{key: evil})
        with pytest.raises(EegfmError, match=f"key '{key}'.*(posix|os).system"):
            run(folder, tmp_path / "cache")
    assert not mark.exists() and nothing_there(tmp_path / "cache")
    pickle.loads(evil)
    assert mark.exists()  # it would have


def changed(which: str, /, **fields) -> list[Row]:
    return [row._replace(**fields) if row.key == which else row for row in tiny_rows()]


def sample_of(value: object) -> np.ndarray:
    sample = tiny_rows()[20].sample.copy()
    sample[1, 1, 7] = value
    return sample


K = "S02_1-2"
WITHOUT_END: object = [1]
for _ in range(60):  # of a few hundred bytes, and never printed to its end
    WITHOUT_END = [WITHOUT_END, WITHOUT_END]
FAULTS = {
    "a label against its name": (changed(K, label=0), {}, rf"key '{K}': stored as 'rest' .* 'task'"),
    "no class of that number": (changed(K, label=2), {}, rf"key '{K}': label 2; .* has 0 to 1"),
    "half a class": (changed(K, label=0.5), {}, rf"key '{K}': its label is 0.5"),
    "a label without end": (changed(K, label=WITHOUT_END), {}, rf"key '{K}': its label is list, not"),
    "no finite label": (changed(K, label=float("inf")), {}, rf"key '{K}': its label is inf"),
    "NaN": (changed(K, sample=sample_of(np.nan)), {}, rf"key '{K}': holds NaN"),
    "beyond float32": (changed(K, sample=sample_of(1e300)), {}, rf"key '{K}': holds NaN or infinite"),
    "a shape": (changed(K, sample=np.ones((4, 400))), {}, rf"key '{K}': its sample is \(4, 400\).*\(4, 2, 200\)"),
    "no numbers": (changed(K, sample=np.full((4, 2, 200), "x")), {}, rf"key '{K}': its sample is not an array"),
    "no dict": (tiny_rows(), {K: pickle.dumps([1])}, rf"key '{K}': a dict"),
    "no pickle": (tiny_rows(), {K: b"\x80\x04nonsense"}, rf"key '{K}' cannot be read as a pickle"),
    "not there": (tiny_rows(), {K: None}, rf"key '{K}': listed in '__keys__', but missing"),
    "volts": ([row._replace(sample=row.sample / 1e6) for row in tiny_rows()], {}, r"S01_0: .*volts were taken"),
    "another split": (changed(K, split="val"), {}, rf"key '{K}' is listed in val; .* belongs to train"),
    "another data set": (changed(K, key="A01T-3-0"), {}, r"'A01T-3-0' \(in train\) is not one of A tiny corpus's"),
    "no such key": (changed(K, key="S02_1_2"), {}, r"key 'S02_1_2' \(in train\) is not one of"),
    "twice": (tiny_rows() + changed(K, key="S02_1-02")[20:21], {}, r"window 2 .* also listed as 'S02_1-2'"),
    "no list": (tiny_rows(), {"__keys__": None}, r"has no '__keys__'. Writing it was interrupted"),
    "no lists": (tiny_rows(), {"__keys__": pickle.dumps({"train": []})}, r"the lists train, val and test"),
    "no keys": (tiny_rows(), {"__keys__": pickle.dumps({s: [1] for s in ("train", "val", "test")})}, "lists of keys"),
    "too few": (tiny_rows()[:-1], {}, r"59 windows, the census says 60.*data.allow_partial=true"),
    "a recording short": (tiny_rows()[:-6], {}, r"1 of 10 recordings have no window in it: S05_1"),
    "the same twice": (changed("S05_0-0", sample=tiny_rows()[0].sample), {}, r"byte-identical window in train"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_sentence_that_names_the_key(fault, tmp_path):
    rows, changes, sentence = FAULTS[fault]
    folder = write_pickled(tmp_path / "theirs", rows, **changes)
    with pytest.raises(EegfmError, match=f"(?s){sentence}"):
        run(folder, tmp_path / "cache")
    assert nothing_there(tmp_path / "cache")


def test_a_faulty_recording_can_be_left_out_and_the_store_says_so(tmp_path):
    folder = write_pickled(tmp_path / "theirs", changed(K, label=0))
    store = run(folder, tmp_path / "cache", allow_partial=True)
    assert not store.complete and len(store) == 54
    (unusable,) = store.manifest.unusable
    assert unusable["recording"] == "S02_1" and K in unusable["reason"]
    with pytest.raises(EegfmError, match=r"partial.*data\.allow_partial=true"):
        run(folder, tmp_path / "cache")
    with pytest.raises(EegfmError, match=r"partial.*data\.allow_partial=true"):
        EEGDataModule(
            benchmark=TINY, raw="none", cache=tmp_path / "cache", seed=0, imported=True
        ).prepare_data()


NUMPY_FAULTS = {
    "__count__": (b"35", r"train: '__keys__' lists 36 windows, '__count__' is b'35'"),
    "__keys__": (b"[[[", r"train, key '__keys__': not JSON"),
    "S02_1_00000020_y2": (b"1234", r"key 'S02_1_00000020_y2': 4 bytes; 4 x 2 x 200 float64 are 12,800"),
    "S02_1_00000021_y2": (None, r"key 'S02_1_00000021_y2': listed in '__keys__', but missing"),
}


@pytest.mark.parametrize("key", NUMPY_FAULTS)
def test_a_fault_of_a_numpy_lmdb_is_a_sentence_too(key, tmp_path):
    value, sentence = NUMPY_FAULTS[key]
    folder = write_numpy(tmp_path / "theirs", tiny_rows(numbered=False), first_code=1, **{key: value})
    with pytest.raises(EegfmError, match=sentence):
        run(folder, tmp_path / "cache", FROM_FILES)
    assert nothing_there(tmp_path / "cache")


def test_a_folder_that_is_not_the_whole_lmdb_is_told_from_one_that_is(tmp_path):
    folder = write_numpy(tmp_path / "theirs", tiny_rows(numbered=False), first_code=1)
    with pytest.raises(EegfmError, match=r"one split of a NumPy LMDB.*lmdb=.*theirs$"):
        run(folder / "val", tmp_path / "cache")
    shutil.rmtree(folder / "test")
    with pytest.raises(EegfmError, match="It has only train and val"):
        run(folder, tmp_path / "cache")
    with pytest.raises(EegfmError, match=r"No LMDB of the reference at .*nowhere"):
        run(tmp_path / "nowhere", tmp_path / "cache")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.mdb").write_bytes(b"no environment" * 1000)
    with pytest.raises(EegfmError, match=r"other/data\.mdb cannot be opened as an LMDB"):
        run(tmp_path / "other", tmp_path / "cache")
    with pytest.raises(EegfmError, match=r"no LMDB of A tiny corpus.*variant=published"):
        run(folder, tmp_path / "cache", corpus.TINY)


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_file_that_is_cut_short_does_not_kill_the_process(part, tmp_path):
    folder = write_pickled(tmp_path / "theirs", tiny_rows())
    os.truncate(folder / "data.mdb", int((folder / "data.mdb").stat().st_size * part) // 4096 * 4096)
    with pytest.raises(EegfmError, match=r"data\.mdb is cut short.*Copy it again"):
        run(folder, tmp_path / "cache")


@settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(data=st.data())
def test_flipped_bits_in_a_value_are_a_window_or_a_sentence(data, tmp_path_factory):
    """Never another exception, never a crash, and never a value of another size or one that is no number."""
    place = tmp_path_factory.mktemp("flipped")
    row = next(row for row in tiny_rows() if row.key == K)
    value = bytearray(pickle.dumps({"sample": row.sample, "label": row.label}))
    head = st.integers(0, 250) | st.integers(
        0, len(value) - 1
    )  # the header of a pickle is where the danger is
    for position in data.draw(st.lists(head, min_size=1, max_size=4)):
        value[position] ^= data.draw(st.integers(1, 255))
    folder = write_pickled(place / "theirs", tiny_rows(), **{K: bytes(value)})
    try:
        store = run(folder, place / "cache")
    except EegfmError as error:
        assert K in str(error) or "S02_1" in str(error)
        assert nothing_there(place / "cache")
    else:
        assert np.isfinite(store.read(range(60))).all()
    finally:
        shutil.rmtree(place)


# ---- interrupted -----------------------------------------------------------------------------------------------------

LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.data.test_convert import TINY, run
if sys.argv[3] == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills the process at the byte that is one too many
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "limit"), [("killed", 8_192), ("disk full", 200_000)])
def test_an_interrupted_conversion_leaves_nothing_that_looks_complete(how, limit, tmp_path):
    folder, cache = write_pickled(tmp_path / "theirs", tiny_rows()), tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, folder, cache, how, str(limit)], capture_output=True, text=True
    )
    if how == "killed":
        assert done.returncode == -signal.SIGXFSZ, done.stderr
    else:
        assert done.returncode == 1 and "is full or failing" in done.stderr, done.stderr
        assert "The LMDB is as it was" in done.stderr
    assert not list(cache.rglob("recipe.json"))
    with pytest.raises(EegfmError, match="No prepared store"):
        SampleStore.open(cache, Recipe.of(TINY, imported=True))
    again, whole = run(folder, cache), run(folder, tmp_path / "whole")
    for name in ("samples.mdb", "index.npz", "recipe.json"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not list(cache.rglob("*.unfinished"))


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.long
def test_what_was_converted_trains_by_the_command_that_is_printed(tmp_path):
    _, rows = complete(MENTAL_ARITHMETIC, {"form": "{recording}-{i}"}, n=2)
    write_pickled(tmp_path / "theirs", rows)
    refused = call_afresh("eegfm", "convert", "data=mental_arithmetic", "lmdb=theirs", cwd=tmp_path)
    assert refused.returncode == 1 and "the census says 1,707" in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr
    theirs = ("data=mental_arithmetic", "lmdb=theirs", "data.allow_partial=true")
    done = call("eegfm", "convert", *theirs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "imported from a pickled LMDB" in done.stdout and "PARTIAL" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "next   eegfm train data=mental_arithmetic data.allow_partial=true data.imported=true"
    )
    small = ("trainer.max_epochs=2", "model.depth=1", "model.width=16", "model.ff_width=16", "trainer=cpu")
    trained = call("eegfm", *last.split()[2:], *small, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "IMPORTED: imported from a pickled LMDB" in trained.stdout.replace("\n", " ")
    (folder,) = (tmp_path / "runs" / "single").iterdir()
    facts = read_result(folder).benchmark
    assert (
        "raw files not seen" in facts.imported and not facts.complete and len(facts.subjects["test"]) == 4
    )
    report = call("eegfm", "report", "runs/single", cwd=tmp_path)
    assert "IMPORTED" in report.stdout, report.stdout
