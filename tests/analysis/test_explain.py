"""An evaluation sends its figures to the W&B run of the training; they are read back from W&B's own files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from eegfm.analysis.explain import to_wandb
from eegfm.drawing.style import save
from eegfm.runs.place import Place
from eegfm.runs.wandb import send_figures, wandb_of

CONF = Path(__file__).parents[2] / "conf"
SPLIT = "explain_test/attention_0"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder, its config with logger=wandb, and a picture."""
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_DIR"):
        monkeypatch.setenv(name, "")  # restored in the end: Lightning sets the first
        monkeypatch.delenv(name)
    folder = tmp_path / "runs" / "single" / "stamp-spectrum-synthetic-s1-0a1b2c3d"
    (folder / "checkpoints").mkdir(parents=True)
    config = OmegaConf.create({"logger": OmegaConf.load(CONF / "logger" / "wandb.yaml")})
    return folder, config, save(Figure(), tmp_path / "picture.png")


def records(file: Path) -> str:
    """All that an offline run holds, as W&B's own tool reads it."""
    found = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", file],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def ids(text: str) -> set[str]:
    """The values of every `run_id` in the records."""
    found: set[str] = set()

    def look(value):
        if isinstance(value, dict):
            found.update(
                v for k, v in value.items() if k in ("run_id", "runId") and isinstance(v, str) and v
            )
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                look(one)

    for line in text.splitlines():
        if line.startswith("{"):
            look(json.loads(line))
    return found


@pytest.mark.slow
def test_figures_of_an_evaluation_go_to_the_wandb_run_of_the_training(run):
    """Offline another fragment with the same id, from the folder and from a checkpoint in it alike."""
    folder, config, picture = run
    send_figures(wandb_of(config, folder, job_type="classify"), {"confusion_matrix": picture})
    (first,) = folder.glob("wandb/offline-run-*/*.wandb")
    to_wandb(config, Place.of(folder / "checkpoints" / "best.ckpt"), {SPLIT: picture})
    (second,) = set(folder.glob("wandb/offline-run-*/*.wandb")) - {first}
    trained, evaluated = records(first), records(second)
    assert ids(trained) == ids(evaluated) == {(folder / "wandb_id").read_text()}
    assert "confusion_matrix" in trained and SPLIT not in trained
    assert SPLIT in evaluated and "confusion_matrix" not in evaluated
    (sent,) = second.parent.glob(f"files/media/images/{SPLIT}*.png")
    assert sent.read_bytes() == picture.read_bytes()


def test_a_run_that_was_not_logged_there_sends_nothing(run):
    """The folder says that a run was logged and the command line says where; one without the other is not enough."""
    folder, config, picture = run
    to_wandb(config, Place.of(folder), {SPLIT: picture})
    assert not (folder / "wandb").exists()
    (folder / "wandb").mkdir()
    to_wandb(OmegaConf.create({"logger": {"name": "csv"}}), Place.of(folder), {SPLIT: picture})
    to_wandb(OmegaConf.create({}), Place.of(folder), {SPLIT: picture})
    assert not list((folder / "wandb").iterdir())
