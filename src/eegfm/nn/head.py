"""The head of a classifier, which turns an embedding into logits, and the probabilities of logits."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

Activation = Literal["elu", "relu"]
ACTIVATIONS = {"elu": nn.ELU, "relu": nn.ReLU}


@runtime_checkable
class HasHead(Protocol):
    """A backbone that was published with its own head on its embedding."""

    def published_head(self, n_logits: int) -> nn.Module: ...


class Threshold(nn.Module):
    """Take a threshold off the logit, so that one half decides. It is 0 until a training has chosen it."""

    logit: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("logit", torch.zeros(()))

    def forward(self, logits: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch 1"]:
        return logits - self.logit


def make_head(
    backbone: Any,
    n_logits: int,
    *,
    hidden: Sequence[int] | Literal["published"] = (),
    activation: Activation = "elu",
    dropout: float = 0.0,
    threshold: Literal["validation"] | None = None,
) -> nn.Module:
    """One linear layer on an embedding of `backbone.width`, or several with `hidden` sizes.

    With sizes, each has a Linear and an `activation`, and each but the last a `dropout`. "published" is the
    backbone's own head (see `HasHead`), with its own activation and dropout; raises EegfmError if it has
    none. A `threshold` is taken off the single logit of two classes (see `Threshold`).
    """
    if threshold is not None:
        check_option("task.threshold", threshold, ("validation",))
        if n_logits > 1:
            raise EegfmError(
                f"task.threshold={threshold}: two classes are wanted, and there are {n_logits}."
            )
        head = make_head(backbone, n_logits, hidden=hidden, activation=activation, dropout=dropout)
        return nn.Sequential(head, Threshold())
    if isinstance(hidden, str):
        return _published(backbone, n_logits, hidden)
    check_option("task.activation", activation, get_args(Activation))
    layers: list[nn.Module] = []
    width = backbone.width
    for size in hidden:
        if layers:
            layers.append(nn.Dropout(dropout))
        layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
        width = size
    last = nn.Linear(width, n_logits)
    return nn.Sequential(*layers, last) if layers else last


def light_mlp(n_features: int, n_values: int) -> nn.Sequential:
    """The classifier of EEGM2 Light (arXiv:2502.17873) on pooled features."""
    return nn.Sequential(
        *(nn.Linear(n_features, 128), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(128, 32), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(32, n_values),
    )


def class_probabilities(logits: Float[Tensor, "window logit"]) -> Float[Tensor, "window class"]:
    """A single logit's sigmoid is the second class's probability; more logits take the softmax."""
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return torch.softmax(logits, dim=1)


def _published(backbone: Any, n_logits: int, hidden: str) -> nn.Module:
    if hidden != "published":
        raise EegfmError(f"task.hidden={hidden}: published, or a list of sizes ([128,64]), is wanted.")
    if isinstance(backbone, HasHead):
        return backbone.published_head(n_logits)
    raise EegfmError(
        f"task.hidden=published: {type(backbone).__name__} has no head of its own. Type task.hidden=[], or sizes."
    )
