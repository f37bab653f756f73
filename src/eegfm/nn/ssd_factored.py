"""The scan of `eegfm.nn.ssd` for CPUs, with factored decays: exp(s_i - s_j) = exp(s_i - m) exp(m - s_j).

The heads of a group share C B^T. With factored decays they share every matrix product too: a head's decays
scale its rows before and after the products. The pairwise form computes them for every head and pair of
steps, this form once for a group. The numbers are the same to rounding, since every term of a sum over the
past keeps its size relative to the others. That holds while the decays of a chunk stay within `RANGE`: see
`fits`.

Axes of a block: b batch, c chunk, g group, r heads of a group, q steps of a chunk, p size, n state. A state
is (b, h, p, n) outside this module and (b, g, n, r p) inside. exp(m) is the same power of two for all, so
that a step's result depends on no later one, and the scaling itself rounds nothing.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 32  # as fast as 64 for heads of 16 and of 64, and it allows faster forgetting
BLOCK = 2**19  # numbers of x that are processed at once
RANGE = (
    100.0  # most that exponents span in a chunk: exp(+-50) leaves sixteen orders to either limit of float32
)
ENTER = 2.0**-72  # exp(m): half of that


def fits(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk: int) -> bool:
    """Whether this form can scan these inputs: on a CPU, of one type, with no chunk that forgets too much."""
    wide = x.dtype in (torch.float32, torch.float64) and {v.dtype for v in (dt, A, B, C)} == {x.dtype}
    if x.device.type != "cpu" or not wide or torch.compiler.is_compiling():
        return False
    whole = dt.shape[1] // chunk * chunk
    chunks = [dt[:, :whole].unflatten(1, (-1, chunk)).sum(2).flatten(0, 1), dt[:, whole:].sum(1)]
    return bool((torch.cat(chunks) * A).abs_().le_(RANGE).all())  # and nothing is NaN


class Scan(torch.autograd.Function):
    """The scan block by block; keeps the inputs and each block's first state for the backward pass.

    Takes x, dt, A, B, C, D or None, the first state, the chunk's length; returns y and the last state. Autocast is off.
    """

    @staticmethod
    def forward(ctx: Any, x, dt, A, B, C, D, state, chunk) -> tuple[Tensor, Tensor]:
        y = torch.empty(x.shape, dtype=x.dtype)
        carried, states = _inside(state, B.shape[2]), []
        for x_, dt_, B_, C_, y_ in _blocks(chunk, x, dt, B, C, y):
            states.append(carried)
            block = _block(x_, dt_, A, B_, C_, carried, min(chunk, x_.shape[1]))
            out = _by_head(y_, block)
            torch.mul(block.heads(block.read()), block.up, out=out)
            if D is not None:
                out.addcmul_(block.x, D.view(block.each_head))
            carried = block.states[:, -1].clone()  # a view would keep the states of all chunks alive
        ctx.save_for_backward(x, dt, A, B, C, D, *states)
        ctx.chunk = chunk
        return y, carried.mT.reshape(state.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Any, ...]:
        x, dt, A, B, C, D, *states = ctx.saved_tensors
        grads = [torch.empty(v.shape, dtype=v.dtype) for v in (x, dt, B, C)]
        dA, dD = torch.zeros_like(A), None if D is None else torch.zeros_like(D)
        dstate = _inside(dlast, B.shape[2])
        blocks = list(_blocks(ctx.chunk, x, dt, B, C, dy, *grads))
        with torch.autocast("cpu", enabled=False):
            for (x_, dt_, B_, C_, dy_, *places), state in reversed(list(zip(blocks, states, strict=True))):
                block = _block(x_, dt_, A, B_, C_, state, min(ctx.chunk, x_.shape[1]))
                dA_, dD_, dstate = _backward(block, A, D, dy_, dstate, *places)
                dA += dA_
                dD = None if dD is None or dD_ is None else dD + dD_
        dx, ddt, dB, dC = grads
        return dx, ddt, dA, dB, dC, dD, dstate.mT.reshape(dlast.shape), None


class _Block(NamedTuple):
    """The tensors that the forward and the backward pass of a block share."""

    x: Tensor  # b c g q r p: a view
    dt: Tensor  # b c g q r 1
    up: Tensor  # like dt: exp(s - m), scales what a step reads
    down: Tensor  # like dt: exp(m - s), scales what a step writes
    through: Tensor  # b c g 1 r 1: exp(s_end), the decay of a state over a chunk
    leave: Tensor  # like `through`: exp(s_end - m), scales what a chunk adds to the state
    B: Tensor  # (b c g) q n
    C: Tensor  # (b c g) q n
    scores: Tensor  # (b c g) q q: C B^T, 0 above the diagonal
    write: Tensor  # (b c g) q (r p): down dt x
    states: Tensor  # b c+1 g n (r p): at the start of the block and after each chunk
    entering: Tensor  # (b c g) n (r p): exp(m) times the state before a chunk

    @property
    def each_head(self) -> tuple[int, ...]:
        """The shape in which one number per head broadcasts with x."""
        return (self.x.shape[2], 1, self.x.shape[4], 1)

    def heads(self, v: Tensor) -> Tensor:
        """(b c g) q (r p) as b c g q r p."""
        return v.view(self.x.shape)

    def read(self) -> Tensor:
        """y without the scale `up` and the skip: (b c g) q (r p)."""
        return torch.bmm(self.scores, self.write).baddbmm_(self.C, self.entering)


def _block(x, dt, A, B, C, state, chunk) -> _Block:
    n_groups, size = B.shape[2], x.shape[-1]
    x, dt = _chunks(x, chunk, n_groups), _chunks(dt[..., None], chunk, n_groups)
    s = (dt * A.view(n_groups, 1, -1, 1)).cumsum(3)
    # squares of halves: exp(s) would exceed single precision, and s - m would lose the last bits of s
    up, down = ((sign * s / 2).exp_().mul_(ENTER ** (-sign / 2)).square_() for sign in (1, -1))
    through, leave = s[:, :, :, -1:].exp(), up[:, :, :, -1:]
    write = x.new_empty((*x.shape[:4], x.shape[4] * size))
    torch.mul(x, down * dt, out=write.unflatten(-1, (-1, size)))
    B, C = (v.unflatten(1, (-1, chunk)).transpose(2, 3).contiguous() for v in (B, C))
    shape = B.shape[:3]  # b c g
    B, C, write = B.flatten(0, 2), C.flatten(0, 2), write.flatten(0, 2)
    ends = (
        torch.bmm(B.mT, write).unflatten(0, shape).unflatten(-1, (-1, size)).mul_(leave)
    )  # what a chunk adds
    states = x.new_empty((shape[0], shape[1] + 1, *ends.shape[2:]))
    states[:, 0] = state.view(states.shape[0], *states.shape[2:])
    for c in range(shape[1]):
        torch.addcmul(ends[:, c], through[:, c], states[:, c], out=states[:, c + 1])
    entering = (states[:, :-1] * ENTER).view(len(B), B.shape[-1], -1)
    scores = torch.bmm(C, B.mT).tril_()
    return _Block(x, dt, up, down, through, leave, B, C, scores, write, states.flatten(-2), entering)


def _backward(block: _Block, A, D, dy, dlast, dx, ddt, dB, dC) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients of x, dt, B and C into their places; returns those of A, D and the state at the start.

    A decay acts on everything that passes it. With s as above, dL/ds_i = <dy_i, y_i> - <dw_i, w_i> for the
    written values w = dt x, and at a chunk's end also <dS, S>.
    """
    B, C, write = block.B, block.C, block.write
    size, shape = block.x.shape[-1], block.states.shape
    dy = _by_head(dy, block)
    dread = torch.empty_like(write)
    torch.mul(dy, block.up, out=block.heads(dread))
    # the states' gradients, from the last back to the first
    reads = torch.bmm(C.mT, dread).view((*block.x.shape[:3], shape[3], -1, size)).mul_(ENTER)
    dstates = torch.empty_like(block.states).unflatten(-1, (-1, size))
    dstates[:, -1] = dlast.view(dstates[:, -1].shape)
    for c in reversed(range(reads.shape[1])):
        torch.addcmul(reads[:, c], block.through[:, c], dstates[:, c + 1], out=dstates[:, c])
    dends = (dstates[:, 1:] * block.leave).view(block.entering.shape)
    dstates = dstates.flatten(-2)

    dscores = torch.bmm(dread, write.mT).tril_()
    dwrite = block.heads(torch.bmm(block.scores.mT, dread).baddbmm_(B, dends))
    for place, found in (
        (dB, torch.bmm(dscores.mT, C).baddbmm_(write, dends.mT)),
        (dC, torch.bmm(dscores, B).baddbmm_(dread, block.entering.mT)),
    ):
        place = place.unflatten(1, (shape[1] - 1, -1)).transpose(2, 3)
        place.copy_(found.view(place.shape))
    written = (
        (dwrite * block.x).sum(-1, keepdim=True).mul_(block.down)
    )  # the part of dt's gradient that comes through w
    ds = block.heads(dread.mul_(block.read())).sum(-1, keepdim=True)
    ds.addcmul_(written, block.dt, value=-1)
    ends = (dstates[:, 1:] * block.states[:, 1:]).sum(-2, keepdim=True)
    ds[:, :, :, -1:] += ends.unflatten(-1, (-1, size)).sum(-1, keepdim=True)
    da = ds.flip(3).cumsum(3).flip(3)  # of dt A: each step decays all sums behind it
    dA = (da * block.dt).sum((0, 1, 3)).flatten()
    _by_head(ddt[..., None], block).copy_(written.addcmul_(da, A.view(block.each_head)))
    dx = _by_head(dx, block)
    torch.mul(dwrite, block.down * block.dt, out=dx)
    dD = None
    if D is not None:
        dD = (dy * block.x).sum((0, 1, 3, 5)).flatten()
        dx.addcmul_(dy, D.view(block.each_head))
    return dA, dD, dstates[:, 0]


