"""The cost of a network: the floating-point operations of one window, and the energy of its GPUs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from eegfm.contracts import EEGBatch


def forward_flops(task: nn.Module, batch: EEGBatch) -> int:
    """Operations of `task(batch.x, batch.coords)` in eval mode: matrix products, convolutions and attention alone.

    A multiplication with its addition counts as two. Operations that torch's counter does not know (norms,
    activations, cumulative sums, recurrent layers, fused kernels) are not counted, so the count covers most
    of the time, not all.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    modes = {module: module.training for module in task.modules()}
    # the counter does not know fused attention on the CPU, nor torch's fused encoder layers anywhere
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


def energy_j(devices: Sequence[int]) -> float | None:
    """The energy these torch GPUs took since their driver was loaded, in joules, by NVML's counter.

    It includes all that ran on them, and nothing of the machine around them. None if there is no GPU, no
    pynvml (the package nvidia-ml-py), or a GPU without such a counter: one from before Volta, or a slice of
    one.
    """
    if not devices or not torch.cuda.is_available():
        return None
    try:
        import pynvml  # pyright: ignore[reportMissingImports] - comes with a CUDA torch
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            # by UUID: NVML numbers the machine's GPUs, torch those that it may see
            names = [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in devices]
            handles = [pynvml.nvmlDeviceGetHandleByUUID(name) for name in names]
            return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1000
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
