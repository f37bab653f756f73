"""The walk: the real command line, from files on disk to a run folder that explains itself."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers.wandb import WandbLogger  # noqa: F401  the walk needs it; a broken install fails here

from eegfm.benchmarks.synthetic import lead_field
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from eegfm.runs.status import look
from eegfm.tasks.metrics import scores
from tests.command_line import call, call_afresh, start

pytestmark = pytest.mark.slow

SMALL = ("model.depth=1", "model.width=16", "model.ff_width=16", "trainer.accelerator=cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """An empty folder where everything of this file happens; the made corpus is prepared once."""
    return tmp_path_factory.mktemp("walk")


def door(place: Path, name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    return call(f"eegfm.{name}", *overrides, cwd=place)


def only_run(place: Path, experiment: str = "single", name: str = "*") -> Path:
    (folder,) = (place / "runs" / experiment).glob(name)
    return folder


def test_from_nothing_to_a_run_that_explains_itself(place):
    done = door(place, "train", "trainer.max_epochs=2", *SMALL)
    assert done.returncode == 0, done.stderr
    folder = only_run(place)
    assert "SIMULATED" in done.stdout and "eegfm report runs/single" in done.stdout
    result = read_result(folder)
    assert result.benchmark.simulated and result.benchmark.complete and result.seed == 654
    assert result.scan == [] and " scan," not in done.stdout  # no layer of this model scans
    assert result.git.keys() == {"commit", "dirty"} and result.packages["torch"] == version("torch")
    assert set(result.by_subject["test"]) == set(result.benchmark.subjects["test"])
    table = read_predictions(folder / "predictions_test.csv")
    assert scores(table.probabilities, table.labels, 2) == pytest.approx(
        result.metrics["test"], nan_ok=True
    )
    assert [row["epoch"] for row in rows(folder / "metrics.csv")] == ["0", "1"]
    assert len(rows(folder / "loss.csv")) == 2 * 8
    for name in (
        "config.yaml",
        "figures/confusion_matrix.png",
        "figures/learning_curve.png",
        "figures/by_subject.png",
    ):
        assert (folder / name).stat().st_size > 500
    for checkpoint in ("best.ckpt", "last.ckpt"):
        state = torch.load(folder / "checkpoints" / checkpoint, weights_only=True)
        assert "benchmark" in state["config"] and "head.weight" in state["state_dict"]
    learned = [
        p for name, p in state["state_dict"].items() if "input_norm" not in name and name != "class_weight"
    ]
    parameters = sum(p.numel() for p in learned)
    assert parameters == result.parameters["trainable"]
    assert result.flops is not None and result.flops > 2 * parameters  # each weight is used at every place


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_command_says_that_it_is_finished(place):
    folder = only_run(place)
    before = (folder / "result.json").stat().st_mtime_ns
    again = door(place, "train", "trainer.max_epochs=2", *SMALL)
    assert again.returncode == 0 and "finished already" in again.stdout
    assert (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.long
def test_controls_are_added_to_a_finished_run_and_change_nothing_else_in_it(place):
    folder = only_run(place)
    before = read_result(folder)
    done = door(place, "train", "trainer.max_epochs=2", "diagnostics=true", *SMALL)
    assert done.returncode == 0, done.stderr
    assert (
        "finished already" in done.stdout
        and "labels shuffled in training and validation, 20 draws" in done.stdout
    )
    result = read_result(folder)
    assert replace(result, diagnostics={}) == before
    told = result.diagnostics.pop("persons_told")
    assert told["recordings_each"] == 1 and told["drift_chance"] < 1
    assert told["persons"] == 3 and told["chance"] < told["balanced_accuracy"] <= 1
    # every person has imagined either hand as often, so that who it is says nothing
    assert result.diagnostics.pop("person_alone")["auroc"] == 0.5
    assert set(result.diagnostics) == {"shuffled", "shuffled_within_person"}
    of_the_run = read_predictions(folder / "predictions_test.csv")
    for name, found in result.diagnostics.items():
        control = folder / "diagnostics" / name
        tables = [read_predictions(one) for one in sorted(control.glob("*/predictions_test.csv"))]
        drawn = [scores(table.probabilities, table.labels, 2)["auroc"] for table in tables]
        assert found["draws"] == len(drawn) == 20 and len(set(drawn)) > 10
        assert (found["auroc"], found["auroc_deviation"]) == pytest.approx(
            (np.mean(drawn), np.std(drawn, ddof=1))
        )
        for table in tables:
            assert (table.labels == of_the_run.labels).all()
            assert (table.probabilities != of_the_run.probabilities).any()
        assert not list(control.glob("*/checkpoints"))


@pytest.mark.long
def test_evaluate_gives_the_runs_own_numbers_from_folder_and_from_checkpoint(place):
    folder = only_run(place)
    wanted = read_predictions(folder / "predictions_test.csv")
    for what in (folder, folder / "checkpoints" / "best.ckpt"):
        done = door(place, "evaluate", f"run={what}", "split=test")
        assert done.returncode == 0, done.stderr
        (home,) = folder.glob("evaluations/test-best-*")  # the same weights, on the same data
        found = read_predictions(home / "predictions_test.csv")
        assert found.keys == wanted.keys
        torch.testing.assert_close(torch.tensor(found.probabilities), torch.tensor(wanted.probabilities))
    assert len(read_predictions_of(place, folder, "train").keys) == 480
    assert door(place, "evaluate", "run=nowhere").returncode == 1
    wrong = door(place, "evaluate", f"run={folder}", "split=tset")
    assert wrong.returncode == 1 and "train, val, test" in wrong.stderr


def test_it_is_explained_on_one_page_whose_numbers_can_be_computed_again(place):
    folder = only_run(place)
    done = door(place, "evaluate", f"run={folder}", "explain=true")
    assert done.returncode == 0, done.stderr
    (home,) = folder.glob("evaluations/test-best-*")
    page = (home / "explain_test.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]{22})', page)
    assert len(pictures) == 6 and all(source.startswith("data:image/png;base64") for source in pictures)
    told = json.loads((home / "explain_test.json").read_text())
    expected = read_result(folder).metrics["test"]
    for name, value in told["metrics"].items():
        assert value == pytest.approx(expected[name], rel=1e-5), name
    with np.load(home / "attention_test.npz") as file:
        attention, keys = file["attention"].astype(np.float64), file["key"].tolist()
    assert keys == read_predictions(folder / "predictions_test.csv").keys
    np.testing.assert_allclose(attention.sum(axis=(2, 3)), 1, atol=2e-3)  # in half precision
    true = np.mean([np.sqrt(np.square(lead_field(s)).mean(1)) for s in ("S12", "S13", "S14")], axis=0)
    by_channel = attention.mean(axis=(0, 1, 2))
    assert told["attention"]["correlation"]["all heads"] == pytest.approx(
        np.corrcoef(by_channel, true)[0, 1], abs=0.02
    )
    assert set(told["attention"]["rank_correlation"]) == {"all heads", *(f"head {i}" for i in range(1, 5))}


def read_predictions_of(place: Path, folder: Path, split: str):
    assert door(place, "evaluate", f"run={folder}", f"split={split}").returncode == 0
    (home,) = folder.glob(f"evaluations/{split}-best-*")
    return read_predictions(home / f"predictions_{split}.csv")


def test_report_reads_it(place):
    done = door(place, "report", "runs")
    assert done.returncode == 0, done.stderr
    assert "stamp" in done.stdout and "SIMULATED" in done.stdout


def test_weights_of_a_run_start_another_and_those_that_do_not_fit_are_refused(place):
    folder = only_run(place)
    start = f"weights={folder}"
    done = door(place, "train", start, "task.freeze=true", "trainer.max_epochs=1", "seed=1", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "head.weight, head.bias" in done.stdout.split("left out:")[1]
    new = torch.load(only_run(place, name="*-s1-*") / "checkpoints" / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    old = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(new[key], old[key]) for key in old if key.startswith("backbone."))
    assert not torch.equal(new["head.weight"], old["head.weight"])
    wrong = door(place, "train", start, "model.depth=2", "model.width=16", "model.ff_width=16")
    assert wrong.returncode == 1 and "does not fit this Stamp" in wrong.stderr


def test_a_killed_fit_goes_on_with_the_same_trace(place):
    """Killed or stopped within epochs, a fit has at every step the loss of an uninterrupted one."""
    overrides = ("trainer.max_epochs=5", "seed=7", *SMALL)
    whole = door(place, "train", *overrides, "experiment=demo", "paths.runs=whole")
    assert whole.returncode == 0, whole.stderr
    wanted = next((place / "whole" / "demo").iterdir())
    command = ("eegfm.train", *overrides, "experiment=demo", "paths.runs=killed")
    killed = place / "killed" / "demo" / wanted.name
    for epochs, how, status in ((1, signal.SIGKILL, -9), (2, signal.SIGINT, 1), (3, signal.SIGTERM, 143)):
        with open(place / "killed.log", "a") as log:
            process = start(*command, cwd=place, out=log)
        while len(rows(killed / "metrics.csv") if (killed / "metrics.csv").exists() else []) < epochs:
            assert process.poll() is None, (place / "killed.log").read_text()
            time.sleep(0.005)
        time.sleep(0.1)
        process.send_signal(how)
        assert process.wait() == status
        assert not (killed / "result.json").exists()
        assert look(killed).state == ("lost" if how == signal.SIGKILL else "preempted")
    # by an interpreter of its own, whose hashes are others, too
    assert call_afresh(*command, cwd=place).returncode == 0
    assert (killed / "loss.csv").read_text() == (wanted / "loss.csv").read_text()
    assert (killed / "metrics.csv").read_text() == (wanted / "metrics.csv").read_text()
    assert read_result(killed).metrics == read_result(wanted).metrics
    found = look(killed)
    assert (found.state, found.starts, found.step) == ("done", 4, found.steps)


def test_every_run_of_a_sweep_in_one_process_has_its_own_folder_and_wandb_run(place):
    """Offline W&B: config, metrics, summary and figures are in the file; one run does not leak into the next."""
    done = door(
        place,
        "train",
        "-m",
        "seed=11,12",
        "logger=wandb",
        "trainer.max_epochs=1",
        "paths.runs=sweep",
        *SMALL,
    )
    assert done.returncode == 0, done.stderr
    for seed in (11, 12):
        (folder,) = (place / "sweep" / "single").glob(f"*-s{seed}-*")
        (file,) = folder.glob("wandb/offline-run-*/*.wandb")
        inspected = subprocess.run(
            [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", file],
            capture_output=True,
            text=True,
        )
        assert inspected.returncode == 0, inspected.stderr
        text = inspected.stdout
        records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert records
        for expected in (
            "test/balanced_accuracy",
            "val/auroc",
            "fingerprint",
            "confusion_matrix",
            "learning_curve",
        ):
            assert expected in text, expected
        assert f"-s{seed}-" in text and f"-s{23 - seed}-" not in text
        assert list(folder.glob("wandb/offline-run-*/files/media/images/*.png"))
        assert rows(folder / "metrics.csv"), "the CSV is complete whatever the logger"


def test_from_real_recordings_to_a_report(eeg_data, tmp_path):
    """MentalArithmetic, 20 of 36 subjects: trained, compared, and marked as partial wherever a number stands."""
    data = (
        "data=mental_arithmetic",
        f"data.raw={eeg_data / 'mental_arithmetic_eegmat'}",
        "data.allow_partial=true",
        "data.prepare_workers=2",
    )
    refused = door(tmp_path, "train", *data[:2])
    assert refused.returncode == 1
    assert "32 of 72 recordings are missing" in refused.stderr and "16 of 36 subjects" in refused.stderr
    for overrides in (
        ("model=stamp", "encoder=spectrum", "trainer.max_epochs=1", *SMALL),
        ("model=bandpower",),
    ):
        done = door(tmp_path, "train", *overrides, *data)
        assert done.returncode == 0, done.stderr
        assert "PARTIAL corpus: 20 of 36 subjects" in done.stdout
    result = read_result(only_run(tmp_path, name="bandpower-*"))
    assert not result.benchmark.complete and len(result.benchmark.missing) == 32
    assert result.benchmark.subjects["test"] == ["Subject32", "Subject33", "Subject34", "Subject35"]
    # log band power tells rest from arithmetic in people it has not met: 0.78 balanced accuracy, measured elsewhere too
    assert result.metrics["test"]["balanced_accuracy"] > 0.7 and result.parameters["trainable"] == 101
    report = door(tmp_path, "report", "runs", "--markdown", "table.md")
    assert "PARTIAL corpus" in report.stdout and "not comparable" in report.stdout
    assert result.name in (tmp_path / "table.md").read_text()


def test_a_corpus_without_test_subjects_prepares_and_is_not_trained_on(eeg_data, tmp_path):
    """PhysioNet-MI, S001 alone: a training subject."""
    data = ("data=physionet_mi", f"data.raw={eeg_data / 'eegmmidb'}", "data.allow_partial=true")
    done = door(tmp_path, "prepare", *data)
    assert done.returncode == 0, done.stderr
    assert (
        "90 windows [23, 22, 21, 24], 1 subjects" in done.stdout
        and "PARTIAL corpus: 1 of 109 subjects" in done.stdout
    )
    refused = door(tmp_path, "train", *data, *SMALL)
    assert refused.returncode == 1 and "the val split" in refused.stderr and "S071" in refused.stderr


@pytest.mark.long
def test_ttm_runs_from_its_real_weights(weights_data, tmp_path):
    pytest.importorskip("tsfm_public", reason="encoder=ttm needs granite-tsfm: make setup-tsfm")
    weights = f"encoder.weights={weights_data / 'ttm-r2-512-96'}"
    done = door(tmp_path, "train", "encoder=ttm", weights, "trainer.max_epochs=1", *SMALL)
    assert done.returncode == 0, done.stderr
    result = read_result(only_run(tmp_path))
    assert result.encoder == "ttm" and result.packages["granite-tsfm"]
    missing = door(tmp_path, "train", "encoder=ttm", "encoder.weights=nowhere")
    assert missing.returncode == 1 and "granite-timeseries-ttm-r2" in missing.stderr
