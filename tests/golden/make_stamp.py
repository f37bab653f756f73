"""Makes stamp_forward.json: what the STAMP reference answers to small random states and samples, in evaluation mode.

Not part of any test run. The reference (github.com/autonlab/STAMP at 80bea69, MIT) is read from a checkout, none of it
is here; of its modules only the model's own are imported:

    python -m tests.golden.make_stamp <checkout> tests/golden/stamp_forward.json

States, samples and sizes are those of tests/parity/test_stamp.py, in float64; the file holds the logits, by the
options that a `Stamp` is given. Left out are the residual as the paper prints it, which the reference has not, and
`query_mode=max`, where it takes the query that rounding prefers.
"""

import importlib
import json
import sys
import types
from pathlib import Path

import torch
from tests.nn.tokens import float64, randn
from tests.parity.test_stamp import LAMBDA, MIXER_HEADS, OPTIONS, SIZES, reference_state

NONE = {"dropout_rate": 0.0}


def runs_there(options: dict) -> bool:
    """Whether the reference has these options and its answer is more than rounding."""
    paper = options.get("residual_mode") == "paper" and options.get("residual_lambda") != 0.0
    return not paper and options.get("query_mode") != "max"


def reference(module: types.ModuleType, options: dict) -> torch.nn.Module:
    """The reference's model of these options, as its experiment grid would spell them."""
    mixer, tables = (
        options.get("mixer", "cc_gmlp"),
        options.get("positions", ("token", "spatial", "temporal")),
    )
    kind = {"learned": "basic", "sinusoidal": "sinusoidal"}[options.get("position_kind", "learned")]
    common = {**NONE, "n_layers": SIZES["L"], "dim_feedforward": SIZES["F"]}
    norm, hidden = options.get("input_norm", "instance"), options.get("hidden")
    aggregation = "attention_pooling" if options.get("pooling", "mhap") == "mhap" else "mean_across_tokens"
    return module.STAMP(
        input_dim=SIZES["E"],
        D=SIZES["D"],
        n_temporal_channels=SIZES["T"],
        n_spatial_channels=SIZES["S"],
        encoder_aggregation="token_prediction_averaging"
        if options.get("average_predictions")
        else aggregation,
        n_classes=SIZES["C"],
        initial_proj_params={
            **NONE,
            "type": options.get("projection", "full"),
            "hidden_dim": options.get("projection_width"),
        },
        final_classifier_params={**NONE, "hidden_sizes": list(hidden)} if hidden else None,
        use_batch_norm=norm == "batch",
        use_instance_norm=norm == "instance",
        pe_params={
            "pe_type": kind,
            **{
                f"use_{table}_positional_embeddings": table in tables
                for table in ("token", "spatial", "temporal")
            },
        }
        if tables
        else None,
        transformer_params={
            **common,
            "type": {"transformer": "basic", "cc_transformer": "criss_cross"}[mixer],
            "n_heads": MIXER_HEADS,
            "norm_first": options.get("norm_first", False),
            "use_final_norm": options.get("final_norm", True),
        }
        if mixer.endswith("transformer")
        else None,
        gated_mlp_params={
            **common,
            "type": {"gmlp": "basic", "cc_gmlp": "criss_cross"}[mixer],
            "recurrent": options.get("recurrent", False),
            "combination_mode": options.get("combine", "concat"),
        }
        if mixer.endswith("gmlp")
        else None,
        mhap_params={
            **NONE,
            "A": SIZES["A"],
            "n_queries_per_head": SIZES["K"],
            "query_combination": options.get("query_mode", "weighted_sum"),
            "lambda_for_residual": options.get("residual_lambda", LAMBDA),
        },
        n_cls_tokens=options.get("cls_tokens"),
    )


def main(checkout: Path, file: Path) -> None:
    for name in ("stamp", "stamp.modeling"):  # whose own files import what only an experiment needs
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    module = importlib.import_module("stamp.modeling.stamp")
    found = {}
    for options in filter(runs_there, OPTIONS):
        with float64(), torch.no_grad():
            model = reference(module, options).eval()
            model.load_state_dict(reference_state(SIZES, options), strict=True)
            x = 3 * randn(2, SIZES["T"], SIZES["S"], SIZES["E"], seed=1) + 1
            found[str(options)] = model(x, return_attention=False)[0].tolist()
    lines = ",\n".join(f"  {json.dumps(name)}: {logits}" for name, logits in found.items())
    file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
