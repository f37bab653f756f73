import math

import pytest
import torch
from torch import nn

from eegfm.tasks.schedules import cosine, one_cycle


def run(schedule, n_steps, lr):
    """(learning rate, beta1) that each of the steps is taken with."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=lr, betas=(0.9, 0.999))
    scheduler = schedule(optimizer, n_steps)
    used = []
    for _ in range(n_steps):
        used.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        scheduler.step()
    return used


@pytest.mark.parametrize("pct_start", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7, 10])
def test_one_cycle_survives_a_smoke_run(n_steps, pct_start):
    """Also one whose way up is a single step: 10 steps and 0.1, 2 and 0.5."""
    used = run(lambda o, n: one_cycle(o, n, max_lr=3e-4, pct_start=pct_start), n_steps, lr=5e-5)
    assert all(0 < lr <= 3e-4 for lr, _ in used)


def test_cosine_is_half_a_cosine_per_step():
    used = run(lambda o, n: cosine(o, n, final_lr=1e-5), 40, lr=1e-3)
    expected = [1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * i / 40)) / 2 for i in range(40)]
    assert [lr for lr, _ in used] == pytest.approx(expected, rel=1e-9)
    assert {beta for _, beta in used} == {0.9}
