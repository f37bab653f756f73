"""Folds of one division are one row of a report, over all persons."""

from pathlib import Path

import numpy as np
import pytest

from eegfm.report import main
from eegfm.reporting import persons
from eegfm.reporting.dashboard_facts import collected
from eegfm.reporting.folds import folded
from eegfm.reporting.groups import group_runs
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.predictions import read_predictions
from eegfm.tasks.metrics import scores
from tests.made_run import make_run


def fold(place: Path, seed: int, number: int, people: list[str], **more) -> Path:
    folder = place / f"fold{number}-s{seed}{''.join(key for key in more if '.' in key)}"
    split = {"name": "KFold", "fold": number, "folds": 3, "seed": 0}
    make_run(folder, seed, tested=people, benchmark={"split": split}, split=split, **more)
    return folder


def groups_of(place: Path):
    runs, _ = read_runs(find_runs([place]))
    joined, older = folded(runs)
    groups, repeats = group_runs(joined)
    return groups, [*older, *repeats]


PEOPLE = [["S1", "S2"], ["S3", "S4"], ["S5"]]


def test_folds_are_one_row_whose_scores_are_of_all_predictions(tmp_path):
    folders = [fold(tmp_path, seed, n, people) for seed in (1, 2) for n, people in enumerate(PEOPLE)]
    (group,), problems = groups_of(tmp_path)
    assert [run.result.seed for run in group.runs] == [1, 2] and not problems
    tables = [read_predictions(folder / "predictions_test.csv") for folder in folders[:3]]
    wanted = scores(
        np.concatenate([one.probabilities for one in tables]),
        np.concatenate([one.labels for one in tables]),
        2,
    )
    found = group.runs[0].result
    for name in ("balanced_accuracy", "auroc", "average_precision"):
        assert found.metrics["test"][name] == pytest.approx(wanted[name], abs=1e-12)
    assert sorted(group.subjects()) == ["S1", "S2", "S3", "S4", "S5"]
    low, high = group.intervals["auroc"]
    assert low < np.mean([run.result.metrics["test"]["auroc"] for run in group.runs]) < high
    assert found.benchmark.split["folds"] == "3 of 3" and "fold" not in group.label


def test_a_missing_fold_is_said_and_a_repeated_one_counts_once(tmp_path):
    fold(tmp_path, 1, 0, PEOPLE[0])
    fold(tmp_path, 1, 1, PEOPLE[1])
    (tmp_path / "again").mkdir()
    fold(tmp_path / "again", 1, 1, PEOPLE[1])
    (group,), (problem,) = groups_of(tmp_path)
    assert group.first.benchmark.split["folds"] == "2 of 3" and "later run of the same fold" in problem.what
    main([str(tmp_path), "--markdown", str(tmp_path / "all.md")])
    assert "folds 2 of 3" in (tmp_path / "all.md").read_text()


def test_folds_of_other_settings_or_with_common_people_are_not_joined(tmp_path):
    fold(tmp_path, 1, 0, PEOPLE[0])
    fold(tmp_path, 1, 1, PEOPLE[1], **{"model.width": 64})
    groups, _ = groups_of(tmp_path)
    assert [len(group.subjects()) for group in groups] == [2, 2]
    fold(tmp_path / "b", 1, 0, ["S1", "S2"])
    fold(tmp_path / "b", 1, 1, ["S2", "S3"])
    groups, _ = groups_of(tmp_path / "b")
    assert [len(group.subjects()) for group in groups] == [2, 2]


def test_where_a_label_is_a_persons_own_persons_are_scored_over_all_folds(tmp_path):
    for n, people in enumerate((["S1", "S2"], ["S3", "S4"], ["S5", "S6"])):
        fold(tmp_path, 1, n, people, labels_of={people[0]: 0, people[1]: 1})
    (group,), _ = groups_of(tmp_path)
    (sheet,) = persons.sheets([group])
    assert [row[2].split(",")[0] for row in sheet.rows] == ["6 persons"] * 2
    fold(tmp_path / "b", 1, 0, ["S1", "S2"])
    assert persons.sheets(groups_of(tmp_path / "b")[0]) == []


def test_a_cut_of_each_seed_is_fitted_on_its_validation_persons_and_stands_in_report_and_dashboard(
    tmp_path,
):
    whose = {f"S{i}": i % 2 for i in range(10)}
    for seed in (1, 2):
        make_run(
            tmp_path / f"s{seed}",
            seed,
            tested=[f"S{i}" for i in range(6)],
            validated=[f"S{i}" for i in range(6, 10)],
            labels_of=whose,
        )
    (group,), _ = groups_of(tmp_path)
    (sheet,) = persons.sheets([group])
    ways = [row[2].split(", ", 1)[1] for row in sheet.rows]
    assert ways[:2] == ["mean probability", "vote of the windows"]
    assert ways[2].startswith("cut 0.") and ways[2].endswith("fitted on 4 validation persons")
    (row,) = collected(tmp_path, tmp_path / "page.html")["groups"]
    assert any(ways[2] in one for one in row["remarks"])
