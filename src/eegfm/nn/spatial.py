"""The coordinate-driven spatial embedding of SAMBA: any montage in, the same places out (Hong et al. 2025,
arXiv:2511.18571; called SAIE, later CDSE).

A small network reads the displacement from every channel to every target place; a softmax over the channels
turns its output into the weight of each channel at a target. Written from a description of the published
module; upstream (github.com/Jiazhen-Hong/SAMBA, no licence) was not copied. `start="published"` is that
module. It starts as a plain mean of the channels, because its network sees metres, which are small compared
with its weights. `start="local"`, ours, differs:

- displacements are in head radii, and the logits also hold -|d|^2 / (2 reach^2): targets first look at neighbours;
- `signed=True` subtracts a second, broader softmax from the first, so that a target can see a difference of channels,
  which positive weights cannot give; it starts as a surface Laplacian;
- the last layer has no bias, which would not change a softmax.

In both, a channel without a place (NaN) is ignored exactly, whatever its samples.
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
BROAD = 2 * REACH  # reach of the softmax that `signed` subtracts
FARTHEST = 1.0  # metres: no electrode is farther from the centre of a head, but nearly all are if given in millimetres


class Spatial(nn.Module):
    """x of any montage -> x as seen from the targets: [batch, target, time], in the unit of x.

    `targets` are metres, in the frame of the coordinates that come with x. Raises EegfmError if coordinates
    are not metres or no channel has a place, except while compiling or exporting, when values cannot be
    read.
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
                last.weight.mul_(0.1)  # the learned part starts small compared with the distance
            self.log_reach = nn.Parameter(torch.tensor([REACH, BROAD][: 1 + signed]).log())
            if signed:
                self.contrast = nn.Parameter(torch.ones(()))

    def forward(
        self, x: Float[Tensor, "*batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "*batch target time"]:
        weights = self.weights(coords).to(x.dtype)
        # 0 x NaN is NaN, so samples of an ignored channel must not be multiplied
        return weights @ x.masked_fill(~_known(coords)[:, None], 0.0)

    def weights(self, coords: Float[Tensor, "channel 3"]) -> Float[Tensor, "target channel"]:
        """The weight of every channel at each target. Rows sum to one; a channel at NaN has exactly zero."""
        return self.between(coords, self.targets)

    def between(
        self, sources: Float[Tensor, "source 3"], places: Float[Tensor, "place 3"]
    ) -> Float[Tensor, "place source"]:
        """The weight of every source at each place: the matrix of `weights`, for any two sets of places in metres.

        `between(targets, coords)` maps targets back to channels. A source at NaN has zero in all rows, and
        the row of a place at NaN is zero.
        """
        if not torch.compiler.is_compiling():  # also true of an export
            check_places(sources, what="channels")
            check_places(places, what="targets")
        known, wanted = _known(sources), _known(places)
        dtype = self.targets.dtype
        # masks before any arithmetic: the gradient of a NaN that is masked later is still NaN
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
    """Raise EegfmError unless at least one row is a place and all places are in metres."""
    if coords.is_meta:  # only shapes are asked for
        return
    known = _known(coords)
    farthest = (
        torch.where(known[:, None], coords, 0.0).abs().amax() if len(coords) else coords.new_zeros(())
    )
    # fetches both values at once: on a GPU each fetch waits
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
    """The rank of a spatial matrix: how many different signals it lets through.

    `singular_values` are the first eight, relative to the first; `second` is the second of them (0 for the
    matrix of a single channel): near zero, all targets see the same. `effective_rank` is the exponential of
    the entropy of all of them (Roy & Vetterli 2007): 1 if all targets see the same, at most the number of
    channels.
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
