"""Mamba-2, the layer (Dao & Gu 2024, arXiv:2405.21060), with one layout of parameters and three ways to compute it.

Written from the formulas; names, shapes and initialisation are those of `mamba_ssm.Mamba2` (github.com/state-spaces/
mamba, Apache-2.0), so that weights move both ways. Runs on anything torch runs on. The compiled kernels of mamba-ssm
and causal-conv1d are used for tensors on a CUDA device where they can be imported, which is asked at the first such
tensor and never at import. Differs: `d_ssm`, `D_has_hdim`, `rmsnorm`, `norm_before_gate` and `conv_init` keep their
upstream defaults and are no arguments; the state of a stream is a value, handed in and out, not a cache.
"""

import functools
import importlib
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from eegfm.contracts import EegfmError
from eegfm.nn import ssd
from eegfm.nn.mamba2_parts import ConvSiLU, GatedNorm, convolve
from eegfm.nn.options import check_option

Scan = Literal["auto", "fused", "chunked", "recurrent"]
KERNELS = ("causal_conv1d", "mamba_ssm.ops.triton.ssd_combined")
INSTALL = "pip install --no-build-isolation 'eegfm[mamba]'"

_log = logging.getLogger(__name__)


class State(NamedTuple):
    """What a Mamba2 remembers of the past: the last inputs of its convolution, and the state of its scan."""

    conv: Float[Tensor, "batch past feature"]
    scan: Float[Tensor, "batch head size state"]


