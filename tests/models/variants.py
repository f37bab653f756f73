"""The choices that a model can be built with, at a small size: what every backbone owes holds for each of them.

Each entry is what differs from `conf/model/<model>.yaml` beside the size.
"""

SMALL = {
    "stamp": {"width": 8, "depth": 2, "ff_width": 12, "n_heads": 2, "n_queries": 3, "mixer_heads": 4},
    "eegm2": {"width_scale": 8, "d_state": 8},
    "samba": {"width_scale": 8},
}
VARIANTS = {
    "stamp": [
        {"combine": "add"},
        {"combine": "weighted_add", "recurrent": True},
        {"mixer": "gmlp"},
        {"mixer": "cc_transformer"},
        {"mixer": "cc_transformer", "norm_first": True, "final_norm": False},
        {"mixer": "transformer"},
        {"mixer": "none"},
        {"query_mode": "max"},
        {"query_mode": "learned_weights", "residual_mode": "paper"},
        {"query_mode": "all_concat", "residual_lambda": 0.0},
        {"pooling": "mean"},
        {"input_norm": "batch"},
        {"input_norm": "standardise"},
        {"input_norm": "none"},
        {"projection": "reduced", "projection_width": 7},
        {"width": 32},  # that of the tokens
        {"positions": ["spatial"], "position_kind": "sinusoidal"},
        {"positions": [], "acpe_kernel": [3, 1]},
        {"acpe_kernel": [3, 3], "acpe_mix": True},
    ],
    "eegm2": [
        {"light": True, "layer": "pool3"},
        {"embedding": "single"},  # S1
        {"mixer": "mamba1"},  # S3
        {"mixer": "mamba1", "embedding": "single"},  # S4
        {"mixer": "attention"},  # S5
        {"mixer": "convolution"},  # the classic U-Net, which has no small size
        {"layer": "pool3", "pooling": "mean"},
        {"layer": "output", "pooling": "flatten"},
        {"layer": "bottleneck", "pooling": "flatten"},
        {"layer": "mixer2", "pooling": "logcov"},
        {"causal": True},
        {"causal": True, "embedding": "single", "d_conv": 1},
        {"scan": "recurrent"},
    ],
    "samba": [
        {"causal": True},
        {"look": "published", "head": "published", "lam": "published", "norm": "published"},
        {"mixer": "convolution"},
        {"differential": False},
        {"differential": False, "look": "none", "head": "published"},
        {"signed": True, "layer": "rise2", "pooling": "mean"},
        {"layer": "pool3", "pooling": "logcov"},
    ],
}


def named(options: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or "default"
