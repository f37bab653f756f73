"""Models of a report against one another: every number comes out of the run folders, and few subjects prove nothing."""

import csv
import dataclasses
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from eegfm.report import main
from eegfm.reporting.contests import (
    Contest,
    comparable,
    contests,
    sheets,
    small,
    too_few,
)
from eegfm.reporting.costs import energy, gpu_hours, with_prefix
from eegfm.reporting.groups import Group, group_runs
from eegfm.reporting.rankings import ranking, ranks_sheet
from eegfm.reporting.run_folders import Run, find_runs, read_runs
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import RunResult, read_result, write_result
from tests.made_run import make_run

SIX = tuple(f"S{i}" for i in range(30, 36))
MODELS = {"stamp": 128, "samba": 64, "eegm2": 32}


def make_models(folder: Path, *, seeds=(1, 2), models=MODELS, **about) -> None:
    for model in models:
        for seed in seeds:
            make_run(
                folder / f"{model}-s{seed}", seed, model=model, **{"model.width": MODELS[model], **about}
            )


def grouped(folder: Path):
    return group_runs(read_runs(find_runs([folder]))[0])[0]


def auroc_of(folder: Path, model: str, subject: str) -> float:
    """Mean over the seeds, from the prediction files, by scikit-learn."""
    found = []
    for file in sorted(folder.glob(f"{model}-s*/predictions_test.csv")):
        table = read_predictions(file)
        own = np.array(table.subjects) == subject
        found.append(roc_auc_score(table.labels[own], table.probabilities[own, 1]))
    return float(np.mean(found))


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A narrow screen folds the words that are looked for."""
    monkeypatch.setenv("COLUMNS", "200")


def report(folder: Path, capsys, *options: str) -> str:
    main([str(folder), *options])
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_every_pair_comes_out_of_the_prediction_files(tmp_path: Path, capsys) -> None:
    make_models(tmp_path / "runs", tested=SIX)
    printed = report(tmp_path / "runs", capsys, "--compare", "--csv", str(tmp_path / "r.csv"))
    with open(tmp_path / "r_pairs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and {row["pairs_in_family"] for row in rows} == {"3"}
    for row in rows:
        first, second = (row[name].partition(" ")[0] for name in ("first", "second"))
        a, b = (np.array([auroc_of(tmp_path / "runs", m, s) for s in SIX]) for m in (first, second))
        assert float(row["difference"]) == pytest.approx((a - b).mean()) and row["metric"] == "auroc"
        assert float(row["d_z"]) == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
        expected = stats.permutation_test(
            (a, b),
            lambda x, y: np.mean(x - y),
            permutation_type="samples",
            vectorized=False,
            n_resamples=99,
        )
        assert float(row["p"]) == pytest.approx(expected.pvalue)
        assert f"{float(row['difference']):+.4f} [" in printed
    assert "never below 2/2^6 = 0.03125 with 6 subjects" in printed
    assert "corrected for all 3 pairs of these models; the smallest is never below" in printed


def test_below_five_subjects_no_format_has_a_p_value_or_a_word_of_significance(
    tmp_path: Path, capsys
) -> None:
    make_models(tmp_path / "runs")
    files = {name: tmp_path / f"r.{name}" for name in ("csv", "markdown", "latex", "html")}
    options = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    printed = report(tmp_path / "runs", capsys, "--compare", *options)
    texts = [printed, *(files[name].read_text(encoding="utf-8") for name in ("markdown", "latex", "html"))]
    contest = contests(grouped(tmp_path / "runs"))[0]
    for text in texts:
        flat = re.sub(r"\s+|\\textasciicircum{}", lambda m: " " if m[0].isspace() else "^", text)
        assert "with 3 subjects the smallest two-sided p of an exact test is 2/2^3 = 0.25" in flat
        assert not re.search(r"signific|p \(Holm\)|d\\?_z|rank-biserial", text)
        for pair in contest.family.pairs:
            assert f"{pair.difference:+.4f}" in text
    with open(tmp_path / "r_pairs.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert not any(row[name] for name in ("p", "p_holm", "d_z", "rank_biserial", "test"))


def test_only_what_shares_subjects_split_and_windows_is_compared(tmp_path: Path, capsys) -> None:
    make_models(tmp_path, seeds=(1,), tested=SIX)
    make_run(tmp_path / "fewer", 1, encoder="raw", tested=SIX[:5])
    make_run(tmp_path / "cut", 1, encoder="ttm", tested=SIX, benchmark={"split": {"name": "loso"}})
    make_run(tmp_path / "elsewhere", 1, data="shu_mi", tested=SIX)
    make_run(tmp_path / "protocol", 1, model="samba", tested=SIX, benchmark={"protocol": "other@1"})
    (alike,) = comparable(grouped(tmp_path))
    assert {group.first.model for group in alike} == {*MODELS} and len(alike) == 3
    printed = report(tmp_path, capsys, "--compare")
    assert re.search(r"not compared here, .*: stamp · raw, stamp · ttm", printed)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> RunResult:
    return make_run(tmp_path_factory.mktemp("contests") / "a", 1)


def made(result: RunResult, label: str, auroc=(0.6, 0.7, 0.8, 0.75, 0.65), **about) -> Group:
    """A group of one run whose test subjects have these scores; NaN is a subject of one class."""
    by_subject = {
        f"S{i}": {
            "n_windows": 40,
            "per_class": {"rest": 40} if math.isnan(one) else {"rest": 30, "arithmetic": 10},
            "auroc": one,
            "balanced_accuracy": 0.5 if math.isnan(one) else one,
        }
        for i, one in enumerate(auroc)
    }
    changed = {"by_subject": {"test": by_subject}, "metrics": {"test": {"auroc": float(np.nanmean(auroc))}}}
    facts = {name: about.pop(name) for name in [*about] if hasattr(result.benchmark, name)}
    benchmark = dataclasses.replace(result.benchmark, **facts)
    changed = dataclasses.replace(result, benchmark=benchmark, **{**changed, **about})
    return Group([Run(Path(label), changed, {})], label)


@pytest.mark.parametrize(
    "other",
    [
        {"data": "shu_mi"},
        {"protocol": "other@1"},
        {"window_s": 2.0},
        {"split": {"name": "KFold", "fold": 1}},
        {"subjects": {"train": ["S00"], "val": ["S28"], "test": ["S32", "S33", "S34"]}},
        {"auroc": (0.6, 0.7, 0.8, 0.75)},
        {"auroc": (0.6, 0.7, 0.8, 0.75, math.nan)},
        {"metrics": {"test": {"rmse_uv": 3.0}}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_two_are_compared_and_one_that_differs_in_what_was_tested_is_not(result, other):
    a, b, c = made(result, "a"), made(result, "b"), made(result, "c", **other)
    assert comparable([a, c, b]) == [[a, b]] and comparable([a, c]) == []


def test_a_name_in_full_is_nobody_elses(result):
    groups = [made(result, label) for label in ("samba", "samba · raw", "stamp")]
    for reference, name in {"samba": "samba", "raw": "samba · raw", "st": "stamp"}.items():
        assert contests(groups, reference=reference)[0].reference == name
    with pytest.raises(ValueError, match="several models"):
        contests(groups, reference="sam")


def test_what_is_simulated_or_partial_in_any_model_is_said(result):
    def title(*about) -> str:
        return Contest([made(result, str(i), **one) for i, one in enumerate(about)], "auroc").title

    plain = title({}, {})
    assert title({}, {"simulated": True}) == f"{plain}, SIMULATED"
    assert title({"complete": False}, {}) == f"{plain}, PARTIAL"


def test_a_row_of_a_pair_is_its_numbers_in_the_order_of_the_header(result):
    """The first model is better for two of six subjects, worse for one and equal for three."""
    groups = [
        made(result, "a", (0.9, 0.7, 0.5, 0.6, 0.6, 0.6)),
        made(result, "b", (0.5, 0.6, 0.6, 0.6, 0.6, 0.6)),
    ]
    contest = Contest(groups, "auroc")
    (pair,), (models, pairs) = contest.family.pairs, sheets(contest, groups)
    assert models.rows == [["A  a", "0.6500", "1"], ["B  b", "0.5833", "1"]]
    assert pairs.header[3:] == ["d_z", "rank-biserial", "p", "p (Holm)"]
    numbers = [f"{pair.d_z:+.2f}", f"{pair.rank_biserial:+.2f}", f"{pair.p:.4f}", f"{pair.p_holm:.4f}"]
    difference = f"{pair.difference:+.4f} [{pair.low:+.3f}, {pair.high:+.3f}]"
    assert (
        pairs.rows == [["A minus B", difference, "2 of 6, 3 equal", *numbers]] and numbers[0] != numbers[1]
    )


def test_a_smallest_p_that_all_pairs_could_reach_is_said_where_it_is_above_the_level(result):
    """With six subjects it is 2/2^6 = 0.03125; corrected for 21 pairs it is at least 0.656."""
    groups = [made(result, label, np.random.default_rng(i).random(6)) for i, label in enumerate("abcdefg")]
    said = " ".join(sheets(Contest(groups, "auroc"), groups)[1].notes)
    assert "never below 2/2^6 = 0.03125" in said and re.search(r"never below 21 x 0\.03125 = 0\.656", said)
    said = " ".join(sheets(Contest(groups[:2], "auroc"), groups[:2])[1].notes)
    assert "equals p, for there is one pair" in said
    groups = [made(result, label, np.random.default_rng(i).random(12)) for i, label in enumerate("abc")]
    assert "the smallest of which" not in " ".join(sheets(Contest(groups, "auroc"), groups)[1].notes)


def test_subjects_that_are_left_out_are_named_as_far_as_five(result):
    nan = math.nan
    for n, end in ((5, "S0, S1, S2, S3, S4"), (7, "S0, S1, S2, S3, S4 and 2 more")):
        groups = [made(result, label, [nan] * n + [0.6, 0.7, 0.8]) for label in "ab"]
        said = sheets(Contest(groups, "auroc"), groups)[1].notes
        assert any(f"{n} of {n + 3} subjects are left out" in one and one.endswith(end) for one in said)


def test_models_beyond_z_have_two_letters(result):
    groups = [made(result, f"m{i:02d}", [1 - i / 100] * 3) for i in range(54)]
    models, _ = sheets(Contest(groups, "auroc"), groups)
    letters = [row[0].split()[0] for row in models.rows]
    assert [letters[i] for i in (0, 25, 26, 27, 51, 52, 53)] == ["A", "Z", "AA", "AB", "AZ", "BA", "BB"]


def test_small_numbers_are_said_as_they_are():
    assert (small(0.00009), small(0.0001), small(0.0316)) == ("< 0.0001", "0.0001", "0.0316")
    assert "1 subject says nothing about others" in too_few(1)
    assert "with 2 subjects" in too_few(2) and "2/2^4 = 0.125" in too_few(4)


def ranked_by(result, *rows) -> tuple:
    """`ranking` of models a, b, ... by data set: a row holds their scores, whose length may differ."""
    groups = [
        made(result, label, [score] * 3, data=f"d{i}")
        for i, row in enumerate(rows)
        for label, score in zip("abcdefg", row, strict=False)
    ]
    return ranking(contests(groups), None)


def test_ranks_are_of_three_models_on_two_data_sets_and_tested_on_five(result):
    assert "no ranks over data sets: 0 data sets" in ranked_by(result, (0.6, 0.7), (0.6, 0.7))[1][0]
    assert "no ranks over data sets: 1 data set with 3" in ranked_by(result, (0.6, 0.7, 0.8))[1][0]
    two, said = ranked_by(result, *[(0.6, 0.7, 0.8)] * 2)
    assert two.models == ["c", "b", "a"] and any(one.startswith("no test: 2 data sets") for one in said)
    five, said = ranked_by(result, *[(0.6, 0.7, 0.8)] * 5)
    said = " ".join(said)
    assert (
        "chi² 10.00 with 2 degrees of freedom, p 0.0067" in said and "Nemenyi: mean ranks less than" in said
    )
    sheet = ranks_sheet(five, [])
    assert sheet.rows == [["c", "1.00", *"11111"], ["b", "2.00", *"22222"], ["a", "3.00", *"33333"]]
    _, said = ranked_by(result, *[(0.6, 0.7, 0.8), (0.8, 0.7, 0.6)] * 3)
    assert "the test tells no model from another" in " ".join(said) and "Nemenyi" not in " ".join(said)


def test_a_data_set_is_its_largest_contest(result):
    """If a data set has two protocols, the one with more models counts, whichever came first."""
    groups = [made(result, label, [0.5 + i / 10] * 3, data="d1") for i, label in enumerate("abcd")]
    for first, second in (("small@1", "large@1"), ("large@1", "small@1")):
        protocols = [
            made(result, label, [0.5 + i / 10] * 3, data="d0", protocol=protocol)
            for protocol in (first, second)
            for i, label in enumerate("abcd" if protocol == "large@1" else "abc")
        ]
        found, _ = ranking(contests(protocols + groups), None)
        assert found.models == ["d", "c", "b", "a"]


def test_a_report_without_comparing_says_nothing_of_pairs(tmp_path: Path, capsys) -> None:
    make_models(tmp_path, seeds=(1,), tested=SIX)
    printed = report(tmp_path, capsys)
    assert "pairs" not in printed and "Holm" not in printed


def test_a_subject_of_one_class_is_compared_by_its_recall_or_left_out_by_name(
    tmp_path: Path, capsys
) -> None:
    make_models(tmp_path, seeds=(1,), tested=SIX, one_class="S33")
    printed = report(tmp_path, capsys, "--compare")
    assert "pairs, balanced accuracy over 6 test subjects" in printed
    assert "a subject whose windows are of one class has no AUROC" in printed
    printed = report(tmp_path, capsys, "--compare", "--metric", "auroc")
    assert "pairs, AUROC over 5 test subjects" in printed and "1 of 6 subjects are left out" in printed
    assert re.search(r"one class\): S33", printed)


def test_one_model_against_the_others(tmp_path: Path, capsys) -> None:
    make_models(tmp_path, seeds=(1,), tested=SIX)
    printed = report(tmp_path, capsys, "--reference", "samba")
    assert len(re.findall(r"[A-C] minus [A-C]", printed)) == 2
    assert "for all 2 pairs with samba · spectrum" in printed
    for name, said in {"nobody": "No compared model", "spectrum": "names of several models"}.items():
        with pytest.raises(SystemExit, match=f"(?s){said}.*stamp · spectrum"):
            main([str(tmp_path), "--reference", name])
    with pytest.raises(
        SystemExit, match=r"No test subject has a score kappa\. Type --metric with one of: .*auroc"
    ):
        main([str(tmp_path), "--metric", "kappa"])


def test_alone_there_is_nothing_to_compare(tmp_path: Path, capsys) -> None:
    make_run(tmp_path / "a", 1)
    assert "no comparison: no two models share" in report(tmp_path, capsys, "--compare")


@pytest.mark.slow
def test_ranks_over_data_sets_are_those_of_the_groups_scores(tmp_path: Path, capsys) -> None:
    runs, figures, page = tmp_path / "runs", tmp_path / "figures", tmp_path / "r.html"
    for i in range(5):
        make_models(runs / f"d{i}", seeds=(1,), data=f"d{i}", benchmark={"simulated": i == 0})
    make_run(runs / "one", 1, data="d0", encoder="raw", benchmark={"simulated": True})
    printed = report(runs, capsys, "--figures", str(figures), "--html", str(page))
    assert {path.name for path in figures.iterdir()} == {
        f"{name}.{kind}" for name in ("ranks", "critical_difference") for kind in ("png", "pdf")
    }
    assert page.read_text(encoding="utf-8").count("data:image/png;base64") == 2
    assert (
        "left out, because they are not on every data set: stamp · raw" in printed
        and "d0 is SIMULATED" in printed
    )
    table = ranked(runs, printed)
    p = stats.friedmanchisquare(*table.T).pvalue
    assert table.shape == (5, 3) and f"2 degrees of freedom, p {p:.4f}" in printed
    shutil.rmtree(runs / "d4")
    printed = report(runs, capsys, "--compare")
    assert ranked(runs, printed).shape == (4, 3) and "no test: 4 data sets" in printed
    assert "Friedman:" not in printed
    for i in range(1, 4):
        shutil.rmtree(runs / f"d{i}")
    printed = report(runs, capsys, "--compare")
    assert "no ranks over data sets: 1 data set with 3 comparable models" in printed


def ranked(runs: Path, printed: str) -> np.ndarray:
    """Scores by data set and model, upside down; the mean ranks that they have are printed."""
    by_data = {}
    for group in grouped(runs):
        if group.first.encoder == "spectrum":
            by_data.setdefault(group.first.data, {})[group.label] = -group.test("auroc")[0]
    table = np.array([[by_data[data][label] for label in by_data["d0"]] for data in by_data])
    for label, average in zip(by_data["d0"], stats.rankdata(table, axis=1).mean(axis=0), strict=True):
        assert f"{label} {average:.2f}" in printed
    return table


def test_what_is_said_of_all_models_is_said_once_in_a_paper(tmp_path: Path, capsys) -> None:
    make_models(tmp_path / "runs", seeds=(1,), benchmark={"complete": False, "subjects_total": 36})
    report(
        tmp_path / "runs", capsys, "--latex", str(tmp_path / "r.tex"), "--html", str(tmp_path / "r.html")
    )
    for name in ("r.tex", "r.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count("PARTIAL corpus: 6 of 36 subjects") == 1 and text.count("published: LaBraM") == 1
        group = grouped(tmp_path / "runs")[0]
        assert all(f"{group.test(metric)[0]:.4f}" in text for metric in ("auroc", "balanced_accuracy"))


def test_costs_are_those_of_the_runs_and_what_was_not_counted_is_a_dash(tmp_path: Path, capsys) -> None:
    make_models(tmp_path, models=("stamp", "samba"))
    for seed in (1, 2):
        folder = tmp_path / f"samba-s{seed}"
        changed = {"flops": 12_345_678, "wall_s": 1800.0 * seed, "device": "cuda:0", "energy_wh": 600.0}
        write_result(folder, dataclasses.replace(read_result(folder), **changed))
        folder = tmp_path / f"stamp-s{seed}"
        write_result(folder, dataclasses.replace(read_result(folder), flops=None))
    printed = report(tmp_path, capsys, "--cost", "--csv", str(tmp_path / "r.csv"))
    assert re.search(
        r"samba · spectrum 123,456 123,456 12.3 M 45 min 00 s 1.50 1.20 kWh 0.51 GB – cuda:0", printed
    )
    assert re.search(r"stamp · spectrum 123,456 123,456 – 12.5 s – – 0.51 GB – cpu", printed)
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        assert {row["model"]: row["flops"] for row in csv.DictReader(file)} == {
            "samba": "12345678",
            "stamp": "",
        }


def test_gpu_hours_are_of_all_devices(tmp_path: Path) -> None:
    result = dataclasses.replace(make_run(tmp_path / "a", 1), wall_s=3600.0, device="cuda:0")
    for devices in (1, 8):
        run = Run(tmp_path, dataclasses.replace(result, devices=devices), {})
        assert gpu_hours(run) == devices
        assert (
            gpu_hours(dataclasses.replace(run, result=dataclasses.replace(run.result, device="cpu"))) == 0
        )


@pytest.mark.parametrize(
    ("each", "said"),
    [([], "–"), ([None], "–"), ([5.0, None], "–"), ([5.0, 7.34], "12.3 Wh"), ([900.0, 600.0], "1.50 kWh")],
)
def test_energy_is_of_all_runs_or_not_known(each: list, said: str) -> None:
    assert energy(each) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0"), (999, "999"), (1234, "1.23 k"), (4.5e9, "4.5 G")])
def test_large_numbers_have_three_digits(number: int, said: str) -> None:
    assert with_prefix(number) == said
