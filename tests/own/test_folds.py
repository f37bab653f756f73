"""split=kfold of one's own recordings knows what its people are; of a published corpus it stays as it was."""

from dataclasses import replace

import numpy as np
import pytest

from eegfm.data.module import EEGDataModule
from eegfm.data.splits import KFold
from tests.own.folder import GROUPS, declared, folder

SICK = {"sick": "sick", "well": "well"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("folds")
    folder(place / "raw")
    return place


def of_fold(place, benchmark, fold: int) -> tuple[EEGDataModule, set[tuple[str, int]]]:
    module = EEGDataModule(
        benchmark=benchmark, raw=place / "raw", cache=place / "cache", seed=0, split=KFold(fold=fold, folds=3),
        progress=False,
    )  # fmt: skip
    module.prepare_data()
    module.open()
    rows = module.index.split == "test"
    return module, {
        *zip(module.index.subject[rows].tolist(), module.index.label[rows].tolist(), strict=True)
    }


def test_every_fold_has_people_of_both_groups(place):
    groups = declared(files="{subject}/*.edf", labels=GROUPS, classes=SICK)
    for fold in range(3):
        module, found = of_fold(place, groups, fold)
        assert sorted(label for _, label in found) == [0, 1]
        assert module._split_facts()["name"] == "KFoldByKind"


def test_where_all_people_are_alike_and_for_a_published_corpus_nothing_changes(place):
    tasks = declared()
    published = replace(declared(files="{subject}/*.edf", labels=GROUPS, classes=SICK), own=False)
    people = np.random.default_rng(0).permutation([f"S{i}" for i in range(1, 7)])
    for benchmark in (tasks, published):
        module, found = of_fold(place, benchmark, 0)
        assert {subject for subject, _ in found} == set(people[:2].tolist())
        assert module._split_facts() == {"name": "KFold", "fold": 0, "folds": 3, "seed": 0}
