"""SEED-V: windows, labels and splits against the reference in plain MNE, on made files; its timetable; its files."""

from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import mne
import numpy as np
import pytest

from eegfm.benchmarks.seed_v import CHANNELS, CLASSES, FILE_NAMES, TIMETABLE, seed_v
from eegfm.benchmarks.spec import SPLITS, BenchmarkSpec, Source
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.recipe import Recipe
from eegfm.signal.recording import Recording
from tests.corpora.seed_v import ENDS, LABELS, NAMES, STARTS, Made, adapt, file_of, write_recording
from tests.writers_cnt import write_cnt

BOTH = pytest.mark.parametrize("split", ["trials", "subjects"])


def small(split: str = "trials") -> BenchmarkSpec:
    return adapt(seed_v(split=split))


def source_of(benchmark: BenchmarkSpec, root: Path, recording: str) -> Source:
    return next(source for source in benchmark.sources(root) if source.recording == recording)


def silent(source: Source, seconds: float) -> Recording:
    """A recording at 200 Hz as long as one likes, which takes no memory: all of its samples are the same one."""
    data = np.broadcast_to(np.zeros((1, 1)), (len(CHANNELS), round(seconds * 200)))
    return Recording(data, 200.0, seed_v().montage, path=source.path)


# ---- windows ---------------------------------------------------------------------------------------------------------


def by_plain_mne(path: Path, session: int) -> np.ndarray:
    """The reference's preprocessing: [clip and second, channel, 200] in microvolts."""
    raw = mne.io.read_raw_cnt(path, preload=True, verbose="error")
    raw.drop_channels(["M1", "M2", "VEO", "HEO"])
    assert [name.upper() for name in CHANNELS] == raw.ch_names
    raw.resample(200, verbose="error")
    raw.filter(l_freq=0.3, h_freq=75, verbose="error")
    data = raw.get_data(units="uV")
    clips = [
        data[:, start * 200 : end * 200] for start, end in zip(STARTS[session], ENDS[session], strict=True)
    ]
    return np.concatenate([clip.reshape(62, -1, 200).transpose(1, 0, 2) for clip in clips])


@BOTH
@pytest.mark.parametrize(("subject", "session"), [(1, 1), (12, 2), (16, 3)])
def test_every_stored_window_and_label_is_the_references(tmp_path, split, subject, session):
    benchmark = small(split)
    path = write_recording(tmp_path, Made(subject, session))
    source = source_of(benchmark, tmp_path, f"{subject}_{session}")
    windows, index = process(benchmark, source, benchmark.steps)
    expected = by_plain_mne(path, session)
    assert windows.shape == expected.shape and windows.dtype == np.float32
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    lengths = np.subtract(ENDS[session], STARTS[session])
    assert index.label.tolist() == np.repeat(LABELS[session], lengths).tolist()
    clips = np.repeat(["train"] * 5 + ["val"] * 5 + ["test"] * 5, lengths).tolist()
    people = {1: "train", 12: "val", 16: "test"}[subject]
    assert index.split.tolist() == (clips if split == "trials" else [people] * len(clips))
    assert set(index.session.tolist()) == {str(session)}


def test_what_else_is_in_the_file_changes_nothing(tmp_path):
    """Another channel, and a header without a number of samples: with that one MNE by itself finds no width."""
    benchmark = small()
    stored = []
    for odd in ("", "another channel", "no number of samples"):
        root = tmp_path / (odd or "nothing")
        root.mkdir()
        write_recording(root, Made(7, 1, odd))
        stored.append(process(benchmark, source_of(benchmark, root, "7_1"), benchmark.steps)[0])
    np.testing.assert_array_equal(stored[1], stored[0])
    np.testing.assert_array_equal(stored[2], stored[0])
    with pytest.raises(RuntimeError, match="Could not automatically compute number of bytes"):
        mne.io.read_raw_cnt(file_of(tmp_path / "no number of samples", Made(7, 1)), verbose="error")


