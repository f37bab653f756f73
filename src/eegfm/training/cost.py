"""What a network costs: the floating-point operations of one window, and the energy of the GPUs that train it."""

from collections.abc import Sequence
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


def energy_j(devices: Sequence[int]) -> float | None:
    """What these GPUs of torch's have taken since their driver was loaded, in joules, by NVML's own counter.

    All that ran on them is in it, and nothing of the machine around them. None where there is no GPU, no pynvml (which
    is nvidia-ml-py), or a GPU without such a counter: one from before Volta, or a slice of one.
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
