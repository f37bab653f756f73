"""W&B's rows of a run that was killed and resumed: each step once, whatever arrived before. By W&B itself, offline."""

import random
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eegfm.config.schema import config_dir
from eegfm.runs.wandb import wandb_of
from eegfm.runs.wandb_log import STEP, damaged_at, rows_of
from tests.command_line import environment

KILLED = """
import os, sys, time
from pathlib import Path
from omegaconf import OmegaConf
from eegfm.runs.wandb import wandb_of
logger = wandb_of({"logger": OmegaConf.load(sys.argv[2])}, Path(sys.argv[1]))
for step in range(400):
    logger.log_metrics({"train/loss_step": 1 / (1 + step), "epoch": step // 50}, step)
    if step % 50 == 49:
        logger.log_metrics({"val/auroc": step / 400, "epoch": step // 50}, step)
time.sleep(3)  # for W&B's own process to write what it will
os.kill(os.getpid(), 9)
"""


def written(folder: Path, n: int) -> list[dict]:
    """The rows of a run that has finished: W&B's own process may still be writing, so `n` of them are waited for."""
    end = time.monotonic() + 30
    while len(rows := [*rows_of(folder)]) < n and time.monotonic() < end:
        time.sleep(0.2)
    return rows


LOGGER = config_dir() / "logger" / "wandb.yaml"


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_steps_and_repeats_nothing(tmp_path, monkeypatch):
    """W&B loses the last 32 KiB of a killed process: what was lost comes again, and nothing else does."""
    import subprocess
    import sys

    for name in ("WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, LOGGER], env=environment())
    before = [*rows_of(tmp_path)]
    assert 0 < len(before) <= 408  # mostly some rows arrived and some did not
    assert [row["_step"] for row in before] == [*range(len(before))]
    time.sleep(1)  # fragments are called by the second
    logger = wandb_of({"logger": OmegaConf.load(LOGGER)}, tmp_path)
    for step in range(60, 450):  # from a checkpoint that is older than what arrived
        logger.log_metrics({"train/loss_step": 1 / (1 + step), "epoch": step // 50}, step)
        if step % 50 == 49:
            logger.log_metrics({"val/auroc": step / 400, "epoch": step // 50}, step)
    logger.experiment.log({"a picture": 1.0})
    logger.experiment.finish()
    rows = written(tmp_path, 460)
    assert rows[: len(before)] == before
    assert [row["_step"] for row in rows] == [*range(450 + 9 + 1)]
    for name, steps in (("train/loss_step", [*range(450)]), ("val/auroc", [*range(49, 450, 50)])):
        assert [row[STEP] for row in rows if name in row] == steps


@pytest.mark.slow
def test_a_log_is_read_as_far_as_it_goes_and_a_damaged_one_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger = wandb_of({"logger": OmegaConf.load(LOGGER)}, tmp_path)
    for step in range(300):
        logger.log_metrics({"train/loss_step": step / 7}, step)
    logger.experiment.finish()
    rows, draw = written(tmp_path, 300), random.Random(4)
    assert len(rows) == 300 and rows[200]["train/loss_step"] == 200 / 7
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    whole = path.read_bytes()
    assert len(whole) > 2 * 32768
    for _ in range(60):
        path.write_bytes(whole[: draw.randrange(len(whole))])
        found = [*rows_of(tmp_path)]
        assert found == rows[: len(found)] and damaged_at(path.read_bytes()) is None
    assert damaged_at(whole) is None and "is damaged at" not in caplog.text
    for _ in range(60):
        held = bytearray(whole)
        held[place := draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(held)
        caplog.clear()
        found = [*rows_of(tmp_path)]
        assert found == rows[: len(found)]
        if found != rows:
            assert f"{path} is damaged at byte" in caplog.text, place
    assert [*rows_of(Path("nowhere"))] == []
