"""Pre-training walks: what gives windows back learns to, is saved and comes back; and masked spans are learned.

The walks through the real command show that hidden spans come back nearer to the truth than two answers that know
nothing: a straight line from the last visible sample to the next, and the mean. The second matters as much: in windows
full of fast rhythms it is nearer than the line.
"""

import math
from functools import partial
from pathlib import Path

import hydra.utils
import pytest
import torch
from torch.optim import AdamW

from eegfm.contracts import EegfmError
from eegfm.nn.masks import Spans
from eegfm.runs.results import read_result
from eegfm.tasks.reconstruct import Reconstruct
from eegfm.tasks.weights import load_backbone
from tests.command_line import call
from tests.contract.test_backbones import CONF, is_backbone, model_config
from tests.nn.tokens import seeded
from tests.tasks.autoencoder import SPEC, Data
from tests.tasks.toy import trainer

MODELS = [name for name in sorted(p.stem for p in (CONF / "model").glob("*.yaml")) if is_backbone(name)]
TINY = {"eegm2": {"width_scale": 8}, "samba": {"width_scale": 8}}
OTHERS = {"cbramod"}  # reads seconds at 200 Hz alone, and these windows are smaller


def gives_back(name: str) -> bool:
    """Whether the model gives windows back, by a forward pass of its own."""
    return (
        name not in OTHERS
        and hydra.utils.get_class(model_config(name)._target_).forward is not torch.nn.Module.forward
    )


CASES = [(name, {"causal": causal}) for name in MODELS if gives_back(name) for causal in (False, True)]


def task_of(name: str, options: dict, seed: int) -> Reconstruct:
    with seeded(seed):
        backbone = hydra.utils.instantiate(model_config(name), **TINY.get(name, {}), **options)(SPEC)
        return Reconstruct(
            backbone,
            SPEC,
            optimizer=partial(AdamW, lr=3e-3),
            loss={"l1": 1.0, "stft": 0.1},
            mask=partial(Spans, ratio=0.5, span_s=0.125),
            scale=30.0,
            seed=0,
        )


def test_there_is_a_model_that_gives_windows_back():
    assert {"eegm2", "samba"} <= set(MODELS) and gives_back("eegm2") and gives_back("samba")


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_fitted_validated_saved_and_loaded_it_gives_the_same_windows_back(name, options, tmp_path):
    task, data = task_of(name, options, seed=0), Data()
    fit = trainer(tmp_path, max_epochs=1)
    (before,) = fit.validate(task, datamodule=data, verbose=False)
    fit.fit(task, datamodule=data)
    (after,) = fit.validate(task, datamodule=data, verbose=False)
    assert after["val/loss"] < before["val/loss"]
    fit.save_checkpoint(tmp_path / "run.ckpt")

    again = task_of(name, options, seed=1)
    assert load_backbone(again.backbone, tmp_path / "run.ckpt") == []
    (loaded,) = trainer(tmp_path).validate(again, datamodule=data, verbose=False)
    assert loaded == after
    batch = data.splits["test"].__getitems__(range(5))
    with torch.no_grad():
        given_back = task.eval()(batch.x, batch.coords)
        assert torch.equal(given_back, again.eval()(batch.x, batch.coords))
    assert given_back.shape == batch.x.shape and torch.isfinite(given_back).all()


def test_the_encoder_alone_is_told_apart(tmp_path):
    """EEGM2 Light has no way up: it says so, and what would do, before a step is made."""
    task = task_of("eegm2", {"light": True, "layer": "pool3"}, seed=0)
    with pytest.raises(EegfmError, match=r"model\.light=false"):
        trainer(tmp_path, max_epochs=1).fit(task, datamodule=Data())


# S001 alone, who trains, held out in time: of six recordings one validates, the last tests
HELD_OUT = ("split=recordings", "split.val=[S001R12]", "split.test=[S001R14]")

# EEGM2's rates are for half a million windows; these find something in a minute. Everything else is task=reconstruct's.
QUICK = (
    "model=eegm2",
    "task=reconstruct",
    "model.width_scale=8",
    "task.schedule.max_lr=5e-3",
    "trainer.accelerator=cpu",
)
HIDDEN_ALONE = ("task.loss.l1=0", "task.loss.stft=0", "task.loss.mse=1", "task.loss_on=masked")


def pretrain(place: Path, *overrides: str) -> dict[str, float]:
    """Test metrics of a run of the real command; "mean_rmse_uv" is the error of the mean of every window's channel."""
    done = call("eegfm.train", *QUICK, *overrides, cwd=place, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (place / "runs" / "single").iterdir()
    for name in ("reconstruction", "error_by_channel", "loss_terms"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    result = read_result(folder)
    assert result.task == "reconstruct" and result.scan == ["chunked"]
    found = result.metrics["test"]
    return {**found, "mean_rmse_uv": found["rmse_uv"] / math.sqrt(1 - found["r2"])}


@pytest.mark.slow
@pytest.mark.long
def test_masked_spans_of_simulated_eeg_are_learned(tmp_path):
    """Subjects that it has not met; the default mask, which hides all channels for a quarter of a second at a time."""
    found = pretrain(
        tmp_path,
        "data=synthetic",
        "data.train_ratio=0.5",
        "data.batch_size=4",
        "trainer.max_epochs=8",
        "trainer.limit_val_batches=10",
        *HIDDEN_ALONE,
    )
    assert found["hidden_rmse_uv"] < 0.9 * found["interpolation_rmse_uv"]
    assert found["hidden_rmse_uv"] < 0.97 * found["mean_rmse_uv"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("overrides", "share"),
    [
        # other stretches on every channel: neighbours give them away, and the default loss finds it
        (("task.mask.per_channel=true", "data.batch_size=4", "trainer.max_epochs=8"), 0.85),
        # half a second hidden on all 64: there is nothing but the past and the future
        (("task.mask.span_s=0.5", "data.batch_size=2", "trainer.max_epochs=24", *HIDDEN_ALONE), 0.98),
    ],
    ids=["each channel its own", "all channels"],
)
def test_masked_spans_of_a_real_recording_are_learned(eeg_data, tmp_path, overrides, share):
    """PhysioNet-MI S001, 64 channels: four recordings train, another one of the same person tests."""
    found = pretrain(
        tmp_path,
        "data=physionet_mi",
        f"data.raw={eeg_data / 'eegmmidb'}",
        "data.allow_partial=true",
        *HELD_OUT,
        *overrides,
    )
    assert found["hidden_rmse_uv"] < share * found["interpolation_rmse_uv"]
    assert found["hidden_rmse_uv"] < share * found["mean_rmse_uv"]
