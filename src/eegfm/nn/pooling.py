"""Pooling: many tokens become one vector. Multi-head attention pooling (MHAP) of STAMP, arXiv:2511.10848, and the mean.

Written from the formulas. One fused projection serves all heads, and nothing leaves the device. Differs:
the reference sets NaN attention to 0, which would hide a diverged training, and its attention map is that
of one query, for "weighted_sum" an arbitrary one; our map is the attention that the head pools with.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

QueryMode = Literal["weighted_sum", "max", "learned_weights", "all_concat"]
ResidualMode = Literal["code", "paper"]


class MeanPooling(nn.Module):
    """The mean over tokens.

    With a linear head this is also the reference's "token prediction averaging": the mean of the tokens' logits is the
    logits of the mean token.
    """

    def forward(self, tokens: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch width"]:
        return tokens.mean(dim=1)


class AttentionPooling(nn.Module):
    """Pool by learned queries: `n_heads` heads, each with a projection of the tokens and `n_queries` queries.

    A head attends with every query (softmax over tokens of <projection, query> / sqrt(width / n_heads)) and pools the
    same projections that it attended to. `query_mode` says how the queries of a head are joined:

    - "weighted_sum": by a softmax over the queries' summed attention. Every sum is one, so outside training this is
      the plain mean of the queries; in training the weights vary with the dropout of the attention alone.
    - "max": the query with the largest summed attention. Outside training that is always the first; sums are compared
      to four decimals, so that rounding does not choose.
    - "learned_weights": by weights that a small network computes from the mean token, with one softmax over the
      queries of all heads.
    - "all_concat": they are not joined; every query enters the output projection.

    `residual_lambda` (λ) adds the mean token ê to the pooled vector z; 0 leaves it out in both modes. The
    paper writes λ z + (1 - λ) ê and the authors' code computes z + λ ê: with their λ = 0.1 the mean token
    dominates in the paper's formula and hardly matters in the code's. The published numbers come from the
    code, so "code" is the default of `residual_mode`.
    """

    def __init__(
        self,
        width: int,
        *,
        n_heads: int,
        n_queries: int,
        dropout: float,
        query_mode: QueryMode = "weighted_sum",
        residual_lambda: float = 0.1,
        residual_mode: ResidualMode = "code",
    ) -> None:
        super().__init__()
        check_option("query_mode", query_mode, get_args(QueryMode))
        check_option("residual_mode", residual_mode, get_args(ResidualMode))
        if n_heads < 1 or width % n_heads:
            raise EegfmError(
                f"width={width} cannot be shared by n_heads={n_heads}. Choose a divisor of the width."
            )
        if n_queries < 1:
            raise EegfmError(f"n_queries={n_queries}: a head needs at least one query.")
        if not 0 <= residual_lambda <= 1:
            raise EegfmError(f"residual_lambda={residual_lambda} must lie between 0 (no residual) and 1.")
        self.n_heads = n_heads
        self.query_mode = query_mode
        self.residual_lambda = residual_lambda
        self.residual_mode = residual_mode
        self.queries = nn.Parameter(torch.empty(n_heads, n_queries, width // n_heads))
        self.project = nn.Linear(width, width, bias=False)  # rows of head 0, rows of head 1, ...
        self.out_proj = nn.Linear(width * n_queries if query_mode == "all_concat" else width, width)
        if query_mode == "learned_weights":
            self.query_weights = nn.Sequential(
                nn.Linear(width, width // 2),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(width // 2, n_heads * n_queries),
            )
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier-uniform, head by head; queries from N(0, 0.02²), all but the first with 0.1 N(0, 1) added."""
        nn.init.normal_(self.queries, std=0.02)
        self.queries[:, 1:] += 0.1 * torch.randn_like(self.queries[:, 1:])
        for head in self.project.weight.chunk(self.n_heads):
            nn.init.xavier_uniform_(head)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module is not self.project:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self, tokens: Float[Tensor, "batch token width"], *, return_attention: bool = False
    ) -> (
        Float[Tensor, "batch width"]
        | tuple[Float[Tensor, "batch width"], Float[Tensor, "batch head token"]]
    ):
        """Pool to (batch, width); with `return_attention`, also how each head attends, (batch, head, token).

        The head pools with this attention: the mean of its queries, weighted as the mode weighs them,
        before dropout. Every row sums to one.
        """
        mean = tokens.mean(dim=1)
        projected = self.dropout(self.project(tokens))
        projected = projected.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # batch head token feature
        scale = projected.shape[-1] ** -0.5
        attention = torch.softmax((self.queries * scale) @ projected.transpose(2, 3), dim=-1)
        dropped = self.dropout(attention)  # batch head query token
        weights = None
        if self.query_mode == "all_concat":
            pooled = dropped @ projected  # batch head query feature
        else:
            # summing over queries before tokens gives the same number for a fraction of the work
            weights = self._weights(dropped, mean)
            pooled = weights[:, :, None] @ dropped @ projected  # batch head 1 feature
        z = self.out_proj(pooled.flatten(1))
        if self.residual_lambda > 0:
            keep = 1.0 if self.residual_mode == "code" else self.residual_lambda
            rest = self.residual_lambda if self.residual_mode == "code" else 1 - self.residual_lambda
            z = keep * z + rest * mean
        if not return_attention:
            return z
        if weights is None:
            return z, attention.mean(dim=2)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return z, (weights[:, :, None] @ attention).squeeze(2)

    def _weights(
        self, attention: Float[Tensor, "batch head query token"], mean: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch head query"]:
        if self.query_mode == "learned_weights":
            return torch.softmax(self.query_weights(mean), dim=-1).unflatten(-1, (self.n_heads, -1))
        mass = attention.sum(dim=-1)
        if self.query_mode == "weighted_sum":
            return torch.softmax(mass, dim=-1)
        chosen = mass.round(decimals=4).argmax(dim=-1)  # of equals, the first
        return torch.zeros_like(mass).scatter_(-1, chosen[..., None], 1.0)
