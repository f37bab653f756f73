"""EEGM2: a Mamba-2 U-Net that gives EEG windows back (Hong et al. 2025, arXiv:2502.17873), and its ablations.

Written from the paper, and from facts about the reference (github.com/Jiazhen-Hong/EEGM2, no licence: read, not
copied): sizes, order of layers, names of tensors. `from_reference` reads its state dicts. The residual is the code's,
y = x + LayerNorm(Mamba2(x)); the paper's figure draws it from the Mamba's output.

The published results rest on a task that the network can solve by copying: nothing is masked, the loss is L1 + T x MSE,
and full-resolution skips lead past everything. They also rest on a classifier over the flattened reconstruction that
its optimiser was never given. What we do instead belongs to the task and stands in conf/experiment/eegm2_*.yaml:
a mask, a spectral term that holds spectral information, statistics of the bottleneck as the embedding, a head that is
trained, no weight decay on the state-space parameters. The network is the same in both.

Differs: `causal` is ours; S2 is no network (the L1 term alone: `task.loss`); the encoder alone (`light`) has no head.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.mamba1 import Mamba1
from eegfm.nn.mamba2 import Mamba2, Scan
from eegfm.nn.options import check_option
from eegfm.nn.unet import Carry, Conv, ConvUNet, lift

Mixer = Literal["mamba2", "mamba1", "attention", "convolution"]
Embedding = Literal["branches", "single"]
Layer = Literal["pool3", "bottleneck", "output"]
Pooling = Literal["mean_std", "mean", "flatten"]

WIDTHS = (64, 128, 256)
BRANCHES = (1, 3, 7)  # samples that the three convolutions of the input see
BLOCK = 8  # samples a step of the bottleneck: three halvings
N_HEADS, ATTENTION_DROPOUT = 4, 0.1  # of S5
EPSILON = 1e-5  # under the root of a variance: a flat stretch has a gradient


class Stream(NamedTuple):
    """What a causal Eegm2 remembers between two pieces: samples that wait for their block, and what layers keep."""

    waiting: Float[Tensor, "batch channel rest"]
    layers: tuple[Any, ...] | None


class Eegm2(nn.Module):
    """Give a window back, or embed it as one vector of `width`. Any number of channels, 8 samples or more.

    The variants of the paper, by argument:

    ======  =======================================  ======================================================
    EEGM2   the defaults
    Light   light=True, layer="pool3"                the encoder alone: no bottleneck, no way up
    S1      embedding="single"                       one convolution over the input instead of three
    S3      mixer="mamba1"                           (slow here: a loop over time)
    S4      mixer="mamba1", embedding="single"
    S5      mixer="attention"                        four heads, norm after the sum; time and memory of
                                                     training grow with the square of the length
    UNet    mixer="convolution"                      the classic one; lengths that 16 divides. Of the other
                                                     arguments, only `layer` and `pooling` concern it
    ======  =======================================  ======================================================

    `width_scale` divides the widths 64, 128, 256. `d_state`, `d_conv` and `expand` are the Mamba's, `scan` chooses how
    Mamba-2 is computed (see `eegfm.nn.mamba2`).

    An embedding is `pooling` over time ("mean_std": mean and standard deviation of every feature; "mean"; "flatten":
    everything, which ties it to one length) of `layer`: "pool3", the end of the encoder (EEGM2's probe looks at it);
    "bottleneck"; or "output", the reconstruction. EEGM2 is fine-tuned on layer="output", pooling="flatten".

    `causal` makes convolutions look back alone, and holds values on the way up where linear interpolation looks ahead.
    An output then depends on no input after its block of 8 samples: `latency`, 7 samples, is the longest wait. Windows
    are filled up with zeros to whole blocks. `stream` takes a recording in pieces. Weights of a centred network load
    into a causal one and mean something else there.

    Raises EegfmError for samples that are no raw windows, or too short, and for choices that do not go together.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        width_scale: int = 1,
        light: bool = False,
        embedding: Embedding = "branches",
        mixer: Mixer = "mamba2",
        d_state: int = 16,
        d_conv: int = 2,
        expand: int = 8,
        scan: Scan = "auto",
        layer: Layer = "bottleneck",
        pooling: Pooling = "mean_std",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if len(spec.shape) != 2:
            raise EegfmError(
                f"Eegm2 reads raw windows, (channel, time), and these samples have shape {tuple(spec.shape)}: an "
                "encoder's vectors. Type encoder=raw."
            )
        check_option("embedding", embedding, get_args(Embedding))
        check_option("mixer", mixer, get_args(Mixer))
        check_option("layer", layer, get_args(Layer))
        check_option("pooling", pooling, get_args(Pooling))
        if width_scale < 1 or WIDTHS[0] % width_scale:
            raise EegfmError(f"width_scale={width_scale} must divide the widths 64, 128, 256: 1, 2, 4, 8.")
        if causal and mixer != "mamba2":
            raise EegfmError(f"causal=true is for mixer=mamba2, not for mixer={mixer}.")
        if light and (mixer == "convolution" or layer != "pool3"):
            raise EegfmError(
                f"light=true is the encoder alone, which ends at layer=pool3; these say layer={layer}, mixer={mixer}. "
                "Type model.layer=pool3, and a mixer other than convolution."
            )
        if mixer == "convolution" and layer == "pool3":
            raise EegfmError("mixer=convolution has layer=bottleneck and layer=output, and no pool3.")
        self.n_channels, n_times = spec.shape
        self.light, self.layer, self.pooling, self.causal = light, layer, pooling, causal
        self.unet: ConvUNet | None = None
        if mixer == "convolution":
            self.unet = ConvUNet(self.n_channels)
        block = 16 if self.unet else BLOCK
        self._check_length(n_times)
        n_steps = -(-n_times // block) if causal else n_times // block

        w1, w2, w3 = (width // width_scale for width in WIDTHS)
        n_features = {"pool3": w3, "bottleneck": w3, "output": self.n_channels}[layer]
        if self.unet and layer == "bottleneck":
            n_features = ConvUNet.MIDDLE
        n_moments = n_times if layer == "output" else n_steps
        self.width = n_features * {"mean_std": 2, "mean": 1, "flatten": n_moments}[pooling]

        # modules by path, and the axis of time in what they give
        self.time_axis: dict[str, int] = {"unet.bottleneck": 2}
        if self.unet:
            return

        def mixed(width: int) -> Residual | AttentionNorm:
            if mixer == "attention":
                return AttentionNorm(width)
            if mixer == "mamba1":
                return Residual(Mamba1(width, d_state=d_state, d_conv=d_conv, expand=expand))
            return Residual(Mamba2(width, d_state=d_state, d_conv=d_conv, expand=expand, scan=scan))

        # in the order of the reference's state dict
        if embedding == "branches":
            self.input_embedding = Branches(self.n_channels, w1, causal=causal)
        else:
            self.input_embedding = Conv(self.n_channels, w1, 3, causal=causal)
        self.encoder1 = Steps(nn.Linear(w1, w1), mixed(w1))
        self.pool1 = nn.MaxPool1d(2, 2)
        self.encoder2 = Conv(w1, w2, 3, causal=causal)
        self.pool2 = nn.MaxPool1d(2, 2)
        self.encoder3 = Conv(w2, w3, 3, causal=causal)
        self.pool3 = nn.MaxPool1d(2, 2)
        self.time_axis = {"input_embedding": 2, "encoder1": 1, "pool1": 2, "encoder2": 2, "pool2": 2}
        self.time_axis |= {"encoder3": 2, "pool3": 2}
        if light:
            return
        self.bottleneck = Steps(nn.Linear(w3, w3), mixed(w3), nn.Linear(w3, w3))
        self.decoder3 = Conv(w3 + w3, w3, 3, causal=causal)
        self.mixer3 = mixed(w3)
        self.decoder2 = Conv(w2 + w3, w2, 3, causal=causal)
        self.mixer2 = mixed(w2)
        self.decoder1 = Conv(w1 + w2, w1, 3, causal=causal)
        self.output_embedding = nn.Conv1d(w1, self.n_channels, 1)
        self.time_axis |= {"bottleneck": 1, "decoder3": 2, "mixer3": 1, "decoder2": 2, "mixer2": 1}
        self.time_axis |= {"decoder1": 2, "output_embedding": 2}

    @property
    def latency(self) -> int | None:
        """How many samples an output may have to wait for, where that is not the whole window: `causal` alone."""
        return BLOCK - 1 if self.causal else None

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        """The windows given back, in the unit they came in. `coords` are not used.

        Raises EegfmError for another number of channels, lengths that the halvings do not admit, and light=true.
        """
        self._check(x)
        if self.unet:
            return self.unet(x)
        skips, h = self._down(self._filled(x))
        if self.light:  # only now: a probe has found its layer and left
            raise EegfmError(
                "light=true is the encoder alone and gives no windows back. Type model.light=false, or use it with "
                "task=classify or task=probe."
            )
        return self._up(skips, self._middle(h))[..., : x.shape[-1]]

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """One vector a window: `pooling` of `layer`. `coords` are not used. Raises EegfmError as `forward` does."""
        self._check(x)
        if self.layer == "output":
            h = self(x, coords)
        elif self.unet:
            h = self.unet.encode(x)
        else:
            _, h = self._down(self._filled(x))
            h = h if self.layer == "pool3" else self._middle(h)
        if self.pooling == "mean":
            return h.mean(-1)
        if self.pooling == "mean_std":
            h = h.to(torch.promote_types(h.dtype, torch.float32))  # a variance does not survive fewer bits
            return torch.cat([h.mean(-1), (h.var(-1, correction=0) + EPSILON).sqrt()], dim=1)
        if h[0].numel() != self.width:
            raise EegfmError(
                f"pooling=flatten ties this Eegm2 to the length it was made for: it makes {h[0].numel()} numbers of "
                f"windows of {x.shape[-1]} samples, not {self.width}. Type model.pooling=mean_std."
            )
        return h.flatten(1)

    def stream(
        self,
        x: Float[Tensor, "batch channel time"],
        coords: Float[Tensor, "channel 3"],
        state: Stream | None = None,
    ) -> tuple[Float[Tensor, "batch channel ready"], Stream]:
        """The next piece of a recording: what is ready of the output, and what to hand in with the next piece.

        Ready are the blocks of 8 samples that are complete; the pieces' outputs in a row are that of one pass, to
        rounding, and start at the first sample. At the end, hand in zeros for what is missing of the last block.

        Raises EegfmError where the network is not causal.
        """
        if not self.causal or self.light:
            raise EegfmError(
                "Only a whole causal Eegm2 can stream. Type model.causal=true, model.light=false."
            )
        self._check_channels(x)
        if state is not None:
            x = torch.cat([state.waiting, x], dim=-1)
        ready = x.shape[-1] // BLOCK * BLOCK
        layers = None if state is None else state.layers
        waiting = x[..., ready:].clone()  # or a few samples would hold on to the whole piece
        if not ready:
            return x[..., :0], Stream(waiting, layers)
        carry = Carry(layers)
        skips, h = self._down(x[..., :ready], carry)
        return self._up(skips, self._middle(h, carry), carry), Stream(waiting, carry.kept)

    def initial_state(self, x: Float[Tensor, "batch channel time"]) -> Stream:
        """The empty past of a stream like `x` as tensors of their final shapes: to export `stream` with its state.

        Raises EegfmError where the network cannot stream.
        """
        with torch.no_grad():
            block = x.new_zeros(*x.shape[:2], BLOCK)
            _, (waiting, layers) = self.stream(block, block.new_zeros(x.shape[1], 3))
        return Stream(waiting, tuple(_emptied(layer) for layer in layers or ()))

    def _down(self, x: Tensor, carry: Carry | None = None) -> tuple[list[Tensor], Tensor]:
        """What the skips carry, at full, half and quarter rate; and the end of the encoder, [batch width time/8]."""
        h = self.input_embedding(x, carry)
        x1 = self.encoder1(h.transpose(1, 2), carry).transpose(1, 2)
        x2 = self.encoder2(self.pool1(x1), carry)
        x3 = self.encoder3(self.pool2(x2), carry)
        return [x1, x2, x3], self.pool3(x3)

    def _middle(self, h: Tensor, carry: Carry | None = None) -> Tensor:
        return self.bottleneck(h.transpose(1, 2), carry).transpose(1, 2)

    def _up(self, skips: list[Tensor], h: Tensor, carry: Carry | None = None) -> Tensor:
        x1, x2, x3 = skips
        h = self.decoder3(self._joined(x3, h), carry)
        h = self.mixer3(h.transpose(1, 2), carry).transpose(1, 2)
        h = self.decoder2(self._joined(x2, h), carry)
        h = self.mixer2(h.transpose(1, 2), carry).transpose(1, 2)
        return self.output_embedding(self.decoder1(self._joined(x1, h), carry))

    def _joined(self, skip: Tensor, h: Tensor) -> Tensor:
        return torch.cat([skip, lift(h, skip.shape[-1], hold=self.causal)], dim=1)

    def _filled(self, x: Tensor) -> Tensor:
        """Whole blocks, where the network is causal: a block must not be cut where a stream would go on."""
        return nn.functional.pad(x, (0, -x.shape[-1] % BLOCK)) if self.causal else x

    def _check(self, x: Tensor) -> None:
        self._check_channels(x)
        self._check_length(x.shape[-1])

    def _check_channels(self, x: Tensor) -> None:
        if x.shape[1] != self.n_channels:
            raise EegfmError(
                f"This Eegm2 was made for {self.n_channels} channels and was given {x.shape[1]}. "
                "Use it with data of the montage that it was trained on."
            )

    def _check_length(self, n_times: int) -> None:
        if self.unet and (n_times % 16 or not n_times):
            raise EegfmError(
                "mixer=convolution halves windows four times: it takes 16, 32, 48, ... samples, and these have "
                f"{n_times}."
            )
        if n_times < BLOCK:
            raise EegfmError(
                f"Eegm2 halves windows three times: it takes {BLOCK} samples or more, of any number, and these have "
                f"{n_times}."
            )


class Branches(nn.Module):
    """Three convolutions over 1, 3 and 7 samples side by side, fused by a linear layer."""

    def __init__(self, n_channels: int, width: int, *, causal: bool) -> None:
        super().__init__()
        self.branch1, self.branch3, self.branch7 = (
            Conv(n_channels, width, size, causal=causal) for size in BRANCHES
        )
        self.fuse = nn.Conv1d(len(BRANCHES) * width, width, 1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], carry: Carry | None = None
    ) -> Float[Tensor, "batch width time"]:
        branches = (self.branch1, self.branch3, self.branch7)
        return self.fuse(torch.cat([branch(x, carry) for branch in branches], dim=1))


class Residual(nn.Module):
    """x + LayerNorm(Mamba(x))."""

    def __init__(self, mix: Mamba1 | Mamba2) -> None:
        super().__init__()
        self.mix = mix
        self.norm = nn.LayerNorm(mix.in_proj.in_features)

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        if carry is None:
            return x + self.norm(self.mix(x))
        assert isinstance(self.mix, Mamba2)
        h, state = self.mix.stream(x, carry.take())
        carry.keep(state)
        return x + self.norm(h)


class AttentionNorm(nn.Module):
    """LayerNorm(x + attention(x)): the ablation S5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(width, N_HEADS, dropout=ATTENTION_DROPOUT, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        assert carry is None
        return self.norm(x + self.mix(x, x, x, need_weights=False)[0])


class Steps(nn.Sequential):
    """One after the other; the mixers among them are handed the memory of a stream."""

    def forward(
        self, input: Float[Tensor, "batch time width"], carry: Carry | None = None
    ) -> Float[Tensor, "batch time width"]:
        for module in self:
            input = module(input) if isinstance(module, nn.Linear) else module(input, carry)
        return input


def _emptied(value: Any) -> Any:
    """Zeros instead of every tensor: an empty past."""
    return torch.zeros_like(value) if isinstance(value, Tensor) else type(value)(*map(_emptied, value))


_RENAMED = (  # in a key of the reference, and ours
    (r"^decode(?:Mamba|Attn)(?=[23]\.)", "mixer"),
    (r"^onput_embedding(?=\.)", "output_embedding"),
    (r"(?<=\.)(?:mamba|mha)(?=\.)", "mix"),
)
_PARTS = re.compile(r"(input_embedding|encoder[123]|bottleneck|decoder[123]|mixer[23]|output_embedding)\.")


def from_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in the layout of the reference as one of ours. Shapes and order are the same; names differ so:

    ===============================  ==================
    reference                        ours
    ===============================  ==================
    decodeMamba{i}.*, decodeAttn{i}  mixer{i}.*
    *.mamba.*, *.mha.*               *.mix.*
    onput_embedding.*                output_embedding.*
    ===============================  ==================

    The classic U-Net's layout is another and not read. Raises EegfmError if a key is not of this layout.
    """
    found: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        ours = key
        for pattern, name in _RENAMED:
            ours = re.sub(pattern, name, ours)
        if not _PARTS.match(ours):
            unknown.append(key)
        found[ours] = tensor
    if unknown:
        raise EegfmError(
            f"Not a state dict of the EEGM2 reference: {len(unknown)} of its {len(state)} keys have no place here, "
            f"first {unknown[0]!r}. from_reference reads what torch.save(model.state_dict()) wrote there."
        )
    return found
