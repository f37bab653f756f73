"""Multi-head differential Mamba as a loop over separate Mamba-2 layers: the oracle of the grouped form."""

import torch
from torch import Tensor, nn

from eegfm.nn.diff_mamba import HEAD, TEAMS, DiffMamba
from eegfm.nn.mamba2 import Mamba2


class Looped(nn.Module):
    """DiffMamba(...) computed network by network and head by head, with the published lambda and norm."""

    def __init__(self, width: int = 128, *, d_state: int = 16, d_conv: int = 2, expand: int = 8) -> None:
        super().__init__()
        n_heads = width // HEAD
        self.teams = nn.ModuleList(
            nn.ModuleList(
                Mamba2(HEAD, d_state=d_state, d_conv=d_conv, expand=expand, headdim=HEAD)
                for _ in range(n_heads)
            )
            for _ in range(TEAMS)
        )
        self.lam = nn.Parameter(torch.ones(width))
        self.norms = nn.ModuleList(nn.GroupNorm(1, HEAD) for _ in range(n_heads))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = []
        for i, part in enumerate(x.split(HEAD, dim=-1)):
            lam = self.lam[i * HEAD : (i + 1) * HEAD]
            difference = self.teams[0][i](part) - lam * self.teams[1][i](part)
            heads.append(self.norms[i](difference.transpose(1, 2)).transpose(1, 2))
        return x + self.out_proj(torch.cat(heads, dim=-1))


def stacked(state: dict[str, Tensor], n_heads: int) -> dict[str, Tensor]:
    """The parameters of a Looped (or their gradients), by the names of a DiffMamba of as many heads."""
    of_all = [f"teams.{team}.{head}." for team in range(TEAMS) for head in range(n_heads)]

    def each(name: str) -> list[Tensor]:
        return [state[prefix + name] for prefix in of_all]

    found = {f"networks.{name}": torch.cat(each(name)) for name in ("dt_bias", "A_log", "D", "norm.weight")}
    found |= {
        f"networks.{name}.weight": torch.stack(each(f"{name}.weight")) for name in ("in_proj", "out_proj")
    }
    for name in ("conv1d.weight", "conv1d.bias"):  # the features of all x, then of all B, then of all C
        tensors = each(name)
        d_inner, n_all = len(state[of_all[0] + "norm.weight"]), len(tensors[0])
        d_state = (n_all - d_inner) // 2
        parts = zip(*(tensor.split((d_inner, d_state, d_state)) for tensor in tensors), strict=True)
        found[f"networks.{name}"] = torch.cat([torch.cat(part) for part in parts])
    found["networks.out_proj.lam"] = state["lam"]
    for name in ("weight", "bias"):
        found[f"norm.{name}"] = torch.cat([state[f"norms.{i}.{name}"] for i in range(n_heads)])
        found[f"out_proj.{name}"] = state[f"out_proj.{name}"]
    return found


def pair(width: int = 128, *, dtype: torch.dtype = torch.float64, **sizes: int) -> tuple[Looped, DiffMamba]:
    """A loop and a grouped layer with the same weights, none of them at the values they start from."""
    loop = Looped(width, **sizes)
    with torch.no_grad():
        for parameter in loop.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    grouped = DiffMamba(width, lam="published", norm="published", **sizes)
    loop, grouped = loop.to(dtype), grouped.to(dtype)
    grouped.load_state_dict(stacked(loop.state_dict(), width // HEAD))
    return loop, grouped
