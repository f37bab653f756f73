"""CBraMod: a criss-cross transformer on patches of one second (Wang et al. 2025, arXiv:2412.07236, ICLR).

Written from its formulas; upstream (github.com/wjq-learning/CBraMod at b9e9610, MIT) fixes what the paper
leaves open. Tensors have upstream's names and shapes, so its checkpoint loads without conversion:
`weights=published`, or any file of that layout. conf/model/cbramod.yaml gives its heads and its recipe.

A patch is embedded twice, by convolutions in time and by the magnitudes of its spectrum, and the two are
added. A depthwise convolution over the grid of channels and seconds encodes the position of a patch. Twelve
layers then attend over the channels of a second with half of the features, and over the seconds of a
channel with the other half.

Differs: `mask_encoding`, zeros that upstream never trains, is a buffer, and samples that a task hides
arrive as zeros. The head for sequences of sleep epochs (ISRUC) is left out. Coordinates are not used: the
model knows the places of channels only by their order.
"""

import copy
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.options import check_option
from eegfm.nn.transformer import criss_cross

Head = Literal[
    "all_patch_reps", "all_patch_reps_twolayer", "all_patch_reps_onelayer", "avgpooling_patch_reps"
]

SFREQ = 200.0
PATCH = 200  # samples: eight steps of 25, times 25 filters, make the 200 features
WIDTH = 200
GRID = (19, 7)  # channels, seconds: the neighbourhood that encodes a patch's position


