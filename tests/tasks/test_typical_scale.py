"""task.scale=typical: a number of the training windows, kept with the weights wherever they go."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import eegfm
from eegfm.contracts import EegfmError
from eegfm.nn.scaling import fit_unit, give_unit, size_of, unit_of
from eegfm.runs.predictions import read_predictions
from eegfm.tasks.weights import read_state
from tests.command_line import call
from tests.composed import composed

SMALL = (
    "model=eegm2",
    "model.width_scale=8",
    "data=synthetic",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=4",
)


def windows(uv: float, n: int = 64) -> torch.Tensor:
    return uv * torch.randn(n, 5, 200, generator=torch.Generator().manual_seed(0))


def fitted(*batches: torch.Tensor) -> float:
    backbone = nn.Identity()
    give_unit(backbone, "typical")
    fit_unit(backbone, batches)
    return float(unit_of("typical", backbone))


def test_the_unit_is_what_a_channel_typically_deviates_whatever_some_artefacts_do():
    assert fitted(windows(15.0), windows(15.0)) == pytest.approx(15, rel=0.02)
    wild = windows(15.0)
    wild[:8] *= 1000
    wild[8:16, 0] = 0
    wild[:, 4] += 300  # an offset is no size
    assert fitted(wild) == pytest.approx(15, rel=0.05)
    with pytest.raises(EegfmError, match="half of all channels of the training windows are flat"):
        fitted(torch.zeros(4, 5, 200))
    with pytest.raises(EegfmError, match="an encoder's vectors"):
        fitted(torch.zeros(4, 5, 8, 3))


def test_a_unit_that_is_known_stays_and_divides():
    backbone = nn.Identity()
    give_unit(backbone, "typical")
    fit_unit(backbone, [windows(15.0)])
    before = float(backbone.unit_uv)
    fit_unit(backbone, [windows(80.0)])
    assert float(backbone.unit_uv) == before
    x = windows(15.0)
    assert float((x / size_of(x, unit_of("typical", backbone))).std()) == pytest.approx(1, rel=0.02)
    assert unit_of(100.0, backbone) == 100.0 and unit_of(None, backbone) is None


def test_what_was_published_keeps_its_own_scale():
    for task in ("reconstruct_published", "reconstruct_samba_published", "forecast_published"):
        assert composed("model=eegm2", f"task={task}").task.scale == "quantile"
    for adapt in ("eegm2_probe", "eegm2_finetune", "samba_probe", "samba_finetune"):
        config = composed(f"adapt={adapt}")
        assert config.task.scale == config.pretrain.task.scale == "typical"
        published = composed(f"adapt={adapt.replace('_', '_published_')}")
        assert published.task.scale == published.pretrain.task.scale == "quantile"


def run(place: Path, name: str, *arguments: str) -> Path:
    done = call("eegfm.train", *SMALL, *arguments, f"paths.runs={name}", "paths.cache=cache", cwd=place)
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in (place / name).rglob("result.json"))
    return folder


@pytest.mark.slow
@pytest.mark.long
def test_probes_fine_tunings_and_exports_divide_as_the_pre_training_did(tmp_path):
    before = run(tmp_path, "pre", "task=reconstruct")
    unit = float(read_state(before / "checkpoints" / "best.ckpt")["backbone.unit_uv"])
    assert 5 < unit < 50
    model = eegfm.load(before)
    x = 20 * torch.randn(2, *model.spec.shape, generator=torch.Generator().manual_seed(0))
    twice = eegfm.load(before)
    twice.backbone.unit_uv.mul_(2)
    assert float(model.backbone.unit_uv) == unit
    assert not torch.allclose(model(x), twice(x), rtol=1e-3)
    # half as many labelled windows: another typical size, if it were fitted again
    tuned = run(
        tmp_path,
        "tuned",
        "task=classify",
        f"weights={before}",
        "split=kfold",
        "split.fold=1",
        "allow_overlap=true",
    )
    assert float(read_state(tuned / "checkpoints" / "best.ckpt")["backbone.unit_uv"]) == unit
    for name, weights in (("probe", f"weights={before}"), ("random", "weights=null")):
        probe = run(tmp_path, name, "task=probe", weights)
        done = call("eegfm.evaluate", f"run={probe}", "split=test", "paths.cache=cache", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (again,) = (probe / "evaluations").rglob("predictions_test.csv")
        found, wanted = (
            read_predictions(path).probabilities for path in (again, probe / "predictions_test.csv")
        )
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert json.loads((before / "result.json").read_text())["metrics"]["test"]["rmse_uv"] > 0
