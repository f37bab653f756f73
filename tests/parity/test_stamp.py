"""Stamp against the formulas of arXiv:2511.10848 and its reference (github.com/autonlab/STAMP, MIT), written out.

The oracle is naive on purpose: float64, loops over samples, tokens, heads and queries, plain functions on a dictionary
of tensors in the reference's layout. It shares no line with the implementation. The parameter counts were read off the
reference by building it.
"""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from eegfm.contracts import EegfmError
from eegfm.models.stamp import Stamp, from_reference
from tests.nn.tokens import as_a_person, float64, randn, token_spec

# --- parameter counts

DATASETS = {  # channels, seconds, logits
    "SHU-MI": (32, 4, 1),
    "PhysioNet-MI": (64, 4, 4),
    "MentalArithmetic": (20, 5, 1),
    "BCIC-IV-2a": (22, 4, 4),
    "TUEV": (16, 5, 6),
    "Mumtaz2016": (19, 5, 1),
    "SEED-V": (62, 1, 5),
    "FACED": (32, 10, 9),
    "ISRUC": (6, 30, 5),
    "CHB-MIT, TUAB": (16, 10, 1),
    "BCIC2020-3": (64, 3, 5),
}
DEFAULT_COUNTS = {  # embedding 1024 (MOMENT-L, Chronos-L), 768 (MOMENT-B), 512 (MOMENT-S), 240 (TSPulse)
    "SHU-MI": (730_401, 697_121, 663_841, 628_481),
    "PhysioNet-MI": (776_100, 742_820, 709_540, 674_180),
    "MentalArithmetic": (720_401, 687_121, 653_841, 618_481),
    "BCIC-IV-2a": (719_988, 686_708, 653_428, 618_068),
    "TUEV": (716_790, 683_510, 650_230, 614_870),
    "Mumtaz2016": (719_313, 686_033, 652_753, 617_393),
    "SEED-V": (748_581, 715_301, 682_021, 646_661),
    "FACED": (757_497, 724_217, 690_937, 655_577),
    "ISRUC": (736_741, 703_461, 670_181, 634_821),
    "CHB-MIT, TUAB": (727_665, 694_385, 661_105, 625_745),
    "BCIC2020-3": (767_845, 734_565, 701_285, 665_925),
}
WIDTH_COUNTS = {  # SHU-MI, PhysioNet-MI, MentalArithmetic, BCIC-IV-2a; embedding 1024
    8: (59_481, 85_620, 54_161, 54_708),
    16: (102_417, 129_860, 96_785, 97_268),
    32: (189_057, 219_108, 182_801, 183_156),
    64: (365_409, 400_676, 357_905, 358_004),
    256: (1_509_537, 1_576_100, 1_494_545, 1_493_108),
    512: (3_264_417, 3_372_708, 3_239_441, 3_235_956),
}
FOUR = ("SHU-MI", "PhysioNet-MI", "MentalArithmetic", "BCIC-IV-2a")
ABLATION_COUNTS = [  # BCIC-IV-2a, embedding 1024
    ({"pooling": "mean"}, 686_068),  # also token-prediction averaging
    ({"mixer": "gmlp"}, 645_316),
    ({"combine": "add"}, 588_916),
    ({"combine": "weighted_add"}, 588_932),
    ({"recurrent": True}, 249_490),
    ({"depth": 4}, 451_132),
    ({"mixer": "transformer"}, 1_242_372),
    ({"mixer": "cc_transformer"}, 980_228),
    ({"mixer": "none"}, 182_276),
    ({"query_mode": "max"}, 719_988),
    ({"query_mode": "learned_weights"}, 730_324),
    ({"query_mode": "all_concat"}, 834_676),
    ({"position_kind": "sinusoidal"}, 705_396),
    ({"positions": ()}, 705_396),
    ({"projection": "reduced", "projection_width": 64}, 662_708),
    ({"input_norm": "none"}, 717_940),
    ({"input_norm": "batch"}, 719_988),
]


