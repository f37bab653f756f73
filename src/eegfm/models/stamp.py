"""STAMP: spatial-temporal adapter with multi-head pooling (Shook et al. 2025, arXiv:2511.10848).

A small network on the tokens of a frozen time-series model, which embedded every (channel, second) alone.
Its steps are input norm, projection, positions, mixing along time and channels, pooling. Written from the
formulas; the reference (github.com/autonlab/STAMP, MIT) fixes what the paper leaves open, and
`from_reference` reads its state dicts.

Differs: the classifier belongs to the task; ACPE runs (upstream's cannot); the reference's `cls_tokens`, a parameter
that its forward pass never reads, does not exist; a gMLP followed by a transformer, which upstream's switches allow,
is left out; "standardise" is an input norm of ours. Position tables and gates are sized to one montage and length, so
a trained Stamp does not move to another. Electrode coordinates are not used.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.gmlp import Combine, CrissCrossGatedMLP, GatedMLP, Stack
from eegfm.nn.norm import BatchNorm, InstanceNorm, Standardise
from eegfm.nn.options import check_option
from eegfm.nn.pooling import AttentionPooling, MeanPooling, QueryMode, ResidualMode
from eegfm.nn.position import TABLES, GridConv, LearnedPositions, SinusoidalPositions, Table
from eegfm.nn.transformer import CrissCrossTransformer, token_transformer

InputNorm = Literal["instance", "batch", "standardise", "none"]
Projection = Literal["full", "reduced"]
PositionKind = Literal["learned", "sinusoidal"]
Mixer = Literal["cc_gmlp", "gmlp", "cc_transformer", "transformer", "none"]
Pooling = Literal["mhap", "mean"]


class Stamp(nn.Module):
    """Embed a sample of tokens, (channel, second, embedding), as one vector of `width`.

    Defaults are the paper's. `dropout` acts before the projection, behind every block and in the pooling.

    - `input_norm`: "instance" over the tokens of a sample, "batch", "standardise" by the training split (see
      `fit_input`), or "none".
    - `projection`: "full" is one linear layer, "reduced" is two with `projection_width` hidden units between. If
      the embedding already has `width`, tokens stay unchanged.
    - `positions`: any of the tables "token", "spatial", "temporal", of `position_kind` "learned" or "sinusoidal";  an
      empty list means none. `acpe_kernel` (channels, seconds) adds a convolution of the projected tokens over the grid,
      with `acpe_mix` through a linear layer.
    - `mixer`: "cc_gmlp" gates along time and channels (joined by `combine`), "gmlp" along all tokens,
      "cc_transformer" and "transformer" attend likewise with `mixer_heads` heads, `norm_first` or not, and a
      `final_norm` or not. `recurrent` uses one gMLP block `depth` times.
    - `pooling`: "mhap" with `n_heads`, `n_queries`, `query_mode`, `residual_lambda`, `residual_mode` (see
      `AttentionPooling`), or "mean", which with a linear head is also the reference's token-prediction averaging.

    Raises EegfmError if the spec is of raw windows, or if an option has an unknown value.
    """

    def __init__(
        self,
        spec: SampleSpec,
        *,
        width: int = 128,
        depth: int = 8,
        ff_width: int = 256,
        dropout: float = 0.3,
        input_norm: InputNorm = "instance",
        projection: Projection = "full",
        projection_width: int = 64,
        positions: Sequence[Table] = TABLES,
        position_kind: PositionKind = "learned",
        acpe_kernel: Sequence[int] | None = None,
        acpe_mix: bool = False,
        mixer: Mixer = "cc_gmlp",
        combine: Combine = "concat",
        recurrent: bool = False,
        mixer_heads: int = 8,
        norm_first: bool = False,
        final_norm: bool = True,
        pooling: Pooling = "mhap",
        n_heads: int = 4,
        n_queries: int = 8,
        query_mode: QueryMode = "weighted_sum",
        residual_lambda: float = 0.1,
        residual_mode: ResidualMode = "code",
    ) -> None:
        super().__init__()
        if len(spec.shape) != 3:
            raise EegfmError(
                f"Stamp reads the tokens of a frozen encoder, (channel, second, embedding), and these samples have "
                f"shape {tuple(spec.shape)}: raw windows. Type encoder=spectrum or encoder=ttm."
            )
        check_option("input_norm", input_norm, get_args(InputNorm))
        check_option("projection", projection, get_args(Projection))
        check_option("position_kind", position_kind, get_args(PositionKind))
        check_option("mixer", mixer, get_args(Mixer))
        check_option("pooling", pooling, get_args(Pooling))
        if recurrent and mixer not in ("cc_gmlp", "gmlp"):
            raise EegfmError(f"recurrent=true is for mixer=cc_gmlp and mixer=gmlp, not for mixer={mixer}.")
        if min(width, depth + 1, ff_width, projection_width) < 1 or not 0 <= dropout < 1:
            raise EegfmError(
                f"width={width}, ff_width={ff_width}, projection_width={projection_width} must be positive, "
                f"depth={depth} not negative, and dropout={dropout} at least 0 and below 1."
            )
        n_channels, n_times, embedding = spec.shape
        if input_norm == "instance" and n_channels * n_times == 1:
            raise EegfmError(
                "input_norm=instance compares the tokens of a sample, and these samples have one token. "
                "Type model.input_norm=standardise."
            )
        self.width = width
        self.shape = tuple(spec.shape)
        self.mixes_sequence = mixer in ("gmlp", "transformer")

        self.input_norm: nn.Module
        if input_norm == "instance":
            self.input_norm = InstanceNorm(embedding)
        elif input_norm == "batch":
            self.input_norm = BatchNorm(embedding)
        elif input_norm == "standardise":
            self.input_norm = Standardise(n_channels, embedding)
        else:
            self.input_norm = nn.Identity()

        self.projection: nn.Module
        if embedding == width:
            self.projection = nn.Identity()  # without the dropout too, as in the reference
        elif projection == "full":
            self.projection = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding, width))
        else:
            self.projection = nn.Sequential(
                nn.Dropout(dropout),
                nn.Linear(embedding, projection_width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(projection_width, width),
            )

        kind = LearnedPositions if position_kind == "learned" else SinusoidalPositions
        self.position = kind(n_times, n_channels, width, tables=positions)
        self.acpe = None if acpe_kernel is None else GridConv(width, kernel=acpe_kernel, mix=acpe_mix)

        attention = {"n_heads": mixer_heads, "norm_first": norm_first, "final_norm": final_norm}
        self.mixer: nn.Module
        if mixer == "cc_gmlp":
            self.mixer = Stack(
                lambda: CrissCrossGatedMLP(
                    n_times, n_channels, width, ff_width=ff_width, dropout=dropout, combine=combine
                ),
                depth,
                recurrent=recurrent,
            )
        elif mixer == "gmlp":
            self.mixer = Stack(
                lambda: GatedMLP(n_times * n_channels, width, ff_width=ff_width, dropout=dropout),
                depth,
                recurrent=recurrent,
            )
        elif mixer == "cc_transformer":
            self.mixer = CrissCrossTransformer(
                width, depth=depth, ff_width=ff_width, dropout=dropout, **attention
            )
        elif mixer == "transformer":
            self.mixer = token_transformer(
                width, depth=depth, ff_width=ff_width, dropout=dropout, **attention
            )
        else:
            self.mixer = nn.Identity()

        self.pooling: AttentionPooling | MeanPooling
        if pooling == "mhap":
            self.pooling = AttentionPooling(
                width,
                n_heads=n_heads,
                n_queries=n_queries,
                dropout=dropout,
                query_mode=query_mode,
                residual_lambda=residual_lambda,
                residual_mode=residual_mode,
            )
        else:
            self.pooling = MeanPooling()

    def embed(
        self, x: Float[Tensor, "batch channel time embedding"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch width"]:
        """A vector per sample. `coords` are not used."""
        return self.pooling(self._tokens(x))

    def attention(
        self, x: Float[Tensor, "batch channel time embedding"], coords: Float[Tensor, "channel 3"]
    ) -> Float[Tensor, "batch head token"]:
        """The attention of each pooling head to each token; every head's map sums to one.

        Token n = second * n_channels + channel: `.unflatten(-1, (n_times, n_channels))` is the grid.

        Raises EegfmError if the pooling is a mean, which prefers no token.
        """
        if not isinstance(self.pooling, AttentionPooling):
            raise EegfmError("Mean pooling has no attention to show. Train with model.pooling=mhap.")
        return self.pooling(self._tokens(x), return_attention=True)[1]

    def fit_input(self, batches: Iterable[Float[Tensor, "batch channel time embedding"]]) -> None:
        """Show the training split to an input norm that learns from it; other norms ignore `batches`."""
        if isinstance(self.input_norm, Standardise):
            self.input_norm.fit(x.transpose(1, 2) for x in batches)

    def _tokens(
        self, x: Float[Tensor, "batch channel time embedding"]
    ) -> Float[Tensor, "batch token width"]:
        """Everything before the pooling. Tokens in the paper's order: n = time * n_channels + channel."""
        if tuple(x.shape[1:]) != self.shape:
            raise EegfmError(
                f"This Stamp was made for samples of shape {self.shape} and was given {tuple(x.shape[1:])}."
            )
        h = self.projection(self.input_norm(x.transpose(1, 2)))  # batch time channel width
        h = self.position(h) if self.acpe is None else self.position(self.acpe(h))
        return self.mixer(h.flatten(1, 2)) if self.mixes_sequence else self.mixer(h).flatten(1, 2)


