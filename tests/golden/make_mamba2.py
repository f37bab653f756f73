"""Makes mamba2.safetensors: what the public Triton kernels of Mamba-2 answer to small inputs, forward and backward.

No GPU: Triton's interpreter runs the kernels of mamba-ssm on the CPU in float32. Not part of any test run, and Triton
and mamba-ssm are no dependencies of this project. In a fresh environment (Python 3.11):

    pip install torch==2.13.0 numpy==2.4.6 einops safetensors huggingface_hub wheel setuptools packaging ninja
    pip install --no-deps triton==3.9.0
    MAMBA_SKIP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE \
        pip install --no-deps --no-build-isolation mamba-ssm==2.3.2.post1
    python make_mamba2.py mamba2.safetensors

`scan.*` is mamba_chunk_scan_combined: 37 steps in chunks of 16, 4 heads of 8 in 2 groups, 8 states, a first state, D.
`layer.*` is the module Mamba2 itself (d_model 16, expand 2, headdim 8, d_state 8, ngroups 2, d_conv 3), drawn from seed
0: `layer.state.*` its parameters, `layer.grad.*` their gradients. Gradients are those of sum(output * cotangent).
"""

import contextlib
import os
import sys
import types
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"
os.environ["MAMBA_DETERMINISTIC"] = (
    "1"  # one configuration a kernel: nothing to tune, which would need a driver
)

import torch
from safetensors.torch import save_file

# kernels ask the device for its number of processors, and launch on "the tensor's device"
torch.cuda.device = lambda *_: contextlib.nullcontext()
torch.cuda.get_device_properties = lambda *_: types.SimpleNamespace(multi_processor_count=4)
# its __init__ imports a compiled module that Mamba-2 does not use
package = types.ModuleType("mamba_ssm")
package.__path__ = list(find_spec("mamba_ssm").submodule_search_locations)
sys.modules["mamba_ssm"] = package

from mamba_ssm.modules.mamba2 import Mamba2  # noqa: E402
from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined  # noqa: E402

generator = torch.Generator().manual_seed(0)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator)


def scan() -> dict[str, torch.Tensor]:
    batch, time, heads, head, groups, states = 2, 37, 4, 8, 2, 8
    inputs = {
        "x": randn(batch, time, heads, head),
        "dt": torch.nn.functional.softplus(randn(batch, time, heads) - 1),
        "A": -torch.exp(randn(heads)),
        "B": randn(batch, time, groups, states),
        "C": randn(batch, time, groups, states),
        "D": randn(heads),
        "state": randn(batch, heads, head, states),
    }
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    x, dt, A, B, C, D, state = leaves.values()
    y, last = mamba_chunk_scan_combined(
        x, dt, A, B, C, chunk_size=16, D=D, initial_states=state, return_final_states=True
    )
    cotangents = {"y": randn(*y.shape), "last": randn(*last.shape)}
    (y * cotangents["y"]).sum().add((last * cotangents["last"]).sum()).backward()
    found = {f"scan.{name}": value for name, value in inputs.items()}
    found |= {f"scan.cotangent.{name}": value for name, value in cotangents.items()}
    found |= {f"scan.grad.{name}": leaf.grad for name, leaf in leaves.items()}
    return found | {"scan.out.y": y.detach(), "scan.out.last": last.detach()}


def layer() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_state": 8, "d_conv": 3, "expand": 2, "headdim": 8, "ngroups": 2}
    module = Mamba2(
        **sizes, chunk_size=16, use_mem_eff_path=False
    )  # the other path needs a CUDA convolution
    with torch.no_grad():
        for name in ("D", "norm.weight"):  # not ones
            module.get_parameter(name).add_(0.3 * randn(*module.get_parameter(name).shape))
    u = randn(2, 37, 16).requires_grad_()
    out = module(u)
    cotangent = randn(*out.shape)
    (out * cotangent).sum().backward()
    found = {
        "layer.u": u.detach(),
        "layer.cotangent": cotangent,
        "layer.out": out.detach(),
        "layer.grad.u": u.grad,
    }
    found |= {f"layer.state.{name}": value for name, value in module.state_dict().items()}
    return found | {f"layer.grad.{name}": value.grad for name, value in module.named_parameters()}


if __name__ == "__main__":
    made = ", ".join(f"{name} {version(name)}" for name in ("mamba-ssm", "triton", "torch"))
    tensors = {name: value.contiguous().clone() for name, value in {**scan(), **layer()}.items()}
    save_file(tensors, Path(sys.argv[1]), metadata={"made_with": f"{made}, TRITON_INTERPRET=1"})
    print(
        made,
        f"{len(tensors)} tensors, {sum(value.numel() for value in tensors.values()) * 4 / 1024:.0f} kB",
    )
