"""`callbacks=...`: what stands beside our own callbacks in a fit."""

import lightning.pytorch as lightning
import pytest
import torch
from torch.utils.data import DataLoader

from eegfm.config.identity import plain
from eegfm.runs.curves import read_curves
from eegfm.training.fit import chosen_callbacks
from tests.composed import composed
from tests.runs.test_overlap import trained
from tests.training.test_selection import Scripted


def config_of(*overrides: str) -> dict:
    return plain(composed(*overrides))


@pytest.mark.parametrize(
    ("mode", "metric", "min_delta", "epochs"),
    [
        ("max", [0.5, 0.6, 0.55, 0.58, 0.9], 0.0, 4),  # two epochs after the best
        ("min", [0.5, 0.4, 0.45, 0.42, 0.1], 0.0, 4),
        ("max", [0.5, 0.51, 0.52, 0.9, 0.9], 0.1, 3),  # not better by a tenth
        ("max", [0.5, 0.6, 0.7, 0.8, 0.9], 0.0, 5),
    ],
)
def test_a_fit_stops_when_its_metric_is_not_better_for_so_many_epochs(mode, metric, min_delta, epochs):
    node = "callbacks.early_stopping"
    config = config_of("callbacks=early_stopping", f"{node}.patience=2", f"{node}.min_delta={min_delta}")
    one, task = DataLoader(torch.zeros(1, 1)), Scripted(metric)
    lightning.Trainer(
        max_epochs=len(metric),
        callbacks=chosen_callbacks(config, monitor="val/auroc", mode=mode),
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    ).fit(task, one, one)
    assert int(task.epochs) == epochs


def test_a_callback_that_is_not_partial_is_made_as_it_is_written():
    node = "{_target_: lightning.pytorch.callbacks.GradientAccumulationScheduler, scheduling: {0: 2}}"
    (made,) = chosen_callbacks(config_of(f"+callbacks.mine={node}"), monitor="val/auroc", mode="max")
    assert made.scheduling == {0: 2}
    assert chosen_callbacks(config_of(), monitor="val/auroc", mode="max") == []


@pytest.mark.slow
def test_a_run_stops_early(tmp_path):
    """With weights that do not move, no epoch is better than the first."""
    run = trained(
        tmp_path,
        "task.optimizer.lr=0",
        "task.optimizer.weight_decay=0",
        "trainer.max_epochs=9",
        "trainer.max_steps=-1",
        "task=classify",
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=2",
    )
    assert [row["epoch"] for row in read_curves(run / "metrics.csv")] == ["0", "1", "2"]