_RENAMED = (  # a key of the reference, and ours
    (r"data_norm\.", "input_norm."),
    (r"linear\.(?=[14]\.)", "projection."),
    (r"pos_embed\.weight$", "position.token"),
    (r"spatial_embed\.weight$", "position.spatial"),
    (r"temporal_embed\.weight$", "position.temporal"),
    (r"gated_mlp\.(\d+)\.sgu(_temporal|_spatial|)\.spatial_proj\.", r"mixer.blocks.\1.gate\2.mix."),
    (r"gated_mlp\.(\d+)\.sgu(_temporal|_spatial|)\.norm\.", r"mixer.blocks.\1.gate\2.norm."),
    (r"gated_mlp\.(\d+)\.(?=(norm|proj_1|proj_2)\.|(temporal|spatial)_weight$)", r"mixer.blocks.\1."),
    (r"transformer\.(?=layers\.\d+\.|norm\.)", "mixer."),
    (r"multi_head_attention_pooling\.Q$", "pooling.queries"),
    (r"multi_head_attention_pooling\.out_proj\.", "pooling.out_proj."),
    (r"multi_head_attention_pooling\.query_weight_net\.", "pooling.query_weights."),
)
_HEAD_OF_POOLING = re.compile(r"multi_head_attention_pooling\.W\.(\d+)\.weight$")
_CLASSIFIER = re.compile(r"(token_)?classifier\.")


