"""Samba for tests: specs, montages, and the network in the reference's layout, written out layer by layer.

The layout, its order and its sizes are facts about the reference (arXiv:2511.18571); the code is not its code.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import Montage, SampleSpec
from eegfm.models.samba import Samba
from eegfm.nn.mamba2 import Mamba2
from eegfm.signal.montage import layout, montage_of

EMOTIV = montage_of("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split())
TUAB = montage_of(
    "Fp1-F7 F7-T3 T3-T5 T5-O1 Fp2-F8 F8-T4 T4-T6 T6-O2 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 C4-P4 P4-O2".split()
)
CAP = layout("ten_ten")
PUBLISHED: dict[str, Any] = {
    "look": "published",
    "head": "published",
    "lam": "published",
    "norm": "published",
}


def spec_of(montage: Montage = EMOTIV, n_times: int = 256) -> SampleSpec:
    return SampleSpec(montage, (len(montage.names), n_times), 200.0, ("rest", "task", "other"))


def coords_of(montage: Montage, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(montage.coords, dtype=dtype)


def published(montage: Montage = EMOTIV, n_times: int = 256, **options: Any) -> Samba:
    """The published network, in one frame: that of the head."""
    return Samba(spec_of(montage, n_times), targets=layout("standard_1020"), **PUBLISHED | options)


def ours(montage: Montage = EMOTIV, n_times: int = 256, **options: Any) -> Samba:
    return Samba(spec_of(montage, n_times), targets=layout("distinct"), **options)


class Look(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        rows = []
        for target in targets:
            logits = torch.stack([self.net(target - source)[0] for source in sources])
            rows.append(logits.softmax(0) @ x)
        return torch.stack(rows, dim=1)


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch1 = nn.Conv1d(94, 64, 1)
        self.branch3 = nn.Conv1d(94, 64, 3, padding=1)
        self.branch7 = nn.Conv1d(94, 64, 7, padding=3)
        self.fuse = nn.Conv1d(192, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(torch.cat([self.branch1(x), self.branch3(x), self.branch7(x)], dim=1))


class Single(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mamba = Mamba2(width, d_state=16, d_conv=2, expand=8)
        self.norm = nn.RMSNorm(width)  # never called

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mamba(x)


class Differential(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lam = nn.Parameter(torch.ones(128))
        for team in ("team1", "team2"):
            units = (Mamba2(16, d_state=16, d_conv=2, expand=8, headdim=16) for _ in range(8))
            self.add_module(team, nn.ModuleList(units))
        self.head_norms = nn.ModuleList(nn.GroupNorm(1, 16) for _ in range(8))
        self.out_proj = nn.Linear(128, 128)

    def forward(self, x: Tensor) -> Tensor:
        heads = []
        for i in range(8):
            part = x[..., 16 * i : 16 * (i + 1)]
            u, v = (self.get_submodule(f"{team}.{i}")(part) for team in ("team1", "team2"))
            delta = u - self.lam[16 * i : 16 * (i + 1)] * v
            heads.append(self.head_norms[i](delta.transpose(1, 2)).transpose(1, 2))
        return x + self.out_proj(torch.cat(heads, dim=-1))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Differential()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def turned(module: nn.Module, h: Tensor) -> Tensor:
    return module(h.transpose(1, 2)).transpose(1, 2)


class Written(nn.Module):
    """The reference's layout: 204 tensors, 1,059,503 numbers for 14 channels, 256 of them without use."""

    def __init__(self, n_out: int = 14) -> None:
        super().__init__()
        self.saie = Look()
        self.input_embedding = Embedding()
        self.encoder1 = nn.Sequential(nn.Linear(64, 64), Single(64))
        self.encoder2 = nn.Conv1d(64, 64, 3, padding=1)
        self.encoder3 = nn.Conv1d(64, 128, 3, padding=1)
        self.bottleneck = nn.Sequential(nn.Linear(128, 128), Block(), nn.Linear(128, 128))
        self.decoder3 = nn.Conv1d(256, 128, 3, padding=1)
        self.decodeMamba3 = Single(128)
        self.decoder2 = nn.Conv1d(192, 64, 3, padding=1)
        self.decodeMamba2 = Single(64)
        self.decoder1 = nn.Conv1d(128, 64, 3, padding=1)
        self.onput_embedding = nn.Conv1d(64, n_out, 1)

    def forward(self, x: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The windows given back, and what the reference's probe looks at."""
        x1 = turned(self.encoder1, self.input_embedding(self.saie(x, sources, targets)))
        x2 = self.encoder2(F.max_pool1d(x1, 2))
        x3 = self.encoder3(F.max_pool1d(x2, 2))
        h = turned(self.bottleneck, F.max_pool1d(x3, 2))
        h = self.decoder3(torch.cat([x3, up(h, x3)], dim=1))
        d3 = up(turned(self.decodeMamba3, h), x2)
        h = turned(self.decodeMamba2, self.decoder2(torch.cat([x2, d3], dim=1)))
        return self.onput_embedding(self.decoder1(torch.cat([x1, up(h, x1)], dim=1))), d3


def up(h: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(h, size=like.shape[-1], mode="linear", align_corners=False)


class Convolutional(nn.Module):
    """The reference's layout without Mamba: 28 tensors, 338,479 numbers for 14 channels."""

    def __init__(self, n_out: int = 14) -> None:
        super().__init__()
        self.saie = Look()
        self.input_embedding = Embedding()
        sizes = {
            "encoder1": (64, 64),
            "encoder2": (64, 64),
            "encoder3": (64, 128),
            "bottleneck": (128, 128),
        }
        sizes |= {"decoder3": (256, 128), "decoder2": (192, 64), "decoder1": (128, 64)}
        for name, (n_in, n_to) in sizes.items():
            self.add_module(name, nn.Sequential(nn.Conv1d(n_in, n_to, 3, padding=1), nn.ReLU()))
        self.output_layer = nn.Conv1d(64, n_out, 1)

    def forward(self, x: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        x1 = self.encoder1(self.input_embedding(self.saie(x, sources, targets)))
        x2 = self.encoder2(F.max_pool1d(x1, 2))
        x3 = self.encoder3(F.max_pool1d(x2, 2))
        h = self.bottleneck(F.max_pool1d(x3, 2))
        h = self.decoder3(torch.cat([x3, up(h, x3)], dim=1))
        h = self.decoder2(torch.cat([x2, up(h, x2)], dim=1))
        return self.output_layer(self.decoder1(torch.cat([x1, up(h, x1)], dim=1)))
