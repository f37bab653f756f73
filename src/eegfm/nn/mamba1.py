"""Mamba-1, the layer that Mamba-2 follows (Gu & Dao 2023, arXiv:2312.00752), step by step, for an ablation of EEGM2.

Written from the formulas; names, shapes and initialisation are those of `mamba_ssm.Mamba`
(github.com/state-spaces/mamba, Apache-2.0). Unusual: a plain loop over time without a fused kernel makes it
slow, and a training step keeps `expand * d_model * d_state` numbers per moment of time.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 0.1, 1e-4  # mamba_ssm's defaults


class Mamba1(nn.Module):
    """Mix a sequence along time, causally, each of `expand * d_model` features with `d_state` decays of its own.

    With x and z from one linear layer, x after a causal convolution over `d_conv` steps and SiLU, and dt,
    B, C linear in x: h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t, y_t = (h_t . C_t + D x_t) SiLU(z_t).
    """

    def __init__(self, d_model: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        d_inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.sizes = (rank, d_state, d_state)  # dt, B, C
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(d_inner, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, d_inner)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.exp(torch.rand(d_inner) * (high - low) + low).clamp(min=DT_FLOOR)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        decays = torch.arange(1, d_state + 1, dtype=torch.get_default_dtype()).log()
        self.A_log = nn.Parameter(decays.repeat(d_inner, 1))
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]  # it has two axes but is no matrix
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def forward(self, u: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """The whole sequence, from an empty past."""
        x, z = self.in_proj(u).chunk(2, dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[..., : u.shape[1]]).transpose(1, 2)
        dt, B, C = self.x_proj(x).split(self.sizes, dim=-1)
        y = _scan(x, F.softplus(self.dt_proj(dt)), -torch.exp(self.A_log), B, C) + self.D * x
        return self.out_proj((y * F.silu(z)).to(u.dtype))


def _scan(
    x: Float[Tensor, "batch time feature"],
    dt: Float[Tensor, "batch time feature"],
    A: Float[Tensor, "feature state"],
    B: Float[Tensor, "batch time state"],
    C: Float[Tensor, "batch time state"],
) -> Float[Tensor, "batch time feature"]:
    wide = torch.promote_types(x.dtype, torch.float32)  # a carried state needs at least these bits
    dt = dt.to(wide)
    state, ys = torch.zeros_like(dt[:, 0, :, None] * A), []
    # unbind, not [:, t]: the gradient of each index would be a zero tensor of full length
    for dt_t, write_t, B_t, C_t in zip(*(v.unbind(1) for v in (dt, dt * x, B, C)), strict=True):
        state = torch.exp(dt_t[..., None] * A) * state + write_t[..., None] * B_t[:, None]
        ys.append((state * C_t[:, None]).sum(-1))
    return torch.stack(ys, 1)