def from_reference(
    state: Mapping[str, Tensor], *, recurrent: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a state dict in the layout of the STAMP reference into (backbone, head), for a `Stamp` and its task's head.

    ==================================================================  ==========================================
    reference                                                           ours
    ==================================================================  ==========================================
    data_norm.*                                                         input_norm.*
    linear.1, linear.4                                                  projection.1, projection.4
    pos_embed, spatial_embed, temporal_embed (.weight)                  position.token, .spatial, .temporal
    gated_mlp.{i}.norm, proj_*, temporal_weight, spatial_weight         mixer.blocks.{i}.(the same)
    gated_mlp.{i}.sgu_temporal, sgu_spatial, sgu  (.norm)               mixer.blocks.{i}.gate_temporal, ... (.norm)
    gated_mlp.{i}.sgu*.spatial_proj                                     mixer.blocks.{i}.gate*.mix
    transformer.layers.{i}.*, transformer.norm.*                        mixer.layers.{i}.*, mixer.norm.*
    multi_head_attention_pooling.Q, out_proj, query_weight_net          pooling.queries, out_proj, query_weights
    multi_head_attention_pooling.W.{a}.weight, stacked over a           pooling.project.weight
    classifier.*, token_classifier.*                                    (head) *
    cls_tokens                                                          none: no output depends on it
    ==================================================================  ==========================================

    `recurrent` is for a model that shares one block: the reference repeats its entries for every depth,
    ours has them once. Raises EegfmError if a key is not of this layout.
    """
    backbone: dict[str, Tensor] = {}
    head: dict[str, Tensor] = {}
    projections: dict[int, Tensor] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        if key == "cls_tokens" or (recurrent and re.match(r"gated_mlp\.(?!0\.)", key)):
            continue
        if match := _HEAD_OF_POOLING.match(key):
            projections[int(match[1])] = tensor
        elif match := _CLASSIFIER.match(key):
            head[key[match.end() :]] = tensor
        else:
            for pattern, ours in _RENAMED:
                if match := re.match(pattern, key):
                    backbone[match.expand(ours) + key[match.end() :]] = tensor
                    break
            else:
                unknown.append(key)
    if unknown:
        raise EegfmError(
            f"Not a state dict of the STAMP reference: {len(unknown)} of its {len(state)} keys have no place here, "
            f"first {unknown[0]!r}. from_reference reads what torch.save(model.state_dict()) wrote there."
        )
    if projections:
        backbone["pooling.project.weight"] = torch.cat([projections[a] for a in sorted(projections)])
    return backbone, head
