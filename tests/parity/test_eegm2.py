"""Eegm2 against facts of its reference (arXiv:2502.17873, github.com/Jiazhen-Hong/EEGM2) and a naive computation.

Parameter counts and names of tensors were read off the reference by building it; 4,565,144 stands in its training logs.
The oracle of the forward pass is written out in float64, with loops over time, on a dictionary of tensors in the
reference's layout.
"""

import math

import pytest
import torch

from eegfm.contracts import EegfmError
from eegfm.models.eegm2 import Eegm2, from_reference
from eegfm.nn.mamba1 import Mamba1
from tests.models.eegm2 import COORDS, raw_spec
from tests.nn.tokens import CastsAreDouble, float64, randn, randomise, seeded

LIGHT = {"light": True, "layer": "pool3"}
COUNTS = [  # channels, arguments, parameters, tensors
    (16, {}, 4_565_144, 66),
    (14, {}, 4_563_606, 66),
    (16, {"width_scale": 2}, 1_156_756, 66),
    (16, {"width_scale": 4}, 297_074, 66),
    (16, LIGHT, 254_392, 24),
    (14, LIGHT, 252_984, 24),
    (16, {**LIGHT, "width_scale": 2}, 67_724, 24),
    (16, {**LIGHT, "width_scale": 4}, 19_030, 24),
    (16, {"embedding": "single"}, 4_544_472, 60),
    (14, {"embedding": "single"}, 4_543_958, 60),
    (16, {"mixer": "mamba1"}, 4_950_544, 70),
    (14, {"mixer": "mamba1"}, 4_949_006, 70),
    (16, {"mixer": "mamba1", "embedding": "single"}, 4_929_872, 64),
    (14, {"mixer": "mamba1", "embedding": "single"}, 4_929_358, 64),
    (16, {"mixer": "attention"}, 1_472_272, 50),
    (14, {"mixer": "attention"}, 1_470_734, 50),
    (16, {"mixer": "convolution"}, 10_816_208, 46),
    (14, {"mixer": "convolution"}, 10_815_694, 46),
]


def meta(n_channels=16, **options):
    """Built without a number being drawn."""
    with torch.device("meta"):
        return Eegm2(raw_spec(n_channels, 256), **options)


@pytest.mark.parametrize(("n_channels", "options", "parameters", "tensors"), COUNTS, ids=str)
def test_counts(n_channels, options, parameters, tensors):
    model = meta(n_channels, **options)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == tensors


def test_counts_of_every_part():
    parts = {
        "input_embedding": 23_808,
        "encoder1": 107_320,
        "encoder2": 24_704,
        "encoder3": 98_560,
        "bottleneck": 1_729_728,
        "decoder3": 393_472,
        "mixer3": 1_598_144,
        "decoder2": 147_584,
        "mixer2": 403_856,
        "decoder1": 36_928,
        "output_embedding": 1_040,
    }
    model = meta()
    found = {name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in parts}
    assert found == parts


# --- the layout


def mixed(prefix, width):
    heads, inner = width * 8 // 64, width * 8
    conv = inner + 2 * 16
    rows = {
        "mamba.dt_bias": (heads,),
        "mamba.A_log": (heads,),
        "mamba.D": (heads,),
        "mamba.in_proj.weight": (2 * inner + 2 * 16 + heads, width),
        "mamba.conv1d.weight": (conv, 1, 2),
        "mamba.conv1d.bias": (conv,),
        "mamba.norm.weight": (inner,),
        "mamba.out_proj.weight": (width, inner),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    return {f"{prefix}.{name}": shape for name, shape in rows.items()}


def pair(prefix, *shape):
    return {f"{prefix}.weight": shape, f"{prefix}.bias": shape[:1]}


ENCODER = {  # 16 channels
    **pair("input_embedding.branch1", 64, 16, 1),
    **pair("input_embedding.branch3", 64, 16, 3),
    **pair("input_embedding.branch7", 64, 16, 7),
    **pair("input_embedding.fuse", 64, 192, 1),
    **pair("encoder1.0", 64, 64),
    **mixed("encoder1.1", 64),
    **pair("encoder2", 128, 64, 3),
    **pair("encoder3", 256, 128, 3),
}
LAYOUT = {
    **ENCODER,
    **pair("bottleneck.0", 256, 256),
    **mixed("bottleneck.1", 256),
    **pair("bottleneck.2", 256, 256),
    **pair("decoder3", 256, 512, 3),
    **mixed("decodeMamba3", 256),
    **pair("decoder2", 128, 384, 3),
    **mixed("decodeMamba2", 128),
    **pair("decoder1", 64, 192, 3),
    **pair("onput_embedding", 16, 64, 1),
}


@pytest.mark.parametrize(("options", "layout"), [({}, LAYOUT), (LIGHT, ENCODER)], ids=["whole", "light"])
def test_a_state_dict_of_the_reference_loads_strictly_and_in_its_order(options, layout):
    assert len(layout) == (66 if layout is LAYOUT else 24)
    state = {key: randn(*shape, seed=i) for i, (key, shape) in enumerate(layout.items())}
    model = Eegm2(raw_spec(16, 256), **options)
    ours = from_reference(state)
    assert list(ours) == list(model.state_dict())
    model.load_state_dict(ours, strict=True)
    for (_, mine), theirs in zip(model.state_dict().items(), state.values(), strict=True):
        assert torch.equal(mine, theirs)


def test_names_of_the_attention_variant():
    theirs = [
        name.replace("mix.", "mha.").replace("mixer", "decodeAttn").replace("output_", "onput_")
        for name in meta(mixer="attention").state_dict()
    ]
    assert {"encoder1.1.mha.in_proj_weight", "decodeAttn2.norm.bias"} <= set(theirs)
    assert list(from_reference(dict.fromkeys(theirs, torch.zeros(1)))) == list(
        meta(mixer="attention").state_dict()
    )


def test_another_layout_is_refused():
    with pytest.raises(
        EegfmError, match=r"1 of its 25 keys have no place here, first 'classifier\.weight'"
    ):
        from_reference({**{key: torch.zeros(1) for key in ENCODER}, "classifier.weight": torch.zeros(1)})


# --- the forward pass, written out


def silu(v):
    return v / (1 + torch.exp(-v))


def layer_norm(v, p, name):
    centred = v - v.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]