class CBraMod(nn.Module):
    """Embed or reconstruct windows of whole seconds at 200 Hz.

    Inputs are microvolts divided by 100 (`unit_uv`); the task divides them: task.scale=100.

    `head` is upstream's name of a classifier. The first three take the features of every patch side by
    side, which ties the model to its numbers of channels and seconds; "avgpooling_patch_reps" takes their
    mean. `published_head` makes the layers after that: three linear ones, two, one, one. `dropout` is that
    of the layers and of the head.

    Raises EegfmError for an encoder's tokens, another rate, and windows that are not whole seconds.
    """

    # The published checkpoint, an upstream state dict, for weights=published.
    repository = "weighting666/CBraMod"
    revision = "500543c7e30bda1b22bfd51a49301b238dee21fd"
    file = "pretrained_weights.pth"
    sha256 = "0792cb808c14e6b7a2bb2ce1dff379bc47bc54c49a779825bdfeb33bf8157178"
    about = "19.8 MB, Apache-2.0"
    unit_uv = 100.0
    decoder = ("proj_out",)  # an embedding does not use it

    def __init__(
        self, spec: SampleSpec, *, head: Head = "all_patch_reps", depth: int = 12, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_option("head", head, get_args(Head))
        if len(spec.shape) != 2:
            raise EegfmError(
                f"CBraMod reads raw windows (channel, time), and these samples have shape {tuple(spec.shape)}. "
                "Type encoder=raw."
            )
        if spec.sfreq != SFREQ:
            raise EegfmError(
                f"CBraMod reads windows at {SFREQ:g} Hz, and these are at {spec.sfreq:g} Hz. Choose a benchmark "
                "of that rate; your own recordings get it by sfreq: 200 in their YAML."
            )
        if depth < 1 or not 0 <= dropout < 1:
            raise EegfmError(f"depth={depth} must be positive, dropout={dropout} at least 0 and below 1.")
        self.head_name: Head = head
        self.dropout = dropout
        self.n_channels, n_times = spec.shape
        self._check_length(n_times)
        self.n_seconds = n_times // PATCH

        # in the order of upstream's state dict
        self.patch_embedding = PatchEmbedding(dropout)
        layer = CrissCross(dropout)
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(copy.deepcopy(layer) for _ in range(depth))})
        self.proj_out = nn.Sequential(nn.Linear(WIDTH, PATCH))
        self.apply(_draw)

        pooled = head == "avgpooling_patch_reps"
        self.width = WIDTH if pooled else self.n_channels * self.n_seconds * WIDTH

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """Features of all patches side by side, channel by channel, or their mean. `coords` are not used.

        Raises EegfmError for windows that are not whole seconds or that do not have the shape of `head`.
        """
        h = self.features(x)
        if self.head_name == "avgpooling_patch_reps":
            return h.mean((1, 2))
        if h.shape[1:3] != (self.n_channels, self.n_seconds):
            raise EegfmError(
                f"This CBraMod was made for {self.n_channels} channels of {self.n_seconds} s and was given "
                f"{h.shape[1]} of {h.shape[2]} s. With model.head=avgpooling_patch_reps it takes any."
            )
        return h.flatten(1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        """Reconstruct windows in their own unit. Raises EegfmError if they are not whole seconds."""
        return self.proj_out(self.features(x)).flatten(2)

    def features(
        self, x: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch channel second width"]:
        """The transformer's features of every patch."""
        self._check_length(x.shape[-1])
        h = self.patch_embedding(x.unflatten(2, (-1, PATCH))).transpose(1, 2)  # batch second channel width
        for layer in self.encoder["layers"]:  # type: ignore[attr-defined]
            h = layer(h)
        return h.transpose(1, 2)

    def published_head(self, n_logits: int) -> nn.Module:
        """Upstream's classifier of this `head`, which takes an embedding."""
        # upstream has seconds x 200 hidden units, but 800 for SEED-V, its only benchmark of one second
        wide = WIDTH * (4 if self.n_seconds == 1 else self.n_seconds)
        hidden = {"all_patch_reps": (wide, WIDTH), "all_patch_reps_twolayer": (WIDTH,)}
        layers: list[nn.Module] = []
        width = self.width
        for size in hidden.get(self.head_name, ()):
            layers += [nn.Linear(width, size), nn.ELU(), nn.Dropout(self.dropout)]
            width = size
        return nn.Sequential(*layers, nn.Linear(width, n_logits))

    def _check_length(self, n_times: int) -> None:
        if n_times < PATCH or n_times % PATCH:
            raise EegfmError(
                f"CBraMod reads whole seconds, multiples of {PATCH} samples, and these windows have {n_times}. "
                f"Type data.window_s={max(1, n_times // PATCH)}"
            )


class PatchEmbedding(nn.Module):
    """Every second of every channel as a vector that also encodes neighbouring channels and seconds."""

    mask_encoding: Tensor

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.positional_encoding = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, GRID, padding=(GRID[0] // 2, GRID[1] // 2), groups=WIDTH)
        )
        self.register_buffer("mask_encoding", torch.zeros(PATCH))  # never read: see this file's docstring
        self.proj_in = nn.Sequential(
            *(nn.Conv2d(1, 25, (1, 49), stride=(1, 25), padding=(0, 24)), nn.GroupNorm(5, 25), nn.GELU()),
            *(nn.Conv2d(25, 25, (1, 3), padding=(0, 1)), nn.GroupNorm(5, 25), nn.GELU()),
            *(nn.Conv2d(25, 25, (1, 3), padding=(0, 1)), nn.GroupNorm(5, 25), nn.GELU()),
        )
        self.spectral_proj = nn.Sequential(nn.Linear(PATCH // 2 + 1, WIDTH), nn.Dropout(dropout))

    def forward(
        self, x: Float[Tensor, "batch channel second 200"]
    ) -> Float[Tensor, "batch channel second width"]:
        # the group norms span all patches of a window
        h = self.proj_in(x.flatten(1, 2).unsqueeze(1))  # batch filter patch step
        in_time = h.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3])
        # 1/200 of the sum; a second's mean is its first magnitude
        in_frequency = self.spectral_proj(torch.fft.rfft(x, norm="forward").abs())
        h = in_time + in_frequency
        return h + self.positional_encoding(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class CrissCross(nn.Module):
    """Attend over channels with half of the features, over seconds with the rest, then feed forward; pre-norm."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.self_attn_s = nn.MultiheadAttention(WIDTH // 2, 4, dropout=dropout, batch_first=True)
        self.self_attn_t = nn.MultiheadAttention(WIDTH // 2, 4, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.linear2 = nn.Linear(4 * WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch second channel width"]
    ) -> Float[Tensor, "batch second channel width"]:
        x = x + self.dropout(criss_cross(self.norm1(x), self.self_attn_s, self.self_attn_t))
        hidden = self.dropout(F.gelu(self.linear1(self.norm2(x))))
        return x + self.dropout(self.linear2(hidden))


def _draw(module: nn.Module) -> None:
    """Upstream's initial weights: He's normal by fan-out for every linear layer, also in the attention.

    The attentions' in_proj keep torch's initial weights, equal in all layers, which are copies of the
    first.
    """
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