# ---- timetable and census --------------------------------------------------------------------------------------------


@BOTH
def test_the_census_is_what_all_recordings_give_by_the_timetable(tmp_path, split):
    """Every window of all 48 recordings, by the benchmark's own functions on recordings that are long enough."""
    benchmark = seed_v(split=split)
    counts = {name: np.zeros(len(CLASSES), dtype=int) for name in SPLITS}
    for source in benchmark.sources(tmp_path):
        for window in benchmark.windows(silent(source, 3400), source):
            counts[source.split or window.split][window.label] += 1
            assert (source.split is None) is (split == "trials") and (window.split is None) is (
                split == "subjects"
            )
    census = benchmark.census
    assert {name: tuple(row.tolist()) for name, row in counts.items()} == census.per_class
    assert {name: int(row.sum()) for name, row in counts.items()} == census.per_split
    assert sum(census.per_split.values()) == census.windows == 117_744  # declared by STAMP
    assert len(benchmark.sources(tmp_path)) == census.recordings == 48


def test_the_published_counts_are_those_of_the_specification():
    census = seed_v().census
    assert census.per_split == {"train": 34_432, "val": 42_960, "test": 40_352}
    assert census.per_class == {
        "train": (5_824, 5_600, 11_440, 7_488, 4_080),
        "val": (7_440, 10_896, 9_792, 5_936, 8_896),
        "test": (6_544, 7_584, 9_440, 10_256, 6_528),
    }
    lengths = {session: sum(t.end_s - t.start_s for t in trials) for session, trials in TIMETABLE.items()}
    assert lengths == {"1": 2_743, "2": 2_191, "3": 2_425} and 16 * sum(lengths.values()) == 117_744


def test_the_timetable_is_in_order_and_each_block_has_every_emotion():
    for trials in TIMETABLE.values():
        assert len(trials) == 15 and trials[0].start_s == 30
        assert all(trial.start_s < trial.end_s for trial in trials)
        assert all(before.end_s + 30 <= after.start_s for before, after in pairwise(trials))
        for block in (trials[:5], trials[5:10], trials[10:]):
            assert {CLASSES[trial.label] for trial in block} == set(CLASSES)
    borders = [trials[i].start_s - trials[i - 1].end_s for trials in TIMETABLE.values() for i in (5, 10)]
    assert (min(borders), max(borders)) == (31, 62)  # what the docstring says of the nearness of splits


@pytest.mark.parametrize(("session", "last_s"), [("1", 3_359), ("2", 2_817), ("3", 3_066)])
def test_a_recording_that_ends_before_its_last_clip_is_refused(tmp_path, session, last_s):
    """The reference would cut it short without a word."""
    benchmark = seed_v()
    source = source_of(benchmark, tmp_path, f"9_{session}")
    whole = benchmark.windows(silent(source, last_s), source)
    assert whole[-1].onset_s == last_s - 1
    with pytest.raises(
        EegfmError, match=f"the last clip of session {session} goes to {last_s:,} s"
    ) as caught:
        benchmark.windows(silent(source, last_s - 0.005), source)
    assert str(source.path) in str(caught.value)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_every_recording_is_expected_whatever_is_there(tmp_path):
    empty = seed_v().sources(tmp_path / "nowhere")
    assert [source.recording for source in empty] == [f"{i}_{k}" for i in range(1, 17) for k in (1, 2, 3)]
    assert empty[0].path == tmp_path / "nowhere" / "1_1_YYYYMMDD.cnt" and not empty[0].path.exists()
    home = tmp_path / "EEG_raw"
    home.mkdir()
    for name in (
        "10_2_20180524.cnt",
        "02_1_20180416.CNT",
        "1_4_20180901.cnt",
        "17_1_20180901.cnt",
        "._3_1_2018.cnt",
    ):
        (home / name).touch()
    (home / "5_1_20180719.cnt").mkdir()
    found = seed_v().sources(tmp_path)
    assert [source.recording for source in found] == [source.recording for source in empty]
    there = {source.recording: source.path.name for source in found if source.path.is_file()}
    assert there == {"10_2": "10_2_20180524.cnt", "2_1": "02_1_20180416.CNT"}
    assert {source.recording: source.session for source in found}["10_2"] == "2"


