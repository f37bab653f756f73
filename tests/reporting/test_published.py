"""Published scores are those of the papers, under our names; ours stand beside them, with what is in the way."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from eegfm.config.schema import config_dir
from eegfm.report import main
from eegfm.reporting.against import rows, sheet
from eegfm.reporting.groups import group_runs, setting_differences
from eegfm.reporting.published import flat, published
from eegfm.reporting.run_folders import find_runs, read_runs
from tests.composed import composed
from tests.made_run import make_run

EMOTIV = {"crowdsourced", "stew", "driver_distraction", "alpha", "attention"}
BINARY = {"shu_mi", "mental_arithmetic", "mumtaz2016", "tuab", "tuab_eegm2", *EMOTIV}
MORE = {"physionet_mi", "bciciv2a", "tuev", "seed_v", "faced"}
PARTIAL = {"complete": False, "subjects_total": 36, "missing": ["Subject00_1"]}
MAIN = {"paper": {"tables": ["stamp_main"]}}


def grouped(*paths: Path):
    return group_runs(read_runs(find_runs(paths))[0])[0]


def test_published_cells_are_those_of_the_papers() -> None:
    cells = {(r.title, r.data, r.metric): (r.mean, r.std) for r in published()}
    assert cells["STAMP", "shu_mi", "auroc"] == (0.6603, 0.0109)
    assert cells["CBraMod, re-run by STAMP's authors", "bciciv2a", "cohen_kappa"] == (0.2123, 0.0297)
    assert cells["STAMP", "tuev", "balanced_accuracy"] == (0.564, None)
    assert cells["CBraMod", "mental_arithmetic", "auc_pr"] == (0.6267, 0.0099)
    assert cells["EEG Conformer", "faced", "weighted_f1"] == (0.4514, 0.0107)
    assert cells["LaBraM", "seed_v", "cohen_kappa"] == (0.2386, 0.0209)
    assert cells["STAMP, encoder=chronos_large", "shu_mi", "auroc"] == (0.7050, 0.0080)
    assert cells["STAMP, model.width=512", "bciciv2a", "cohen_kappa"] == (0.381, 0.044)
    length = "data.benchmark.length"
    assert cells[f"EEGM2, fine-tuned, {length}=30s", "tuab_eegm2", "balanced_accuracy"] == (0.8171, 0.0012)
    assert cells[f"EEGM2 Light, {length}=100s", "tuab_eegm2", "auroc"] == (0.7986, None)
    assert cells["EEGM2, fine-tuned, ablation=S3", "tuab_eegm2", "auroc"] == (0.8176, None)
    assert cells["EEG2Rep", "tuab_eegm2", "accuracy"] == (0.8052, None)
    assert cells["EEGM2, fine-tuned", "crowdsourced", "accuracy"] == (0.9451, None)
    assert cells["EEGM2 Light", "driver_distraction", "auroc"] == (0.6825, None)
    assert cells["BIOT", "stew", "auroc"] == (0.7011, None)
    assert cells["EEGM2, pre-trained on DriverDistraction", "stew", "accuracy"] == (0.7394, None)
    eegm2 = 2 * 4 * 2 + 4 * 2 + 3 * 2 + 5 * 2 + 5 * 2 * 8 + 7
    assert len(published()) == len(cells) == 8 * 2 + 8 + 8 * 3 * 5 + 3 + 4 * 5 + 4 * 7 + eegm2


def test_published_names_are_ours() -> None:
    allowed = {data: {"balanced_accuracy", "auroc", "auc_pr", "accuracy"} for data in BINARY}
    allowed |= {data: {"balanced_accuracy", "cohen_kappa", "weighted_f1"} for data in MORE}
    for reference in published():
        assert reference.metric in allowed[reference.data]
        assert 0 < reference.mean < 1 and reference.source
    assert {reference.data for reference in published()} == BINARY | MORE
    options = {path.stem for path in (config_dir() / "data").glob("*.yaml")}
    assert set(allowed) <= options  # a data option of another spelling would never find its numbers


@pytest.mark.parametrize(
    ("title", "choices"),
    [
        ("STAMP", ["experiment=stamp_main_table"]),
        ("CBraMod", ["experiment=cbramod_main_table"]),
        ("EEGM2, fine-tuned, data.benchmark.length=10s", ["experiment=eegm2_tuab_table"]),
        ("EEGM2, fine-tuned, ablation=S4", ["experiment=eegm2_ablation", "paper.variant=S4"]),
        (
            "EEGM2 Light, data.benchmark.length=10s",
            ["experiment=eegm2_tuab_table", "adapt=eegm2_published_light"],
        ),
        ("EEGM2, fine-tuned", ["experiment=eegm2_emotiv_table"]),
        ("EEGM2 Light", ["experiment=eegm2_emotiv_table", "adapt=eegm2_published_light"]),
        ("EEGM2 Linear", ["experiment=eegm2_emotiv_table", "adapt=eegm2_published_probe"]),
        ("EEGM2 from scratch", ["experiment=eegm2_emotiv_table", "adapt=eegm2_published_scratch"]),
        ("EEGM2, pre-trained on DriverDistraction", ["experiment=eegm2_cross_domain_table"]),
    ],
)
def test_an_experiment_has_the_settings_of_the_number_it_repeats(tmp_path, title, choices) -> None:
    """Then only the data can differ between the two. A renamed setting would count as a difference for ever."""
    config = composed(*choices)
    make_run(tmp_path / "a", 1, encoder="moment_large")
    OmegaConf.save(config, tmp_path / "a" / "config.yaml", resolve=True)
    (group,) = grouped(tmp_path)
    reference = next(r for r in published() if r.title == title)
    assert reference.settings and setting_differences(group, reference) == []


NO_SETTINGS = (
    *(
        "_target_",
        "_partial_",
        "seed",
        "device",
        "devices",
        "num_nodes",
        "accelerator",
        "strategy",
        "deterministic",
    ),
    *(
        "benchmark",
        "limit_train_batches",
        "limit_val_batches",
        "limit_test_batches",
        "log_every_n_steps",
        "scan",
    ),
    *("num_sanity_val_steps", "enable_model_summary", "use_distributed_sampler", "max_steps", "precision"),
    *("accumulate_grad_batches", "at_most"),
)  # what says where and how far, not what is trained


@pytest.mark.parametrize(
    ("title", "choices", "unused"),
    [
        (
            "STAMP",
            ["experiment=stamp_main_table"],
            ("head_lr", "activation", "dropout", "last_tensors", "freeze_head"),
        ),
        ("CBraMod", ["experiment=cbramod_main_table"], ("activation", "dropout", "freeze_head")),
        ("EEGM2, fine-tuned, data.benchmark.length=10s", ["experiment=eegm2_tuab_table"], ()),
        (
            "EEGM2 Light, data.benchmark.length=10s",
            ["experiment=eegm2_tuab_table", "adapt=eegm2_published_light"],
            # a probe is fitted in one go, on a layer of its own
            (
                "layer",
                "pooling",
                "max_epochs",
                "gradient_clip_val",
                "keep",
                "by",
                "min_delta",
                "first_epoch",
            ),
        ),
    ],
)
def test_every_setting_of_a_published_number_is_named_where_ours_differs(title, choices, unused) -> None:
    """One that `published.yaml` lacks could be changed without a word: so it has all but those without effect."""
    config = OmegaConf.to_container(composed(*choices), resolve=True)
    reference = next(r for r in published() if r.title == title)
    settings = {
        name
        for name in flat(config)
        if name.startswith(("model.", "task.", "trainer.", "selection.", "pretrain."))
        and "observe" not in name
        and not name.startswith(("pretrain.model.", "pretrain.selection."))
        and name.rpartition(".")[2] not in (*NO_SETTINGS, *unused)
    }
    assert settings <= reference.settings.keys()


def test_a_number_has_the_digits_that_were_printed_or_read_off_its_figure() -> None:
    shown = {(r.title, r.data, r.metric): str(r) for r in published()}
    assert shown["STAMP", "mental_arithmetic", "auroc"] == "0.811 ± 0.021"
    assert shown["STAMP", "tuev", "balanced_accuracy"] == "0.564"
    assert shown["STAMP, model.width=64", "shu_mi", "auroc"] == "0.665 ± 0.008"
    assert shown["CBraMod", "mental_arithmetic", "auroc"] == "0.7905 ± 0.0073"


# ---- against the paper ---------------------------------------------------------------------------------------------


def test_a_difference_is_ours_less_the_papers_with_the_interval_of_ours(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
    (group,) = grouped(tmp_path)
    found = {row.reference.metric: row for row in rows([group])}
    ours = np.mean(group.test("auroc"))
    assert found["auroc"].difference == pytest.approx(ours - 0.8113)
    assert found["auroc"].comparable == "yes, with other settings"
    (cells,) = [row for row in sheet([found["auroc"]]).rows]
    low, high = group.intervals["auroc"]
    assert cells[4].startswith("0.811 ± 0.021") and cells[6] == f"{ours - 0.8113:+.3f}"
    assert cells[7] == f"[{low:.2f}, {high:.2f}]"
    assert any("encoder spectrum (moment_large)" in note for note in sheet(rows([group])).notes)


@pytest.mark.parametrize(
    ("benchmark", "reason"),
    [
        (PARTIAL, "partial corpus"),
        ({"split": {"name": "loso", "fold": 0}}, "another split"),
        ({"protocol": "cbramod-repaired@b9e9610"}, "published on the protocol of cbramod"),
        ({"window_s": 2.0, "protocol": "cbramod-2s@b9e9610"}, "other windows"),
        ({"census": {"test": [900, 300]}}, "part of the test split"),
    ],
)
def test_what_is_not_comparable_has_its_reason_and_no_difference(tmp_path, benchmark, reason) -> None:
    make_run(tmp_path / "a", 1, benchmark=benchmark)
    found = rows(grouped(tmp_path))
    assert found
    for row, cells in zip(found, sheet(found).rows, strict=True):
        assert np.isnan(row.difference) and cells[6] == "–"
        assert row.comparable.startswith("no: ") and reason in row.reasons


def test_another_protocol_is_never_comparable_and_is_explained(tmp_path: Path) -> None:
    """EEGM2's TUAB has its numbers at its four lengths, and beside no other division or length."""
    for length, window_s, protocol in (
        ("30s", None, "eegm2@0fade32"),
        ("10s", None, "eegm2-repaired@0fade32"),
        ("10s", 15.0, "eegm2-15s@0fade32"),
    ):
        make_run(
            tmp_path / protocol,
            1,
            data="tuab_eegm2",
            model="eegm2",
            benchmark={"window_s": window_s, "protocol": protocol},
            **{"data.window_s": window_s, "data.benchmark.length": length, "task.head": "mlp"},
        )
        found = rows(grouped(tmp_path / protocol))
        assert {row.reference.title for row in found} == {f"EEGM2 Light, data.benchmark.length={length}"}
        (reasons,) = {tuple(row.reasons) for row in found}
        other = ["other windows"] * bool(window_s) + ["published on the protocol of eegm2"]
        assert reasons == (() if protocol == "eegm2@0fade32" else tuple(other))
        assert any("protocol eegm2: EEGM2's" in note for note in sheet(found).notes)


