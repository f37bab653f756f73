"""The walk: what simulated EEG does next is learned, probed, and drawn with numbers beside the picture."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eegfm.commands.work.stream import _trained
from eegfm.contracts import EegfmError
from eegfm.runs.results import read_result
from tests.test_walk import door

pytestmark = [pytest.mark.slow, pytest.mark.long]

SAME = (
    "model=eegm2",
    "model.width_scale=8",
    "data=synthetic",
    "data.train_ratio=0.3",
    "data.batch_size=8",
    "task.scale=10",
    "trainer.accelerator=cpu",
)
FORECAST = (
    "task=forecast",
    "data.window_s=1",
    "task.ratio=0.08",
    "task.loss={mse: 1.0, l1: 0.0}",
    "task.schedule.max_lr=1e-2",
    "trainer.max_epochs=2",
    "trainer.limit_val_batches=10",
    "trainer.limit_test_batches=20",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("forecast")


@pytest.fixture(scope="module")
def forecast(place) -> Path:
    return run_of(place, "forecast", *FORECAST)


@pytest.fixture(scope="module")
def probe(place, forecast) -> Path:
    return run_of(
        place, "probe", "task=probe", "task.layer=pool3", "task.head=ridge", f"weights={forecast}"
    )


def run_of(place: Path, name: str, *overrides: str) -> Path:
    done = door(place, "train", *SAME, *overrides, f"paths.runs={name}")
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (place / name).glob("*/*/result.json")
    return result.parent


def test_the_future_of_simulated_eeg_is_foretold_better_than_by_knowing_nothing(forecast):
    """80 ms ahead, EEGM2 at an eighth of its width, subjects that it has not met."""
    found = read_result(forecast).metrics["test"]
    assert found["rmse_uv"] < 0.97 * min(found["zero_rmse_uv"], found["mean_rmse_uv"])
    assert found["rmse_uv"] < 0.8 * found["persistence_rmse_uv"]
    for name in ("reconstruction", "error_by_channel", "loss_terms"):
        assert (forecast / "figures" / f"{name}.png").stat().st_size > 5000
    header = (forecast / "reconstruction_test.csv").read_text().partition("\n")[0]
    assert header.startswith(
        "key,subject,rmse_uv,persistence_rmse_uv,mean_rmse_uv,zero_rmse_uv,rmse_uv(Fp1)"
    )


def test_a_forecast_does_not_stream(forecast, place, monkeypatch):
    """It would give back the ends of windows alone."""
    monkeypatch.chdir(place)
    with pytest.raises(EegfmError, match="task=reconstruct is wanted, not Forecast"):
        _trained(forecast, OmegaConf.create({"paths": OmegaConf.load(forecast / "config.yaml").paths}))


@pytest.mark.long
def test_the_map_of_a_probe_says_in_numbers_what_is_near_to_what(probe, place):
    written = {path: path.read_bytes() for path in probe.iterdir() if path.is_file()}
    done = door(place, "evaluate", f"run={probe}", "embedding_map=true")
    assert done.returncode == 0, done.stdout + done.stderr
    (home,) = probe.glob("evaluations/val-fitted-*")
    found = json.loads((home / "embedding_map_val.json").read_text())
    assert found["n_windows"] == 180 and found["subjects"] == ["S09", "S10", "S11"]
    assert found["class_told_by"] == "windows of other subjects"
    assert list(found["spaces"]) == ["raw windows", "random weights", "this run"]
    assert found["n_features"] == {"raw windows": 19 * 800, "random weights": 9 * 32, "this run": 9 * 32}
    for space in found["spaces"].values():
        assert space["class"]["chance"] == 0.5 and space["subject"]["chance"] == pytest.approx(1 / 3)
        assert 0 <= space["subject"]["balanced_accuracy"] <= 1
    random, own = (found["spaces"][name] for name in ("random weights", "this run"))
    assert random != own  # the weights were loaded
    assert own["subject"]["balanced_accuracy"] > 0.4  # heads differ, and features tell
    assert (home / "figures" / "embedding_map_val.png").stat().st_size > 20_000
    assert {path: path.read_bytes() for path in written} == written  # and nothing else is touched
