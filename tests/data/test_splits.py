"""Divisions: by subject, seeded, and never a training window where a test window should be."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import get_method
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from eegfm.contracts import EegfmError
from eegfm.data.census import leakage
from eegfm.data.splits import ByRecording, FewShot, KFold, KFoldByKind, LeaveOneSubjectOut, few, subset
from eegfm.data.store import SampleIndex

WINDOW_S = 5.0


@st.composite
def indices(draw, min_subjects=3) -> SampleIndex:
    """Stores of some subjects with one to three recordings of 2 to 40 windows, of two or three classes."""
    n_classes = draw(st.integers(2, 3))
    rows = []
    for subject in range(draw(st.integers(min_subjects, 9))):
        split = "train" if subject % 3 == 0 else "val" if subject % 3 == 1 else "test"
        for recording in range(draw(st.integers(1, 3))):
            for window in range(draw(st.integers(2, 40))):
                label = (window // 3 + recording) % n_classes
                rows.append((label, f"S{subject}", f"S{subject}_{recording}", window * WINDOW_S, split))
    label, subject, recording, onset_s, split = map(np.array, zip(*rows, strict=True))
    digest = np.arange(len(rows), dtype=np.uint64)
    return SampleIndex(label, subject, np.full(len(rows), ""), recording, onset_s, split, digest)


def with_split(index: SampleIndex, split: np.ndarray) -> SampleIndex:
    return SampleIndex(
        index.label, index.subject, index.session, index.recording, index.onset_s, split, index.digest
    )


@settings(derandomize=True, deadline=None, max_examples=40)
@given(index=indices(), folds=st.integers(3, 9), seed=st.integers(0, 3))
def test_every_subject_tests_in_one_fold_and_validates_in_one(index, folds, seed):
    subjects = sorted(set(index.subject.tolist()))
    if folds > len(subjects):
        with pytest.raises(EegfmError, match=f"split.folds={folds}"):
            KFold(fold=0, folds=folds)(index, WINDOW_S)
        return
    splits = [KFold(fold=fold, folds=folds, seed=seed)(index, WINDOW_S) for fold in range(folds)]
    for name in ("test", "val"):
        np.testing.assert_array_equal(sum((split == name).astype(int) for split in splits), 1)
    for split in splits:
        assert set(split.tolist()) == {"train", "val", "test"}
        assert not leakage(with_split(index, split), WINDOW_S).shared_subjects
    sizes = [len(set(index.subject[split == "test"].tolist())) for split in splits]
    assert max(sizes) - min(sizes) <= 1


@settings(derandomize=True, deadline=None, max_examples=20)
@given(index=indices(), seed=st.integers(0, 3))
def test_one_subject_is_left_out_and_validation_is_drawn_from_the_others(index, seed):
    subjects = sorted(set(index.subject.tolist()))
    for fold, subject in enumerate(subjects):
        split = LeaveOneSubjectOut(fold=fold, val_subjects=1, seed=seed)(index, WINDOW_S)
        assert set(index.subject[split == "test"].tolist()) == {subject}
        assert len(set(index.subject[split == "val"].tolist())) == 1
        assert not leakage(with_split(index, split), WINDOW_S).shared_subjects
    with pytest.raises(EegfmError, match=f"split.fold={len(subjects)}: there are {len(subjects)} subjects"):
        LeaveOneSubjectOut(fold=len(subjects))(index, WINDOW_S)
    with pytest.raises(EegfmError, match=r"split\.fold=-1"):
        LeaveOneSubjectOut(fold=-1, val_subjects=1)(index, WINDOW_S)
    LeaveOneSubjectOut(fold=0, val_subjects=len(subjects) - 2)(index, WINDOW_S)  # one is left to train
    for n_val in (0, len(subjects) - 1):
        with pytest.raises(EegfmError, match=f"split.val_subjects={n_val}: .* so 1 to {len(subjects) - 2}"):
            LeaveOneSubjectOut(fold=0, val_subjects=n_val)(index, WINDOW_S)


def people(n_subjects: int, each: int = 12) -> SampleIndex:
    """An index in which subjects are in train, val and test by turns, with two classes in two recordings each."""
    rows = [
        (window % 2, f"S{subject:02d}", f"S{subject:02d}_{window % 4 // 2}", window * WINDOW_S, split)
        for subject in range(n_subjects)
        for split in [("train", "val", "test")[subject % 3]]
        for window in range(each)
    ]
    label, subject, recording, onset_s, split = map(np.array, zip(*rows, strict=True))
    digest = np.arange(len(rows), dtype=np.uint64)
    return SampleIndex(label, subject, np.full(len(rows), ""), recording, onset_s, split, digest)


DRAWN = {
    "train_ratio": lambda index, seed: subset(index, index.split, 0.5, seed),
    "kfold": lambda index, seed: KFold(fold=1, folds=4, seed=seed)(index, WINDOW_S),
    "loso": lambda index, seed: LeaveOneSubjectOut(fold=1, seed=seed)(index, WINDOW_S),
    "few_shot": lambda index, seed: FewShot(shots=1, gap_s=0.0, seed=seed)(index, WINDOW_S),
}


@pytest.mark.parametrize(
    "division",
    [
        KFold(fold=1),
        LeaveOneSubjectOut(fold=1),
        FewShot(shots=1, gap_s=0.0),
        ByRecording(val=["S01_0"], test=["S01_1"]),
    ],
)
def test_a_division_says_whether_a_test_subject_may_be_a_training_subject(division):
    index = people(24)
    shared = leakage(with_split(index, division(index, WINDOW_S)), WINDOW_S).shared_subjects
    assert bool(shared) == division.within_subject


def test_validation_is_the_group_behind_the_one_that_tests():
    """Over all folds every subject also validates once. With two folds, no group would train."""
    index = people(24)
    splits = [KFold(fold=fold)(index, WINDOW_S) for fold in range(5)]
    for fold, split in enumerate(splits):
        np.testing.assert_array_equal(split == "val", splits[(fold + 1) % 5] == "test")
    with pytest.raises(EegfmError, match=r"split\.folds=2: .* so 3 to 24"):
        KFold(fold=0, folds=2)(index, WINDOW_S)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "conf" / "split").glob("*.yaml")))
def test_what_the_config_says_of_a_division_is_what_it_does_by_itself(path):
    said = OmegaConf.to_container(OmegaConf.load(path))
    own = inspect.signature(get_method(said.pop("_target_"))).parameters
    assert {
        name: own[name].default for name in said if own[name].default is not inspect.Parameter.empty
    } == {name: value for name, value in said.items() if own[name].default is not inspect.Parameter.empty}


@pytest.mark.parametrize("name", DRAWN)
def test_another_seed_gives_another_draw_and_the_same_seed_the_same(name):
    index = people(24)
    draws = [tuple(DRAWN[name](index, seed).tolist()) for seed in range(10)]
    assert len(set(draws)) == 10
    assert draws == [tuple(DRAWN[name](index, seed).tolist()) for seed in range(10)]


def test_every_class_of_a_part_and_every_subject_of_few_shots_is_drawn_by_itself():
    """Equal classes and subjects do not get the same positions."""
    index = people(24)
    part = subset(index, index.split, 0.5, 0)
    first, second = (part[(index.split == "train") & (index.label == label)] for label in (0, 1))
    assert not np.array_equal(first, second)
    shot = FewShot(shots=1, gap_s=0.0)(index, WINDOW_S)
    testing = sorted(set(index.subject[index.split == "test"].tolist()))
    places = [np.flatnonzero(shot[index.subject == name] == "train") for name in testing]
    assert len({tuple(one.tolist()) for one in places}) >= 3  # of two recordings with two ends each


def test_who_is_left_out_is_the_fold_whatever_the_seed_and_each_fold_draws_who_validates():
    """The seed of loso is of the draw for validation alone: every subject tests once, under any seeds."""
    index = people(24)
    subjects = sorted(set(index.subject.tolist()))
    by_seed = {}
    for seed in (0, 1):
        splits = [LeaveOneSubjectOut(fold=fold, seed=seed)(index, WINDOW_S) for fold in range(24)]
        assert [set(index.subject[split == "test"].tolist()) for split in splits] == [{s} for s in subjects]
        by_seed[seed] = [frozenset(index.subject[split == "val"].tolist()) for split in splits]
        assert all(len(val) == 2 for val in by_seed[seed])
        assert len(set(by_seed[seed])) > 12  # not the same two of every fold's others
    assert sum(a != b for a, b in zip(by_seed[0], by_seed[1], strict=True)) > 12


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    index=indices(),
    shots=st.integers(1, 3),
    gap_s=st.sampled_from([0.0, 5.0, 12.0]),
    seed=st.integers(0, 3),
)
def test_shots_keep_their_distance_from_test_windows(index, shots, gap_s, seed):
    was_test = index.split == "test"
    owners = {
        (subject, label): was_test & (index.subject == subject) & (index.label == label)
        for subject, label in {
            *zip(index.subject[was_test].tolist(), index.label[was_test].tolist(), strict=True)
        }
    }
    try:
        split = FewShot(shots=shots, gap_s=gap_s, seed=seed)(index, WINDOW_S)
    except EegfmError as refusal:
        named = re.findall(r"(S\d+) class (\d) \(of (\d+)\)", str(refusal))
        assert named and all(owners[name, int(label)].sum() == int(n) for name, label, n in named)
        assert {(name, int(label)) for name, label, _ in named} >= {
            owner for owner, rows in owners.items() if rows.sum() <= shots
        } or "more" in str(refusal)
        return
    np.testing.assert_array_equal(split[~was_test], index.split[~was_test])
    for rows in owners.values():
        assert (split[rows] == "train").sum() == shots and (split[rows] == "test").any()
    for subject in {subject for subject, _ in owners}:
        rows = was_test & (index.subject == subject)
        for row in np.flatnonzero(rows & (split == "")):
            taken = rows & (split == "train") & (index.recording == index.recording[row])
            nearest = np.abs(index.onset_s[taken] - index.onset_s[row]).min(initial=np.inf)
            assert nearest < WINDOW_S + gap_s, "another recording is never near"
    found = leakage(with_split(index, split), WINDOW_S)
    assert found.nearest_s is None or found.nearest_s >= gap_s


def minutes_of_rest_and_task(*seconds: int) -> SampleIndex:
    """Four test subjects with one recording of each class, of so many seconds, and a training subject."""
    rows = [
        (label, f"S{subject}", f"S{subject}_{label}", onset, "test" if subject else "train")
        for subject in range(5)
        for label, end in enumerate(seconds)
        for onset in np.arange(0, end, WINDOW_S)
    ]
    label, subject, recording, onset_s, split = map(np.array, zip(*rows, strict=True))
    digest = np.arange(len(rows), dtype=np.uint64)
    return SampleIndex(label, subject, np.full(len(rows), ""), recording, onset_s, split, digest)


@pytest.mark.parametrize("seed", range(6))
def test_shots_at_one_end_of_a_minute_leave_half_a_minute_to_test(seed):
    """Five windows of twelve and a gap of two: scattered ones would leave many a subject without the class."""
    index = minutes_of_rest_and_task(180, 60)
    split = FewShot(shots=5, gap_s=10.0, seed=seed)(index, WINDOW_S)
    for name in ("S1", "S2", "S3", "S4"):
        task = split[index.recording == f"{name}_1"].tolist()
        ends = ["train"] * 5 + [""] * 2 + ["test"] * 5
        assert task in (ends, ends[::-1])
        assert (split[index.recording == f"{name}_0"] == "test").sum() == 36 - 5 - 2


def test_shots_that_would_take_a_class_from_the_test_set_are_refused_by_name():
    with pytest.raises(EegfmError, match=r"shots=10 .* of 4 classes.*: S1 class 1 \(of 12\), S2 class 1"):
        FewShot(shots=10)(minutes_of_rest_and_task(180, 60), WINDOW_S)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(index=indices(), ratio=st.floats(0.05, 0.95), seed=st.integers(0, 3))
def test_a_part_of_the_training_windows_is_stratified_nested_and_the_same_again(index, ratio, seed):
    part = subset(index, index.split, ratio, seed)
    np.testing.assert_array_equal(part, subset(index, index.split, ratio, seed))
    train = index.split == "train"
    np.testing.assert_array_equal(part[~train], index.split[~train])
    for label in set(index.label[train].tolist()):
        whole = train & (index.label == label)
        assert (part[whole] == "train").sum() == max(1, round(ratio * whole.sum()))
    fuller = subset(index, index.split, min(1.0, ratio * 1.3), seed)
    assert not ((part == "train") & (fuller != "train")).any()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(index=indices(), n=st.integers(3, 60), seed=st.integers(0, 3))
def test_a_number_of_training_windows_is_that_many_of_each_class_its_share_and_nested(index, n, seed):
    train = index.split == "train"
    labels, counts = np.unique(index.label[train], return_counts=True)
    if not len(labels) <= n <= train.sum():
        with pytest.raises(
            EegfmError, match=rf"train_windows={n}: there are {train.sum()} .* are possible"
        ):
            few(index, index.split, n, seed)
        return
    part = few(index, index.split, n, seed)
    np.testing.assert_array_equal(part, few(index, index.split, n, seed))
    np.testing.assert_array_equal(part[~train], index.split[~train])
    kept = [(part[train & (index.label == label)] == "train").sum() for label in labels]
    assert sum(kept) == n and min(kept) > 0 and (np.array(kept) <= counts).all()
    exact = n * counts / train.sum()
    if exact.min() >= 1:
        assert (abs(kept - exact) < 1).all()
    if n < train.sum():
        more = few(index, index.split, n + 1, seed)
        assert (more == "train").sum() == n + 1


def test_a_ratio_that_is_none_is_refused():
    for ratio in (0.0, 1.5, -1.0):
        with pytest.raises(EegfmError, match="train_ratio"):
            subset(None, np.array(["train"]), ratio, 0)  # refused before anything is looked at


@settings(derandomize=True, deadline=None, max_examples=20)
@given(index=indices(), data=st.data())
def test_recordings_go_where_they_are_sent_and_a_wrong_name_is_told(index, data):
    names = sorted(set(index.recording.tolist()))
    place = {name: data.draw(st.sampled_from(("train", "val", "test"))) for name in names}
    sent = {split: [name for name in names if place[name] == split] for split in ("val", "test")}
    split = ByRecording(**sent)(index, 5.0)
    assert split.tolist() == [place[name] for name in index.recording.tolist()]
    with pytest.raises(EegfmError, match="there is no nobody"):
        ByRecording(val=["nobody"], test=[])(index, 5.0)
    with pytest.raises(EegfmError, match="one split"):
        ByRecording(val=names[:1], test=names[:1])(index, 5.0)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    kinds=st.lists(st.integers(3, 9), min_size=2, max_size=3),
    folds=st.integers(3, 6),
    seed=st.integers(0, 3),
)
def test_subjects_of_each_kind_are_shared_out_among_the_folds(kinds, folds, seed):
    label = np.repeat(np.arange(len(kinds)), kinds)
    subject = np.array([f"S{i}" for i in np.random.default_rng(seed).permutation(len(label))])
    texts = np.full(len(label), "")
    index = SampleIndex(
        label, subject, texts, subject, np.zeros(len(label)), texts, label.astype(np.uint64)
    )
    splits = [KFoldByKind(fold=fold, folds=folds, seed=seed)(index, WINDOW_S) for fold in range(folds)]
    assert KFoldByKind.fits(index)
    for name in ("test", "val"):
        np.testing.assert_array_equal(sum((split == name).astype(int) for split in splits), 1)
    for kind, n in enumerate(kinds):
        found = [int(((split == "test") & (label == kind)).sum()) for split in splits]
        assert {*found} <= {n // folds, -(-n // folds)}
    sizes = [int((split == "test").sum()) for split in splits]
    assert max(sizes) - min(sizes) <= 1