def convolve(x, p, name):
    """x (time, channel); centred, zeros beyond the ends."""
    weight = p[f"{name}.weight"]
    half = weight.shape[2] // 2
    rows = []
    for t in range(len(x)):
        row = p[f"{name}.bias"].clone()
        for j in range(weight.shape[2]):
            if 0 <= t + j - half < len(x):
                row = row + weight[:, :, j] @ x[t + j - half]
        rows.append(row)
    return torch.stack(rows)


def linear(x, p, name):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def mamba2(u, p, name, n_state=16, size=64):
    """One sequence (time, width), step by step: the formulas of Mamba-2 with one group, a convolution over two."""
    p = {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}
    n_heads = len(p["D"])
    inner = n_heads * size
    projected = u @ p["in_proj.weight"].T
    state, last, out = torch.zeros(n_heads, size, n_state), None, []
    for row in projected:
        z, now, dt = row[:inner], row[inner : 2 * inner + 2 * n_state], row[2 * inner + 2 * n_state :]
        before = torch.zeros_like(now) if last is None else last
        weight = p["conv1d.weight"][:, 0]
        mixed = silu(weight[:, 0] * before + weight[:, 1] * now + p["conv1d.bias"])
        last = now
        x, B, C = mixed[:inner].view(n_heads, size), mixed[inner : inner + n_state], mixed[-n_state:]
        dt = torch.log1p(torch.exp(dt + p["dt_bias"]))
        y = torch.empty(n_heads, size)
        for h in range(n_heads):
            decay = math.exp(-dt[h] * math.exp(p["A_log"][h]))
            state[h] = decay * state[h] + dt[h] * torch.outer(x[h], B)
            y[h] = state[h] @ C + p["D"][h] * x[h]
        v = y.flatten() * silu(z)
        v = v / torch.sqrt((v**2).mean() + 1e-5) * p["norm.weight"]
        out.append(p["out_proj.weight"] @ v)
    return torch.stack(out)


def attention(u, p, name, n_heads=4):
    q, k, v = (u @ p[f"{name}.in_proj_weight"].T + p[f"{name}.in_proj_bias"]).chunk(3, dim=1)
    size = q.shape[1] // n_heads
    heads = []
    for h in range(n_heads):
        part = slice(h * size, (h + 1) * size)
        weight = torch.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
        heads.append(weight / weight.sum(1, keepdim=True) @ v[:, part])
    return linear(torch.cat(heads, 1), p, f"{name}.out_proj")


def block(u, p, name):
    if f"{name}.mamba.D" in p:
        return u + layer_norm(mamba2(u, p, f"{name}.mamba"), p, f"{name}.norm")
    return layer_norm(u + attention(u, p, f"{name}.mha"), p, f"{name}.norm")


