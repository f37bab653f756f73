"""A report averages what may be averaged, says what is the matter with the rest, and every number can be traced."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from eegfm.report import main
from eegfm.reporting.formats import markdown
from eegfm.reporting.groups import group_runs
from eegfm.reporting.remarks import marks, remarks
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.reporting.scores import difference, interval, score
from eegfm.reporting.tables import tables
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result, write_result
from eegfm.support.summed import with_sum, without_sum
from eegfm.tasks.metric_names import METRICS
from tests.command_line import call, call_afresh
from tests.made_run import make_run

PARTIAL = {"complete": False, "subjects_total": 36, "missing": ["Subject00_1"]}


def grouped(*paths: Path):
    runs, problems = read_runs(find_runs(paths))
    groups, repeats = group_runs(runs)
    return groups, problems + repeats


def recomputed(folder: Path, metric: str) -> float:
    """A metric from the prediction file alone, by scikit-learn."""
    table = read_predictions(folder / "predictions_test.csv")
    positive, decided = table.probabilities[:, 1], table.probabilities.argmax(axis=1)
    precision, recall, _ = sk.precision_recall_curve(table.labels == 1, positive)
    return {
        "balanced acc.": lambda: sk.balanced_accuracy_score(table.labels, decided),
        "AUROC": lambda: sk.roc_auc_score(table.labels, positive),
        "pred. positive": lambda: decided.mean(),
        "most predicted": lambda: np.bincount(decided).max() / len(decided),
        "AUC-PR": lambda: sk.average_precision_score(table.labels, positive),
        "AUC-PR, trapezoid": lambda: sk.auc(recall, precision),
        "Cohen's kappa": lambda: sk.cohen_kappa_score(table.labels, decided),
        "weighted F1": lambda: sk.f1_score(table.labels, decided, average="weighted"),
        "AUC-PR chance": lambda: table.labels.mean(),
        "accuracy": lambda: sk.accuracy_score(table.labels, decided),
    }[metric]()


def test_every_number_of_the_markdown_comes_out_of_the_folders_that_its_row_names(tmp_path: Path) -> None:
    for seed in (3, 1, 2):
        make_run(tmp_path / "e" / f"ma-s{seed}", seed)
        make_run(tmp_path / "e" / f"mi-s{seed}", seed, data="physionet_mi", n_classes=4)
    make_run(tmp_path / "e" / "wide", 1, **{"model.width": 512})
    main([str(tmp_path), "--markdown", str(tmp_path / "report.md")])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    checked, header = 0, []
    for row in rows:
        if row[0] == "run":
            header = row
        folders = [Path(name) for name in re.findall(r"`([^`]+)`", row[-1])]
        for metric, cell in zip(header, row, strict=True):
            if folders and metric in {one.short for one in METRICS.values()}:
                values = [recomputed(folder, metric) for folder in folders]
                deviation = f" ± {np.std(values):.4f}" if len(values) > 1 else ""
                assert re.split(r" [(\[]", cell)[0] == f"{np.mean(values):.4f}{deviation}"
                checked += 1
    assert checked == 2 * 6 + 5  # the metrics of two groups on two classes and of one on four


def test_the_trapezoid_stands_beside_papers_and_one_side_instead_of_a_half(tmp_path: Path) -> None:
    """`majority` says 0.25 of every window: no area of 2.5 times chance, no balanced accuracy of 0.500."""
    for data in ("synthetic", "mental_arithmetic"):
        make_run(tmp_path / data, 1, data=data, constant=True)
    tables_of = {t.groups[0].first.data: t for t in tables(grouped(tmp_path)[0])}
    assert (
        "auc_pr" not in tables_of["synthetic"].metrics
        and "auc_pr" in tables_of["mental_arithmetic"].metrics
    )
    for table in tables_of.values():
        (group,) = table.groups
        assert score(group, "auc_pr") == "–" and score(group, "balanced_accuracy") == "one side"
        assert interval(group, "balanced_accuracy") == ""
        assert score(group, "average_precision") == score(group, "prevalence")
    text = markdown(*grouped(tmp_path), by_subject=False)
    assert "1 of 1 seeds count every test window as the same class (one side)" in text


def test_the_spread_is_that_of_the_subjects_means_over_seeds(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
    groups, _ = grouped(tmp_path)
    rows = [read_result(tmp_path / f"s{seed}").by_subject["test"] for seed in (1, 2)]
    means = [np.mean([row[subject]["auroc"] for row in rows]) for subject in ("S32", "S33", "S34")]
    assert f"({min(means):.2f} … {max(means):.2f})" in markdown(groups, [], by_subject=False)


def test_a_subject_of_one_class_has_no_auroc_and_does_not_hide_the_others(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed, one_class="S33")
    text = markdown(*grouped(tmp_path), by_subject=True)
    (row,) = [line for line in text.splitlines() if line.startswith("| S33 ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["40", "40", "0"]
    assert "–" not in cells[4:6] and cells[6:] == ["–", "–"]
    assert re.search(r"\(0\.\d\d … 0\.\d\d\)", text)


@pytest.mark.parametrize(
    "key", ["model.width", "trainer.max_epochs", "task.label_smoothing", "encoder.high_hz"]
)
def test_runs_that_differ_in_a_setting_are_not_averaged(tmp_path: Path, key: str) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2, **{key: 7})
    groups, _ = grouped(tmp_path)
    assert len(groups) == 2
    assert sorted(f"{key}=7" in group.label for group in groups) == [False, True]


@pytest.mark.parametrize(
    "key", ["paths.runs", "data.raw", "data.num_workers", "trainer.accelerator", "logger.name"]
)
def test_where_a_run_lay_and_how_fast_it_was_does_not_part_it_from_its_seeds(
    tmp_path: Path, key: str
) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2, **{key: "elsewhere"})
    (group,), _ = grouped(tmp_path)
    assert [run.result.seed for run in group.runs] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "ffffffff"},
        {"content": "ffffffffffffffff"},
        {"subjects": {"train": ["S00"], "val": ["S28"], "test": ["S32", "S33", "S34"]}},
        {"complete": False},
        {"within_subject": True},
        {"protocol": "cbramod@other"},
    ],
)
def test_runs_on_other_data_are_not_averaged(tmp_path: Path, change: dict) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2, benchmark=change)
    groups = grouped(tmp_path)[0]
    assert len(groups) == 2
    if "content" in change:
        assert [group.label.endswith("(content ffffffffffffffff)") for group in groups].count(True) == 1


def test_of_two_runs_of_one_seed_the_newest_counts_and_the_other_is_named(tmp_path: Path) -> None:
    """A repeated seed would make the deviation smaller than it is."""
    make_run(tmp_path / "old" / "a", 1, finished_at="2026-01-01T00:00:00+00:00")
    newest = make_run(tmp_path / "new" / "a", 1, finished_at="2026-01-02T00:00:00+00:00")
    (group,), (problem,) = grouped(tmp_path)
    assert [run.result for run in group.runs] == [newest]
    assert problem.folder == tmp_path / "old" / "a" and "later run of the same seed" in problem.what


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1)
    (group,), _ = grouped(tmp_path)
    assert score(group, "auroc") == f"{read_result(tmp_path / 'a').metrics['test']['auroc']:.4f}"


def test_a_partial_corpus_is_marked_and_never_held_against_published_numbers(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # a narrow screen would fold the words
    make_run(tmp_path / "a", 1, benchmark=PARTIAL)
    (group,), _ = grouped(tmp_path)
    assert marks(group) == ["PARTIAL corpus: 6 of 36 subjects"]
    assert remarks(group)[0] == "not comparable: partial corpus"
    main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "PARTIAL corpus: 6 of 36 subjects" in printed and "not comparable: partial corpus" in printed
    assert "0.811 ± 0.021" in printed  # beside it, all the same
    assert "– not comparable" in printed  # and no difference
    assert difference(group, "auroc") == "– not comparable"


def test_what_else_a_reader_must_know_is_marked(tmp_path: Path) -> None:
    changes = {
        "simulated": True,
        "within_subject": True,
        "published_steps": False,
        "census": {"test": [900, 300]},
    }
    make_run(tmp_path / "a", 1, benchmark=changes)
    (group,), _ = grouped(tmp_path)
    text = " ".join(marks(group))
    assert all(word in text for word in ("SIMULATED", "WITHIN-SUBJECT", "OTHER STEPS", "CUT: 120 of 1,200"))
    assert "simulated, other signal processing, part of the test split" in remarks(group)[0]


def test_a_published_number_of_other_settings_says_which(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1, **{"model.width": 64})
    (group,), _ = grouped(tmp_path)
    assert group.references["auroc"].settings["model.width"] == 64  # from the study of widths
    text = "; ".join(remarks(group))
    assert "encoder spectrum (moment_large)" in text
    assert "for balanced accuracy also: model.width 64 (128)" in text


def test_what_gives_no_number_is_listed_and_not_dropped(tmp_path: Path, capsys) -> None:
    make_run(tmp_path / "good", 1)
    make_run(tmp_path / "running", 2)
    (tmp_path / "running" / "result.json").unlink()
    (tmp_path / "running" / "metrics.csv").write_text("epoch,val/auroc\n0,0.5\n1,0.6\n", encoding="utf-8")
    (tmp_path / "stopped" / ".hydra").mkdir(parents=True)
    make_run(tmp_path / "damaged", 3)
    (tmp_path / "damaged" / "result.json").write_text("{", encoding="utf-8")
    result = make_run(tmp_path / "failed", 4)
    path = tmp_path / "failed" / "result.json"
    plain = without_sum(json.loads(path.read_text(encoding="utf-8")), path)
    (tmp_path / "failed" / "result.json").write_text(
        json.dumps(with_sum({**plain, "status": "failed"})), encoding="utf-8"
    )
    assert result.status == "done"
    main(
        [f"runs={tmp_path}", "--csv", str(tmp_path / "out" / "r.csv"), "--markdown", str(tmp_path / "r.md")]
    )
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name, said in {
        "running": "after 2 epochs",
        "stopped": "before the end of its first epoch",
        "damaged": "cannot be read",
        "failed": "status is failed",
    }.items():
        assert (tmp_path / name).as_posix() in printed and said in printed
        assert said in (tmp_path / "r.md").read_text(encoding="utf-8")
    with open(tmp_path / "out" / "r.csv", newline="", encoding="utf-8") as file:
        rows = {Path(row["folder"]).name: row for row in csv.DictReader(file)}
    assert rows.keys() == {"good", "running", "stopped", "damaged", "failed"}
    assert [name for name, row in rows.items() if row["status"] == "done"] == ["good"]
    assert float(rows["good"]["test_auroc"]) == read_result(tmp_path / "good").metrics["test"]["auroc"]


def test_a_run_without_its_config_stands_alone(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
        (tmp_path / f"s{seed}" / "config.yaml").unlink()
    groups, _ = grouped(tmp_path)
    assert [group.label for group in groups] == ["stamp · spectrum (no config.yaml)"] * 2


def test_one_folder_many_folders_and_the_same_folder_twice(tmp_path: Path) -> None:
    for name in ("b", "a"):
        make_run(tmp_path / "e" / name, 1)
    a, b = tmp_path / "e" / "a", tmp_path / "e" / "b"
    (b / "checkpoints").mkdir()
    shutil.copy(b / "config.yaml", b / "checkpoints")  # what lies in a run is no run
    assert find_runs([tmp_path]) == [a, b]
    assert find_runs([a, tmp_path / "e", a / "result.json"]) == [a, b]


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_path_without_a_run_ends_in_a_sentence(tmp_path: Path, kind: str) -> None:
    if kind == "empty":
        (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=rf"There is no .*{kind}.*eegfm (report|train)"):
        main([f"run={tmp_path / kind}"])


def test_a_place_that_cannot_be_written_ends_in_a_sentence(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1)
    with pytest.raises(SystemExit, match="cannot be written"):
        main([str(tmp_path), "--csv", str(tmp_path / "a")])


def test_the_difference_to_the_published_number_is_ours_less_it(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
    (group,), _ = grouped(tmp_path)
    text, ours = markdown([group], [], by_subject=False), np.mean(group.test("auroc"))
    (row,) = [line for line in text.splitlines() if line.startswith("| ↳ ours minus published")]
    low, high = group.intervals["auroc"]
    assert group.references["auroc"].mean == 0.8113  # the nearest: STAMP's main table
    assert f"{ours - 0.8113:+.3f} [{low - 0.8113:+.2f}, {high - 0.8113:+.2f}]" in row


def test_reporting_does_not_wait_for_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 1, model="samba")
    program = (
        "import sys; from eegfm.report import main; before = set(sys.modules); main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; assert not before & {'rich', 'hydra', 'numpy', 'omegaconf'}"
    )
    options = ["--compare", "--cost", "--latex", str(tmp_path / "r.tex")]
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *options], check=True, capture_output=True
    )


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / "runs" / "e" / f"s{seed}", seed)
    done = call_afresh("eegfm.report", "runs", "--by-subject", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stamp · spectrum" in done.stdout and "2 seeds (1, 2)" in done.stdout and "S34" in done.stdout
    wrong = call("eegfm.report", "nowhere", cwd=tmp_path)
    assert (
        wrong.returncode == 1
        and "There is no folder nowhere" in wrong.stderr
        and "Traceback" not in wrong.stderr
    )


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_a_narrow_screen_loses_columns_of_metrics_and_no_reservation(
    tmp_path, columns, monkeypatch, capsys
):
    folder = tmp_path / "e" / "a"
    write_result(folder, replace(make_run(folder, 1), seen={"tuev": "a part of TUEG"}))
    monkeypatch.setenv("COLUMNS", str(columns))
    main([str(tmp_path)])
    said = capsys.readouterr().out
    assert "SEEN" in said and "on a wider screen" in said and "AUC-PR" in said.split("on a wider screen")[1]
    main([str(tmp_path), "--by-subject"])
    subjects = capsys.readouterr().out.split("test subjects, seed 1")[1]
    assert all(name in subjects for name in ("S32", "S33", "S34"))
    whole = said.split("mean ± ")[0] + subjects * (columns >= 80)
    assert not re.search(r"\b0\.\d{1,3}(?= {2}|\n)", whole), "a number that is cut is another number"