class Mamba2(nn.Module):
    """Mix a sequence along time, causally: y[t] depends on u[:t+1] alone, with memory that fades as the input says.

    Arguments as in `mamba_ssm.Mamba2`: `expand * d_model` inner features in heads of `headdim`, `d_state` states for
    each of them, `ngroups` sets of B and C, a causal convolution over `d_conv` steps. `scan` chooses how:

    - "auto": the fused kernels for tensors on CUDA where they are installed and fit, else the chunked form.
    - "fused": those or an error that says what is missing. "chunked": plain torch (on a GPU through torch.compile).
      "recurrent": step by step, the slow definition.

    `chunk` is the length of a chunk (chosen by the sizes unless given). In training, sequences longer than `remember`
    steps are gone through in pieces of that length whose intermediates are computed again for the gradient: memory
    then grows by the pieces' inputs and states alone. None keeps everything.

    `used` is the way the last forward pass went; see `scans_used` for a whole model. The parameters that a weight
    decay must leave alone (A_log, D, dt_bias, norm.weight, biases) are those with fewer than two axes.

    Raises EegfmError if the sizes do not divide.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 128,
        d_conv: int = 4,
        expand: int = 2,
        headdim: int = 64,
        ngroups: int = 1,
        A_init_range: Sequence[float] = (1.0, 16.0),
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        dt_limit: Sequence[float] = (0.0, math.inf),
        bias: bool = False,
        conv_bias: bool = True,
        chunk: int | None = None,
        remember: int | None = 4096,
        scan: Scan = "auto",
    ) -> None:
        super().__init__()
        check_option("scan", scan, get_args(Scan))
        d_inner = expand * d_model
        if min(d_model, d_state, d_conv, expand, headdim, ngroups) < 1 or d_inner % headdim:
            raise EegfmError(
                f"Mamba2 cuts expand x d_model = {expand} x {d_model} features into heads of headdim={headdim}, "
                "which must divide them. All sizes are positive."
            )
        n_heads = d_inner // headdim
        if n_heads % ngroups:
            raise EegfmError(
                f"ngroups={ngroups} must divide the {n_heads} heads (expand x d_model / headdim)."
            )
        self.sizes = (d_inner, d_inner + 2 * ngroups * d_state, n_heads)  # z, xBC, dt
        self.d_model = d_model
        self.d_state = d_state
        self.d_conv = d_conv
        self.headdim = headdim
        self.ngroups = ngroups
        self.dt_limit = tuple(dt_limit)
        self.chunk = chunk
        self.remember = remember
        self.scan: Scan = scan
        self.used: str | None = None

        # drawn in the order of mamba_ssm, so that a seed gives both the same weights
        self.in_proj = nn.Linear(d_model, sum(self.sizes), bias=bias)
        conv_dim = self.sizes[1]
        self.conv1d = nn.Conv1d(
            conv_dim, conv_dim, d_conv, groups=conv_dim, padding=d_conv - 1, bias=conv_bias
        )
        low, high = math.log(dt_min), math.log(dt_max)
        dt = torch.exp(torch.rand(n_heads) * (high - low) + low).clamp(min=dt_init_floor)
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        self.A_log = nn.Parameter(torch.empty(n_heads).uniform_(*A_init_range).log())
        self.D = nn.Parameter(torch.ones(n_heads))
        self.norm = GatedNorm(d_inner, n_groups=ngroups)
        self.out_proj = nn.Linear(d_inner, d_model, bias=bias)

    def forward(self, u: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """The whole sequence in one pass, from an empty past."""
        self.used = path = self.path(u)
        if path == "fused":
            return self._fused(u)
        if self.remember is None or u.shape[1] <= self.remember:
            return self._run(u, *self.initial_state(u), path)[0]
        ys, state = [], self.initial_state(u)
        for piece in u.split(self.remember, dim=1):
            if torch.is_grad_enabled():
                # the scan draws no random numbers, so none need to be put back for the second time
                y, *state = checkpoint(
                    self._run, piece, *state, path, use_reentrant=False, preserve_rng_state=False
                )
            else:
                y, *state = self._run(piece, *state, path)
            ys.append(y)
        return torch.cat(ys, dim=1)

    def stream(
        self, u: Float[Tensor, "batch time width"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The next piece of a sequence, and the state to hand in with the piece after it. None is an empty past.

        Cut as one likes, the pieces' outputs in a row are the output of one pass, to rounding.
        """
        path = self.path(u)
        # the fused kernel of a whole layer takes no past; the chunked form does
        self.used = path = "chunked" if path == "fused" else path
        y, conv, scan = self._run(u, *(state or self.initial_state(u)), path)
        return y, State(conv, scan)

    def step(
        self, u: Float[Tensor, "batch width"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch width"], State]:
        """One step of a stream: constant time and memory, plain torch, for export with the state in and out."""
        state = state or self.initial_state(u[:, None])
        z, xBC, dt = self.in_proj(u).split(self.sizes, dim=-1)
        window = torch.cat((state.conv, xBC[:, None]), dim=1)  # batch d_conv feature
        xBC = (window * self.conv1d.weight[:, 0].T).sum(1)
        if self.conv1d.bias is not None:
            xBC = xBC + self.conv1d.bias
        y, scan = ssd.step(*self._scan_inputs(F.silu(xBC), dt), state=state.scan)
        y = self.out_proj(self.norm(y.flatten(1).to(u.dtype), z))
        return y, State(window[:, 1:], scan)

    def initial_state(self, u: Float[Tensor, "batch time width"]) -> State:
        """An empty past for a batch like `u`."""
        dtype = torch.promote_types(u.dtype, torch.float32)
        conv = u.new_zeros(u.shape[0], self.d_conv - 1, self.sizes[1], dtype=dtype)
        scan = u.new_zeros(u.shape[0], self.sizes[2], self.headdim, self.d_state, dtype=dtype)
        return State(conv, scan)

    def path(self, u: Tensor) -> str:
        """The way that a tensor like `u` takes: fused, chunked or recurrent. Raises EegfmError if `scan` forbids it."""
        if self.scan in ("chunked", "recurrent"):
            return self.scan
        reason = self.not_fused(u)
        if reason is None:
            return "fused"
        if self.scan == "fused":
            raise EegfmError(f"scan=fused cannot be had: {reason}. Choose scan=auto, or install: {INSTALL}")
        if u.is_cuda:
            _say_once(
                f"{reason}; Mamba2 runs its chunked form on the GPU. For the fused kernels: {INSTALL}"
            )
        return "chunked"

    def not_fused(self, u: Tensor) -> str | None:
        """Why the fused kernels cannot take a tensor like `u`; None if they can."""
        if not u.is_cuda:
            return f"the tensor is on {u.device.type}, and the kernels need CUDA"
        if u.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return f"the kernels do not take {u.dtype}"
        if self.sizes[1] % 8 or not 2 <= self.d_conv <= 4:
            return (
                f"the kernels take a convolution of 8, 16, 24, ... features over 2 to 4 steps, and this one has "
                f"{self.sizes[1]} over {self.d_conv}"
            )
        return missing_kernels()

    def _run(
        self, u: Tensor, conv: Tensor, scan: Tensor, path: str
    ) -> tuple[Float[Tensor, "batch time width"], Tensor, Tensor]:
        z, past, dt = self._project(u, conv)
        weight, bias = self.conv1d.weight, self.conv1d.bias
        bias = weight.new_zeros(past.shape[-1]) if bias is None else bias
        if ssd.exporting():
            convolved = F.silu(convolve(past, weight, bias))
        else:
            convolved = ConvSiLU.apply(past, weight, bias)
        inputs = self._scan_inputs(convolved.to(z.dtype), dt)
        if path == "recurrent":
            y, scan = ssd.recurrent(*inputs, state=scan)
        else:
            compiled = u.is_cuda and not torch.compiler.is_compiling()
            y, scan = ssd.chunked(*inputs, state=scan, chunk=self.chunk, compiled=compiled)
        # cloned, or a state of a few numbers would hold on to the whole piece
        conv = past[:, past.shape[1] - self.d_conv + 1 :].clone()
        return self.out_proj(self.norm(y.flatten(2), z)), conv, scan

    def _project(self, u: Tensor, conv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z, what the convolution reads (batch past+time feature), and dt."""
        z, xBC, dt = self.in_proj(u).split(self.sizes, dim=-1)
        wide = torch.promote_types(xBC.dtype, torch.float32)
        return z, torch.cat((conv.to(wide), xBC.to(wide)), dim=1), dt

    def _scan_inputs(self, xBC: Tensor, dt: Tensor) -> tuple[Tensor, ...]:
        """x, dt, A, B, C and D of the scan, with time or without."""
        n_states = self.ngroups * self.d_state
        x, B, C = xBC.split((self.sizes[0], n_states, n_states), dim=-1)
        x = x.unflatten(-1, (-1, self.headdim))
        B, C = (v.unflatten(-1, (self.ngroups, -1)) for v in (B, C))
        wide = torch.promote_types(dt.dtype, torch.float32)
        dt = F.softplus(dt.to(wide) + self.dt_bias)
        if self.dt_limit != (0.0, math.inf):
            dt = dt.clamp(*self.dt_limit)
        return x, dt, -torch.exp(self.A_log.to(wide)), B, C, self.D

    def _fused(self, u: Tensor) -> Tensor:
        kernels = importlib.import_module("mamba_ssm.ops.triton.ssd_combined")
        plain = isinstance(self.out_proj, nn.Linear)  # else a subclass's own, that the kernel cannot do
        y = kernels.mamba_split_conv1d_scan_combined(
            self.in_proj(u),
            self.conv1d.weight[:, 0],
            self.conv1d.bias,
            self.dt_bias,
            -torch.exp(self.A_log.float()),
            D=self.D,
            chunk_size=self.chunk or 256,
            dt_limit=self.dt_limit,
            activation="silu",
            rmsnorm_weight=self.norm.weight,
            rmsnorm_eps=self.norm.eps,
            outproj_weight=self.out_proj.weight if plain else None,
            outproj_bias=self.out_proj.bias if plain else None,
            headdim=self.headdim,
            ngroups=self.ngroups,
            norm_before_gate=False,
        )
        return y if plain else self.out_proj(y)


def scans_used(model: nn.Module) -> list[str]:
    """The ways that the Mamba2 layers of a model went in their last forward passes; empty if there are none."""
    modules: Iterable[Any] = model.modules()
    return sorted({module.used for module in modules if isinstance(module, Mamba2) and module.used})


@functools.cache
def missing_kernels() -> str | None:
    """Why the fused kernels cannot be imported; None if they can. Looked up once a process."""
    for name in KERNELS:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:  # absent; built for another torch; no driver
            return f"{name} cannot be imported ({error})"
    return None


@functools.cache
def _say_once(message: str) -> None:
    _log.warning(message)
