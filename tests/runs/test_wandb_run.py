"""What a finished run says to W&B is what its folder says, in values that a table can sort."""

import json
import logging
import math

import pytest

from eegfm.runs.intervals import intervals
from eegfm.runs.predictions import read_predictions
from eegfm.runs.wandb import CONFUSION, SUBJECTS, begin, end, send, summary, tables
from tests.made_run import make_run


def test_the_summary_is_one_flat_row_of_what_the_folder_says(tmp_path):
    result = make_run(tmp_path / "mine" / "a", 1, benchmark={"complete": False, "missing": ["S35_1"]})
    ends = intervals([read_predictions(tmp_path / "mine" / "a" / "predictions_test.csv")])
    row = summary(result, ends)
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert all(isinstance(value, str | int | float | bool) for value in row.values())
    for split in ("val", "test"):
        assert {name: row[f"{split}/{name}"] for name in result.metrics[split]} == result.metrics[split]
    assert (row["test/auroc_low"], row["test/auroc_high"]) == ends["auroc"]
    assert row["test/auroc_low"] <= row["test/auroc"] <= row["test/auroc_high"]
    assert row["chosen_epoch"] == 3 and row["chosen_by/auroc"] == result.metrics["val"]["auroc"]
    assert (row["complete"], row["simulated"]) == (False, False)
    assert (row["parameters/trainable"], row["wall_s"], row["n_test_subjects"]) == (123_456, 12.5, 3)
    assert "flops" not in row and "energy_wh" not in row, "what is not known is left out"


def test_a_score_that_is_not_defined_is_no_number_there(tmp_path):
    result = make_run(tmp_path / "mine" / "a", 1, one_class="S33")
    assert math.isnan(result.by_subject["test"]["S33"]["auroc"])
    test = read_predictions(tmp_path / "mine" / "a" / "predictions_test.csv")
    table = tables(result, test)[SUBJECTS]
    found = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.data}
    assert (
        found["S33"]["auroc"] is None and found["S32"]["auroc"] == result.by_subject["test"]["S32"]["auroc"]
    )
    assert {name: row["windows"] for name, row in found.items()} == dict.fromkeys(found, 40)


def test_the_chart_counts_every_test_window_once(tmp_path):
    result = make_run(tmp_path / "mine" / "a", 1, n_classes=4)
    test = read_predictions(tmp_path / "mine" / "a" / "predictions_test.csv")
    chart = tables(result, test)[CONFUSION].table
    assert sum(count for *_, count in chart.data) == len(test.labels) == 120
    right = sum(count for true, predicted, count in chart.data if true == predicted)
    assert right / 120 == pytest.approx(result.metrics["test"]["accuracy"])


def test_what_wandb_does_not_take_costs_a_run_nothing(tmp_path, caplog):
    """A folder that cannot be written, a service that is gone: the result is written all the same."""

    class Gone:
        finished = None

        @property
        def experiment(self):
            return self

        def log(self, *_):
            raise OSError(28, "No space left on device")

        def finish(self, exit_code):
            self.finished = exit_code

    result = make_run(tmp_path / "mine" / "a", 1)
    logger = Gone()
    with caplog.at_level(logging.WARNING):
        send(logger, tmp_path / "mine" / "a", result, {})
    assert logger.finished == 1 and "No space left on device" in caplog.text


def test_epochs_of_a_killed_process_are_logged_again_and_of_one_that_ended_not(tmp_path):
    """W&B's file of a killed process lacks its last 32 KiB; `metrics.csv` lacks nothing."""

    class Curves(list):
        def log_metrics(self, values, step):
            self.append((step, values))

    curves = Curves()
    begin(curves, tmp_path)
    lines = [
        "epoch,step,lr,train/loss,val/auroc,train/loss_epoch",
        "0,15,0.1,0.7,0.51,0.7",
        "1,30,0.1,0.6,,0.6",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))
    assert not curves, "nothing was lost in the first process"
    begin(curves, tmp_path)
    assert curves == [
        (14, {"epoch": 0, "val/auroc": 0.51, "train/loss_epoch": 0.7}),
        (29, {"epoch": 1, "train/loss_epoch": 0.6}),
    ]
    end(tmp_path)
    curves.clear()
    begin(curves, tmp_path)
    assert not curves
