"""The selective scan of Mamba-2 in three forms: step by step, in chunks, and one step with explicit state.

State-space duality, Dao & Gu 2024 (arXiv:2405.21060), sections 3 and 6. For a head h, with the B and C of its group:

    S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T,     y_t = S_t C_t + D x_t,     dt >= 0, A < 0.

Written from the formulas. All forms take the same arguments and return (y, last state): x (batch, time, head, size),
dt (batch, time, head), A and D (head), B and C (batch, time, group, state) with a whole number of heads per group,
state (batch, head, size, state) or None for zeros. y has the type of x. Inside, everything is at least float32,
also under autocast: cumulative sums of decays and carried states need these bits.

`recurrent` is the definition; models run `chunked`. Its gradient is written by hand: the forward pass keeps
the inputs and one state per block of steps, and the backward pass recomputes the rest of a block, so that
neither memory (beside inputs and outputs) nor the size of the working set grows with the length.
"""

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from eegfm.nn import ssd_factored

BLOCK = {"cpu": 2**18, "cuda": 2**25}  # numbers of x per block: about a core's cache; enough to fill a GPU

# Exponents are masked before the exponential: from above, so that a later step cannot overflow, and from below at
# 2e-35, since exp is about 60 times slower where its result is denormal, and 30 times at minus infinity.
FAINTEST = -80.0

_log = logging.getLogger(__name__)


def recurrent(
    x: Float[Tensor, "batch time head size"],
    dt: Float[Tensor, "batch time head"],
    A: Float[Tensor, " head"],
    B: Float[Tensor, "batch time group state"],
    C: Float[Tensor, "batch time group state"],
    D: Float[Tensor, " head"] | None = None,
    *,
    state: Float[Tensor, "batch head size state"] | None = None,
) -> tuple[Float[Tensor, "batch time head size"], Float[Tensor, "batch head size state"]]:
    """The recurrence itself, step by step: slow, and the oracle of the other forms."""
    with _precise(x):
        decay, write, B, C, skip, last = _prepare(x, dt, A, B, C, D, state)
        ys = []
        # unbind, not [:, t]: the gradient of each index would be a zero tensor of full length, quadratic in all
        for decay_t, write_t, B_t, C_t in zip(*(v.unbind(1) for v in (decay, write, B, C)), strict=True):
            last = decay_t * last + write_t * B_t
            ys.append((last * C_t).sum(-1))
        return (torch.stack(ys, 1) + skip).to(x.dtype), last


def step(
    x: Float[Tensor, "batch head size"],
    dt: Float[Tensor, "batch head"],
    A: Float[Tensor, " head"],
    B: Float[Tensor, "batch group state"],
    C: Float[Tensor, "batch group state"],
    D: Float[Tensor, " head"] | None = None,
    *,
    state: Float[Tensor, "batch head size state"] | None = None,
) -> tuple[Float[Tensor, "batch head size"], Float[Tensor, "batch head size state"]]:
    """One step of the recurrence, without the axis of time: takes the state and returns the next one."""
    with _precise(x):
        decay, write, B, C, skip, last = _prepare(x, dt, A, B, C, D, state)
        last = decay * last + write * B
        return ((last * C).sum(-1) + skip).to(x.dtype), last