def lengths(x: Tensor, chunk: int, block: int) -> list[int]:
    """The steps of blocks of x (batch, time, head, size) of about `block` numbers each.

    Blocks of whole chunks come first, then the remaining chunks, then the tail as its own chunk: nothing is
    padded.
    """
    n_batch, time, n_heads, size = x.shape
    steps = max(1, block // (n_batch * n_heads * size) // chunk) * chunk
    whole = time // chunk * chunk
    return [steps] * (whole // steps) + [n for n in (whole % steps, time - whole) if n]


def _blocks(chunk: int, x: Tensor, *others: Tensor) -> Any:
    """Yield corresponding blocks of all tensors."""
    cuts = lengths(x, chunk, BLOCK)
    return zip(*(v.split(cuts, 1) for v in (x, *others)), strict=True)


def _chunks(v: Tensor, chunk: int, n_groups: int) -> Tensor:
    """A view: b t h p -> b c g q r p."""
    return v.unflatten(1, (-1, chunk)).unflatten(3, (n_groups, -1)).transpose(2, 3)


def _by_head(v: Tensor, block: _Block) -> Tensor:
    return _chunks(v, block.x.shape[3], block.x.shape[2])


def _inside(state: Tensor, n_groups: int) -> Tensor:
    """b h p n -> b g n (r p)."""
    return state.flatten(1, 2).unflatten(1, (n_groups, -1)).mT.contiguous()
