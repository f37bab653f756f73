"""What one window costs a network: its floating-point operations, by torch's own counter."""

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from eegfm.contracts import EEGBatch


def forward_flops(task: nn.Module, batch: EEGBatch) -> int:
    """Operations of `task(batch.x, batch.coords)` in eval mode: matrix products, convolutions and attention alone.

    A multiplication with its addition is two. What torch's counter does not know (norms, activations, cumulative sums,
    recurrent layers, fused kernels) counts nothing, so this is where most of the time goes and not all of it.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    modes = {module: module.training for module in task.modules()}
    # fused attention is unknown to the counter on the CPU, and so are torch's fused encoder layers everywhere
    torch.backends.mha.set_fastpath_enabled(False)
    task.eval()
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            _forward(task, batch)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        for module, training in modes.items():
            module.training = training
    return counter.get_total_flops()


def _forward(task: Any, batch: EEGBatch) -> None:
    task(batch.x.to(task.device), batch.coords.to(task.device))
