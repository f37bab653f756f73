"""CBraMod written out patch by patch from its formulas, and specs for it: for its tests alone."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from eegfm.contracts import Montage, SampleSpec

N_LAYERS = 12
ATTENTION = {
    "in_proj_weight": (300, 100),
    "in_proj_bias": (300,),
    "out_proj.weight": (100, 100),
    "out_proj.bias": (100,),
}
LAYER = {
    **{f"self_attn_{which}.{key}": shape for which in "st" for key, shape in ATTENTION.items()},
    "linear1.weight": (800, 200),
    "linear1.bias": (800,),
    "linear2.weight": (200, 800),
    "linear2.bias": (200,),
    **{f"norm{i}.{key}": (200,) for i in (1, 2) for key in ("weight", "bias")},
}
# names and shapes of the published checkpoint
LAYOUT = {
    "patch_embedding.mask_encoding": (200,),
    "patch_embedding.positional_encoding.0.weight": (200, 1, 19, 7),
    "patch_embedding.positional_encoding.0.bias": (200,),
    "patch_embedding.proj_in.0.weight": (25, 1, 1, 49),
    "patch_embedding.proj_in.3.weight": (25, 25, 1, 3),
    "patch_embedding.proj_in.6.weight": (25, 25, 1, 3),
    **{f"patch_embedding.proj_in.{i}.bias": (25,) for i in (0, 3, 6)},
    **{f"patch_embedding.proj_in.{i}.{key}": (25,) for i in (1, 4, 7) for key in ("weight", "bias")},
    "patch_embedding.spectral_proj.0.weight": (200, 101),
    "patch_embedding.spectral_proj.0.bias": (200,),
    **{f"encoder.layers.{i}.{key}": shape for i in range(N_LAYERS) for key, shape in LAYER.items()},
    "proj_out.0.weight": (200, 200),
    "proj_out.0.bias": (200,),
}


def spec_of(n_channels: int, n_seconds: int, n_classes: int = 4, sfreq: float = 200.0) -> SampleSpec:
    montage = Montage(tuple(f"E{i}" for i in range(n_channels)), np.zeros((n_channels, 3)))
    classes = tuple(f"class {i}" for i in range(n_classes))
    return SampleSpec(montage, (n_channels, 200 * n_seconds), sfreq, classes)


def state_of_the_layout(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights of the published names and shapes, none of them 0 or 1; what is never trained is zero."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in LAYOUT.items():
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else 4
        state[key] = torch.randn(shape, generator=generator, dtype=dtype) / fan_in**0.5
    state["patch_embedding.mask_encoding"].zero_()
    return state


def written_features(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Features [channel, second, 200] of one window [channel, second, 200], patch after patch, head after head."""
    n_channels, n_seconds, _ = x.shape
    h = embedded(state, x)
    for i in range(N_LAYERS):
        p = {key: state[f"encoder.layers.{i}.{key}"] for key in LAYER}
        normed = F.layer_norm(h, (200,), p["norm1.weight"], p["norm1.bias"])
        attended = torch.empty_like(h)
        for s in range(n_seconds):
            attended[:, s, :100] = attention(p, "self_attn_s", normed[:, s, :100])
        for c in range(n_channels):
            attended[c, :, 100:] = attention(p, "self_attn_t", normed[c, :, 100:])
        h = h + attended
        normed = F.layer_norm(h, (200,), p["norm2.weight"], p["norm2.bias"])
        inner = normed @ p["linear1.weight"].T + p["linear1.bias"]
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        h = h + inner @ p["linear2.weight"].T + p["linear2.bias"]
    return h


def embedded(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    n_channels, n_seconds, _ = x.shape
    part = {
        key.removeprefix("patch_embedding."): v
        for key, v in state.items()
        if key.startswith("patch_embedding.")
    }
    filtered = [[patch[None] for patch in row] for row in x]
    for i, (stride, padding) in {0: (25, 24), 3: (1, 1), 6: (1, 1)}.items():
        weight, bias = part[f"proj_in.{i}.weight"][:, :, 0], part[f"proj_in.{i}.bias"]
        filtered = [
            [F.conv1d(patch[None], weight, bias, stride=stride, padding=padding)[0] for patch in row]
            for row in filtered
        ]
        # five groups of five filters, each normed over all patches and steps of the window
        every = torch.stack([torch.stack(row) for row in filtered])  # channel second filter step
        grouped = every.unflatten(2, (5, 5))
        mean = grouped.mean((0, 1, 3, 4), keepdim=True)
        variance = (grouped - mean).square().mean((0, 1, 3, 4), keepdim=True)
        normed = ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(2, 3)
        normed = normed * part[f"proj_in.{i + 1}.weight"][:, None] + part[f"proj_in.{i + 1}.bias"][:, None]
        normed = normed * 0.5 * (1 + torch.erf(normed / 2**0.5))
        filtered = [list(row) for row in normed]
    t = torch.arange(200, dtype=x.dtype)
    h = torch.empty(n_channels, n_seconds, 200, dtype=x.dtype)
    for c in range(n_channels):
        for s in range(n_seconds):
            angle = 2 * math.pi * torch.outer(torch.arange(101, dtype=x.dtype), t) / 200
            magnitude = torch.hypot(angle.cos() @ x[c, s], angle.sin() @ x[c, s]) / 200
            spectral = part["spectral_proj.0.weight"] @ magnitude + part["spectral_proj.0.bias"]
            h[c, s] = filtered[c][s].flatten() + spectral
    kernel = part["positional_encoding.0.weight"][:, 0]  # feature channel second
    placed = h.clone()
    for c in range(n_channels):
        for s in range(n_seconds):
            placed[c, s] += part["positional_encoding.0.bias"]
            for dc in range(-9, 10):
                for ds in range(-3, 4):
                    if 0 <= c + dc < n_channels and 0 <= s + ds < n_seconds:
                        placed[c, s] += kernel[:, dc + 9, ds + 3] * h[c + dc, s + ds]
    return placed


def attention(p: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Four heads of 25 features over the rows of x, [token, 100]."""
    q, k, v = (x @ p[f"{name}.in_proj_weight"].T + p[f"{name}.in_proj_bias"]).split(100, dim=1)
    heads = []
    for i in range(4):
        part = slice(25 * i, 25 * i + 25)
        weights = (q[:, part] @ k[:, part].T / 5).softmax(dim=1)
        heads.append(weights @ v[:, part])
    return torch.cat(heads, dim=1) @ p[f"{name}.out_proj.weight"].T + p[f"{name}.out_proj.bias"]
