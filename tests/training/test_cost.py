"""The operations of a forward pass are those that one counts by hand, whatever way a layer is computed."""

import time

import pytest
import torch
from torch import nn

from eegfm.tasks.classify import Classify
from eegfm.training.cost import energy_j, forward_flops
from tests.tasks.toy import N_CHANNELS, N_TIMES, Backbone, Windows, spec_of


class Attends(nn.Module):
    """Torch's own encoder layer, which in eval mode is one fused kernel."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)

    def forward(self, x, coords):
        return self.layer(x.transpose(1, 2)[..., [0] * 8])


@pytest.mark.parametrize(("n_classes", "logits"), [(2, 1), (4, 4)])
def test_a_classifier_costs_its_matrix_products(n_classes, logits):
    task = Classify(Backbone(width=16), spec_of(n_classes), optimizer=torch.optim.SGD, seed=0)
    batch = Windows(4, n_classes, seed=0).__getitems__([0])
    task.train()
    assert forward_flops(task, batch) == 2 * (N_CHANNELS * N_TIMES * 16 + 16 * logits)
    assert task.training and task.backbone.training  # as it was
    assert torch.backends.mha.get_fastpath_enabled()


def test_attention_is_counted_also_where_torch_fuses_it():
    t, width, hidden = N_TIMES, 8, 16
    by_hand = 3 * t * width * width + 2 * t * t * width + t * width * width + 2 * t * width * hidden
    assert forward_flops(Attends(), Windows(4, 2, seed=0).__getitems__([0])) == 2 * by_hand


def test_energy_is_not_known_of_what_is_no_gpu():
    assert energy_j([]) is None
    if not torch.cuda.is_available():
        assert energy_j([0]) is None


@pytest.mark.gpu
def test_a_gpu_that_works_takes_the_watts_that_nvml_says_it_draws():
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    before = energy_j([0])
    if before is None:
        pytest.skip("this GPU has no counter of its energy")
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    x, watts, begun = torch.randn(4096, 4096, device="cuda"), [], time.monotonic()
    while time.monotonic() - begun < 3:
        torch.cuda.synchronize((x @ x).device)
        watts.append(pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
    seconds = time.monotonic() - begun
    assert energy_j([0]) - before == pytest.approx(seconds * sum(watts) / len(watts), rel=0.3)
