"""Adapters: a few trained numbers in a backbone whose own weights stay as they were.

LoRA (arXiv:2106.09685) adds a product of two narrow matrices to a linear layer, DoRA (arXiv:2402.09353) also learns the
length of each row, and IA3 (arXiv:2205.05638) scales the layer's outputs; the three are peft's (Apache-2.0), which is
imported when it is asked for. BitFit (arXiv:2106.10199) trains the biases, and needs no package.

All start as the network was, up to rounding for DoRA: what they add is zero, or what they multiply with is one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from eegfm.contracts import EegfmError, NamesLayers
from eegfm.nn.options import check_option

Kind = Literal["lora", "dora", "ia3", "bitfit"]
INSTALL = "In a checkout: make setup-tsfm. Elsewhere: pip install 'eegfm[peft]'"
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # the names are peft's
# they compute with the weights of the layers inside them and call no such layer, so that an adapter there does nothing
FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """How a backbone is adapted: see this file's docstring.

    `rank`, `alpha` and `dropout` are for LoRA and DoRA: alpha / rank times an adapter's output is added, and `dropout`
    acts on its input.
    """

    kind: Kind
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_option("task.adapters.kind", self.kind, get_args(Kind))
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise EegfmError(
                f"task.adapters: rank={self.rank} must be positive, dropout={self.dropout} at least 0 and below 1."
            )

    def put_into(self, backbone: nn.Module) -> None:
        """Put adapters into the layers that the backbone names (see `NamesLayers`); only they keep a gradient.

        Raises:
            EegfmError: the backbone has no layer for them, or already has adapters, or peft is not installed.
        """
        if hasattr(backbone, "merge"):
            raise EegfmError(
                f"{type(backbone).__name__} has low-rank adapters of its own (model.rank). Leave adapt={self.kind} out."
            )
        if self.kind == "bitfit":
            _only_biases(backbone)
            return
        layers = linear_layers(backbone)
        if not layers:
            raise EegfmError(
                f"adapt={self.kind}: {type(backbone).__name__} has no linear layer that adapters could go beside. "
                "Type adapt=bitfit, which trains biases."
            )
        # one pattern of whole paths: peft takes names in a list for ends of paths
        wanted = "|".join(re.escape(name) for name in layers)
        inject(backbone, self.kind, places=wanted, rank=self.rank, alpha=self.alpha, dropout=self.dropout)


def inject(
    network: nn.Module,
    kind: Literal["lora", "dora", "ia3"],
    *,
    places: str | Sequence[str],
    rank: int,
    alpha: float,
    dropout: float,
) -> nn.Module:
    """The same network with adapters in it; only these are trained.

    `places` is a pattern of the paths of linear layers, or ends of their paths.

    Raises:
        EegfmError: peft is not installed.
    """
    try:
        from peft import IA3Config, LoraConfig, inject_adapter_in_model  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EegfmError(f"Adapters need peft ({error}). {INSTALL}") from error
    targets: Any = places if isinstance(places, str) else list(places)
    if kind == "ia3":
        config = IA3Config(target_modules=targets, feedforward_modules=[])
    else:
        # LoraConfig declares an int but only divides, so a fraction works
        scale: Any = alpha
        config = LoraConfig(
            r=rank, lora_alpha=scale, target_modules=targets, lora_dropout=dropout, use_dora=kind == "dora"
        )
    return inject_adapter_in_model(config, network)


def merge(network: nn.Module) -> None:
    """Fold the adapters into the weights beside them: the same outputs up to rounding, without the extra work."""
    for _, _, adapter in _adapters(network):
        adapter.merge()


def take_out(network: nn.Module) -> None:
    """Merge the adapters and leave plain layers: the network has its own tensors again, by their own names."""
    for parent, name, adapter in [*_adapters(network)]:
        adapter.merge()
        setattr(parent, name, adapter.get_base_layer())


def write_config(network: nn.Module, folder: Path) -> None:
    """Write peft's description of the network's adapters, adapter_config.json."""
    adapted: Any = network
    adapted.peft_config["default"].save_pretrained(str(folder))


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors by the names that they have in peft's adapter_model.safetensors."""
    from peft import get_peft_model_state_dict  # pyright: ignore[reportMissingImports]

    return {f"base_model.model.{key}": one for key, one in get_peft_model_state_dict(network).items()}


def put_back(network: nn.Module, folder: Path) -> None:
    """Put the adapters of a folder into the network that they were trained in.

    Raises:
        EegfmError: peft is not installed, or they do not fit.
    """
    try:
        from peft import PeftModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EegfmError(f"Adapters need peft ({error}). {INSTALL}") from error
    try:
        PeftModel.from_pretrained(network, str(folder))
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        raise EegfmError(f"{folder} holds no adapters for this network: {str(error)[:300]}") from None


def linear_layers(backbone: nn.Module) -> list[str]:
    """The paths of the linear layers that adapters can go beside: those that an embedding passes."""
    inside = {
        id(one) for whole in backbone.modules() if isinstance(whole, FUSED) for one in whole.modules()
    }
    linear = [
        name
        for name, layer in backbone.named_modules()
        if isinstance(layer, nn.Linear) and id(layer) not in inside
    ]
    return _passed(linear, backbone)


def _only_biases(backbone: nn.Module) -> None:
    biases = _passed([name for name, _ in backbone.named_parameters() if name.endswith("bias")], backbone)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name in biases)


def _passed(names: Sequence[str], backbone: nn.Module) -> list[str]:
    """Those of these layers or parameters that are at or below a layer which an embedding passes."""

    def below(name: str, paths: Sequence[str]) -> bool:
        return any(f"{name}.".startswith(f"{path}.") for path in paths)

    if isinstance(backbone, NamesLayers):
        paths = backbone.adapted_layers()
        return [name for name in names if below(name, paths)]
    return [name for name in names if not below(name, getattr(backbone, "decoder", ()))]


def _adapters(network: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Every adapter of peft's with its parent and its name there."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if hasattr(child, "get_base_layer"):  # asked so, since BitFit needs no peft
                yield parent, name, child