def pooled(x):
    return torch.stack([torch.maximum(x[2 * t], x[2 * t + 1]) for t in range(len(x) // 2)])


def stretched(x, n):
    """Linear; both ends of the window stay where they are, as those of pixels do."""
    rows = []
    for t in range(n):
        place = min(max((t + 0.5) * len(x) / n - 0.5, 0), len(x) - 1)
        low = int(place)
        high = min(low + 1, len(x) - 1)
        rows.append(x[low] + (place - low) * (x[high] - x[low]))
    return torch.stack(rows)


def whole(x, p):
    """One window (time, channel) by a state dict in the reference's layout."""
    if "input_embedding.weight" in p:
        h = convolve(x, p, "input_embedding")
    else:
        branches = [convolve(x, p, f"input_embedding.branch{size}") for size in (1, 3, 7)]
        h = convolve(torch.cat(branches, 1), p, "input_embedding.fuse")
    kind = "Mamba" if "decodeMamba3.mamba.D" in p else "Attn"
    x1 = block(linear(h, p, "encoder1.0"), p, "encoder1.1")
    x2 = convolve(pooled(x1), p, "encoder2")
    x3 = convolve(pooled(x2), p, "encoder3")
    middle = linear(block(linear(pooled(x3), p, "bottleneck.0"), p, "bottleneck.1"), p, "bottleneck.2")
    h = convolve(torch.cat([x3, stretched(middle, len(x3))], 1), p, "decoder3")
    h = block(h, p, f"decode{kind}3")
    h = convolve(torch.cat([x2, stretched(h, len(x2))], 1), p, "decoder2")
    h = block(h, p, f"decode{kind}2")
    h = convolve(torch.cat([x1, stretched(h, len(x1))], 1), p, "decoder1")
    return convolve(h, p, "onput_embedding")


def in_their_words(model, mixer):
    inner, decode = {"mamba2": ("mamba", "Mamba"), "attention": ("mha", "Attn")}[mixer]
    return {
        key.replace(".mix.", f".{inner}.")
        .replace("mixer3.mix.", f"mixer3.{inner}.")
        .replace("mixer", f"decode{decode}")
        .replace("output_", "onput_"): value
        for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize("n_times", [8, 29, 40])
@pytest.mark.parametrize(
    "options",
    [{}, {"embedding": "single"}, {"mixer": "attention"}],
    ids=["EEGM2", "S1", "S5"],
)
def test_the_forward_pass_is_the_one_written_out(options, n_times):
    """29 is odd at every level: each pooling drops a moment, and the way up stretches by more than two."""
    with float64(), seeded(0):
        model = randomise(Eegm2(raw_spec(3, 64), width_scale=4, **options), scale=0.15).eval()
        p = in_their_words(model, options.get("mixer", "mamba2"))
        assert list(from_reference(p)) == list(model.state_dict())
        x = randn(2, 3, n_times)
        with torch.no_grad():
            found = model(x, COORDS[:3].double())
            expected = torch.stack([whole(window.T, p).T for window in x])
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        assert expected.std() > 0.1


def test_the_classic_net_is_the_one_written_out():
    """Its transposed convolutions make two samples of one; skip connections come first."""

    def twice(x, name):
        for i in (0, 2):
            x = torch.relu(convolve(x, p, f"{name}.{i}"))
        return x

    def risen(x, name):
        weight = p[f"{name}.weight"]
        return torch.stack([row @ weight[:, :, j] for row in x for j in (0, 1)]) + p[f"{name}.bias"]

    with seeded(0):
        model = Eegm2(raw_spec(2, 32), mixer="convolution").eval()
    p = {key.removeprefix("unet."): value for key, value in model.state_dict().items()}
    x = randn(1, 2, 32)
    h, skips = x[0].T, []
    for i in range(4):
        skips.append(twice(h, f"down.{i}"))
        h = pooled(skips[-1])
    h = twice(h, "bottleneck")
    for i in range(4):
        h = twice(torch.cat([skips.pop(), risen(h, f"rise.{i}")], 1), f"up.{i}")
    with torch.no_grad():
        torch.testing.assert_close(
            model(x, COORDS[:2])[0].T, convolve(h, p, "final_conv"), rtol=1e-4, atol=1e-5
        )


# --- Mamba-1


@pytest.mark.parametrize("time", [1, 33])
@pytest.mark.parametrize("sizes", [(16, 16, 2, 8), (24, 4, 4, 2)], ids=str)
def test_mamba_1_is_that_of_transformers(sizes, time):
    pytest.importorskip(
        "transformers", reason="transformers is in the extra tsfm: pip install 'eegfm[tsfm]'"
    )
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    d_model, d_state, d_conv, expand = sizes
    config = MambaConfig(
        hidden_size=d_model, state_size=d_state, conv_kernel=d_conv, expand=expand, num_hidden_layers=1
    )
    with float64(), torch.no_grad():
        layer = randomise(Mamba1(d_model, d_state=d_state, d_conv=d_conv, expand=expand), scale=0.5)
        theirs = MambaMixer(config, layer_idx=0)
        theirs.load_state_dict(layer.state_dict(), strict=True)
        u = randn(2, time, d_model)
        found = layer(u)
        with CastsAreDouble():
            expected = theirs(u)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-9)  # of up to 4e4


def test_first_weights_of_mamba_1_have_the_published_distributions():
    """dt log-uniform from 0.001 to 0.1, decays 1 to d_state, D ones."""
    with seeded(0):
        layer = Mamba1(64, d_state=16, d_conv=2, expand=32)
    dt = torch.nn.functional.softplus(layer.dt_proj.bias.detach()).log()
    low, high = math.log(1e-3), math.log(0.1)
    assert low - 1e-4 < dt.min() < low + 0.1 and high - 0.1 < dt.max() < high + 1e-4
    assert dt.mean() == pytest.approx((low + high) / 2, abs=0.1)
    torch.testing.assert_close(layer.A_log.exp(), torch.arange(1.0, 17.0).expand(2048, 16))
    assert (layer.D == 1).all() and layer.dt_proj.weight.abs().max() <= 0.5
