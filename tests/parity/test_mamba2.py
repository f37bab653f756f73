"""The scan and the layer against code that is not ours: the public Triton kernels, transformers, mamba-ssm.

`tests/golden/mamba2.safetensors` holds what the kernels of mamba-ssm 2.3.2.post1 answered under Triton's interpreter;
`make_mamba2.py` beside it made it and says how.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eegfm.nn.mamba2 import Mamba2
from eegfm.nn.ssd import chunked, recurrent
from tests.nn.scans import relative, scan_inputs
from tests.nn.tokens import CastsAreDouble, float64, randn, randomise, seeded

GOLDEN = Path(__file__).parents[1] / "golden" / "mamba2.safetensors"
LAYER = {"d_state": 8, "d_conv": 3, "expand": 2, "headdim": 8, "ngroups": 2}


@pytest.fixture(scope="module")
def golden():
    """Tensors by the first part of their name, then by the rest."""
    found = {"scan": {}, "layer": {}}
    for name, value in load_file(GOLDEN).items():
        part, rest = name.split(".", 1)
        found[part][rest] = value
    return found


def named(tensors, prefix):
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


# --- the public Triton kernels


@pytest.mark.parametrize("form", [recurrent, chunked])
def test_the_scan_is_that_of_the_public_kernels(golden, form):
    """Forward, and every gradient, with groups, a skip, a first state and a length that chunks do not divide.

    In float64: what is left is the rounding of the kernels' float32, the same on every machine.
    """
    scan = golden["scan"]
    inputs = [scan[name].double().requires_grad_() for name in ("x", "dt", "A", "B", "C", "D", "state")]
    options = {"chunk": 16} if form is chunked else {}
    y, last = form(*inputs[:-1], state=inputs[-1], **options)
    assert relative(y, scan["out.y"]) < 2e-6
    assert relative(last, scan["out.last"]) < 2e-6
    loss = (y * scan["cotangent.y"]).sum() + (last * scan["cotangent.last"]).sum()
    gradients = torch.autograd.grad(loss, inputs)
    for name, found in zip(("x", "dt", "A", "B", "C", "D", "state"), gradients, strict=True):
        assert relative(found, scan[f"grad.{name}"]) < 5e-6, name


@pytest.mark.parametrize("scan", ["chunked", "recurrent"])
def test_the_layer_is_the_public_one_with_its_weights(golden, scan):
    tensors = golden["layer"]
    layer = Mamba2(16, **LAYER, scan=scan)
    layer.load_state_dict(named(tensors, "state."), strict=True)
    layer.double()
    u = tensors["u"].double().requires_grad_()
    out = layer(u)
    assert relative(out, tensors["out"]) < 2e-6
    (out * tensors["cotangent"]).sum().backward()
    found = {"u": u.grad} | {name: value.grad for name, value in layer.named_parameters()}
    expected = named(tensors, "grad.")
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert relative(gradient, expected[name]) < 2e-5, name


def test_a_seed_draws_the_public_layers_first_weights(golden):
    """Same laws, drawn in the same order (D and the norm's weight were moved off their ones in the golden)."""
    with seeded(0):
        layer = Mamba2(16, **LAYER)
    expected = named(golden["layer"], "state.")
    assert layer.state_dict().keys() == expected.keys()
    for name, value in layer.state_dict().items():
        if name not in ("D", "norm.weight"):
            # a draw times its range, less the lower end: two roundings of what is as large as the range
            rounding = 2 * torch.finfo(torch.float32).eps * float(expected[name].abs().max())
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=rounding)


# --- transformers


@pytest.fixture(scope="module")
def mixer():
    pytest.importorskip(
        "transformers", reason="transformers is in the extra tsfm: pip install 'eegfm[tsfm]'"
    )
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    def make(layer: Mamba2, options) -> torch.nn.Module:
        config = Mamba2Config(
            hidden_size=layer.d_model,
            num_heads=layer.sizes[2],
            head_dim=layer.headdim,
            state_size=layer.d_state,
            conv_kernel=layer.d_conv,
            expand=options["expand"],
            n_groups=layer.ngroups,
            use_bias=options.get("bias", False),
            use_conv_bias=True,
            layer_norm_epsilon=1e-5,
            chunk_size=32,
            num_hidden_layers=1,
        )
        made = Mamba2Mixer(config, layer_idx=0)
        made.load_state_dict(layer.state_dict(), strict=True)
        return made

    return make


@pytest.mark.parametrize("time", [1, 33])
@pytest.mark.parametrize(
    "options",
    [
        {"d_state": 16, "d_conv": 2, "expand": 8, "headdim": 64},  # EEGM2
        {"d_state": 16, "d_conv": 2, "expand": 8, "headdim": 16},  # SAMBA's heads
        {"d_state": 8, "d_conv": 4, "expand": 2, "headdim": 8, "bias": True},
    ],
    ids=str,
)
def test_the_layer_is_that_of_transformers(mixer, options, time):
    """Its torch path, with our weights under our names: output and every gradient, in double precision."""
    with float64():
        layer = randomise(Mamba2(16, **options), scale=0.3)
        theirs = mixer(layer, options)
        u = randn(2, time, 16).requires_grad_()
        ours, cotangent = layer(u), randn(2, time, 16, seed=1)
        found = torch.autograd.grad((ours * cotangent).sum(), [u, *layer.parameters()])
        with CastsAreDouble():
            expected = theirs(u)
        by_name = dict(theirs.named_parameters())
        wanted = [by_name[name] for name, _ in layer.named_parameters()]
        wanted = torch.autograd.grad((expected * cotangent).sum(), [u, *wanted])
    assert relative(ours, expected) < 1e-12
    for a, b in zip(found, wanted, strict=True):
        # of one step alone the gradient of A is zero, which sums of rounded numbers only come near
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * max(1.0, float(b.abs().max())))


# --- the references written in torch by mamba-ssm's authors


def test_the_scan_is_mamba_ssms_reference():
    name = "mamba_ssm.ops.triton.ssd_combined"
    kernels = pytest.importorskip(name, reason="mamba-ssm is not installed", exc_type=ImportError)
    *inputs, _ = (v.detach() for v in scan_inputs(2, 64, 4, 16, 2, 16, dtype=torch.float32))
    x, dt, A, B, C, D = inputs
    expected = kernels.ssd_chunk_scan_combined_ref(x, dt, A, B, C, 16, D=D)
    assert relative(chunked(x, dt, A, B, C, D)[0], expected) < 1e-5


def test_the_scan_is_the_papers_listing():
    module = pytest.importorskip(
        "mamba_ssm.modules.ssd_minimal", reason="mamba-ssm is not installed", exc_type=ImportError
    )
    x, dt, A, B, C, _, _ = (v.detach() for v in scan_inputs(2, 64, 4, 8, 4, 8))
    expected, last = module.ssd_minimal_discrete(x * dt[..., None], dt * A, B, C, 16)
    found = chunked(x, dt, A, B, C)
    assert relative(found[0], expected) < 1e-10
    assert relative(found[1], last) < 1e-10
