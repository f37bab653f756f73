"""EEGM2: a Mamba-2 U-Net that reconstructs EEG windows (Hong et al. 2025, arXiv:2502.17873), and its ablations.

Written from the paper, and from facts about the reference (github.com/Jiazhen-Hong/EEGM2, no licence: read,
not copied): sizes, order of layers, names of tensors. `from_reference` reads its state dicts. The residual
is that of the code, y = x + LayerNorm(Mamba2(x)); the paper's figure draws it from the Mamba's output.

The published results rest on a task that the network can solve by copying: nothing is masked, the loss is
L1 + T x MSE, and full-resolution skips bypass everything. They also rest on a classifier over the flattened
reconstruction that its optimiser never received. Our changes belong to the task and are in
conf/experiment/eegm2_*.yaml: a mask, a spectral term that holds spectral information, statistics of the
bottleneck as the embedding, a head that is trained, no weight decay on the state-space parameters. The
network is the same in both.

Differs: `causal` is ours; S2 changes no network, only the loss (the L1 term alone: `task.loss`); the
encoder alone (`light`) has no head.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.conv_unet import ConvUNet
from eegfm.nn.mamba1 import Mamba1
from eegfm.nn.mamba2 import Mamba2, Scan
from eegfm.nn.options import check_option
from eegfm.nn.unet import BLOCK, Branches, Carry, Conv, MambaUNet, Residual, Steps, pooled, pooled_width

Mixer = Literal["mamba2", "mamba1", "attention", "convolution"]
Embedding = Literal["branches", "single"]
Layer = Literal["pool3", "bottleneck", "mixer3", "rise2", "mixer2", "output"]
Pooling = Literal["mean_std", "mean", "logcov", "flatten"]

WIDTHS = (64, 128, 256)
N_HEADS, ATTENTION_DROPOUT = 4, 0.1  # the attention of S5


class Eegm2(MambaUNet):
    """Reconstruct a window, or embed it as a vector of `width`. Takes any number of channels, 8 samples or more.

    The variants of the paper, by argument:

    ======  =======================================  ======================================================
    EEGM2   the defaults
    Light   light=True, layer="pool3"                the encoder alone: no bottleneck, no decoder
    S1      embedding="single"                       one convolution over the input instead of three
    S3      mixer="mamba1"                           (slow here: a loop over time)
    S4      mixer="mamba1", embedding="single"
    S5      mixer="attention"                        four heads, norm after the sum; time and memory of
                                                     training grow with the square of the length
    UNet    mixer="convolution"                      the classic one; lengths that 16 divides. Of the other
                                                     arguments, only `layer` and `pooling` concern it
    ======  =======================================  ======================================================

    `width_scale` divides the widths 64, 128, 256. `d_state`, `d_conv` and `expand` are Mamba's, `scan`
    chooses how Mamba-2 is computed (see `eegfm.nn.mamba2`).

    An embedding is `pooling` over time ("mean_std": mean and standard deviation of every feature; "mean";
    "logcov": `eegfm.nn.covariance.log_covariance`; "flatten": all values, which ties the model to one length) of
    `layer`: "pool3", the end of the encoder, which EEGM2's probe uses; "bottleneck"; "mixer3", "rise2" and "mixer2",
    the way up; or "output", the reconstruction. EEGM2 is fine-tuned on layer="output", pooling="flatten".

    `causal` makes convolutions look back only, and holds values in the decoder where linear interpolation
    looks ahead. An output then depends on no input after its block of 8 samples: `latency`, 7 samples, is
    the longest delay. Windows are padded with zeros to whole blocks. `stream` takes a recording in pieces.
    Weights of a centred network load into a causal one but mean something else there.

    Raises EegfmError for samples that are not raw windows, or too short, and for options that exclude each
    other.
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
        self._check_spec(spec)
        if spec.montages:
            raise EegfmError(
                "Eegm2 is built for one montage, and these corpora keep their own (data.channels=own). Type "
                "data.channels=common, or take a model that reads places: model=samba."
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
        if mixer == "convolution" and layer not in ("bottleneck", "output"):
            raise EegfmError(f"mixer=convolution has layer=bottleneck and layer=output, and no {layer}.")
        self.n_channels, n_times = spec.shape
        self.light, self.layer, self.causal = light, layer, causal
        self.pooling: Pooling = pooling
        self.unet: ConvUNet | None = None
        if mixer == "convolution":
            self.unet = ConvUNet(self.n_channels)
        block = 16 if self.unet else BLOCK
        self._check_length(n_times)
        n_steps = -(-n_times // block) if causal else n_times // block

        w1, w2, w3 = (width // width_scale for width in WIDTHS)
        n_features = {"mixer2": w2, "output": self.n_channels}.get(layer, w3)
        if self.unet and layer == "bottleneck":
            n_features = ConvUNet.MIDDLE
        if pooling == "flatten":
            if layer not in ("pool3", "bottleneck", "output"):
                raise EegfmError(
                    f"pooling=flatten takes layer=pool3, bottleneck or output, and not {layer}."
                )
            self.width = n_features * (n_times if layer == "output" else n_steps)
        else:
            self.width = pooled_width(n_features, pooling)

        if self.unet:
            self.time_axis = {"unet.bottleneck": 2}
            return

        def mixed(width: int) -> Residual | AttentionNorm:
            if mixer == "attention":
                return AttentionNorm(width)
            make = Mamba1 if mixer == "mamba1" else partial(Mamba2, scan=scan)
            return Residual(make(width, d_state=d_state, d_conv=d_conv, expand=expand), nn.LayerNorm(width))

        def first(width: int) -> Steps:
            return Steps(nn.Linear(width, width), mixed(width))

        convolve = partial(Conv, kernel_size=3, causal=causal)
        see = partial(Branches, causal=causal) if embedding == "branches" else convolve
        self._make(
            (w1, w2, w3),
            embedding=see(self.n_channels, w1),
            conv=convolve,
            first=first,
            middle=None if light else lambda width: Steps(*first(width), nn.Linear(width, width)),
            mixed=mixed,
        )
        if not light:
            self.output_embedding = nn.Conv1d(w1, self.n_channels, 1)
            self.time_axis |= {"output_embedding": 2}

    def forward(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch channel time"]:
        """Reconstruct windows in their own unit. `coords` are not used.

        Raises EegfmError for another number of channels, lengths that the halvings do not admit, and light=true.
        """
        self._check(x)
        if self.unet:
            return self.unet(x)
        return self._through(self._filled(x), coords)[..., : x.shape[-1]]

    def embed(
        self, x: Float[Tensor, "batch channel time"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """A vector per window: `pooling` of `layer`. `coords` are not used. Raises EegfmError as `forward` does."""
        self._check(x)
        if self.layer == "output":
            h = self(x, coords)
        elif self.unet:
            h = self.unet.encode(x)
        else:
            h = self._looked_at(*self._down(self._filled(x)))
        if self.pooling != "flatten":
            return pooled(h, self.pooling)
        if h[0].numel() != self.width:
            raise EegfmError(
                f"pooling=flatten ties this Eegm2 to the length it was made for: it makes {h[0].numel()} numbers of "
                f"windows of {x.shape[-1]} samples, not {self.width}. Type model.pooling=mean_std."
            )
        return h.flatten(1)

    def adapted_layers(self) -> Sequence[str]:
        """The parts that an embedding passes."""
        return ["unet"] if self.unet else super().adapted_layers()

    def _through(self, x: Tensor, coords: Tensor, carry: Carry | None = None) -> Tensor:
        if carry is not None:
            self._check_channels(x)
        skips, h = self._down(x, carry)
        if self.light:  # checked late: a probe stops at its layer, before this line
            raise EegfmError(
                "light=true is the encoder alone and gives no windows back. Type model.light=false, or use it with "
                "task=classify or task=probe."
            )
        return self.output_embedding(self._up(skips, self._middle(h, carry), carry))

    def _check_streams(self) -> None:
        if not self.causal or self.light:
            raise EegfmError(
                "Only a whole causal Eegm2 can stream. Type model.causal=true, model.light=false."
            )

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
        super()._check_length(n_times)


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


_RENAMED = (  # a pattern in the reference's key, and our name
    (r"^decode(?:Mamba|Attn)(?=[23]\.)", "mixer"),
    (r"^onput_embedding(?=\.)", "output_embedding"),
    (r"(?<=\.)(?:mamba|mha)(?=\.)", "mix"),
)
_PARTS = re.compile(r"(input_embedding|encoder[123]|bottleneck|decoder[123]|mixer[23]|output_embedding)\.")


def from_reference(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of the reference to ours. Shapes and order are the same; names differ:

    ===============================  ==================
    reference                        ours
    ===============================  ==================
    decodeMamba{i}.*, decodeAttn{i}  mixer{i}.*
    *.mamba.*, *.mha.*               *.mix.*
    onput_embedding.*                output_embedding.*
    ===============================  ==================

    The classic U-Net has another layout, which is not read. Raises EegfmError if a key is not of this
    layout.
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
