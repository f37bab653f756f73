"""SAMBA: one U-Net for every montage, by coordinates instead of channel lists (Hong et al. 2025, arXiv:2511.18571).

Written from facts about the reference (github.com/Jiazhen-Hong/SAMBA, no licence: read, not copied): sizes,
order of layers, names of tensors. `eegfm.models.samba_reference` reads its state dicts. The body is EEGM2's; before it,
a spatial embedding (`eegfm.nn.spatial`) maps any channels to the same places, and its bottleneck is
multi-head differential Mamba (`eegfm.nn.diff_mamba`).

The reference starts as a mean of all channels, ties its output to one montage, and norms over time, so that
its output at one moment depends on the window's length. Arguments give all of this; the defaults are ours:
the embedding starts local, the output is read at the channels' own coordinates, so that no tensor depends
on their number, and norms act on each moment alone. Only the Mambas, the pools and these norms are
non-linear, as in the reference.

Differs: three RMS norms of the reference (256 numbers), which it never calls, are left out.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.models.samba_reference import read_published
from eegfm.nn.diff_mamba import DiffMamba, Lambda, Norm
from eegfm.nn.mamba2 import Mamba2, Scan
from eegfm.nn.options import check_option
from eegfm.nn.spatial import Spatial
from eegfm.nn.unet import (
    Body,
    Branches,
    Carry,
    Conv,
    MambaUNet,
    Pooling,
    Residual,
    Steps,
    pooled,
    pooled_width,
)

Look = Literal["local", "published", "none"]
Head = Literal["coordinates", "published"]
Mixer = Literal["mamba2", "convolution"]

WIDTHS = (64, 64, 128)


class Samba(MambaUNet):
    """Reconstruct a window of any montage, or embed it as a vector of `width`. Takes 8 samples or more.

    `targets` are the places from which the network sees the head (`eegfm.signal.montage.layout` knows
    some), in metres of the head frame; if they are in another frame, `move` is the rigid transform from
    head coordinates to it. Channels at NaN coordinates are ignored exactly, and reconstructed as zero.

    Arguments give the reference's experiments (`conf/adapt/samba_published_*.yaml` has them all):

    - `look`: how the targets see the channels. "local", ours; "published"; "none": no spatial embedding, the network
      has the data set's channels. `signed` lets a local one weigh below zero.
    - `head`: "coordinates", ours: a reconstruction at the targets, seen from the channels' places by a second spatial
      embedding; "published": a convolution to the data set's channels.
    - `mixer` "convolution": the ablation without Mamba, convolutions with ReLU. `differential` false: the ablation
      whose bottleneck is one Mamba-2.
    - `lam`, `norm`: of differential Mamba (see `eegfm.nn.diff_mamba.DiffMamba`).

    `width_scale` divides the widths 64, 64, 128. `d_state`, `d_conv` and `expand` are the Mamba's, `scan` chooses how
    Mamba-2 is computed (see `eegfm.nn.mamba2`).

    An embedding is `pooling` over time ("mean_std" or "mean" of every feature; "logcov",
    `eegfm.nn.covariance.log_covariance`) of `layer`: "pool3", the end of the encoder; "bottleneck"; or the way up:
    "mixer3"; "rise2", the decoder at half the rate, which the reference's probe uses; "mixer2".

    `causal` makes an output depend on no input after its block of 8 samples (see `MambaUNet`); `stream`
    takes a recording in pieces. `causal` needs norm="per_token".

    Raises EegfmError for samples that are not raw windows, or too short, and for options that exclude each
    other.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        targets: Montage,
        move: Float[np.ndarray, "4 4"] | None = None,
        look: Look = "local",
        signed: bool = False,
        head: Head = "coordinates",
        width_scale: int = 1,
        mixer: Mixer = "mamba2",
        differential: bool = True,
        lam: Lambda = "diff_mamba",
        norm: Norm = "per_token",
        d_state: int = 16,
        d_conv: int = 2,
        expand: int = 8,
        scan: Scan = "auto",
        layer: Body = "bottleneck",
        pooling: Pooling = "mean_std",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self._check_spec(spec)
        check_option("look", look, get_args(Look))
        check_option("head", head, get_args(Head))
        check_option("mixer", mixer, get_args(Mixer))
        check_option("layer", layer, get_args(Body))
        check_option("pooling", pooling, get_args(Pooling))
        if width_scale not in (1, 2, 4, 8):
            raise EegfmError(
                f"width_scale={width_scale}: 1, 2, 4 or 8 is wanted. Heads of 16 features must divide what is left "
                "of the width 128."
            )
        if causal and mixer == "mamba2" and differential and norm != "per_token":
            raise EegfmError(
                "causal=true wants norm=per_token: the published norm takes in the whole window."
            )
        if look == "none" and head == "coordinates":
            raise EegfmError(
                "look=none reads no coordinates, and head=coordinates does. Type model.head=published"
            )
        if spec.montages and head == "published":
            raise EegfmError(
                "head=published is made for the channels of one montage, and these data have several. "
                "Type model.head=coordinates"
            )
        self.look, self.head = look, head
        self.layer, self.causal = layer, causal
        self.pooling: Pooling = pooling
        self.n_channels, n_times = spec.shape
        self._check_length(n_times)
        self.move: Tensor | None
        self.register_buffer("move", None if move is None else torch.tensor(move).float(), persistent=False)

        # layers in the order of the reference's state dict
        places = torch.tensor(targets.coords, dtype=torch.float32)
        n_seen = self.n_channels if look == "none" else len(places)
        if look != "none":
            self.targets = targets  # makes the model a `MapsPlaces`
            self.spatial = Spatial(places, start=look, signed=signed)
        w1, w2, w3 = (width // width_scale for width in WIDTHS)
        convolve = partial(Conv, kernel_size=3, causal=causal)
        mamba = partial(Mamba2, d_state=d_state, d_conv=d_conv, expand=expand, scan=scan)
        heads = partial(
            DiffMamba, d_state=d_state, d_conv=d_conv, expand=expand, lam=lam, norm=norm, scan=scan
        )

        def mixed(width: int) -> Residual:
            return Residual(mamba(width), nn.Identity())

        def middle(width: int) -> Steps:
            mix = heads(width) if differential else mixed(width)
            return Steps(nn.Linear(width, width), mix, nn.Linear(width, width))

        embedding = Branches(n_seen, w1, causal=causal)
        if mixer == "mamba2":
            self._make(
                (w1, w2, w3),
                embedding=embedding,
                conv=convolve,
                first=lambda width: Steps(nn.Linear(width, width), mixed(width)),
                middle=middle,
                mixed=mixed,
            )
        else:
            self._make(
                (w1, w2, w3),
                embedding=embedding,
                conv=partial(ConvReLU, kernel_size=3, causal=causal),
                first=partial(Turned, causal=causal),
                middle=partial(Turned, causal=causal),
                mixed=lambda width: Same(),
            )
        self.output_embedding = nn.Conv1d(w1, self.n_channels if head == "published" else n_seen, 1)
        self.time_axis |= {"output_embedding": 2}
        if head == "coordinates":
            self.back = Spatial(
                places, start="published" if look == "published" else "local", signed=signed
            )
        self.width = pooled_width(w2 if layer == "mixer2" else w3, pooling)

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        """Reconstruct windows in their own unit; zero where a channel has no place.

        Raises EegfmError for windows that are too short, coordinates that are not one per channel or not
        metres, and, with head="published", for another number of channels.
        """
        self._check(x, coords)
        return self._through(self._filled(x), coords)[..., : x.shape[-1]]

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """A vector per window: `pooling` of `layer`. Raises EegfmError as `forward` does."""
        self._check(x, coords, whole=False)
        h = self._looked_at(*self._down(self._seen(self._filled(x), self._moved(coords))))
        return pooled(h, self.pooling)

    def spatial_weights(self, coords: Float[Tensor, "channel 3"]) -> Float[Tensor, "target channel"]:
        """The weight of every channel at each target. Raises EegfmError if look="none"."""
        if self.look == "none":
            raise EegfmError("look=none has no spatial embedding. Type model.look=local")
        return self.spatial.weights(self._moved(coords))

    def from_published(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Tensors in the reference's layout as ours: see `eegfm.models.samba_reference.read_published`."""
        return read_published(state, self.state_dict())

    def _through(self, x: Tensor, coords: Tensor, carry: Carry | None = None) -> Tensor:
        coords = self._moved(coords)
        skips, h = self._down(self._seen(x, coords), carry)
        out = self.output_embedding(self._up(skips, self._middle(h, carry), carry))
        if self.head == "published":
            return out
        return self.back.between(self.back.targets, coords).to(out.dtype) @ out

    def _seen(self, x: Tensor, coords: Tensor) -> Tensor:
        return x if self.look == "none" else self.spatial(x, coords)

    def _moved(self, coords: Tensor) -> Tensor:
        """The coordinates in the frame of the targets."""
        if self.move is None:
            return coords
        return coords @ self.move[:3, :3].T.to(coords) + self.move[:3, 3].to(coords)

    def _check(self, x: Tensor, coords: Tensor, *, whole: bool = True) -> None:
        if len(coords) != x.shape[1]:
            raise EegfmError(f"Samba was given {x.shape[1]} channels and coordinates of {len(coords)}.")
        tied = self.look == "none" or (whole and self.head == "published")
        if tied and x.shape[1] != self.n_channels:
            raise EegfmError(
                f"This Samba was made for {self.n_channels} channels and was given {x.shape[1]}: "
                f"look={self.look}, head={self.head}. With model.look=local model.head=coordinates it takes any."
            )
        self._check_length(x.shape[-1])


class ConvReLU(Conv):
    """A convolution and ReLU, for the ablation without Mamba."""

    def forward(
        self, input: Float[Tensor, "batch channel time"], carry: Carry | None = None
    ) -> Float[Tensor, "batch feature time"]:
        return F.relu(super().forward(input, carry))


class Turned(nn.Module):
    """ConvReLU of equal widths, for the parts of the body that have time before features."""

    def __init__(self, width: int, *, causal: bool) -> None:
        super().__init__()
        self.conv = ConvReLU(width, width, 3, causal=causal)

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        return self.conv(x.transpose(1, 2), carry).transpose(1, 2)


class Same(nn.Module):
    """The identity, where the ablation without Mamba has no mixer."""

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        return x
