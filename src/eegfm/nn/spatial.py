"""The coordinate-driven spatial embedding of SAMBA: any montage in, the same places out (Hong et al. 2025,
arXiv:2511.18571; called SAIE, later CDSE).

A small network reads the displacement from every channel to every target place; a softmax over the channels makes of
it how much of each channel a target sees. Written from a description of the published module; upstream
(github.com/Jiazhen-Hong/SAMBA, no licence) was not copied. `start="published"` is that module. It starts as a plain
mean of the channels: its network sees metres, which are small beside its weights. `start="local"`, ours, differs:

- displacements are in head radii, and the logits also hold -|d|^2 / (2 reach^2): targets first look at neighbours;
- `signed=True` takes a second, broader softmax away from the first, so that a target can see a difference of channels,
  which weights above zero cannot; it starts as a surface Laplacian;
- the last layer has no bias: a softmax does not see one.

In both, a channel without a place (NaN) is ignored exactly, whatever its samples are.
"""

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

Start = Literal["local", "published"]

HEAD_RADIUS = 0.095  # metres, of an adult head
REACH = 0.3  # head radii: 28 mm, about the spacing of 64 electrodes
BROAD = 2 * REACH  # of what `signed` takes away
FARTHEST = 1.0  # metres: no electrode is farther from the middle of a head; in millimetres nearly all are


class Spatial(nn.Module):
    """x of any montage -> what the targets see of it: [batch, target, time], in the unit of x.

    `targets` are metres, in the frame of the coordinates that come with x. Raises EegfmError where coordinates are not
    metres or no channel has a place; not while compiling or exporting, where values cannot be looked at.
    """

    targets: Tensor
    log_reach: nn.Parameter
    contrast: nn.Parameter

    def __init__(
        self,
        targets: Float[Tensor, "target 3"],
        *,
        hidden: int = 32,
        start: Start = "local",
        signed: bool = False,
    ) -> None:
        super().__init__()
        check_option("start", start, get_args(Start))
        if signed and start == "published":
            raise EegfmError(
                "The published spatial embedding has no weights below zero: set signed=false or start=local."
            )
        check_places(targets, what="targets")
        if not targets.is_meta and not bool(torch.isfinite(targets).all()):
            raise EegfmError("A target of the spatial embedding has no place (NaN). Leave it out.")
        self.start, self.signed = start, signed
        # not persistent: weights fit any targets
        self.register_buffer("targets", targets.to(torch.get_default_dtype()), persistent=False)
        last = nn.Linear(hidden, 2 if signed else 1, bias=start == "published")
        self.net = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), last)
        if start == "local":
            with torch.no_grad():
                last.weight.mul_(0.1)  # what is learned starts small beside the distance
            self.log_reach = nn.Parameter(torch.tensor([REACH, BROAD][: 1 + signed]).log())
            if signed:
                self.contrast = nn.Parameter(torch.ones(()))

    def forward(
        self, x: Float[Tensor, "*batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "*batch target time"]:
        weights = self.weights(coords).to(x.dtype)
        # 0 x NaN is NaN: samples of an ignored channel must not even be multiplied
        return weights @ x.masked_fill(~_known(coords)[:, None], 0.0)

    def weights(self, coords: Float[Tensor, "channel 3"]) -> Float[Tensor, "target channel"]:
        """How much of every channel each target sees. Rows sum to one; a channel at NaN has exactly zero."""
        return self.between(coords, self.targets)

    def between(
        self, sources: Float[Tensor, "source 3"], places: Float[Tensor, "place 3"]
    ) -> Float[Tensor, "place source"]:
        """How much of every source each place sees: the matrix of `weights`, for any two sets of places in metres.

        `between(targets, coords)` leads from targets back to channels. A source at NaN has zero in all rows, and so has
        every source in the row of a place at NaN.
        """
        if not torch.compiler.is_compiling():  # also true of an export
            check_places(sources, what="channels")
            check_places(places, what="targets")
        known, wanted = _known(sources), _known(places)
        dtype = self.targets.dtype
        # before any arithmetic: the gradient of a NaN that is masked afterwards is still NaN
        sources = sources.to(dtype).masked_fill(~known[:, None], 0.0)
        places = places.to(dtype).masked_fill(~wanted[:, None], 0.0)
        with torch.autocast(sources.device.type, enabled=False):  # some channels are 1 % of a head apart
            d = places[:, None] - sources  # place source 3
            if self.start == "local":
                d = d / HEAD_RADIUS
            logits = self.net(d)  # place source 1, or 2 where signed
            if self.start == "local":
                logits = logits - d.square().sum(-1, keepdim=True) * (0.5 * (-2 * self.log_reach).exp())
            share = logits.masked_fill(~known[:, None], -math.inf).softmax(dim=1)
            if self.signed:
                weights = (1 + self.contrast) * share[..., 0] - self.contrast * share[..., 1]
            else:
                weights = share[..., 0]
            return weights.masked_fill(~wanted[:, None], 0.0)


def check_places(coords: Float[Tensor, "place 3"], *, what: str = "channels") -> None:
    """Raise EegfmError unless at least one row is a place, and all that are have metres."""
    if coords.is_meta:  # a model that is only measured
        return
    known = _known(coords)
    farthest = (
        torch.where(known[:, None], coords, 0.0).abs().amax() if len(coords) else coords.new_zeros(())
    )
    # both questions in one answer: on a GPU each answer has to be waited for
    n_known, far = torch.stack([known.sum().double(), farthest.double()]).tolist()
    if not n_known:
        raise EegfmError(
            f"None of the {len(coords)} {what} has a place (all coordinates are NaN), so nothing can be seen of them. "
            "Name the rows by the 10-05 system, or give their coordinates in metres."
        )
    if far > FARTHEST:
        raise EegfmError(
            f"Coordinates of the {what} reach {far:.4g}, where metres in the head's frame are wanted (a head is about "
            "0.1). They look like millimetres: divide them by 1000."
        )


def spectrum(weights: Float[Tensor, "target channel"]) -> dict[str, Any]:
    """How many different things a spatial matrix lets through.

    `singular_values` are the first eight, relative to the first; `second` is the second of them (0 of one channel's
    matrix): near zero, all targets see the same. `effective_rank` is the exponential of the entropy of all of them
    (Roy & Vetterli 2007): 1 where all targets see the same, at most the number of channels.
    """
    values = torch.linalg.svdvals(weights.detach().double().cpu())
    values = values / values[0]
    share = values / values.sum()
    entropy = -torch.special.xlogy(share, share).sum()
    return {
        "singular_values": [float(f"{value:.6g}") for value in values[:8].tolist()],
        "second": float(f"{values[1]:.6g}") if len(values) > 1 else 0.0,
        "effective_rank": float(f"{entropy.exp():.6g}"),
    }


def _known(coords: Float[Tensor, "place 3"]) -> Bool[Tensor, " place"]:
    return ~coords.isnan().any(dim=1)
