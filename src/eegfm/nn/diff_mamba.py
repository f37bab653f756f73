"""Multi-head differential Mamba: the difference of two small Mamba-2 in every head (SAMBA 2026, Hong et al.,
arXiv:2511.18571; Diff-Mamba, arXiv:2507.06204).

The features are cut into heads of 16. In each head, two Mamba-2 of that width ("teams") read the same
slice, and the second team's output, times lambda, is subtracted from the first team's. The differences are
normed by head, mixed by a linear layer and added to the input.

All of these small networks are computed as one: their projections in one batched product, one convolution,
one scan whose groups are the networks, a norm by group, and an output projection that includes lambda. The
numbers are those of separate layers. Written from the formulas; SAMBA's code has no licence and was read
for facts alone.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eegfm.contracts import EegfmError
from eegfm.nn.mamba2 import Mamba2, Scan
from eegfm.nn.options import check_option
from eegfm.nn.unet import Carry

HEAD = 16  # features of a head, also inside the scan
TEAMS = 2
ROWS = 1024  # moments of a batch that pass all networks at once on a CPU

Lambda = Literal["diff_mamba", "published"]
Norm = Literal["per_token", "published"]


class TeamsIn(nn.Module):
    """The input projections of all networks: both teams of a head read the same slice.

    `weight` is stacked by network, first team first. The output groups the parts z, x, B, C, dt of all
    networks, as in a single Mamba-2 with a group per network.
    """

    def __init__(self, n_heads: int, parts: tuple[int, ...]) -> None:
        super().__init__()
        self.n_heads, self.parts = n_heads, parts
        self.weight = nn.Parameter(torch.empty(TEAMS * n_heads, sum(parts), HEAD))
        nn.init.uniform_(self.weight, -(HEAD**-0.5), HEAD**-0.5)  # as in nn.Linear

    def forward(self, u: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch features"]:
        by_head = u.reshape(-1, self.n_heads, HEAD).transpose(0, 1)
        weight = self.weight.unflatten(0, (TEAMS, self.n_heads)).transpose(0, 1).flatten(1, 2)
        found = torch.bmm(by_head, weight.mT)  # head row (team part)
        found = found.unflatten(-1, (TEAMS, -1)).permute(1, 2, 0, 3)  # row team head part
        parts = [part.flatten(1) for part in found.split(self.parts, dim=-1)]
        return torch.cat(parts, dim=-1).unflatten(0, u.shape[:-1])


class Difference(nn.Module):
    """The output projections of all networks, the second team's times -lambda: a difference per head."""

    def __init__(self, n_heads: int, d_inner: int, lam: Lambda, depth: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.weight = nn.Parameter(torch.empty(TEAMS * n_heads, HEAD, d_inner))
        nn.init.uniform_(self.weight, -(d_inner**-0.5), d_inner**-0.5)
        self.lam: nn.Parameter | None = None
        if lam == "published":
            self.lam = nn.Parameter(torch.ones(n_heads * HEAD))
        else:
            self.lambda_q = nn.Parameter(torch.randn(n_heads, HEAD))
            # weight decay would pull lambda to where the sigmoid is a half
            self.lambda_q._no_weight_decay = True  # type: ignore[attr-defined]
        self.lambda_init = 0.8 - 0.6 * math.exp(-0.3 * (depth - 1))

    def lambdas(self) -> Float[Tensor, "head feature"]:
        """Lambda of every feature of every head."""
        if self.lam is not None:
            return self.lam.unflatten(0, (self.n_heads, HEAD))
        return (self.lambda_q.sum(-1, keepdim=True).sigmoid() + self.lambda_init).expand(-1, HEAD)

    def forward(self, y: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch width"]:
        first, second = self.weight.unflatten(0, (TEAMS, self.n_heads))  # head out in
        weight = torch.cat((first, -self.lambdas()[..., None] * second), dim=-1)
        if _in_place(y, weight):
            return _Subtract.apply(y, weight)
        by_head = y.reshape(-1, TEAMS, self.n_heads, self.weight.shape[-1]).permute(2, 0, 1, 3).flatten(2)
        found = torch.bmm(by_head, weight.mT)  # head row out
        return found.transpose(0, 1).flatten(1).unflatten(0, y.shape[:-1])


class Networks(Mamba2):
    """All Mamba-2 of both teams as one Mamba-2 with a group per network; returns their differences."""

    def __init__(
        self, n_heads: int, *, d_state: int, d_conv: int, expand: int, lam: Lambda, depth: int, scan: Scan
    ) -> None:
        n_networks, d_inner = TEAMS * n_heads, expand * HEAD
        super().__init__(
            n_heads * HEAD,
            d_state=d_state,
            d_conv=d_conv,
            expand=TEAMS * expand,
            headdim=HEAD,
            ngroups=n_networks,
            scan=scan,
        )
        self.in_proj = TeamsIn(n_heads, (d_inner, d_inner, d_state, d_state, d_inner // HEAD))
        self.out_proj = Difference(n_heads, d_inner, lam, depth)

    def _project(self, u: Tensor, conv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if _in_place(u, self.in_proj.weight):
            return _Project.apply(u, conv.to(u.dtype), self.in_proj.weight, self.in_proj.parts)
        return super()._project(u, conv)

    def forward(self, u: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        # checks for an export first: its batch is no number and must not be compared with one
        if u.device.type != "cpu" or torch.compiler.is_compiling() or u.shape[0] * u.shape[1] <= ROWS:
            return super().forward(u)
        # 37 numbers per input number: those of a whole batch exceed the cache and are allocated anew each time
        return torch.cat(
            [super(Networks, self).forward(part) for part in u.split(max(1, ROWS // u.shape[1]))]
        )


def _in_place(x: Tensor, weight: Tensor) -> bool:
    """Whether the products below may be used: they are for a CPU and do not support autocast."""
    plain = x.device.type == "cpu" and x.dtype == weight.dtype and not torch.is_autocast_enabled("cpu")
    return plain and not torch.compiler.is_compiling()


class _Project(torch.autograd.Function):
    """TeamsIn, with each network's product written to its final place: no part is copied, forward or backward.

    Takes u, the convolution's past, the weights and the sizes of the parts; returns z, the past followed by
    x, B and C, and dt.
    """

    @staticmethod
    def forward(ctx: Any, u, conv, weight, parts) -> tuple[Tensor, ...]:
        n_networks, sizes = len(weight), (parts[0], sum(parts[1:4]), parts[4])
        rooms = [u.new_empty(*u.shape[:2], n_networks * size) for size in sizes]
        rooms[1] = u.new_empty(u.shape[0], conv.shape[1] + u.shape[1], n_networks * sizes[1])
        rooms[1][:, : conv.shape[1]] = conv
        for read, w, place in _products(u, weight, parts, rooms):
            torch.bmm(read, w.mT, out=place)
        ctx.save_for_backward(u, weight)
        ctx.parts, ctx.n_past = parts, conv.shape[1]
        return tuple(rooms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        u, weight = ctx.saved_tensors
        du, dweight = torch.zeros_like(u), torch.zeros_like(weight)
        reads = _products(u, weight, ctx.parts, grads)
        for (read, w, place), (dread, dw, _) in zip(
            reads, _products(du, dweight, ctx.parts, grads), strict=True
        ):
            dread.baddbmm_(place, w)
            dw.baddbmm_(place.mT, read)
        return du, grads[1][:, : ctx.n_past], dweight, None


def _products(
    u: Tensor, weight: Tensor, parts: Sequence[int], rooms: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The factors and results of each head's product: views of u, of the weights, and of the results' places."""
    n_heads, time = len(weight) // TEAMS, u.shape[1]
    z, past, dt = (room[:, room.shape[1] - time :] for room in rooms)
    # (batch time team head part) of each part in the place that holds it
    xBC = past.split([len(weight) * size for size in parts[1:4]], dim=-1)
    places = [place.unflatten(-1, (TEAMS, n_heads, -1)) for place in (z, *xBC, dt)]
    by_team = weight.unflatten(0, (TEAMS, n_heads)).split(list(parts), dim=2)
    for i, sample in enumerate(u.unflatten(-1, (n_heads, HEAD))):
        for w, place in zip(by_team, places, strict=True):
            for team in range(TEAMS):
                yield sample.transpose(0, 1), w[team], place[i, :, team].transpose(0, 1)


class _Subtract(torch.autograd.Function):
    """`Difference` with lambda in its weights (head, out, team in): adds up the teams' products in place."""

    @staticmethod
    def forward(ctx: Any, y, weight) -> Tensor:
        out = y.new_empty(*y.shape[:-1], weight.shape[0] * weight.shape[1])
        by_head = _rows_by(out, len(weight))
        first, second = _rows_by(y, TEAMS * len(weight)).chunk(TEAMS)
        w_first, w_second = weight.chunk(TEAMS, dim=-1)
        torch.bmm(first, w_first.mT, out=by_head)
        by_head.baddbmm_(second, w_second.mT)
        ctx.save_for_backward(y, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor]:
        y, weight = ctx.saved_tensors
        dy, dweight = torch.empty_like(y), torch.empty_like(weight)
        n = len(weight)
        by_head = _rows_by(dout.contiguous(), n)
        for read, place, w, dw in zip(
            *(_rows_by(v, TEAMS * n).chunk(TEAMS) for v in (y, dy)),
            *(v.chunk(TEAMS, dim=-1) for v in (weight, dweight)),
            strict=True,
        ):
            torch.bmm(by_head, w, out=place)
            torch.bmm(by_head.mT, read, out=dw)
        return dy, dweight


def _rows_by(v: Tensor, n: int) -> Tensor:
    """A view: ... (n feature) -> n row feature."""
    return v.view(-1, n, v.shape[-1] // n).transpose(0, 1)


class DiffMamba(nn.Module):
    """x + Linear(norm by head(first team - lambda second team)): [batch, time, width] in and out.

    `width` is cut into heads of 16. `d_state`, `d_conv`, `expand` are those of every network. Values of
    `lam`:

    - "diff_mamba": a scalar per head, sigmoid(sum of 16 learned numbers) + lambda_init, with lambda_init = 0.8 - 0.6
      exp(-0.3 (depth - 1)); the normed difference is multiplied by 1 - lambda_init (arXiv:2507.06204).
    - "published": SAMBA's, a free number per feature that starts at one, so that the teams cancel their common part.

    `norm` takes mean and variance of a head's 16 features: "per_token", at every moment separately;
    "published", over all moments of the window, so that a moment depends on the length and on later
    moments.

    Raises EegfmError for a width that 16 does not divide.
    """

    def __init__(
        self,
        width: int,
        *,
        d_state: int = 16,
        d_conv: int = 2,
        expand: int = 8,
        lam: Lambda = "diff_mamba",
        norm: Norm = "per_token",
        depth: int = 1,
        scan: Scan = "auto",
    ) -> None:
        super().__init__()
        check_option("lam", lam, get_args(Lambda))
        check_option("norm", norm, get_args(Norm))
        if width < 1 or width % HEAD:
            raise EegfmError(
                f"Differential Mamba cuts features into heads of {HEAD}, and {HEAD} does not divide {width}."
            )
        n_heads = width // HEAD
        self.networks = Networks(
            n_heads, d_state=d_state, d_conv=d_conv, expand=expand, lam=lam, depth=depth, scan=scan
        )
        self.norm = nn.GroupNorm(n_heads, width)
        self.per_token = norm == "per_token"
        self.shrink = 1.0 if lam == "published" else 1 - self.networks.out_proj.lambda_init
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        """Process the whole sequence, or with `carry` its next piece, which needs norm="per_token"."""
        if carry is None:
            difference = self.networks(x)
        else:
            difference, state = self.networks.stream(x, carry.take())
            carry.keep(state)
        if self.per_token:
            normed = self.norm(difference.flatten(0, 1)).unflatten(0, x.shape[:2])
        else:
            normed = self.norm(difference.transpose(1, 2)).transpose(1, 2)
        return x + self.out_proj(self.shrink * normed)
