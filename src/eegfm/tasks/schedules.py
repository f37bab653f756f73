"""Learning rates over a fit, stepped after every optimiser step.

Each takes the optimiser and the number of steps of the whole fit, which the task knows, then its own settings by name.
"""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR


def one_cycle(optimizer: Optimizer, total_steps: int, *, max_lr: float) -> OneCycleLR:
    """Up to `max_lr` over the first 30 % of the steps and down again, both along a cosine (STAMP, torch's defaults).

    The optimiser's own learning rate and beta1 (or momentum) have no effect: the rate runs max_lr / 25 -> max_lr ->
    max_lr / 250,000, and beta1 0.95 -> 0.85 -> 0.95.
    """
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=total_steps)


def cosine(optimizer: Optimizer, total_steps: int, *, final_lr: float = 0.0) -> CosineAnnealingLR:
    """From the optimiser's own learning rate down half a cosine; `final_lr` is reached as the last step ends."""
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final_lr)