def test_random_weights_are_not_the_published_ones(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1, encoder="moment", **{"encoder.size": "small", "encoder.weights": "random"})
    (group,) = grouped(tmp_path)
    assert any("moment_small of random weights" in said for row in rows([group]) for said in row.settings)


def test_scores_that_no_run_has_are_rows_with_the_command(tmp_path: Path) -> None:
    """Only rows of the experiment's table and model appear, and none of those that were run."""
    make_run(tmp_path / "stamp_main_table" / "a", 1, **MAIN)
    found = rows(grouped(tmp_path))
    missing = [row for row in found if row.group is None]
    ours = [r for r in published() if r.table == "stamp_main" and r.model == "stamp"]
    assert len(ours) == 16 and len(missing) == 14 and found[2:] == missing
    assert {row.reference.data for row in missing} == {"shu_mi", "mumtaz2016"} | MORE
    made = sheet(found)
    assert {row[-1] for row in made.rows[2:]} == {"not run"} and made.rules == [2]
    assert any("eegfm train experiment=stamp_main_table" in note for note in made.notes)


def test_an_experiment_chooses_the_table_that_its_runs_stand_beside(tmp_path: Path) -> None:
    """The width of the main table is also one of the study of widths, whose numbers are read to other digits."""
    make_run(tmp_path / "a", 1, **{"paper": {"tables": ["stamp_width"]}, "encoder.size": "large"})
    run = [row.reference for row in rows(grouped(tmp_path)) if row.group]
    assert {(r.table, r.variant) for r in run if r.metric == "auroc"} == {
        ("stamp_width", "model.width=128")
    }