def chunked(
    x: Float[Tensor, "batch time head size"],
    dt: Float[Tensor, "batch time head"],
    A: Float[Tensor, " head"],
    B: Float[Tensor, "batch time group state"],
    C: Float[Tensor, "batch time group state"],
    D: Float[Tensor, " head"] | None = None,
    *,
    state: Float[Tensor, "batch head size state"] | None = None,
    chunk: int | None = None,
    recompute: bool = True,
    compiled: bool = False,
) -> tuple[Float[Tensor, "batch time head size"], Float[Tensor, "batch head size state"]]:
    """The same numbers by matrix products within chunks of steps and a short recurrence between them. Any length.

    On a CPU decays are factored, unless they forget too much for it: see `eegfm.nn.ssd_factored`. `chunk`
    is chosen by the sizes unless given. `recompute=False` leaves the gradient to autograd, which keeps
    every intermediate: for second derivatives, and to check the gradient written by hand. `compiled` sends
    the arithmetic of a block through torch.compile (useful on a GPU); if that fails, it warns once and goes
    on uncompiled.
    """
    factored = recompute and ssd_factored.fits(x, dt, A, B, C, chunk or ssd_factored.CHUNK)
    chunk = chunk or (ssd_factored.CHUNK if factored else default_chunk(x.shape[-1]))
    with _precise(x):
        if state is None:
            state = torch.zeros_like(x[:, 0, :, :, None], dtype=_working(x)).repeat(1, 1, 1, B.shape[-1])
        if factored:
            return ssd_factored.Scan.apply(x, dt, A, B, C, D, state.to(x.dtype), chunk)
        if exporting():
            time = x.shape[1]
            lengths, recompute = [n for n in (time // chunk * chunk, time % chunk) if n], False
        else:
            lengths = ssd_factored.lengths(x, chunk, BLOCK.get(x.device.type, BLOCK["cuda"]))
        if recompute:
            return _Scan.apply(x, dt, A, B, C, D, state.to(_working(x)), chunk, lengths, compiled)
        ys = []
        for x_, dt_, B_, C_ in zip(*(v.split(lengths, 1) for v in (x, dt, B, C)), strict=True):
            y, state = _forward(x_, dt_, A, B_, C_, D, state, min(chunk, x_.shape[1]))
            ys.append(y.movedim(1, 3).flatten(1, 2))
        return torch.cat(ys, 1).to(x.dtype), state


def exporting() -> bool:
    """Whether a graph without a gradient is being made: its batch is no number, so nothing may be cut by it."""
    return torch.compiler.is_compiling() and not torch.is_grad_enabled()


def default_chunk(size: int) -> int:
    """The chunk that was fastest on a CPU for heads of this size: 64, and 32 for small heads.

    Measured forward and backward with 16 to 128 states: 16 and 32 are equally fast for heads of 16, 32 and
    64 for heads of 64 with 16 states, and 128 or more is slower everywhere (the work within a chunk grows
    with its length).
    """
    return 64 if size > 16 else 32


class _Scan(torch.autograd.Function):
    """The scan block by block; keeps the inputs and each block's first state for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x, dt, A, B, C, D, state, chunk, lengths, compiled) -> tuple[Tensor, Tensor]:
        run = _compiled(_forward) if compiled else _forward
        y = torch.empty_like(x)
        states = []
        for x_, dt_, B_, C_, y_ in zip(*(v.split(lengths, 1) for v in (x, dt, B, C, y)), strict=True):
            states.append(state)
            here = min(chunk, x_.shape[1])
            found, state = run(x_, dt_, A, B_, C_, D, state, here)
            _heads(y_, here).copy_(found)
        ctx.save_for_backward(x, dt, A, B, C, D, torch.stack(states))
        ctx.chunk, ctx.lengths, ctx.compiled = chunk, lengths, compiled
        return y, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dstate: Tensor) -> tuple[Any, ...]:
        x, dt, A, B, C, D, states = ctx.saved_tensors
        run = _compiled(_backward) if ctx.compiled else _backward
        grads = [torch.empty_like(v) for v in (x, dt, B, C)]
        dA, dD = torch.zeros_like(A), None if D is None else torch.zeros_like(D)
        with _precise(x):
            blocks = zip(*(v.split(ctx.lengths, 1) for v in (x, dt, B, C, dy, *grads)), states, strict=True)
            for x_, dt_, B_, C_, dy_, *places, state in reversed(list(blocks)):
                here = min(ctx.chunk, x_.shape[1])
                *found, dA_, dD_, dstate = run(x_, dt_, A, B_, C_, D, state, dy_, dstate, here)
                for place, value in zip(places, found, strict=True):
                    _heads(place, here).copy_(value)
                dA += dA_
                if dD is not None:
                    dD += dD_
        dx, ddt, dB, dC = grads
        return dx, ddt, dA, dB, dC, dD, dstate, None, None, None


# Axes of a block: b batch, h head, g group, r heads of a group, c chunk, q and k steps of a chunk, p size, n state.


def _forward(x, dt, A, B, C, D, state, chunk) -> tuple[Tensor, Tensor]:
    """One block: y as (b, h, c, q, p), and the state after it."""
    block = _intermediates(x, dt, A, B, C, state, chunk)
    y = block.C_from_start @ block.states[:, :, :-1].mT
    y.flatten(0, 2).baddbmm_(block.mix.flatten(0, 2), block.write.flatten(0, 2))
    if D is not None:
        y.addcmul_(block.x, D.to(y.dtype)[:, None, None, None])
    return y, block.states[:, :, -1].clone()  # a view would keep the states of all chunks alive


def _backward(x, dt, A, B, C, D, state, dy, dlast, chunk) -> tuple[Any, ...]:
    """Gradients of a block, from those of y and of the state after it: x, dt, B, C in (b, h, c, q, ...), A, D, state.

    A decay acts on everything that passes it, so its gradient is a sum of products that are already
    computed: with s the cumulative sum of dt A in a chunk, dL/ds_i = <dy_i, y_i> - <dw_i, w_i> for the
    written values w = dt x, and at the chunk's end also <dS, S>.
    """
    block = _intermediates(x, dt, A, B, C, state, chunk)
    by_group, B, C = block.by_group, block.B, block.C
    dy = _heads(dy, chunk).to(block.x.dtype).contiguous()
    dC_from_start = dy @ block.states[:, :, :-1]  # b h c q n
    # the states' own gradients run backwards through the same triangle of decays, from dlast down to the start
    reads = (dy.mT @ block.C_from_start).flatten(3)  # b h c (p n)
    between = block.between
    dstates = (between[..., -1, :, None] * dlast.flatten(2)[:, :, None]).flatten(0, 1)
    dstates = dstates.baddbmm_(between[..., :-1, :].flatten(0, 1).mT, reads.flatten(0, 1))
    dstates = dstates.view(block.states.shape)
    dstate, dends = dstates[:, :, 0], dstates[:, :, 1:]
    dwrite = block.B_to_end @ dends.mT
    dwrite.flatten(0, 2).baddbmm_(block.mix.flatten(0, 2).mT, dy.flatten(0, 2))
    dscores = by_group((dy @ block.write.mT).mul_(block.within))  # b g r c q k, of C B^T
    dB_to_end = block.write @ dends
    ddt = (dwrite * block.x).sum(-1)
    ds = (dscores * block.scores).sum(-1).flatten(1, 2) + (dC_from_start * block.C_from_start).sum(-1)
    ds -= ddt * block.dt
    ds[..., -1] += (dends * block.states[:, :, 1:]).sum((-1, -2))
    da = ds.flip(-1).cumsum(-1).flip(-1)  # of dt A: each step decays all sums behind it
    ddt += da * A.to(da.dtype)[:, None, None]
    dA = (da * block.dt).sum((0, 2, 3))
    dx = dwrite.mul_(block.dt[..., None])
    dD = None
    if D is not None:
        dD = (dy * block.x).sum((0, 2, 3, 4))
        dx.addcmul_(dy, D.to(dx.dtype)[:, None, None, None])
    dscores = dscores.sum(2).tril_()
    dB = dscores.mT @ C + (by_group(dB_to_end) * by_group(block.to_end)[..., None]).sum(2)
    dC = dscores @ B + (by_group(dC_from_start) * by_group(block.from_start)[..., None]).sum(2)
    return dx, ddt, dB, dC, dA, dD, dstate


class _Block(NamedTuple):
    """The tensors that forward and backward share. Decays are exp of sums of dt A over a stretch of steps."""

    x: Tensor  # b h c q p
    dt: Tensor  # b h c q
    write: Tensor  # b h c q p: dt x
    B: Tensor  # b g c q n
    C: Tensor  # b g c q n
    scores: Tensor  # b g 1 c q k: C_q B_k, 0 for k > q
    within: Tensor  # b h c q k: decay from step k to step q of a chunk
    mix: Tensor  # b h c q k: scores times decay, the part of y that comes from the same chunk
    to_end: Tensor  # b h c q: decay from a step to the end of its chunk
    from_start: Tensor  # b h c q: decay from the start of the chunk
    B_to_end: Tensor  # b h c q n
    C_from_start: Tensor  # b h c q n
    between: Tensor  # b h c+1 c+1: decay from the end of one chunk to the end of another, the block's start being first
    states: Tensor  # b h c+1 p n: at the start of the block and after each chunk

    def by_group(self, v: Tensor) -> Tensor:
        """Heads split by group, to match B and C: b h ... -> b g r ..."""
        return v.unflatten(1, (self.B.shape[1], -1))


def _intermediates(x, dt, A, B, C, state, chunk) -> _Block:
    dtype, n_groups = _working(x), B.shape[2]

    def by_group(v: Tensor) -> Tensor:
        return v.unflatten(1, (n_groups, -1))

    x, dt, B, C = (_heads(v, chunk).to(dtype).contiguous() for v in (x, dt, B, C))
    s = (dt * A.to(dtype)[:, None, None]).cumsum(-1)
    write = x * dt[..., None]
    scores = (C @ B.mT).tril_()[:, :, None]
    within = _decays(s)
    mix = (by_group(within) * scores).flatten(1, 2)
    to_end, from_start = _decay(s[..., -1:] - s), _decay(s)
    B_to_end = (B[:, :, None] * by_group(to_end)[..., None]).flatten(1, 2)
    C_from_start = (C[:, :, None] * by_group(from_start)[..., None]).flatten(1, 2)
    ends = write.mT @ B_to_end  # b h c p n: what each chunk adds to the state
    between = _decays(F.pad(s[..., -1].cumsum(-1), (1, 0))).tril()
    states = (between[..., 0, None] * state.flatten(2)[:, :, None]).flatten(0, 1)
    states = states.baddbmm_(between[..., 1:].flatten(0, 1), ends.flatten(3).flatten(0, 1))
    states = states.view(*ends.shape[:2], -1, *ends.shape[3:])
    return _Block(
        x, dt, write, B, C, scores, within, mix, to_end, from_start, B_to_end, C_from_start, between, states
    )


def _decays(s: Tensor) -> Tensor:
    """exp(s_i - s_j) for all pairs; one above the diagonal, where the exponent has the wrong sign."""
    return (s[..., :, None] - s[..., None, :]).clamp_(FAINTEST, 0.0).exp_()


def _decay(s: Tensor) -> Tensor:
    return s.clamp(FAINTEST, 0.0).exp()


def _heads(v: Tensor, chunk: int) -> Tensor:
    """A view by heads and chunks: b t h ... -> b h c q ..."""
    return v.unflatten(1, (-1, chunk)).movedim(3, 1)


def _prepare(x, dt, A, B, C, D, state) -> tuple[Tensor, ...]:
    """Decay, written values, B and C of every head, skip and first state, in shapes for (..., size, state)."""
    dtype, heads_a_group = _working(x), x.shape[-2] // B.shape[-2]
    if state is None:
        state = torch.zeros(*x.shape[:1], *x.shape[-2:], B.shape[-1], dtype=dtype, device=x.device)
    x, dt, B, C, state = (v.to(dtype) for v in (x, dt, B, C, state))
    decay = torch.exp(dt * A.to(dtype))[..., None, None]
    write = (dt[..., None] * x)[..., None]
    B, C = (v.repeat_interleave(heads_a_group, dim=-2)[..., None, :] for v in (B, C))
    skip = torch.zeros_like(x) if D is None else D.to(dtype)[:, None] * x
    return decay, write, B, C, skip, state


def _working(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _precise(x: Tensor) -> AbstractContextManager[Any]:
    """Switch autocast off, which would compute products of states in sixteen bits."""
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


@functools.cache
def _compiled(block: Callable[..., Any]) -> Callable[..., Any]:
    """`block` through torch.compile, or uncompiled once that has failed."""
    compiled = torch.compile(block)
    use = [compiled]

    def run(*inputs: Any) -> Any:
        if use[0] is compiled:
            # torch has no public name for the error of a failed compilation; if this name goes, the first scan of a run
            # ends in an ImportError
            from torch._dynamo.exc import TorchDynamoException

            try:
                return compiled(*inputs)
            except TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                _log.warning("torch.compile failed here, so the scan runs uncompiled: %s", reason)
                use[0] = block
        return block(*inputs)

    return run