def test_a_folder_that_holds_the_files_themselves_will_do(tmp_path):
    (tmp_path / "3_2_20180419.cnt").touch()
    assert source_of(seed_v(), tmp_path, "3_2").path == tmp_path / "3_2_20180419.cnt"


def test_two_files_of_one_recording_are_refused_by_their_names_and_the_others_kept(tmp_path):
    benchmark, raw = small(), tmp_path / "raw"
    raw.mkdir()
    write_recording(raw, Made(1, 1))
    path = write_recording(raw, Made(7, 1))
    twin = path.with_name(f"{path.stem}_repaired.cnt")
    twin.write_bytes(path.read_bytes())
    ready = partial(prepare, benchmark, raw, tmp_path / "cache", progress=False, allow_partial=True)
    store = ready()
    assert set(store.index.recording.tolist()) == {"1_1"}
    (failure,) = store.manifest.unusable
    assert failure["recording"] == "7_1"
    assert "2 files of subject 7, session 1" in failure["reason"]
    assert f"{path.name}, {twin.name}" in failure["reason"]
    path.unlink()
    windows, _ = process(benchmark, source_of(benchmark, raw, "7_1"), benchmark.steps)
    assert len(windows) > 0


def test_other_editions_are_refused(tmp_path):
    """16-bit samples, a file that was resampled, and one without an electrode."""
    benchmark = small()
    noise = 30 * np.random.default_rng(0).standard_normal((len(NAMES), 2_000))
    for number, kwargs, message in (
        (1, {"bits": 16}, "holds 16-bit samples; 32-bit ones were expected"),
        (2, {"sfreq": 200}, "200 Hz; the corpus has 1000 Hz"),
        (3, {"names": [name.replace("CB2", "CB3") for name in NAMES]}, "lacks 1 of 62 channels: CB2"),
    ):
        path = tmp_path / f"{number}_1_20180804.cnt"
        write_cnt(path, noise, **{"names": NAMES, **kwargs})
        source = source_of(benchmark, tmp_path, f"{number}_1")
        with pytest.raises(EegfmError, match=message) as caught:
            process(benchmark, source, benchmark.steps)
        assert str(path) in str(caught.value)


# ---- facts -----------------------------------------------------------------------------------------------------------


def test_the_published_division_declares_itself_within_subject():
    benchmark = seed_v()
    assert benchmark.protocol == "cbramod@b9e9610" and benchmark.within_subject and benchmark.split_rule
    assert all(set(benchmark.splits[name]) == {str(i) for i in range(1, 17)} for name in SPLITS)


def test_the_division_by_subjects_is_not_taken_for_the_published_one(tmp_path):
    """The report compares what stands before the "@"."""
    benchmark = seed_v(split="subjects")
    assert benchmark.protocol.split("@")[0] != "cbramod" and not benchmark.within_subject
    assert [len(benchmark.splits[name]) for name in SPLITS] == [10, 3, 3]
    assert Counter(source.split for source in benchmark.sources(tmp_path)) == {
        "train": 30,
        "val": 9,
        "test": 9,
    }
    assert all(source.subject in benchmark.splits[source.split] for source in benchmark.sources(tmp_path))
    assert Recipe.of(benchmark).fingerprint != Recipe.of(seed_v()).fingerprint


def test_rows_are_the_files_without_ears_and_eyes():
    assert len(CHANNELS) == len(set(CHANNELS)) == 62
    assert list(FILE_NAMES) == [name for name in NAMES if name not in ("M1", "M2", "VEO", "HEO")]