def test_what_was_published_twice_of_one_model_is_there_twice(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1, model="cbramod", encoder="raw")
    titles = [row.reference.title for row in rows(grouped(tmp_path)) if row.reference.metric == "auroc"]
    assert titles == ["CBraMod, re-run by STAMP's authors", "CBraMod"]


def test_against_the_paper_is_in_every_format(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    make_run(tmp_path / "runs" / "full", 1, **MAIN)
    make_run(tmp_path / "runs" / "part", 1, benchmark=PARTIAL)
    files = {name: tmp_path / f"r.{name}" for name in ("csv", "markdown", "latex", "html")}
    options = [text for name, file in files.items() for text in (f"--{name}", str(file))]
    main([str(tmp_path / "runs"), "--against", "paper", *options])
    texts = [capsys.readouterr().out, *(files[name].read_text(encoding="utf-8") for name in files)]
    for text in (texts[0], *texts[2:]):
        plain = re.sub(r"\s+", " ", text)
        assert "Against the papers" in plain and "no: partial corpus" in plain and "not run" in plain
    with open(tmp_path / "r_against.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {row["comparable"] for row in table} == {"yes, with other settings", "no", "not run"}
    for row in table:
        assert bool(row["difference"]) == row["comparable"].startswith("yes")
        assert bool(row["ours_mean"]) == (row["comparable"] != "not run")
        if row["difference"]:
            assert float(row["difference"]) == float(row["ours_mean"]) - float(row["paper_mean"])


def test_models_of_which_nothing_is_published_are_a_sentence(tmp_path: Path, capsys) -> None:
    make_run(tmp_path / "a", 1, model="tangent")
    main([str(tmp_path), "--against", "paper"])
    assert "no score of these models on these data sets is published" in capsys.readouterr().out
