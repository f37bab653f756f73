"""A run says how its Mamba-2 layers were computed: in result.json and on the screen at its end."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from eegfm.nn.mamba2 import Mamba2
from eegfm.training.finish import scans_of


@pytest.mark.parametrize("scan", ["chunked", "recurrent"])
def test_the_way_of_the_last_pass_is_told_of_a_task_s_backbone(scan):
    model = nn.Sequential(Mamba2(16, d_state=8, headdim=8, scan=scan), nn.Linear(16, 2))
    task = SimpleNamespace(backbone=model)
    assert scans_of(task) == []  # nothing was computed yet
    with torch.no_grad():
        model(torch.zeros(1, 5, 16))
    assert scans_of(task) == [scan]
    assert scans_of(SimpleNamespace(backbone="no network")) == []