def count(dataset, embedding, hidden=(), **options):
    """Trainable parameters of backbone and head, without a number being drawn."""
    n_channels, n_times, n_logits = DATASETS[dataset]
    with torch.device("meta"):
        backbone = Stamp(token_spec(n_channels, n_times, embedding), **options)
        modules = [backbone, classifier(backbone.width, hidden, n_logits)]
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)


def classifier(width, hidden, n_logits):
    """The reference's: Linear and ELU for each hidden size, a dropout after each but the last, a Linear."""
    layers = []
    for i, size in enumerate(hidden):
        layers += [nn.Linear(width, size), nn.ELU()] + ([nn.Dropout(0.3)] if i < len(hidden) - 1 else [])
        width = size
    return nn.Sequential(*layers, nn.Linear(width, n_logits)) if layers else nn.Linear(width, n_logits)


@pytest.mark.parametrize("dataset", DATASETS)
def test_default_counts(dataset):
    assert (
        tuple(count(dataset, embedding) for embedding in (1024, 768, 512, 240)) == DEFAULT_COUNTS[dataset]
    )


@pytest.mark.parametrize("width", WIDTH_COUNTS)
def test_counts_of_the_width_study(width):
    assert tuple(count(dataset, 1024, width=width) for dataset in FOUR) == WIDTH_COUNTS[width]


@pytest.mark.parametrize(("options", "expected"), ABLATION_COUNTS, ids=lambda value: str(value))
def test_counts_of_the_ablations(options, expected):
    assert count("BCIC-IV-2a", 1024, **options) == expected


def test_count_with_a_hidden_head():
    assert count("BCIC-IV-2a", 1024, hidden=(128, 64)) == 744_500


@pytest.mark.parametrize(
    ("mixer", "mean"),
    [("cc_gmlp", 736_722), ("gmlp", 791_610), ("transformer", 1_251_000), ("cc_transformer", 989_000)],
)
def test_mean_counts_over_the_four_ablation_datasets(mixer, mean):
    """As the paper prints them, in the last two cases to three digits."""
    found = sum(count(dataset, 1024, mixer=mixer) for dataset in FOUR) / 4
    assert abs(found - mean) < (1 if mixer.endswith("gmlp") else 500)


# --- random states in the reference's layout

SIZES = {"S": 5, "T": 3, "E": 12, "D": 8, "F": 10, "L": 2, "A": 2, "K": 3, "C": 3}
MIXER_HEADS = 4
LAMBDA = 0.1


