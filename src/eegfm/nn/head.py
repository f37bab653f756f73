"""The head of a classifier: what reads an embedding."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from torch import nn

from eegfm.contracts import EegfmError
from eegfm.nn.options import check_option

Activation = Literal["elu", "relu"]
ACTIVATIONS = {"elu": nn.ELU, "relu": nn.ReLU}


@runtime_checkable
class HasHead(Protocol):
    """A backbone that was published with a head of its own, which reads its embedding."""

    def published_head(self, n_logits: int) -> nn.Module: ...


def make_head(
    backbone: Any,
    n_logits: int,
    *,
    hidden: Sequence[int] | Literal["published"] = (),
    activation: Activation = "elu",
    dropout: float = 0.0,
) -> nn.Module:
    """One linear layer behind an embedding of `backbone.width`, or with `hidden` sizes several.

    Those are Linear and `activation` for each size, and `dropout` after each but the last. "published" is the
    backbone's own head (see `HasHead`), with its own activation and dropout; raises EegfmError where it has none.
    """
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


def _published(backbone: Any, n_logits: int, hidden: str) -> nn.Module:
    if hidden != "published":
        raise EegfmError(f"task.hidden={hidden}: published, or a list of sizes ([128,64]), is wanted.")
    if isinstance(backbone, HasHead):
        return backbone.published_head(n_logits)
    raise EegfmError(
        f"task.hidden=published: {type(backbone).__name__} has no head of its own. Type task.hidden=[], or sizes."
    )
