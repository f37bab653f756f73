"""Learning rates over a fit, stepped after every optimiser step.

Each takes the optimiser and the number of steps of the whole fit, which the task supplies, then its own
settings by name.
"""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    max_lr: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> OneCycleLR:
    """Up to `max_lr` over the first `pct_start` of the steps and down again, both along a cosine.

    The optimiser's own learning rate and beta1 (or momentum) have no effect: the rate runs max_lr / div_factor ->
    max_lr -> max_lr / (div_factor * final_div_factor), and beta1 0.95 -> 0.85 -> 0.95. The defaults are torch's, which
    STAMP uses; EEGM2 and SAMBA pre-train with 0.1, 2 and 100.
    """
    if pct_start * total_steps == 1:
        pct_start *= 1 + 1e-9  # torch divides by the length of the rise, which would be 0 here
    return OneCycleLR(
        optimizer,
        max_lr=max_lr,
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )


def cosine(optimizer: Optimizer, total_steps: int, *, final_lr: float = 0.0) -> CosineAnnealingLR:
    """Half a cosine from the optimiser's learning rate down to `final_lr`, reached after the last step."""
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final_lr)
