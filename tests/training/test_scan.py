"""A run says how its Mamba-2 layers were computed: in result.json and on the screen at its end."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from eegfm.nn.mamba2 import Mamba2
from eegfm.runs.results import read_result
from eegfm.training.finish import scans_of
from tests.command_line import call


@pytest.mark.parametrize("scan", ["chunked", "recurrent"])
def test_the_way_of_the_last_pass_is_told_of_a_task_s_backbone(scan):
    model = nn.Sequential(Mamba2(16, d_state=8, headdim=8, scan=scan), nn.Linear(16, 2))
    task = SimpleNamespace(backbone=model)
    assert scans_of(task) == []  # nothing was computed yet
    with torch.no_grad():
        model(torch.zeros(1, 5, 16))
    assert scans_of(task) == [scan]
    assert scans_of(SimpleNamespace(backbone="no network")) == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "scan"),
    [
        (("model=eegm2", "task=classify", "model.width_scale=8"), ["chunked"]),
        (("model=stamp", "model.depth=1", "model.width=16", "model.ff_width=16"), []),
    ],
)
def test_a_run_s_result_and_screen_say_it(tmp_path, model, scan):
    done = call("eegfm.train", "data=synthetic", "trainer=smoke", *model, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (path.parent for path in tmp_path.rglob("result.json"))
    assert read_result(folder).scan == scan
    assert ("cpu, chunked scan," in done.stdout) == bool(scan)