def reference_shapes(sizes, options):
    """Key and shape of everything that a reference model of these sizes and options would store."""
    S, T, E, D, F, L, A, K, C = (sizes[letter] for letter in "STEDFLAKC")
    N, d = S * T, D // A
    shapes = {}

    def linear(name, n_in, n_out, bias=True):
        shapes[f"{name}.weight"] = (n_out, n_in)
        if bias:
            shapes[f"{name}.bias"] = (n_out,)

    def norm(name, n):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (n,)

    def attention(name, n):
        shapes[f"{name}.in_proj_weight"], shapes[f"{name}.in_proj_bias"] = (3 * n, n), (3 * n,)
        linear(f"{name}.out_proj", n, n)

    if options.get("input_norm", "instance") != "none":
        norm("data_norm", E)
    if options.get("input_norm") == "batch":
        shapes["data_norm.running_mean"] = shapes["data_norm.running_var"] = (E,)
        shapes["data_norm.num_batches_tracked"] = ()
    if E != D and options.get("projection", "full") == "full":
        linear("linear.1", E, D)
    elif E != D:
        linear("linear.1", E, options["projection_width"])
        linear("linear.4", options["projection_width"], D)
    if options.get("position_kind", "learned") == "learned":
        rows = {
            "token": ("pos_embed", N),
            "spatial": ("spatial_embed", S),
            "temporal": ("temporal_embed", T),
        }
        for table in options.get("positions", rows):
            shapes[f"{rows[table][0]}.weight"] = (rows[table][1], D)
    mixer, combine = options.get("mixer", "cc_gmlp"), options.get("combine", "concat")
    for i in range(L):
        if mixer in ("cc_gmlp", "gmlp"):
            block = f"gated_mlp.{i}"
            gates = [("sgu_temporal", T), ("sgu_spatial", S)] if mixer == "cc_gmlp" else [("sgu", N)]
            norm(f"{block}.norm", D)
            linear(f"{block}.proj_1", D, F)
            for gate, length in gates:
                norm(f"{block}.{gate}.norm", F // 2)
                linear(f"{block}.{gate}.spatial_proj", length, length)
            linear(f"{block}.proj_2", F if (mixer, combine) == ("cc_gmlp", "concat") else F // 2, D)
            if combine == "weighted_add":
                shapes[f"{block}.temporal_weight"] = shapes[f"{block}.spatial_weight"] = (1,)
        elif mixer != "none":
            layer = f"transformer.layers.{i}"
            for name in ("spatial_attn", "temporal_attn") if mixer == "cc_transformer" else ("self_attn",):
                attention(f"{layer}.{name}", D // 2 if mixer == "cc_transformer" else D)
            linear(f"{layer}.linear1", D, F)
            linear(f"{layer}.linear2", F, D)
            norm(f"{layer}.norm1", D)
            norm(f"{layer}.norm2", D)
    if mixer.endswith("transformer") and options.get("final_norm", True):
        norm("transformer.norm", D)
    if options.get("pooling", "mhap") == "mhap":
        pool, mode = "multi_head_attention_pooling", options.get("query_mode", "weighted_sum")
        shapes[f"{pool}.Q"] = (A, K, d)
        for a in range(A):
            linear(f"{pool}.W.{a}", D, d, bias=False)
        if mode == "learned_weights":
            linear(f"{pool}.query_weight_net.0", D, D // 2)
            linear(f"{pool}.query_weight_net.3", D // 2, A * K)
        linear(f"{pool}.out_proj", D * K if mode == "all_concat" else D, D)
    if options.get("cls_tokens"):
        shapes["cls_tokens"] = (1, options["cls_tokens"], D)
    name = "token_classifier" if options.get("average_predictions") else "classifier"
    hidden = options.get("hidden", ())
    for i, size in enumerate(hidden):
        linear(
            f"{name}.{3 * i}", D if i == 0 else hidden[i - 1], size
        )  # Linear, ELU, Dropout; no Dropout after the last
    linear(f"{name}.{3 * len(hidden) - 1}" if hidden else name, hidden[-1] if hidden else D, C)
    return shapes


def reference_state(sizes, options, seed=0):
    """Random float64 tensors; large enough for every gate, softmax and norm to be far from where it starts."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in reference_shapes(sizes, options).items():
        tensor = 0.7 * torch.randn(shape, generator=generator, dtype=torch.float64)
        if key.endswith("running_var"):
            tensor = tensor.square() + 0.5
        state[key] = torch.tensor(7) if key.endswith("num_batches_tracked") else tensor
    if options.get("recurrent"):  # one block object L times: the same tensors under every index
        for key in state:
            if key.startswith("gated_mlp."):
                state[key] = state["gated_mlp.0." + key.split(".", 2)[2]]
    return state


# --- the oracle


def apply_linear(p, name, v):
    w, b = p[f"{name}.weight"], p.get(f"{name}.bias")
    out = torch.stack([(w[i] * v).sum() for i in range(len(w))])
    return out if b is None else out + b


def layer_norm(p, name, v):
    mean = v.sum() / len(v)
    variance = ((v - mean) ** 2).sum() / len(v)
    return (v - mean) / (variance + 1e-5) ** 0.5 * p[f"{name}.weight"] + p[f"{name}.bias"]


def softmax(v):
    e = torch.stack([(value - v.max()).exp() for value in v])
    return e / e.sum()


def gelu(v):
    return torch.stack([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in v])


def input_norm(p, x, kind):
    if kind == "none":
        return x
    T, S, E = x.shape
    out = torch.empty_like(x)
    for e in range(E):
        if kind == "instance":
            mean = x[:, :, e].sum() / (T * S)
            variance = ((x[:, :, e] - mean) ** 2).sum() / (T * S)
        else:
            mean, variance = p["data_norm.running_mean"][e], p["data_norm.running_var"][e]
        scaled = (x[:, :, e] - mean) / (variance + 1e-5) ** 0.5
        out[:, :, e] = scaled * p["data_norm.weight"][e] + p["data_norm.bias"][e]
    return out


def sinusoid(position, table_size, width):
    row = torch.zeros(width)
    for dim in range(width):
        angle = position * math.exp(-(2 * (dim // 2)) * math.log(table_size) / width)
        row[dim] = math.sin(angle) if dim % 2 == 0 else math.cos(angle)
    return row


def positions(p, options, t, s, T, S, D):
    tables = options.get("positions", ("token", "spatial", "temporal"))
    place = {"token": (t * S + s, T * S), "spatial": (s, S), "temporal": (t, T)}
    key = {"token": "pos_embed", "spatial": "spatial_embed", "temporal": "temporal_embed"}
    total = torch.zeros(D)
    for table in tables:
        row, size = place[table]
        learned = options.get("position_kind", "learned") == "learned"
        total = total + (p[f"{key[table]}.weight"][row] if learned else sinusoid(row, size, D))
    return total


def gate(p, name, line):
    """Spatial gating unit along one line of tokens: u times a mix of the normalised v."""
    half = len(line[0]) // 2
    v = [layer_norm(p, f"{name}.norm", h[half:]) for h in line]
    w, b = p[f"{name}.spatial_proj.weight"], p[f"{name}.spatial_proj.bias"]
    out = []
    for m in range(len(line)):
        mixed = torch.zeros(half)
        for j in range(len(line)):
            mixed = mixed + w[m, j] * v[j]
        out.append(line[m][:half] * (mixed + b[m]))
    return out


def cc_gmlp(p, name, x, combine):
    T, S, _ = x.shape
    h = [
        [gelu(apply_linear(p, f"{name}.proj_1", layer_norm(p, f"{name}.norm", x[t, s]))) for s in range(S)]
        for t in range(T)
    ]
    along_t = [gate(p, f"{name}.sgu_temporal", [h[t][s] for t in range(T)]) for s in range(S)]
    along_s = [gate(p, f"{name}.sgu_spatial", h[t]) for t in range(T)]
    out = torch.empty_like(x)
    for t in range(T):
        for s in range(S):
            temporal, spatial = along_t[s][t], along_s[t][s]
            if combine == "concat":
                u = torch.cat([temporal, spatial])
            elif combine == "add":
                u = temporal + spatial
            else:
                u = p[f"{name}.temporal_weight"] * temporal + p[f"{name}.spatial_weight"] * spatial
            out[t, s] = x[t, s] + apply_linear(p, f"{name}.proj_2", u)
    return out


def gmlp(p, name, x):
    T, S, D = x.shape
    line = [x[n // S, n % S] for n in range(T * S)]
    gated = gate(
        p,
        f"{name}.sgu",
        [gelu(apply_linear(p, f"{name}.proj_1", layer_norm(p, f"{name}.norm", v))) for v in line],
    )
    out = [v + apply_linear(p, f"{name}.proj_2", g) for v, g in zip(line, gated, strict=True)]
    return torch.stack(out).reshape(T, S, D)


def self_attention(p, name, line, n_heads):
    width = len(line[0])
    d = width // n_heads
    w, b = p[f"{name}.in_proj_weight"], p[f"{name}.in_proj_bias"]
    q, k, v = (
        [w[i * width : (i + 1) * width] @ h + b[i * width : (i + 1) * width] for h in line]
        for i in range(3)
    )
    out = []
    for m in range(len(line)):
        heads = []
        for head in range(n_heads):
            part = slice(head * d, (head + 1) * d)
            score = torch.stack([(q[m][part] * k[j][part]).sum() / math.sqrt(d) for j in range(len(line))])
            weight = softmax(score)
            heads.append(sum(weight[j] * v[j][part] for j in range(len(line))))
        out.append(apply_linear(p, f"{name}.out_proj", torch.cat(heads)))
    return out


def transformer_layer(p, name, x, criss_cross, norm_first):
    T, S, D = x.shape

    def attend(h):
        if not criss_cross:
            out = self_attention(
                p, f"{name}.self_attn", [h[t, s] for t in range(T) for s in range(S)], MIXER_HEADS
            )
            return torch.stack(out).reshape(T, S, D)
        half, heads = D // 2, MIXER_HEADS // 2
        spatial = [
            self_attention(p, f"{name}.spatial_attn", [h[t, s][:half] for s in range(S)], heads)
            for t in range(T)
        ]
        temporal = [
            self_attention(p, f"{name}.temporal_attn", [h[t, s][half:] for t in range(T)], heads)
            for s in range(S)
        ]
        out = torch.empty_like(h)
        for t in range(T):
            for s in range(S):
                out[t, s] = torch.cat([spatial[t][s], temporal[s][t]])
        return out

    def each(function, h):
        return torch.stack([torch.stack([function(h[t, s]) for s in range(S)]) for t in range(T)])

    def feed(v):
        return apply_linear(p, f"{name}.linear2", apply_linear(p, f"{name}.linear1", v).clamp(min=0))

    def norm(which):
        return lambda v: layer_norm(p, f"{name}.{which}", v)

    if norm_first:
        x = x + attend(each(norm("norm1"), x))
        return x + each(feed, each(norm("norm2"), x))
    x = each(norm("norm1"), x + attend(x))
    return each(norm("norm2"), x + each(feed, x))


def mhap(p, tokens, sizes, options):
    name, mode = "multi_head_attention_pooling", options.get("query_mode", "weighted_sum")
    lam = options.get("residual_lambda", LAMBDA)
    A, K, D = sizes["A"], sizes["K"], sizes["D"]
    N, d = len(tokens), D // A
    mean = sum(tokens) / N
    if mode == "learned_weights":
        hidden = apply_linear(p, f"{name}.query_weight_net.0", mean).clamp(min=0)
        joint = softmax(apply_linear(p, f"{name}.query_weight_net.3", hidden))  # over all A * K
    heads = []
    for a in range(A):
        P = [apply_linear(p, f"{name}.W.{a}", token) for token in tokens]
        pooled, mass = [], []
        for k in range(K):
            alpha = softmax(
                torch.stack([(P[n] * p[f"{name}.Q"][a, k]).sum() / math.sqrt(d) for n in range(N)])
            )
            mass.append(alpha.sum())
            pooled.append(sum(alpha[n] * P[n] for n in range(N)))
        if mode == "weighted_sum":
            omega = softmax(torch.stack(mass))
            heads.append(sum(omega[k] * pooled[k] for k in range(K)))
        elif mode == "max":
            # all sums are one here: the largest beyond rounding, and of equals the first
            chosen = next(k for k in range(K) if mass[k] > max(mass) - 1e-9)
            heads.append(pooled[chosen])
        elif mode == "learned_weights":
            heads.append(sum(joint[a * K + k] * pooled[k] for k in range(K)))
        else:
            heads.append(torch.cat(pooled))
    z = apply_linear(p, f"{name}.out_proj", torch.cat(heads))
    if lam == 0:
        return z
    return z + lam * mean if options.get("residual_mode", "code") == "code" else lam * z + (1 - lam) * mean


def head(p, name, v, hidden):
    for i in range(len(hidden)):
        v = apply_linear(p, f"{name}.{3 * i}", v)
        v = torch.where(v > 0, v, v.exp() - 1)  # ELU
    return apply_linear(p, f"{name}.{3 * len(hidden) - 1}" if hidden else name, v)


def oracle(p, x, sizes, options):
    """Logits (batch, class) of time-major x (batch, time, channel, embedding), in evaluation mode."""
    mixer = options.get("mixer", "cc_gmlp")
    logits = []
    for sample in x:
        h = input_norm(p, sample, options.get("input_norm", "instance"))
        T, S, E = h.shape
        D = sizes["D"]
        grid = torch.empty(T, S, D)
        for t in range(T):
            for s in range(S):
                v = h[t, s]
                if E != D:
                    v = apply_linear(p, "linear.1", v)
                if "linear.4.weight" in p:
                    v = apply_linear(p, "linear.4", v.clamp(min=0))
                grid[t, s] = v + positions(p, options, t, s, T, S, D)
        for i in range(sizes["L"]):
            if mixer == "cc_gmlp":
                grid = cc_gmlp(p, f"gated_mlp.{i}", grid, options.get("combine", "concat"))
            elif mixer == "gmlp":
                grid = gmlp(p, f"gated_mlp.{i}", grid)
            elif mixer != "none":
                layer = f"transformer.layers.{i}"
                grid = transformer_layer(
                    p, layer, grid, mixer == "cc_transformer", options.get("norm_first", False)
                )
        tokens = [grid[t, s] for t in range(T) for s in range(S)]
        if "transformer.norm.weight" in p:
            tokens = [layer_norm(p, "transformer.norm", v) for v in tokens]
        hidden = options.get("hidden", ())
        if options.get("average_predictions"):
            logits.append(sum(head(p, "token_classifier", v, hidden) for v in tokens) / len(tokens))
        elif options.get("pooling", "mhap") == "mean":
            logits.append(head(p, "classifier", sum(tokens) / len(tokens), hidden))
        else:
            logits.append(head(p, "classifier", mhap(p, tokens, sizes, options), hidden))
    return torch.stack(logits)


# --- parity

SUBSETS = [
    (),
    ("token",),
    ("spatial",),
    ("temporal",),
    ("token", "spatial"),
    ("token", "temporal"),
    ("spatial", "temporal"),
    ("token", "spatial", "temporal"),
]
MODES = ("weighted_sum", "max", "learned_weights", "all_concat")
OPTIONS = [
    *(
        {"positions": tables, "position_kind": kind}
        for kind in ("learned", "sinusoidal")
        for tables in SUBSETS
    ),
    *(
        {"combine": how, "recurrent": again}
        for how in ("concat", "add", "weighted_add")
        for again in (False, True)
    ),
    *({"mixer": "gmlp", "recurrent": recurrent} for recurrent in (False, True)),
    *(
        {"mixer": mixer, "norm_first": norm_first, "final_norm": final_norm}
        for mixer in ("transformer", "cc_transformer")
        for norm_first in (False, True)
        for final_norm in (False, True)
    ),
    {"mixer": "none"},
    *({"query_mode": mode, "residual_mode": residual} for mode in MODES for residual in ("code", "paper")),
    *({"query_mode": mode, "residual_lambda": 0.0, "residual_mode": "paper"} for mode in MODES),
    *({"input_norm": norm} for norm in ("batch", "none")),
    {"projection": "reduced", "projection_width": 7},
    {"pooling": "mean"},
    {"pooling": "mean", "average_predictions": True},
    {"hidden": (6, 5)},
    {"cls_tokens": 2},
    # several departures at once: an option must not undo another
    {
        "mixer": "gmlp",
        "query_mode": "learned_weights",
        "residual_mode": "paper",
        "input_norm": "batch",
        "positions": ("spatial",),
    },
    {
        "mixer": "cc_transformer",
        "query_mode": "all_concat",
        "projection": "reduced",
        "projection_width": 3,
        "hidden": (4,),
    },
]
# logits of the reference itself; see golden/make_stamp.py
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "stamp_forward.json").read_text())
OURS_ONLY = ("average_predictions", "hidden", "cls_tokens")  # options of the oracle that are not Stamp's


def both(sizes, options, seed=0):
    """Logits of the same random state and samples from the implementation and from the oracle."""
    with float64():
        state = reference_state(sizes, options, seed)
        backbone_state, head_state = from_reference(state, recurrent=options.get("recurrent", False))
        backbone = Stamp(
            token_spec(sizes["S"], sizes["T"], sizes["E"]),
            width=sizes["D"],
            depth=sizes["L"],
            ff_width=sizes["F"],
            n_heads=sizes["A"],
            n_queries=sizes["K"],
            mixer_heads=MIXER_HEADS,
            **{name: value for name, value in options.items() if name not in OURS_ONLY},
        )
        last = classifier(sizes["D"], options.get("hidden", ()), sizes["C"])
        backbone.load_state_dict(backbone_state, strict=True)
        last.load_state_dict(head_state, strict=True)
        backbone.eval(), last.eval()
        x = 3 * randn(2, sizes["T"], sizes["S"], sizes["E"], seed=seed + 1) + 1  # time-major, as the paper
        with torch.no_grad():
            ours = last(backbone.embed(x.transpose(1, 2).contiguous(), torch.zeros(sizes["S"], 3)))
            return ours, oracle(state, x, sizes, options)


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: ", ".join(f"{k}={v}" for k, v in options.items())
)
def test_logits_equal_the_oracle(options):
    """They also equal the reference's own answers, up to the float32 in which it computes its sinusoids."""
    ours, expected = both(SIZES, options)
    assert (ours - expected).abs().max() < 1e-10
    if str(options) in GOLDEN:
        assert (ours - torch.tensor(GOLDEN[str(options)], dtype=torch.float64)).abs().max() < 1e-5
    assert expected.std() > 1e-2  # the oracle has something to say


def test_the_reference_has_answered_all_that_it_can():
    """It has no residual as the paper prints it, and of query_mode=max what its rounding prefers is left out."""
    left = [options for options in OPTIONS if str(options) not in GOLDEN]
    assert len(GOLDEN) == len(OPTIONS) - len(left) == 47
    assert all(o.get("residual_mode") == "paper" or o["query_mode"] == "max" for o in left)


@pytest.mark.parametrize(
    "change",
    [
        {"T": 1},
        {"S": 1},
        {"E": 8},
        {"D": 9, "A": 3},
        {"K": 1},
        {"A": 1},
        {"A": 8},
        {"L": 0},
        {"S": 2, "T": 7, "L": 3},
    ],
    ids=str,
)
def test_logits_equal_the_oracle_at_odd_sizes(change):
    """One second (SEED-V), one channel, no projection where the widths agree, one head or query, no block."""
    ours, expected = both({**SIZES, **change}, {}, seed=3)
    assert (ours - expected).abs().max() < 1e-10


def test_sinusoids_of_an_odd_width():
    """The last frequency has a sine and no cosine."""
    ours, expected = both({**SIZES, "D": 9, "A": 3}, {"position_kind": "sinusoidal"})
    assert (ours - expected).abs().max() < 1e-10


@pytest.mark.parametrize(
    "options", [{}, {"query_mode": "learned_weights", "residual_mode": "paper"}, {"mixer": "gmlp"}], ids=str
)
def test_input_gradients_equal_the_oracles(options):
    """Equal values at one point could hide a detached branch; equal derivatives of the loss cannot."""
    with float64():
        sizes = {**SIZES, "S": 3, "T": 2}
        state = reference_state(sizes, options)
        backbone_state, head_state = from_reference(state)
        small = {
            "width": sizes["D"],
            "depth": sizes["L"],
            "ff_width": sizes["F"],
            "n_heads": sizes["A"],
            "n_queries": sizes["K"],
        }
        backbone = Stamp(token_spec(sizes["S"], sizes["T"], sizes["E"]), **small, **options)
        backbone.load_state_dict(backbone_state)
        x = randn(2, sizes["T"], sizes["S"], sizes["E"], seed=2).requires_grad_()
        weight, bias = head_state["weight"], head_state["bias"]
        vectors = backbone.eval().embed(x.transpose(1, 2), torch.zeros(sizes["S"], 3))
        (ours,) = torch.autograd.grad((vectors @ weight.T + bias).square().sum(), x)
        differences = torch.zeros(5)
        step = 1e-5
        for i, place in enumerate([(0, 0, 0, 0), (0, 1, 2, 5), (1, 0, 1, 11), (1, 1, 0, 3), (0, 1, 0, 7)]):
            up, down = x.detach().clone(), x.detach().clone()
            up[place] += step
            down[place] -= step
            rise = (oracle(state, up, sizes, options) ** 2).sum() - (
                oracle(state, down, sizes, options) ** 2
            ).sum()
            differences[i] = rise / (2 * step) - ours[place]
        assert differences.abs().max() < 1e-6 * ours.abs().max()


# --- the map of state dicts


def test_the_default_layout_has_128_entries_and_fills_every_place():
    """BCIC-IV-2a on MOMENT-Large: 719,988 numbers, none left over, none missing."""
    sizes = {"S": 22, "T": 4, "E": 1024, "D": 128, "F": 256, "L": 8, "A": 4, "K": 8, "C": 4}
    shapes = reference_shapes(sizes, {})
    assert len(shapes) == 128
    assert sum(math.prod(shape) for shape in shapes.values()) == 719_988
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    backbone_state, head_state = from_reference(state)
    with torch.device("meta"):
        backbone = Stamp(token_spec(22, 4, 1024))
    assert {k: v.shape for k, v in backbone_state.items()} == {
        k: v.shape for k, v in backbone.state_dict().items()
    }
    assert {k: tuple(v.shape) for k, v in head_state.items()} == {"weight": (4, 128), "bias": (4,)}


def test_heads_are_stacked_in_their_numbers_order():
    """Ten heads and more: W.10 comes after W.9, not after W.1."""
    state = {f"multi_head_attention_pooling.W.{a}.weight": torch.full((1, 12), float(a)) for a in range(12)}
    backbone_state, _ = from_reference(dict(sorted(state.items())))
    torch.testing.assert_close(backbone_state["pooling.project.weight"][:, 0], torch.arange(12.0))


@pytest.mark.parametrize(
    "key", ["gated_mlp.0.sgu_diagonal.norm.weight", "encoder.weight", "linear.2.weight", "pos_embed.bias"]
)
def test_a_key_of_another_model_is_named(key):
    with pytest.raises(EegfmError, match=key.replace(".", r"\.")):
        from_reference({**reference_state(SIZES, {}), key: torch.zeros(1)})


def test_a_misspelt_choice_is_answered_with_the_choices():
    choices = {
        "input_norm": "instance, batch, standardise, none",
        "projection": "full, reduced",
        "position_kind": "learned, sinusoidal",
        "mixer": "cc_gmlp, gmlp, cc_transformer, transformer, none",
        "combine": "concat, add, weighted_add",
        "pooling": "mhap, mean",
        "query_mode": "weighted_sum, max, learned_weights, all_concat",
        "residual_mode": "code, paper",
        "positions": "token, spatial, temporal",
    }
    for name, allowed in choices.items():
        value = ["sptial"] if name == "positions" else "sptial"
        with (
            as_a_person(),
            pytest.raises(EegfmError, match=f"{name}='sptial' is not a choice. Choose one of: {allowed}"),
        ):
            Stamp(token_spec(3, 2, 8), **{name: value})
